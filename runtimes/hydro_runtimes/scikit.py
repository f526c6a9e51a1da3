"""scikit-learn estimators: skops files, and pickles that are trusted.

The inputs of metadata.json, in their order, are the columns of the feature matrix; or one vector
column is the matrix. Where the estimator takes texts (it has no number of features, as a pipeline
that begins with a vectorizer), the one text column is handed to it as a list.
"""

from __future__ import annotations

import io
import json
import pickle
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hydro_runtimes import files, metadata, python_values
from hydro_runtimes.columns import Array, Columns, DataType
from hydro_runtimes.errors import InvalidModel, UntrustedModel
from hydro_runtimes.evaluator import Evaluation, Failure, Field, Signature
from hydro_runtimes.files import File, digest_of
from hydro_runtimes.imports import ImportSpace

_METHODS = {"prediction": "predict", "probability": "predict_proba"}
_OTHERS = ("decision_function", "predict_log_proba", "score_samples", "transform")


@dataclass(frozen=True, slots=True, weakref_slot=True)
class ScikitEvaluator:
    """Makes the feature matrix and calls the estimator's methods."""

    signature: Signature
    estimator: Any
    takes_nan: bool

    def evaluate(self, columns: Columns) -> Evaluation:
        """As `Evaluator.evaluate`; a row with NaN fails where the estimator takes none."""
        given, failures, kept = python_values.without_nulls(columns, self.signature.inputs)
        if not self.takes_nan:
            given, failures = self._without_nan(given, failures, kept)
        if not given.rows:
            return Evaluation({}, failures)
        features = _features(given, self.signature.inputs, self.estimator)
        outputs = {
            field.name: python_values.column(field, self._call(field, features), given.rows)
            for field in self.signature.outputs
        }
        return Evaluation(outputs, failures)

    def _call(self, field: Field, features: Any) -> Any:
        values = getattr(self.estimator, _METHODS.get(field.name, field.name))(features)
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


def load(
    folder: Path, signature: Signature, listed: Sequence[File], *, is_trusted: bool
) -> ScikitEvaluator:
    """The estimator in the one .skops, .joblib or .pkl file of the folder.

    Where the digest of the listed files is trusted, modules beside the file are found by plain
    name; their space is closed when the evaluator is no more.

    Raises:
        InvalidModel: there are several, it cannot be read, or does not fit its metadata.json.
        UntrustedModel: a skops file with types that skops does not trust, or a pickle.
    """
    path = estimator_file(folder)
    file = next(file for file in listed if file.path == path.name)
    if not is_trusted:
        estimator = _unpack(folder, file, listed)
        return _evaluator(folder, signature, estimator)
    space = ImportSpace(folder, listed)
    try:
        with space.active():
            estimator = _guarded(folder, file, lambda data: _READERS[path.suffix](data, space))
        evaluator = _evaluator(folder, signature, estimator)
    except BaseException:
        space.close()
        raise
    weakref.finalize(evaluator, space.close).atexit = False
    return evaluator


def _evaluator(folder: Path, signature: Signature, estimator: Any) -> ScikitEvaluator:
    for field in signature.outputs:
        method = _METHODS.get(field.name, field.name)
        if method not in (*_METHODS.values(), *_OTHERS) or not hasattr(estimator, method):
            name = type(estimator).__name__
            raise InvalidModel(
                folder,
                f"output '{field.name}': {name} has no method for it; want one of "
                f"{', '.join(_offered(estimator))}",
            )
    return ScikitEvaluator(signature, estimator, _takes_nan(estimator))


def save(
    estimator: Any, folder: Path, example: Any, inputs: Sequence[str] | None = None
) -> Signature:
    """Writes model.skops and metadata.json for a fitted estimator, ready to serve.

    Args:
        estimator: fitted; of types that skops trusts (scikit-learn's own mostly are).
        folder: made when missing; its name is the model's name.
        example: some rows as given to `fit`: a matrix, a data frame or a list of texts.
        inputs: the names of the columns; else those of the data frame, else x0, x1, ...

    Raises:
        UntrustedModel: skops would not load the file again without being told to.
    """
    import skops.io

    data = skops.io.dumps(estimator)
    if unknown := skops.io.get_untrusted_types(data=data):
        raise UntrustedModel(
            folder,
            "",
            f"skops does not trust {', '.join(unknown)}: make it of "
            "scikit-learn's own types, or save a custom model (model.py)",
        )
    fields = tuple(_input_fields(example, inputs))
    outputs = tuple(
        _output_field(estimator, name, example)
        for name in _offered(estimator)
        if name in _METHODS or (name == "transform" and not hasattr(estimator, "predict"))
    )
    signature = Signature(fields, outputs)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.skops").write_bytes(data)
    text = json.dumps(metadata.document(folder.resolve().name, signature), indent=2)
    (folder / "metadata.json").write_text(text + "\n")
    return signature


