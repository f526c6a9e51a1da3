"""Evaluates a fitted model as hydro_models states it: its schema, its outputs, its proof.

Of a model whose metadata.json was written by hand the schema is what its inputs tell: they are, in
their order, the columns of a float64 matrix or of a data frame; or one vector is a row of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hydro_models import model_metadata, proof, versions
from hydro_models.answers import Answerers, StatedOutput, has_output
from hydro_models.column_kinds import ColumnKind, Numbers, Objects, Texts
from hydro_models.errors import BadRows
from hydro_models.kinds import KINDS
from hydro_models.model_metadata import Fitted
from hydro_models.proof import Proof
from hydro_models.schema import SPARSE_FORMS, InputSchema, SchemaColumn
from hydro_runtimes import model_formats, python_values
from hydro_runtimes.columns import Column, Columns, DataType, Dense, Sparse
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Evaluation, Failure, Field, FittedWith, Signature
from hydro_runtimes.model_folder import ModelFolder


@dataclass(frozen=True, slots=True, weakref_slot=True)
class FittedEvaluator:
    """Builds what the model was fitted on, asks the model, and checks what it answers."""

    signature: Signature
    schema: InputSchema
    answerers: Answerers
    outputs: tuple[StatedOutput, ...]
    """Those of the signature."""
    joins_inputs: ClassVar[bool] = False
    """BLAS rounds by the shape of what it multiplies, and some models look at all rows at once."""

    def evaluate(self, columns: Columns) -> Evaluation:
        """As `Evaluator.evaluate`; whether nulls and NaN are taken is for the model to say."""
        given, failures, kept = python_values.drop_null_rows(columns, self.signature.inputs)
        while given.rows:
            try:
                return Evaluation(self._answer(given), failures)
            except BadRows as error:
                bad = {
                    row: Failure("INVALID_VALUE", fault.message, fault.column)
                    for row, fault in error.faults.items()
                }
            except Exception as error:
                bad = self._refused_rows(given, error)
                if not bad:
                    raise
            failures |= {int(kept[row]): failure for row, failure in bad.items()}
            rest = np.delete(np.arange(given.rows), sorted(bad))
            given, kept = given.take(rest), kept[rest]
        return Evaluation({}, failures)

    def _answer(self, given: Columns) -> dict[str, Column]:
        is_sparse = self.schema.form in SPARSE_FORMS
        columns = {
            field.name: _readable(given[field.name], is_sparse) for field in self.signature.inputs
        }
        built = self.schema.build(columns)
        values = proof.answer(self.answerers, self.outputs, built, given.rows)
        return {
            field.name: _to_column(field, values[field.name], given.rows)
            for field in self.signature.outputs
        }

    def _refused_rows(self, given: Columns, error: Exception) -> dict[int, Failure]:
        """Of the rows with a null or a number that is not finite, those that the model refuses."""
        odd = _odd_rows(given, self.signature.inputs)
        refused: dict[int, Failure] = {}
        for row, (name, value) in odd.items():
            if given.rows > 1:
                try:
                    self._answer(given.take(np.array([row])))
                    continue
                except Exception as own:
                    error = own
            message = f"column '{name}' is {value}, which the model does not take: {error}"
            refused[row] = Failure("INVALID_VALUE", message[:400], name)
        return refused


def make_evaluator(folder: ModelFolder, answerers: Answerers) -> FittedEvaluator:
    """The evaluator of a model that has been read, once it has answered its proof.

    Args:
        folder: of the model.
        answerers: all outputs that it can give.

    Raises:
        InvalidModel: it does not answer its proof, or gives no such output.
    """
    signature = folder.read_signature()
    fitted = read_fitted(folder) if is_saved(folder) else None
    for field in signature.outputs:
        if not has_output(answerers, field.name):
            got = f"output '{field.name}': the model has no method for it"
            raise InvalidModel(folder.path, f"{got}; want one of {', '.join(answerers)}")
    schema = fitted.schema if fitted else _schema_of(signature, answerers)
    evaluator = FittedEvaluator(
        signature, schema, answerers, tuple(map(_output_of, signature.outputs))
    )
    if fitted:
        check_proof(folder.path, evaluator, fitted)
    return evaluator


def describe_fitted(folder: ModelFolder) -> FittedWith | None:
    """What a folder that hydro_models has written tells beside the columns; None of another.

    Raises:
        InvalidModel: it is not as written.
    """
    if not (folder.path / model_metadata.METADATA).is_file():
        return None
    fitted = read_fitted(folder)
    kept = read_proof(folder.path) if fitted else None
    return FittedWith(fitted.versions, len(kept.rows) if kept else 0) if fitted else None


def read_proof(folder: Path) -> Proof | None:
    """The rows and answers that a model was saved with, if they are there.

    Raises:
        InvalidModel: they are not as written.
    """
    path = folder / model_metadata.PROOF
    if not path.is_file():
        return None
    try:
        return proof.parse(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidModel(folder, f"{model_metadata.PROOF} cannot be read: {error}") from error


def is_saved(folder: ModelFolder) -> bool:
    """Whether hydro_models has saved the model.

    Raises:
        InvalidModel: metadata.json is not as written.
    """
    has_metadata = (folder.path / model_metadata.METADATA).is_file()
    return has_metadata and read_fitted(folder) is not None


def load_native(folder: ModelFolder, kind: str) -> FittedEvaluator | None:
    """The evaluator of a model that hydro_models has saved in the file of its library.

    Args:
        folder: of the model.
        kind: of `hydro_models.kinds.KINDS`.

    Returns:
        None where something else has saved it.

    Raises:
        InvalidModel: it is of another kind, cannot be read, or does not answer its proof.
    """
    if not is_saved(folder):
        return None
    fitted = read_fitted(folder)
    if fitted is None or fitted.kind != kind:
        raise InvalidModel(folder.path, f"metadata.json is not that of a model of {kind}")
    native = next(each for each in KINDS if each.name == kind).load()
    try:
        model = native.read(model_formats.by_name(kind).only_file(folder.path))
    except InvalidModel:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}{differing(fitted)}"
        raise InvalidModel(folder.path, f"cannot be read: {reason}") from error
    return make_evaluator(folder, native.answerers(model))


def read_fitted(folder: ModelFolder) -> Fitted | None:
    """What metadata.json says of a model that hydro_models has saved.

    Raises:
        InvalidModel: it is not as written.
    """
    return folder.read_metadata(model_metadata.parse_fitted)


def check_proof(folder: Path, evaluator: FittedEvaluator, fitted: Fitted) -> None:
    """Has the model answer the rows that it was saved with.

    Raises:
        InvalidModel: it does not answer them as it did; the message names versions that differ.
    """
    kept = read_proof(folder)
    if not kept:
        return
    try:
        got = proof.answer_rows(evaluator.schema, evaluator.answerers, evaluator.outputs, kept.rows)
        proof.check(kept, evaluator.outputs, got)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise InvalidModel(
            folder, f"the model does not answer as when it was saved: {reason}{differing(fitted)}"
        ) from error


def differing(fitted: Fitted | None) -> str:
    """The end of a message that names the versions that differ from those of a saved model."""
    text = versions.describe_differences(fitted.versions) if fitted else ""
    return f"; it was saved with {text}: save it again with the versions here" if text else ""


def _readable(column: Column, is_sparse: bool) -> Any:
    return column.dense() if isinstance(column, Sparse) and not is_sparse else column


def _to_column(field: Field, values: Any, rows: int) -> Column:
    if not hasattr(values, "tocsr"):
        return python_values.to_column(field, values, rows)
    return Sparse(
        values.shape[1],
        values.indptr.astype(np.int64),
        values.indices.astype(np.int32),
        values.data.astype(np.float64),
    )


def _output_of(field: Field) -> StatedOutput:
    return StatedOutput(field.name, field.type.value, field.shape, field.nullable)


def _odd_rows(given: Columns, fields: Sequence[Field]) -> dict[int, tuple[str, str]]:
    """The rows with a null or a number that is not finite: the first such column, and its value."""
    odd: dict[int, tuple[str, str]] = {}
    for field in fields:
        column = given[field.name]
        if column.validity is not None:
            for row in np.flatnonzero(~column.validity).tolist():
                odd.setdefault(row, (field.name, "null"))
        if isinstance(column, Dense) and column.values.dtype.kind == "f":
            finite = np.isfinite(column.values).reshape(given.rows, -1).all(axis=1)
            for row in np.flatnonzero(~finite).tolist():
                odd.setdefault(row, (field.name, str(column.values[row])))
    return odd


def _schema_of(signature: Signature, answerers: Answerers) -> InputSchema:
    """The schema of a model whose metadata.json was written by hand."""
    fields, estimator = signature.inputs, _estimator_of(answerers)
    columns = tuple(SchemaColumn(field.name, field.name, _kind_of(field)) for field in fields)
    first = fields[0]
    if len(fields) == 1 and first.shape:
        return InputSchema("tensor", columns, first.type.dtype.name, first.shape)
    if len(fields) == 1 and not hasattr(estimator, "n_features_in_"):
        return InputSchema("list" if first.type.dtype.hasobject else "vector", columns)
    if hasattr(estimator, "feature_names_in_") and _has_pandas():
        return InputSchema("frame", columns)
    of_objects = any(field.type.dtype.hasobject for field in fields)
    return InputSchema("matrix", columns, "object" if of_objects else "float64")


def _kind_of(field: Field) -> ColumnKind:
    if field.type is DataType.STRING:
        return Texts("object", "None")
    return Objects("None") if field.type is DataType.JSON else Numbers(field.type.dtype.name)


def _estimator_of(answerers: Answerers) -> Any:
    return next((getattr(a.call, "__self__", None) for a in answerers.values()), None)


def _has_pandas() -> bool:
    from importlib.util import find_spec

    return find_spec("pandas") is not None
