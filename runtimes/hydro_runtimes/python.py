"""Custom models: the folder brings a Python module, `model.py`, that is run if it is trusted.

    class Model:
        def __init__(self, folder: pathlib.Path) -> None: ...
        def evaluate(self, columns: Mapping[str, np.ndarray | Sequence]) -> Mapping[str, ...]: ...

`evaluate` gets and gives plain arrays and lists (see `python_values`), one value a row; the columns
are those of metadata.json. If its parameter is annotated as a DataFrame it gets one of pandas; what
it gives may be one in any case. Modules beside model.py are imported as beside a script: see
`imports`. What requirements.txt beside it asks for has to be installed.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hydro_models.missing_values import is_missing
from hydro_runtimes import files, python_values
from hydro_runtimes.columns import Columns
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Description, Evaluation, Signature
from hydro_runtimes.imports import ImportSpace
from hydro_runtimes.model_folder import ModelFolder
from hydro_runtimes.python_values import Plain
from hydro_runtimes.requirements_file import REQUIREMENTS, find_missing, installed_version


@dataclass(frozen=True, slots=True, weakref_slot=True)
class PythonEvaluator:
    """Hands plain columns to a custom model and checks what it answers."""

    signature: Signature
    model: Any
    """Has `evaluate`, as the module's docstring tells."""
    takes_frame: bool = False

    def evaluate(self, columns: Columns) -> Evaluation:
        """As `Evaluator.evaluate`.

        Raises:
            ValueError: the model's answer is not as declared in metadata.json.
            Exception: what the model raised.
        """
        given, failures, _ = python_values.drop_null_rows(columns, self.signature.inputs)
        inputs = {
            field.name: python_values.to_plain(given[field.name], field.shape)
            for field in self.signature.inputs
            if field.name in given
        }
        answer = self.model.evaluate(_to_frame(inputs) if self.takes_frame else inputs)
        if hasattr(answer, "to_dict") and hasattr(answer, "columns"):
            answer = {str(name): _from_series(answer[name]) for name in answer.columns}
        if not isinstance(answer, Mapping):
            raise ValueError(f"evaluate gave a {type(answer).__name__}, want a dict of columns")
        outputs = {
            field.name: python_values.to_column(field, answer[field.name], given.rows)
            for field in self.signature.outputs
            if field.name in answer or not field.optional
        }
        return Evaluation(outputs, failures)


def describe(folder: ModelFolder) -> Description:
    """As `formats.Loader.describe`."""
    return Description(folder.read_signature())


def load(folder: ModelFolder) -> PythonEvaluator:
    """Imports model.py of a folder that is trusted, into a space of its own.

    The space is closed when the evaluator is no more.

    Raises:
        InvalidModel: it cannot be imported, has no class Model that can be made and evaluates, or
            asks for libraries that are not here.
    """
    signature = folder.read_signature()
    _require_libraries(folder)
    space = ImportSpace(folder.path, folder.files)
    try:
        with space.active():
            model = _model(folder.path, space)
        evaluator = PythonEvaluator(signature, model, _takes_frame(type(model)))
    except BaseException:
        space.close()
        raise
    # Not at exit: modules are taken apart by then, and threads may still evaluate.
    weakref.finalize(evaluator, space.close).atexit = False
    return evaluator


def _model(folder: Path, space: ImportSpace) -> Any:
    try:
        module = space.module("model")
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise InvalidModel(folder, f"model.py cannot be imported: {reason}") from error
    factory = getattr(module, "Model", None)
    if not isinstance(factory, type) or not callable(getattr(factory, "evaluate", None)):
        raise InvalidModel(folder, "model.py has no class 'Model' with a method 'evaluate'")
    try:
        return factory(folder)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise InvalidModel(folder, f"Model(folder) of model.py failed: {reason}") from error


def _require_libraries(folder: ModelFolder) -> None:
    """Raises InvalidModel where what requirements.txt asks for is not installed."""
    listed = next((file for file in folder.files if file.path == REQUIREMENTS), None)
    if listed is None:
        return
    try:
        text = files.read_listed(folder.path, listed).decode()
        missing = find_missing(text, installed_version)
    except ValueError as error:
        raise InvalidModel(folder.path, f"{REQUIREMENTS}: {error}") from error
    if missing:
        way_out = f"pip install -r {REQUIREMENTS}, with the Python of the runtime"
        raise InvalidModel(folder.path, f"{REQUIREMENTS} asks for {', '.join(missing)}; {way_out}")


def _takes_frame(kind: type) -> bool:
    """Whether the parameter of `evaluate` is annotated as a DataFrame."""
    parameters = list(inspect.signature(kind.evaluate).parameters.values())  # type: ignore[attr-defined]
    if len(parameters) < 2:
        return False
    stated = parameters[1].annotation
    name = stated if isinstance(stated, str) else getattr(stated, "__name__", "")
    return name.rpartition(".")[2] == "DataFrame"


def _to_frame(inputs: Mapping[str, Plain]) -> Any:
    """Plain columns as a data frame; whole numbers and booleans with nulls as pandas has them."""
    import pandas

    return pandas.DataFrame({name: _to_series(values) for name, values in inputs.items()})


def _to_series(values: Plain) -> Any:
    import pandas

    if not isinstance(values, np.ndarray):
        return pandas.Series(list(values), dtype=object)
    if values.dtype != object:
        return pandas.Series(values if values.ndim == 1 else list(values))
    present = next((value for value in values if value is not None), 0)
    is_bool = isinstance(present, bool | np.bool_)
    return pandas.Series(values.tolist(), dtype="boolean" if is_bool else "Int64")


def _from_series(values: Any) -> Plain:
    """A column of a data frame, with None for what is missing where the dtype has no NaN."""
    if getattr(values.dtype, "kind", "O") in "biuf" and isinstance(values.dtype, np.dtype):
        plain: Plain = values.to_numpy()
        return plain
    return [None if is_missing(value) else value for value in values.tolist()]
