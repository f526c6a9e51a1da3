"""The columns of a batch as a model's schema reads them, and JSON rows as such columns.

What a runtime holds has this form already (`values` and `validity`), and is read without a copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Row: TypeAlias = Mapping[str, Any]

INTEGERS: dict[str, np.dtype[Any]] = {"int32": np.dtype("<i4"), "int64": np.dtype("<i8")}
FLOATS: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float64": np.dtype("<f8")}
NUMBERS: dict[str, np.dtype[Any]] = {"bool": np.dtype(np.bool_)} | INTEGERS | FLOATS
"""Of numpy, by the type in metadata.json."""
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""As they are written in JSON, which has no numbers for them."""


class WireColumn(Protocol):
    """A value in every row."""

    @property
    def values(self) -> Array | Sequence[str]:
        """(rows, *shape) of the declared dtype; texts, or JSON values as texts, as a sequence."""
        ...

    @property
    def validity(self) -> Array | None:
        """bool, (rows,): False where the row is null; None where no row is."""
        ...


class SparseColumn(WireColumn, Protocol):
    """A sparse vector in every row (CSR)."""

    @property
    def size(self) -> int: ...
    @property
    def offsets(self) -> Array: ...
    @property
    def indices(self) -> Array: ...


@dataclass(frozen=True, slots=True)
class PlainValues:
    """A column that is made here; see `WireColumn`."""

    values: Array | Sequence[str]
    validity: Array | None = None


@dataclass(frozen=True, slots=True)
class SparseValues:
    """A column of sparse vectors that is made here; see `SparseColumn`."""

    values: Array
    size: int
    offsets: Array
    indices: Array
    validity: Array | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """An input as metadata.json states it."""

    name: str
    type: str
    """bool, int32, int64, float32, float64, string or json."""
    shape: tuple[int, ...] = ()
    is_sparse: bool = False
    """Vectors of `shape` are read as sparse ones."""

    def entry(self) -> dict[str, Any]:
        """Its object in metadata.json; whether a null is taken is for the model to say."""
        entry: dict[str, Any] = {"name": self.name, "type": self.type}
        if self.shape:
            return entry | {"shape": list(self.shape)}
        return entry | {"nullable": True}


def parse_rows(rows: Sequence[Row], inputs: Sequence[Input]) -> dict[str, WireColumn]:
    """The columns of JSON rows, as a runtime reads them."""
    return {field.name: _parse_column([row[field.name] for row in rows], field) for field in inputs}


def _parse_column(values: Sequence[Any], field: Input) -> WireColumn:
    if field.is_sparse:
        return _parse_sparse(values)
    valid = np.array([value is not None for value in values], np.bool_)
    validity = None if valid.all() else valid
    if field.type == "json":
        import json

        return PlainValues([json.dumps(value) for value in values], validity)
    if field.type == "string":
        return PlainValues(["" if value is None else value for value in values], validity)
    zero = np.zeros(field.shape).tolist()
    given = [zero if value is None else _parse_number(value) for value in values]
    array = np.array(given, NUMBERS[field.type]).reshape(len(values), *field.shape)
    return PlainValues(array, validity)


def _parse_number(value: Any) -> Any:
    if isinstance(value, list):
        return [_parse_number(element) for element in value]
    return NOT_FINITE[value] if isinstance(value, str) else value


def _parse_sparse(vectors: Sequence[Any]) -> SparseValues:
    lengths = [len(vector["indices"]) for vector in vectors]
    indices = [index for vector in vectors for index in vector["indices"]]
    cells = [_parse_number(cell) for vector in vectors for cell in vector["values"]]
    return SparseValues(
        np.array(cells, np.float64),
        vectors[0]["size"],
        np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))),
        np.array(indices, np.int32),
    )


def to_json(value: Any) -> Any:
    """A number of numpy or Python, or lists of them, as JSON has it; NaN stays a number's text."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return next(_names_of(value))
    if isinstance(value, list | tuple):
        return [to_json(element) for element in value]
    if isinstance(value, Mapping):
        return {key: to_json(element) for key, element in value.items()}
    return value


def _names_of(value: float) -> Iterator[str]:
    return (name for name, number in NOT_FINITE.items() if repr(number) == repr(value))
