"""From what a library saved to a whole model folder, with its signature and its proof.

Which formats there are is in `model_formats`, and which fitted models can be written as a folder
with a proof is in `hydro_models`: nothing here is of one format.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from hydro_runtimes import files, load, mlflow_folder, model_formats
from hydro_runtimes.errors import InvalidModel, ModelError
from hydro_runtimes.evaluator import Signature
from hydro_runtimes.model_formats import Format, Reader
from hydro_services.deployment.examples import (
    SENT_ROWS,
    Example,
    Row,
    feature_count,
    feature_names,
    fit_rows,
)
from hydro_services.errors import InvalidArgument, ModelRefused

if TYPE_CHECKING:
    from hydro_models.proof import Proof

AskTrust: TypeAlias = Callable[[str], None]
"""Given why trust is needed; raises where it is not given."""


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A whole model folder."""

    format: Format
    signature: Signature
    rows: Sequence[Row]
    """Of the example, as they are sent; none where there is no example."""
    proof: Sequence[Mapping[str, Any]] | None
    """The model's own answers to these rows, where they are known already."""


def prepare(source: Path, folder: Path, example: Example | None, ask: AskTrust) -> PreparedModel:
    """Writes the model folder of a source.

    Args:
        source: a file that a library wrote, or a folder.
        folder: empty; its name is the model's.
        example: rows that the model answers, if there are any.
        ask: called before any code of the model runs, here or in the mesh.

    Raises:
        ModelError: the model cannot be served.
        errors.HydroError: the example does not fit; or what `ask` raises.
    """
    try:
        return _prepare(source, folder, example, ask)
    except ModelError as error:  # in terms of what the user has, not of the copy
        error.args = (str(error).replace(str(folder), str(source)),)
        raise


def _prepare(source: Path, folder: Path, example: Example | None, ask: AskTrust) -> PreparedModel:
    _copy(source, folder)
    format = model_formats.detect_format(folder)
    is_whole = source.is_dir() or (folder / files.METADATA).exists()
    reader = format.import_reader()
    if reader and not is_whole:
        _ask(format, ask)
        with _importing_from(source.parent, Path.cwd()):
            model = _read(reader, source, format, ask)
            _save(model, source, folder, example)
    elif not model_formats.is_marked(path.name for path in folder.iterdir()):
        # The file's name alone does not tell the repository that this is a model.
        (folder / files.METADATA).write_text(json.dumps({"model": folder.name}) + "\n")
    return describe(folder, example, ask)


def describe(folder: Path, example: Example | None, ask: AskTrust) -> PreparedModel:
    """What a whole model folder holds.

    Raises:
        ModelError, errors.HydroError: as `prepare`.
    """
    format = model_formats.detect_format(folder)
    signature = load.describe(folder).signature
    _ask(format, ask)
    proof = _read_proof(folder)
    if example:
        rows = fit_rows(example.rows, signature)
    elif proof:
        rows = [dict(row) for row in proof.rows[:SENT_ROWS]]
    else:
        logged = mlflow_folder.read_example(folder) if mlflow_folder.is_mlflow(folder) else ()
        rows = fit_rows(logged[:SENT_ROWS], signature)
    is_proven = proof is not None and proof.rows[: len(rows)] == rows
    answers = _answers_by_row(proof.answers, len(rows)) if proof and is_proven else None
    return PreparedModel(format, signature, rows, answers)


def _copy(source: Path, folder: Path) -> None:
    """Raises InvalidModel: a file of the source cannot be a model's."""
    if source.is_file():
        shutil.copyfile(source, folder / source.name)
        return
    for entry in files.walk_folder(source):
        target = folder / entry.path
        if entry.is_folder:
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / entry.path, target)


def _ask(format: Format, ask: AskTrust) -> None:
    if format.runs_code:
        ask(f"a model of the format {format.name} runs code of its own when it is loaded")


def _read(reader: Reader, source: Path, format: Format, ask: AskTrust) -> object:
    """The fitted model in a file."""
    format.require_libraries(source)
    try:
        return reader.read_model(source, ask)
    except ModelRefused:
        raise
    except Exception as error:
        way_out = "is what it was saved with installed here?"
        if "__main__" in str(error):
            way_out = (
                "it is of a class of a notebook or script: there, write it by "
                "hydro_models.save(model, FOLDER, example=X), then deploy that folder"
            )
        reason = f"cannot be read ({type(error).__name__}: {error}); {way_out}"
        raise InvalidModel(source, reason) from error


class _importing_from:
    """While it lasts, modules beside the model are found, after all others."""

    def __init__(self, *folders: Path) -> None:
        self._folders = [str(folder.resolve()) for folder in folders]

    def __enter__(self) -> None:
        sys.path.extend(self._folders)

    def __exit__(self, *_: object) -> None:
        for folder in self._folders:
            sys.path.remove(folder)


def _save(model: object, source: Path, folder: Path, example: Example | None) -> None:
    """In the place of the copy, as a folder with a signature and a proof."""
    import hydro_models

    given, inputs = example.of_model(model) if example else (_guess_example(model, source), None)
    (folder / source.name).unlink()
    try:
        hydro_models.save(model, folder, given, inputs=inputs)
    except hydro_models.CannotSave as error:
        if example is None:
            message = f"{source}: it does not take a row of zeros"
            raise InvalidArgument(f"{message}; give rows that it does: --example FILE") from error
        raise ModelRefused(f"{source}: {error}") from error


def _guess_example(model: Any, source: Path) -> Any:
    """A row of zeros for a model that knows how many numbers it takes.

    Raises:
        InvalidArgument: it does not.
    """
    import numpy as np

    count, names = feature_count(model), feature_names(model)
    if not count:
        message = f"{source}: a {type(model).__name__} does not tell which columns it takes"
        raise InvalidArgument(f"{message}; give rows that it answers: --example FILE")
    zeros = np.zeros((1, count))
    if not names:
        return zeros
    import pandas

    return pandas.DataFrame(zeros, columns=names)


def _read_proof(folder: Path) -> Proof | None:
    """Rows, and the model's answers to them, where the folder has them."""
    from hydro_models import model_metadata, proof

    try:
        return proof.parse((folder / model_metadata.PROOF).read_bytes())
    except (OSError, ValueError):
        return None


def _answers_by_row(answers: Mapping[str, Sequence[Any]], rows: int) -> list[dict[str, Any]]:
    return [{name: values[row] for name, values in answers.items()} for row in range(rows)]
