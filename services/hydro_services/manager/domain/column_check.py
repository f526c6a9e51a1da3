"""The contract of a chain: the columns that a stage finds must cover those that it reads. Pure.

Columns accumulate. The first stage finds what the client sends: its own declared inputs, and
possibly more, of which nothing is known. Every later stage finds those, and the outputs of all
stages before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hydro.runtime.v1.signature_pb2 import Field
from hydro.serving.v1 import frame_pb2
from hydro_services.errors import InvalidArgument
from hydro_services.manager.domain.state import ResolvedStage


@dataclass(frozen=True, slots=True)
class _Column:
    field: Field
    certain: bool
    """It is there in every row, or the client can see to it."""


def check_columns(stages: Sequence[ResolvedStage]) -> None:
    """Follows the columns through a chain.

    Raises:
        InvalidArgument: a stage reads a column that is not there or is of another type or shape,
            or adds one that is there already and that it does not declare to replace.
    """
    columns = {f.name: _Column(f, True) for f in stages[0].model.signature.inputs}
    for number, stage in enumerate(stages, 1):
        _check_inputs(number, stage, columns)
        _check_outputs(number, stage, columns)
        columns |= {f.name: _Column(f, not f.optional) for f in stage.model.signature.outputs}


def _check_inputs(number: int, stage: ResolvedStage, columns: Mapping[str, _Column]) -> None:
    inputs = stage.model.signature.inputs
    uncovered = [f.name for f in inputs if not _covers(columns.get(f.name), f)]
    if uncovered:
        wanted = describe_columns(f for f in inputs if not f.optional or f.name in columns)
        there = describe_columns(c.field for c in columns.values())
        raise InvalidArgument(
            f"the columns before stage {number} {stage.name!r} do not cover its inputs: it wants "
            f"{wanted}, and there are {there}; not covered: {', '.join(uncovered)}",
            stage=stage.name,
            columns=",".join(uncovered),
        )


def _check_outputs(number: int, stage: ResolvedStage, columns: Mapping[str, _Column]) -> None:
    outputs = stage.model.signature.outputs
    clashes = [f.name for f in outputs if f.name in columns and not f.replaces]
    if clashes:
        there = describe_columns(c.field for c in columns.values())
        raise InvalidArgument(
            f"stage {number} {stage.name!r} adds columns that are there already: "
            f"{', '.join(clashes)}; it adds {describe_columns(outputs)}, and there are "
            f"{there}; rename them, or declare in the "
            "model's metadata that it replaces them",
            stage=stage.name,
            columns=",".join(clashes),
        )


def _covers(column: _Column | None, wanted: Field) -> bool:
    if column is None or not column.certain:
        return wanted.optional
    return fits(column.field, wanted)


def fits(got: Field, wanted: Field) -> bool:
    """Whether types and shapes agree, where -1 agrees with any size."""
    pairs = zip(got.shape, wanted.shape, strict=False)
    is_same = got.type == wanted.type and len(got.shape) == len(wanted.shape)
    return is_same and all(g == w or -1 in (g, w) for g, w in pairs)


def describe_columns(fields: Iterable[Field]) -> str:
    """Columns with their types, as a text for users."""
    return "{" + ", ".join(f"{field.name}: {_type_text(field)}" for field in fields) + "}"


def _type_text(field: Field) -> str:
    """For example `float64[3]`."""
    name = frame_pb2.DataType.Name(field.type).removeprefix("DATA_TYPE_").lower()
    sizes = ",".join("?" if size < 0 else str(size) for size in field.shape)
    return f"{name}[{sizes}]" if field.shape else name
