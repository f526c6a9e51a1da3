"""Evaluates an estimator of scikit-learn.

The inputs of metadata.json, in their order, are the columns of the feature matrix; or one vector
column is the matrix. Where the estimator takes texts (it has no number of features, as a pipeline
that begins with a vectorizer), the one text column is handed to it as a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hydro_runtimes import python_values
from hydro_runtimes.columns import Array, Columns, DataType
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Evaluation, Failure, Field, Signature

METHODS = {"prediction": "predict", "probability": "predict_proba"}
"""Of an estimator, by the name of the output that they give."""
OTHER_METHODS = ("decision_function", "predict_log_proba", "score_samples", "transform")
"""Those that are named as their output."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class ScikitEvaluator:
    """Makes the feature matrix and calls the estimator's methods."""

    signature: Signature
    estimator: Any
    takes_nan: bool

    def evaluate(self, columns: Columns) -> Evaluation:
        """As `Evaluator.evaluate`; a row with NaN fails where the estimator takes none."""
        given, failures, kept = python_values.drop_null_rows(columns, self.signature.inputs)
        if not self.takes_nan:
            given, failures = self._without_nan(given, failures, kept)
        if not given.rows:
            return Evaluation({}, failures)
        features = _features(given, self.signature.inputs, self.estimator)
        outputs = {
            field.name: python_values.to_column(field, self._call(field, features), given.rows)
            for field in self.signature.outputs
        }
        return Evaluation(outputs, failures)

    def _call(self, field: Field, features: Any) -> Any:
        values = getattr(self.estimator, METHODS.get(field.name, field.name))(features)
        values = values.toarray() if hasattr(values, "toarray") else values
        return values.tolist() if field.type is DataType.STRING else values

    def _without_nan(
        self, columns: Columns, failures: dict[int, Failure], kept: Array
    ) -> tuple[Columns, dict[int, Failure]]:
        bad: dict[int, Failure] = {}
        for field in self.signature.inputs:
            values = _values(columns, field)
            if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
                continue
            finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
            for row in np.flatnonzero(~finite).tolist():
                message = f"column '{field.name}' is {values[row]}, want a finite number"
                bad.setdefault(row, Failure("INVALID_VALUE", message, field.name))
        if not bad:
            return columns, failures
        rest = np.delete(np.arange(columns.rows), sorted(bad))
        return columns.take(rest), failures | {int(kept[row]): bad[row] for row in bad}


def make_evaluator(folder: Path, signature: Signature, estimator: Any) -> ScikitEvaluator:
    """The evaluator of an estimator, of whose methods the outputs name some.

    Raises:
        InvalidModel: it has no method for an output.
    """
    for field in signature.outputs:
        method = METHODS.get(field.name, field.name)
        if method not in (*METHODS.values(), *OTHER_METHODS) or not hasattr(estimator, method):
            name = type(estimator).__name__
            raise InvalidModel(
                folder,
                f"output '{field.name}': {name} has no method for it; want one of "
                f"{', '.join(output_names(estimator))}",
            )
    return ScikitEvaluator(signature, estimator, _takes_nan(estimator))


def output_names(estimator: Any) -> list[str]:
    """Of the outputs that an estimator can give."""
    named = [name for name, method in METHODS.items() if hasattr(estimator, method)]
    return named + [name for name in OTHER_METHODS if hasattr(estimator, name)]


def _takes_nan(estimator: Any) -> bool:
    from sklearn.utils import get_tags

    return bool(get_tags(estimator).input_tags.allow_nan)


def _features(columns: Columns, fields: Sequence[Field], estimator: Any) -> Any:
    values = [_values(columns, field) for field in fields]
    if len(fields) == 1 and (fields[0].shape or not hasattr(estimator, "n_features_in_")):
        return values[0]
    matrix = np.column_stack([_vector(column) for column in values])
    if hasattr(estimator, "feature_names_in_"):
        return _frame(matrix, values, fields)
    return matrix


def _values(columns: Columns, field: Field) -> python_values.Plain:
    """The values of a column; a null vector of a nullable field is NaN in all places."""
    values = python_values.to_plain(columns[field.name], field.shape)
    if isinstance(values, np.ndarray) or -1 in field.shape or field.type.dtype.kind != "f":
        return values
    nothing = np.full(field.shape, np.nan, field.type.dtype)
    return np.stack([nothing if value is None else value for value in values])


def _vector(values: python_values.Plain) -> Array:
    array = np.asarray(values)
    return array.astype(object if array.dtype.kind in "OU" else np.float64)


def _frame(matrix: Array, values: list[python_values.Plain], fields: Sequence[Field]) -> Any:
    """A data frame for an estimator that was fitted on one, which may pick columns by name."""
    try:
        import pandas
    except ImportError:
        return matrix
    return pandas.DataFrame({f.name: column for f, column in zip(fields, values, strict=True)})
