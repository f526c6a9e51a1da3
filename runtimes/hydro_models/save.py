"""Writes the model folder of a fitted model, and proves that it answers as the model does."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydro_models import answers, model_metadata, proof, schema, scikit
from hydro_models.answers import Answerers, StatedOutput
from hydro_models.errors import BadRows, CannotSave, ProofFailed, WrongAnswer
from hydro_models.kinds import KindModule, kind_of
from hydro_models.model_metadata import METADATA, PROOF, Metadata
from hydro_models.proof import Proof
from hydro_models.schema import InputSchema
from hydro_models.versions import versions_here


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A model folder that was written."""

    folder: Path
    metadata: Metadata
    proof: Proof


def save(
    model: Any,
    path: str | os.PathLike[str],
    example: Any,
    *,
    inputs: Sequence[str] | str | None = None,
    outputs: Sequence[str] | None = None,
) -> SavedModel:
    """Writes a model folder for a fitted model, ready to serve.

    Args:
        model: fitted; of one of `kinds.KINDS`.
        path: of the folder, made when missing; its name is the model's name.
        example: some rows as the model is fitted with: a DataFrame, a Series, an array, a sparse
            matrix, a list. Its dtypes are those that the model will be given, and its first rows
            are kept in the folder.
        inputs: the names of the columns; else those of the data frame, or x0, x1, ... A text names
            the one input whose values are whole rows of an array.
        outputs: the names of the outputs; else those that `docs/scikit.md` names.

    Raises:
        CannotSave: it would not answer as the model does now; nothing is written.
    """
    kind = kind_of(model)
    described = schema.describe(example, inputs)
    rows = _first_rows(example)
    stated = _describe_outputs(kind.load(), model, described, rows, outputs)
    kept = _prove_example(kind.load().answerers(model), described, stated, rows)
    folder = Path(path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder.parent) as temporary:
        written = Path(temporary)
        file = kind.load().write(model, written)
        _prove_file(kind.load(), file, described, stated, kept)
        metadata = Metadata(
            folder.resolve().name,
            kind.name,
            file.name,
            described,
            stated,
            versions_here(kind.load().libraries(file)),
        )
        (written / PROOF).write_text(kept.dumps(), "utf-8")
        (written / METADATA).write_text(metadata.dumps(), "utf-8")
        _publish(written, folder, [file.name, PROOF, METADATA])
    return SavedModel(folder, metadata, kept)


def _first_rows(example: Any) -> Any:
    if hasattr(example, "iloc"):
        return example.iloc[: proof.MAX_ROWS].reset_index(drop=True)
    return (
        example.tocsr()[: proof.MAX_ROWS]
        if hasattr(example, "tocsr")
        else example[: proof.MAX_ROWS]
    )


def _count(rows: Any) -> int:
    return int(rows.shape[0]) if hasattr(rows, "shape") else len(rows)


def _describe_outputs(
    kind: KindModule, model: Any, described: InputSchema, rows: Any, names: Sequence[str] | None
) -> list[StatedOutput]:
    """The outputs, of the types of the model's answers to the example."""
    having = kind.answerers(model)
    if not _count(rows):
        raise CannotSave("the example has no rows, want some that the model answers")
    if not having:
        raise CannotSave(
            f"{type(model).__name__} has no method that answers new rows, such as predict or "
            "transform: it tells only of the rows that it was fitted on"
        )
    try:
        wanted = _expand(having, names or kind.default_outputs(model), rows)
        return [_describe_one(having, name, value, described) for name, value in wanted.items()]
    except WrongAnswer as error:
        raise CannotSave(str(error)) from error
    except Exception as error:
        raise CannotSave(
            f"the {type(model).__name__} does not answer the example "
            f"({type(error).__name__}: {error}): give rows like those that it was fitted on"
        ) from error


def _expand(having: Answerers, names: Sequence[str], rows: Any) -> dict[str, Any]:
    """The answers to the example, by name; all parts of those that have several."""
    values: dict[str, Any] = {}
    for name in names:
        if name in having:
            values |= answers.ask(name, having[name], rows, _count(rows))
        else:
            values |= answers.evaluate(having, [name], rows, _count(rows))
    return values


def _describe_one(having: Answerers, name: str, value: Any, described: InputSchema) -> StatedOutput:
    labels = having[name].labels() if name in having else ()
    output = answers.describe_output(name, value, labels)
    return replace(output, replaces=any(name == field.name for field in described.inputs))


def _prove_example(
    having: Answerers, described: InputSchema, outputs: Sequence[StatedOutput], rows: Any
) -> Proof:
    """The proof, of rows that are answered alike in requests."""
    sent = described.encode(rows)
    want = proof.encode(outputs, proof.answer(having, outputs, rows, _count(rows)))
    try:
        got = proof.answer_rows(described, having, outputs, sent)
        for output in outputs:
            proof.compare(output.name, want[output.name], got[output.name])
    except (BadRows, ProofFailed) as error:
        raise CannotSave(
            f"the model answers its example otherwise when it comes in a request ({error}): it "
            "may answer at random (set random_state), or tell apart what a request cannot state"
        ) from error
    return Proof(sent, want)


def _prove_file(
    kind: KindModule,
    file: Path,
    described: InputSchema,
    outputs: Sequence[StatedOutput],
    kept: Proof,
) -> None:
    """Reads the model again, and compares."""
    try:
        # No file has strides: a part of an array comes back as one of its own, which may round.
        got = proof.answer_rows(described, kind.answerers(kind.read(file)), outputs, kept.rows)
        proof.check(kept, outputs, got)
    except Exception as error:
        raise CannotSave(
            f"the model does not answer as before once it is written to {file.name} and read again "
            f"({type(error).__name__}: {error})"
        ) from error


def _publish(written: Path, folder: Path, names: Sequence[str]) -> None:
    """Puts the files into the folder, in the place of those of an earlier model."""
    folder.mkdir(exist_ok=True)
    earlier = _file_there(folder)
    for name in names:
        os.replace(written / name, folder / name)
    if earlier not in names and "/" not in earlier:
        (folder / earlier).unlink(missing_ok=True)


def _file_there(folder: Path) -> str:
    """The file of the model that a folder has; what was saved by older versions is a skops file."""
    fitted = None
    with contextlib.suppress(OSError, ValueError):
        fitted = model_metadata.parse_fitted((folder / METADATA).read_bytes())
    return fitted.file if fitted else scikit.SKOPS
