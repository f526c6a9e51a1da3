"""What the example was, and the way back to it: a data frame, a series, an array, a list.

`describe` makes the schema of an example; `InputSchema.encode` writes its rows as JSON;
`InputSchema.build` makes of a batch's columns what the model was fitted on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hydro_models.column_kinds import (
    ColumnKind,
    Faults,
    Numbers,
    Objects,
    Texts,
    kind_from_json,
    kind_to_json,
    object_array,
)
from hydro_models.describe_columns import describe_column
from hydro_models.errors import BadRows, CannotSave, RowFault
from hydro_models.pickles import is_by_columns
from hydro_models.wire import Array, Input, PlainValues, WireColumn, to_json

SPARSE_FORMS = ("csr_matrix", "csr_array")
FORMS = ("frame", "series", "matrix", "vector", "tensor", "list", *SPARSE_FORMS)
"""A DataFrame; a Series; an array of two dimensions, of one, or one whose rows are one input each
(tensor); a list; scipy's sparse matrices."""


@dataclass(frozen=True, slots=True)
class SchemaColumn:
    """A column of the example."""

    input: str
    """Its name in requests."""
    label: str | int | None
    """Its name in the data frame, or of the series."""
    kind: ColumnKind


@dataclass(frozen=True, slots=True)
class InputSchema:
    """What a model takes."""

    form: str
    """One of `FORMS`."""
    columns: tuple[SchemaColumn, ...]
    dtype: str = ""
    """Of an array."""
    shape: tuple[int, ...] = ()
    """Of a row, where all of it is one input."""
    is_by_columns: bool = False
    """How the numbers of a matrix, or of a data frame that is one, lie in memory: products round
    otherwise in another order."""

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs that metadata.json states."""
        is_sparse = self.form in SPARSE_FORMS
        return tuple(
            Input(column.input, "float64" if is_sparse else column.kind.wire, self.shape, is_sparse)
            for column in self.columns
        )

    def encode(self, example: Any) -> list[dict[str, Any]]:
        """The example's rows as JSON rows."""
        if self.form in SPARSE_FORMS:
            return [{self.columns[0].input: vector} for vector in sparse_vectors(example)]
        if self.form == "tensor":
            return [{self.columns[0].input: to_json(row)} for row in np.asarray(example)]
        columns = [
            column.kind.encode(values)
            for column, values in zip(self.columns, _columns_of(example), strict=True)
        ]
        names = [column.input for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def build(self, columns: Mapping[str, WireColumn]) -> Any:
        """What the model takes, of the inputs' columns.

        Raises:
            BadRows: values of some rows cannot be given to the model.
        """
        if self.form == "tensor" or self.form in SPARSE_FORMS:
            return self._build_whole(columns[self.columns[0].input])
        faults: dict[int, RowFault] = {}
        parts = [_build_column(column, columns[column.input], faults) for column in self.columns]
        if faults:
            raise BadRows(faults)
        return self._join(parts)

    def to_json(self) -> dict[str, Any]:
        """As it is stored in metadata.json."""
        columns = [
            {"input": c.input, "label": c.label, **kind_to_json(c.kind)} for c in self.columns
        ]
        shape = {"shape": list(self.shape)} if self.shape else {}
        dtype = {"dtype": self.dtype} if self.dtype else {}
        order = {"byColumns": True} if self.is_by_columns else {}
        return {"form": self.form, "columns": columns, **dtype, **shape, **order}

    def _join(self, parts: list[Any]) -> Any:
        if self.form == "frame":
            import pandas

            labels = pandas.Index([column.label for column in self.columns])
            if self.dtype and {str(part.dtype) for part in parts} == {self.dtype}:
                matrix = _stack(parts, self.dtype, self.is_by_columns)
                return pandas.DataFrame(matrix, columns=labels, copy=False)
            frame = pandas.DataFrame(dict(enumerate(map(_keep_objects, parts))), copy=False)
            frame.columns = labels
            return frame
        if self.form == "series":
            import pandas

            label = self.columns[0].label
            return pandas.Series(_keep_objects(parts[0]), name=label, copy=False)
        if self.form == "list":
            return parts[0].tolist()
        return parts[0] if self.form == "vector" else _stack(parts, self.dtype, self.is_by_columns)

    def _build_whole(self, column: Any) -> Any:
        if column.validity is not None:
            name = self.columns[0].input
            nulls = np.flatnonzero(~column.validity).tolist()
            raise BadRows({row: RowFault(name, f"column '{name}' is null") for row in nulls})
        if self.form in SPARSE_FORMS:
            return _sparse_matrix(self.form, column, np.dtype(self.dtype), self.shape)
        flat = PlainValues(np.asarray(column.values).reshape(-1))
        faults: Faults = {}
        values = self.columns[0].kind.build(flat, faults)
        if faults:
            size = math.prod(self.shape)
            rows = {at // size: fault for at, fault in faults.items()}
            raise BadRows(_name_faults(self.columns[0].input, rows))
        return np.ascontiguousarray(values.reshape(-1, *self.shape))


def schema_from_json(stored: Mapping[str, Any]) -> InputSchema:
    """The reverse of `InputSchema.to_json`.

    Raises:
        ValueError: it is not what that writes.
    """
    try:
        columns = tuple(
            SchemaColumn(
                entry["input"],
                entry["label"],
                kind_from_json({k: v for k, v in entry.items() if k not in ("input", "label")}),
            )
            for entry in stored["columns"]
        )
        if stored["form"] not in FORMS:
            raise KeyError(stored["form"])
        return InputSchema(
            stored["form"],
            columns,
            stored.get("dtype", ""),
            tuple(stored.get("shape", ())),
            bool(stored.get("byColumns", False)),
        )
    except (KeyError, TypeError, AttributeError) as error:
        message = f"the schema of the example is not as hydro_models writes it ({error!r})"
        raise ValueError(message) from error


def describe(example: Any, names: Sequence[str] | str | None = None) -> InputSchema:
    """The schema of an example.

    Args:
        example: some rows of what the model was fitted on: a DataFrame, a Series, an array, a
            sparse matrix, or a list of texts, dictionaries or lists.
        names: of the inputs in requests; else those of the data frame, or x0, x1, ... A text: the
            name of the one input whose values are whole rows.

    Raises:
        CannotSave: it is something else, or has columns that are not supported.
    """
    schema = _describe(example, names)
    counts = Counter(column.input for column in schema.columns)
    if wrong := [name for name, count in counts.items() if count > 1 or not name]:
        raise CannotSave(
            f"the column name '{wrong[0]}' is empty or there more than once: rename the columns, "
            "or give names with inputs=[...]"
        )
    return schema


def _describe(example: Any, names: Sequence[str] | str | None) -> InputSchema:
    if hasattr(example, "iloc"):
        return _describe_pandas(example, names)
    if hasattr(example, "tocsr"):
        return _describe_sparse(example, names)
    if isinstance(example, list | tuple):
        example = _array_of_list(example)
        if isinstance(example, list):
            return _describe_list(example, names)
    if not isinstance(example, np.ndarray) or example.ndim == 0:
        raise CannotSave(
            f"the example is a {type(example).__name__}, want a DataFrame or Series of pandas, an "
            "array of numpy, a sparse matrix of scipy, or a list"
        )
    if example.ndim > 2 or (example.ndim == 2 and isinstance(names, str)):
        kind = describe_column("the example", example.reshape(-1))
        if not isinstance(kind, Numbers):
            raise CannotSave(f"the example is an array of {example.dtype}, want numbers")
        name = names if isinstance(names, str) else _one_name(names, "x")
        return InputSchema(
            "tensor", (SchemaColumn(name, None, kind),), kind.dtype, example.shape[1:]
        )
    if example.ndim == 1:
        kind = describe_column("the example", example)
        name = _one_name(names, "text" if isinstance(kind, Texts) else "x")
        return InputSchema("vector", (SchemaColumn(name, None, kind),))
    inputs = _column_names(names, [f"x{i}" for i in range(example.shape[1])])
    columns = tuple(
        SchemaColumn(name, None, describe_column(f"column '{name}'", example[:, i]))
        for i, name in enumerate(inputs)
    )
    dtype = "U" if example.dtype.kind == "U" else example.dtype.name
    return InputSchema("matrix", columns, dtype, (), is_by_columns(example))


def _describe_pandas(example: Any, names: Sequence[str] | str | None) -> InputSchema:
    if not hasattr(example, "columns"):
        kind = describe_column("the series", example)
        label = None if example.name is None else _label(example.name)
        default = ("text" if isinstance(kind, Texts) else "x") if label is None else str(label)
        return InputSchema("series", (SchemaColumn(_one_name(names, default), label, kind),))
    labels = [_label(label) for label in example.columns]
    inputs = _column_names(names, [str(label) for label in labels])
    columns = tuple(
        SchemaColumn(name, label, describe_column(f"column '{name}'", example.iloc[:, i]))
        for i, (name, label) in enumerate(zip(inputs, labels, strict=True))
    )
    kinds = {column.kind for column in columns}
    if len(kinds) == 1 and isinstance(kind := kinds.pop(), Numbers):
        return InputSchema("frame", columns, kind.dtype, (), is_by_columns(example.to_numpy()))
    return InputSchema("frame", columns)


def _describe_sparse(example: Any, names: Sequence[str] | str | None) -> InputSchema:
    kind = describe_column("the example", example.data if hasattr(example, "data") else example)
    if not isinstance(kind, Numbers):
        raise CannotSave(f"the example is a sparse matrix of {example.dtype}, want numbers")
    form = "csr_array" if type(example).__name__.endswith("array") else "csr_matrix"
    name = names if isinstance(names, str) else _one_name(names, "x")
    dtype = np.dtype(example.dtype).name
    return InputSchema(
        form, (SchemaColumn(name, None, Numbers(dtype)),), dtype, (example.shape[1],)
    )


def _describe_list(example: list[Any], names: Sequence[str] | str | None) -> InputSchema:
    kind = describe_column("the example", object_array(example))
    name = _one_name(names, "text" if isinstance(kind, Texts) else "x")
    missing = type(kind)(missing="None") if isinstance(kind, Objects) else Texts("object", "None")
    return InputSchema("list", (SchemaColumn(name, None, missing),))


def _array_of_list(example: Sequence[Any]) -> Any:
    """A list of numbers, or of rows of numbers, as the array that it is to a model."""
    try:
        array = np.asarray(example)
    except ValueError:
        return list(example)
    return array if array.dtype.kind in "biuf" else list(example)


def _label(label: Any) -> str | int:
    if isinstance(label, np.integer):
        label = int(label)
    if isinstance(label, bool) or not isinstance(label, str | int):
        raise CannotSave(
            f"the column {label!r} is named by a {type(label).__name__}, want a text or an "
            "integer: rename the columns and fit the model on these"
        )
    return label


def _column_names(names: Sequence[str] | str | None, default: list[str]) -> list[str]:
    if isinstance(names, str):
        names = [names]
    if names is not None and len(names) != len(default):
        raise CannotSave(f"inputs has {len(names)} names, the example {len(default)} columns")
    return default if names is None else list(names)


def _one_name(names: Sequence[str] | str | None, default: str) -> str:
    return _column_names(names, [default])[0]


def _columns_of(example: Any) -> list[Any]:
    if hasattr(example, "columns"):
        return [example.iloc[:, i] for i in range(example.shape[1])]
    if not hasattr(example, "iloc"):
        if isinstance(example, list | tuple):
            example = _array_of_list(example)
            example = object_array(example) if isinstance(example, list) else example
        if example.ndim == 2:
            return list(example.T)
    return [example]


def _build_column(column: SchemaColumn, values: WireColumn, faults: dict[int, RowFault]) -> Any:
    mine: Faults = {}
    built = column.kind.build(values, mine)
    for row, fault in _name_faults(column.input, mine).items():
        faults.setdefault(row, fault)
    return built


def _name_faults(name: str, faults: Faults) -> dict[int, RowFault]:
    return {row: RowFault(name, f"column '{name}' {fault}") for row, fault in faults.items()}


def _keep_objects(part: Any) -> Any:
    """A column of objects as such: pandas makes of an array of texts a column of its own dtype."""
    if not isinstance(part, np.ndarray) or part.dtype != object:
        return part
    import pandas

    return pandas.Index(part, dtype=object, tupleize_cols=False)  # half the time of a Series


def _stack(parts: list[Array], dtype: str, by_columns: bool) -> Array:
    """The columns side by side, (rows, columns): of the example's dtype, if no null has another."""
    if dtype == "U":
        return np.column_stack(parts)
    common = np.result_type(np.dtype(dtype), *(part.dtype for part in parts))
    matrix = np.empty((len(parts[0]), len(parts)), common, "F" if by_columns else "C")
    for i, part in enumerate(parts):
        matrix[:, i] = part
    return matrix


def sparse_vectors(example: Any) -> list[dict[str, Any]]:
    """The rows of a sparse matrix as sparse vectors in JSON."""
    rows = example.tocsr()
    rows.sum_duplicates()
    return [
        {
            "type": "sparse",
            "size": rows.shape[1],
            "indices": rows.indices[first:last].tolist(),
            "values": to_json(rows.data[first:last]),
        }
        for first, last in zip(rows.indptr[:-1].tolist(), rows.indptr[1:].tolist(), strict=True)
    ]


def _sparse_matrix(form: str, column: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    import scipy.sparse

    make = getattr(scipy.sparse, form)
    if not hasattr(column, "offsets"):  # vectors that store all their elements
        return make(np.asarray(column.values).astype(dtype))
    size = (len(column.offsets) - 1, *shape)
    return make((column.values.astype(dtype), column.indices, column.offsets), size)