def estimator_file(folder: Path) -> Path:
    """The file that holds the estimator.

    Raises:
        InvalidModel: there is none, or more than one.
    """
    suffixes = (*_READERS,)
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))
    found = sorted(path for path in visible if path.suffix in suffixes)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InvalidModel(folder, f"found {names}, want one file of {', '.join(suffixes)}")
    return found[0]


def untrusted(folder: Path, digest: str, why: str) -> UntrustedModel:
    """The error for a folder whose digest is not on the list; it tells the way out."""
    return UntrustedModel(
        folder,
        digest,
        f"{why}, and its digest is not trusted: if you trust who made it, "
        f"add {digest} to the trusted digests",
    )


def _unpack(folder: Path, file: File, listed: Sequence[File]) -> Any:
    """What needs no trust: a skops file of harmless types.

    Raises:
        UntrustedModel: it is another.
    """
    import skops.io

    digest = digest_of(listed)
    if not file.path.endswith(".skops"):
        raise untrusted(folder, digest, f"'{file.path}' runs code when it is loaded")
    unknown = _guarded(folder, file, lambda data: skops.io.get_untrusted_types(data=data))
    if unknown:
        raise untrusted(
            folder,
            digest,
            f"'{file.path}' holds types that skops does not trust ({', '.join(unknown)})",
        )
    return _guarded(folder, file, lambda data: skops.io.loads(data, trusted=[]))


class _Unpickler(pickle.Unpickler):
    """Finds the model's own classes first, whatever else is installed under that name."""

    def __init__(self, data: bytes, space: ImportSpace) -> None:
        super().__init__(io.BytesIO(data))
        self._space = space

    def find_class(self, module: str, name: str) -> Any:
        own = self._space.module(module).__name__ if self._space.owns(module) else module
        return super().find_class(own, name)


def _unpickle(data: bytes, space: ImportSpace) -> Any:
    return _Unpickler(data, space).load()


def _unjoblib(data: bytes, space: ImportSpace) -> Any:
    import joblib

    return joblib.load(io.BytesIO(data))


def _unskops(data: bytes, space: ImportSpace) -> Any:
    import skops.io

    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


_READERS: dict[str, Callable[[bytes, ImportSpace], Any]] = {
    ".skops": _unskops,
    ".joblib": _unjoblib,
    ".pkl": _unpickle,
    ".pickle": _unpickle,
}


def _guarded(folder: Path, file: File, read: Callable[[bytes], Any]) -> Any:
    data = files.read(folder, file)
    try:
        return read(data)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise InvalidModel(folder, f"'{file.path}' cannot be read: {reason}") from error


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
    """Of a column; a null vector, where the field lets one through, is NaN in all places."""
    values = python_values.plain(columns[field.name], field.shape)
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


def _offered(estimator: Any) -> list[str]:
    named = [name for name, method in _METHODS.items() if hasattr(estimator, method)]
    return named + [name for name in _OTHERS if hasattr(estimator, name)]


def _input_fields(example: Any, inputs: Sequence[str] | None) -> list[Field]:
    if hasattr(example, "columns"):
        names = inputs or [str(name) for name in example.columns]
        columns = [example.iloc[:, i].to_numpy() for i in range(len(names))]
    elif np.ndim(example) == 1:
        names, columns = inputs or ["text"], [np.asarray(example)]
    else:
        matrix = np.asarray(example)
        names = inputs or [f"x{i}" for i in range(matrix.shape[1])]
        columns = list(matrix.T)
    return [Field(name, _type(column)) for name, column in zip(names, columns, strict=True)]


def _output_field(estimator: Any, name: str, example: Any) -> Field:
    values = np.asarray(getattr(estimator, _METHODS.get(name, name))(example))
    field = Field(name, _type(values), values.shape[1:])
    if name == "probability":
        return replace(field, nominal=tuple(str(label) for label in estimator.classes_))
    return field


def _type(values: Array) -> DataType:
    kinds = {"b": DataType.BOOL, "i": DataType.INT64, "u": DataType.INT64, "f": DataType.FLOAT64}
    return kinds.get(values.dtype.kind, DataType.STRING)
