"""Custom models: the folder brings a Python module, `model.py`, that is run if it is trusted.

    class Model:
        def __init__(self, folder: pathlib.Path) -> None: ...
        def evaluate(self, columns: Mapping[str, np.ndarray | Sequence]) -> Mapping[str, ...]: ...

`evaluate` gets and gives plain arrays and lists (see `python_values`), one value a row; the columns
are those of metadata.json. Modules beside model.py are imported as beside a script: see `imports`.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydro_runtimes import python_values
from hydro_runtimes.columns import Columns
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Description, Evaluation, Signature
from hydro_runtimes.imports import ImportSpace
from hydro_runtimes.model_folder import ModelFolder


@dataclass(frozen=True, slots=True, weakref_slot=True)
class PythonEvaluator:
    """Hands plain columns to a custom model and checks what it answers."""

    signature: Signature
    model: Any
    """Has `evaluate`, as the module's docstring tells."""

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
        answer = self.model.evaluate(inputs)
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
        InvalidModel: it cannot be imported, or has no class Model that can be made and evaluates.
    """
    signature = folder.read_signature()
    space = ImportSpace(folder.path, folder.files)
    try:
        with space.active():
            evaluator = PythonEvaluator(signature, _model(folder.path, space))
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
