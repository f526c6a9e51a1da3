"""MLflow models of other flavors: evaluated by `mlflow.pyfunc`, if they are trusted.

A model gets a data frame with the columns of its signature, or an array where it states one.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hydro_runtimes import mlflow_folder, python_values
from hydro_runtimes.columns import Columns, DataType
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Description, Evaluation, Field, Signature
from hydro_runtimes.imports import ImportSpace
from hydro_runtimes.model_folder import ModelFolder

NATIVE = frozenset({"catboost", "lightgbm", "onnx", "sklearn", "spark", "xgboost"})
"""The flavors that are evaluated without MLflow."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class PyfuncEvaluator:
    """Makes a data frame, asks MLflow, and makes a column of what it answers."""

    signature: Signature
    model: Any
    """Has `predict`."""

    def evaluate(self, columns: Columns) -> Evaluation:
        """As `Evaluator.evaluate`.

        Raises:
            ValueError: the answer is not as the signature states.
            Exception: what the model raised.
        """
        given, failures, _ = python_values.drop_null_rows(columns, self.signature.inputs)
        if not given.rows:
            return Evaluation({}, failures)
        answer = self.model.predict(self._build(given))
        (field,) = self.signature.outputs
        values = _values(field, answer)
        return Evaluation(
            {field.name: python_values.to_column(field, values, given.rows)}, failures
        )

    def _build(self, columns: Columns) -> Any:
        import pandas

        plain = {
            field.name: python_values.to_plain(columns[field.name], field.shape)
            for field in self.signature.inputs
        }
        if list(plain) == [mlflow_folder.ROW]:
            return np.asarray(plain[mlflow_folder.ROW])
        return pandas.DataFrame(
            {name: list(values) if _is_nested(values) else values for name, values in plain.items()}
        )


def describe(folder: ModelFolder) -> Description:
    """As `model_formats.Loader.describe`."""
    return Description(folder.read_signature())


def load(folder: ModelFolder) -> PyfuncEvaluator:
    """The model of a folder that is trusted.

    Raises:
        InvalidModel: MLflow cannot load it.
    """
    import mlflow.pyfunc

    signature = folder.read_signature()
    space = ImportSpace(folder.path, folder.files, mlflow_folder.read_code(folder.path))
    try:
        with space.active():
            model = mlflow.pyfunc.load_model(str(folder.path))
    except BaseException as error:
        space.close()
        if not isinstance(error, Exception):
            raise
        reason = f"{type(error).__name__}: {error}"
        raise InvalidModel(folder.path, f"MLflow cannot load it: {reason}") from error
    evaluator = PyfuncEvaluator(signature, model)
    # Not at exit: modules are taken apart by then, and threads may still evaluate.
    weakref.finalize(evaluator, space.close).atexit = False
    return evaluator


def _is_nested(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.ndim > 1


def _values(field: Field, answer: Any) -> Any:
    """The one output of an answer: a Series, a data frame, an array, a list or a dict of one."""
    if isinstance(answer, Mapping) and len(answer) == 1:
        (answer,) = answer.values()
    if hasattr(answer, "columns") and not field.shape and len(answer.columns) == 1:
        answer = answer.iloc[:, 0]
    if hasattr(answer, "to_numpy"):
        answer = answer.to_numpy()
    is_text = field.type is DataType.STRING and isinstance(answer, np.ndarray)
    return answer.tolist() if is_text else answer
