"""Conversion of columns of a batch to values of SQL, and back."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from itertools import pairwise
from typing import Any

import numpy as np

from hydro_runtimes.columns import (
    Array,
    Column,
    DataType,
    Dense,
    Ragged,
    Rows,
    Sparse,
    Strings,
    Validity,
)
from hydro_runtimes.spark.data import word_lists
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.functions.to_json import write_json
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.null_types import reshaped
from hydro_runtimes.spark.sql.types import (
    BOOLEAN,
    BYTE,
    DOUBLE,
    FLOAT,
    INT,
    LONG,
    SHORT,
    STRING,
    VECTOR,
    VOID,
    SqlType,
    array_of,
)
from hydro_runtimes.spark.sql.value_texts import text_of
from hydro_runtimes.spark.sql.values import Value, constant_value, value_of

_TYPES: Mapping[DataType, SqlType] = {
    DataType.BOOL: BOOLEAN,
    DataType.INT32: INT,
    DataType.INT64: LONG,
    DataType.FLOAT32: FLOAT,
    DataType.FLOAT64: DOUBLE,
    DataType.STRING: STRING,
}
SMALL_TYPES = (BYTE, SHORT)
"""Types of SQL that have no column of their own."""
_MODE = Mode(ansi=True, zone=UTC)
_DATA_TYPES = {kind: name for name, kind in _TYPES.items()}
_AS_TEXT = ("date", "timestamp", "timestamp_ntz", "binary")


class ValueColumn(Strings):
    """Values that no other kind of column holds: decimals, dates, maps, structs, arrays of those.

    To whoever does not know SQL it is a column of their texts, or of their JSON.
    """

    __slots__ = ("mode", "value")

    def __init__(self, value: Value, mode: Mode) -> None:
        validity = ~value.null if value.null.any() else None
        texts = [_value_text(value.type, one, mode) for one in value.to_list()]
        is_text = value.type.name in _AS_TEXT or value.type.is_interval
        super().__init__(texts, validity, DataType.STRING if is_text else DataType.JSON)
        self.value = value
        self.mode = mode

    def take(self, rows: Rows) -> ValueColumn:
        """Some of the rows."""
        index = np.arange(self.rows)[rows]
        return ValueColumn(self.value.take(index), self.mode)


def _value_text(kind: SqlType, value: Any, mode: Mode) -> str:
    if value is None:
        return ""
    if kind.name == "binary":  # as Spark writes it as JSON
        return base64.b64encode(value).decode()
    is_text = kind.name in _AS_TEXT or kind.is_interval
    return text_of(kind, value, mode) if is_text else write_json(kind, value, mode, with_nulls=True)


class SmallColumn(Dense):
    """A column of type tinyint or smallint. To whoever does not know SQL it is one of int32."""

    __slots__ = ("kind",)

    def __init__(self, values: Array, validity: Validity, kind: SqlType) -> None:
        super().__init__(values.astype(np.int32, copy=False), validity)
        self.kind = kind

    def take(self, rows: Rows) -> SmallColumn:
        """Some of the rows."""
        taken = Dense.take(self, rows)
        return SmallColumn(taken.values, taken.validity, self.kind)


class VoidColumn(Dense):
    """A column of type void: null in every row. To readers of numbers it holds numbers."""

    __slots__ = ()

    def __init__(self, rows: int) -> None:
        super().__init__(np.zeros(rows), np.zeros(rows, dtype=bool))

    def take(self, rows: Rows) -> VoidColumn:
        """Some of the rows."""
        return VoidColumn(len(self.values[rows]))


class ColumnValues(Mapping[str, Value]):
    """Columns as values of SQL, each converted when it is first read."""

    def __init__(self, columns: Mapping[str, Column], types: Mapping[str, SqlType]) -> None:
        """`types` are those of the columns; null alone may be of any."""
        self._columns = columns
        self._types = types
        self._values: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        # Most statements read few of the columns, and converting one costs a Python object for each
        # row.
        if name not in self._values:
            self._values[name] = _column_value(self._columns[name], self._types[name])
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def type_of_column(column: Column, is_vector: bool) -> SqlType:
    """The SQL type of a column's values.

    Args:
        column: the column.
        is_vector: whether lists of numbers are vectors of Spark ML, not arrays.

    Raises:
        StatementError: SQL has no such type.
    """
    match column:
        case ValueColumn():
            return column.value.type
        case VoidColumn():
            return VOID
        case SmallColumn():
            return column.kind
        case Strings():
            return STRING
        case Sparse():
            return VECTOR
        case Dense() if column.values.ndim == 1:
            return _TYPES[column.type]
        case Dense() if column.values.ndim == 2:
            return VECTOR if is_vector else array_of(_TYPES[column.type])
        case Ragged():
            return VECTOR if is_vector else array_of(type_of_column(column.elements, False))
    raise StatementError(f"a column of shape {column.shape} is not supported")


def column_type(kind: SqlType) -> tuple[DataType, tuple[int, ...]]:
    """The type and shape of the column that holds values of an SQL type; a smallint is an int32."""
    if kind in SMALL_TYPES:
        return DataType.INT32, ()
    if kind.name == "array" and kind.parts[0] in _DATA_TYPES:
        return _DATA_TYPES[kind.parts[0]], (-1,)
    if kind.name in _AS_TEXT or kind.name in ("string", "void"):
        return DataType.STRING, ()
    return _DATA_TYPES.get(kind, DataType.JSON), ()


def to_column(value: Value, mode: Mode) -> Column:
    """The column of these values.

    Args:
        value: the values.
        mode: whose zone the texts of timestamps are in.

    Raises:
        StatementError: no column holds such values.
    """
    kind = value.type
    validity = ~value.null if value.null.any() else None
    if kind == VOID:
        return VoidColumn(len(value.null))
    if kind == STRING:
        texts = value.to_list()
        return Strings([text or "" for text in texts], validity)
    if kind in SMALL_TYPES:
        return SmallColumn(value.data, validity, kind)
    if kind in _DATA_TYPES:
        name, _ = column_type(kind)
        return Dense(value.data.astype(name.dtype, copy=False), validity)
    if kind.name == "array" and kind.parts[0] in _DATA_TYPES:
        return _array_column(value, kind.parts[0], mode)
    if kind.name == "vector":
        return _vector_column(value)
    return ValueColumn(value, mode)


def field_column(column: Column, path: Sequence[str]) -> Column:
    """A field of each struct of a column, by a path of names; null if there is no such field.

    Raises:
        StatementError: the column, or a field on the way, is no struct.
    """
    value = _column_value(column, type_of_column(column, is_vector=False))
    for name in path:
        if value.type == VOID:
            return VoidColumn(column.rows)
        if value.type.name != "struct":
            raise StatementError(f"got {value.type}, want a struct with the field '{name}'")
        places = [i for i, one in enumerate(value.type.names) if one.lower() == name.lower()]
        if len(places) != 1:
            # Not an error: Spark answers null for a field that the struct of a row of JSON does not
            # have.
            return VoidColumn(column.rows)
        place = places[0]
        rows = [None if one is None else one[place] for one in value.to_list()]
        value = value_of(value.type.parts[place], rows)
    return to_column(value, _MODE)


def column_json(column: Column) -> list[str]:
    """Each value of a column, written as JSON."""
    if isinstance(column, Strings) and column.type is DataType.JSON:
        valid = [True] * column.rows if column.validity is None else column.validity.tolist()
        return [text if ok else "null" for text, ok in zip(column.values, valid, strict=True)]
    value = _column_value(column, type_of_column(column, is_vector=False))
    return [write_json(value.type, one, _MODE, with_nulls=True) for one in value.to_list()]


def _array_column(value: Value, element: SqlType, mode: Mode) -> Column:
    validity = ~value.null if value.null.any() else None
    rows = [[] if one is None else one for one in value.to_list()]
    if element == STRING:
        made = word_lists.words_column(rows)
        return Ragged(made.offsets, made.elements, validity)
    flat = value_of(element, [x for one in rows for x in one])
    # All elements in one column, and where each row's begin: NumPy then has one array, not
    # thousands.
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    elements = to_column(flat, mode)
    if not isinstance(elements, Dense | Strings):
        raise StatementError(f"an array of {element} is not supported as a column")
    return Ragged(offsets, elements, validity)


def _vector_column(value: Value) -> Column:
    validity = ~value.null if value.null.any() else None
    given = [(0, None, []) if one is None else one for one in value.to_list()]
    sizes = {size for (size, _, _), gone in zip(given, value.null, strict=True) if not gone} or {0}
    stored = [range(size) if places is None else places for size, places, _ in given]
    offsets = np.cumsum([0, *map(len, stored)], dtype=np.int64)
    flat = np.array([x for _, _, numbers in given for x in numbers], dtype=np.float64)
    if len(sizes) > 1:
        raise StatementError("vectors of different sizes in one column are not supported")
    indices = np.array([i for places in stored for i in places], dtype=np.int32)
    return Sparse(sizes.pop(), offsets, indices, flat, validity)


def _column_value(column: Column, kind: SqlType) -> Value:
    if isinstance(column, ValueColumn):
        have = column.value
        if have.type == kind:
            return have
        return value_of(kind, [reshaped(one, have.type, kind) for one in have.to_list()])
    if isinstance(column, VoidColumn):
        return constant_value(kind, None, column.rows)
    null = np.zeros(column.rows, bool) if column.validity is None else ~column.validity
    if isinstance(column, Dense) and column.values.ndim == 1:
        return Value(kind, column.values.astype(kind.dtype, copy=False), null)
    rows = _column_rows(column)
    if kind == VECTOR and not isinstance(column, Sparse):
        rows = [(len(one), None, one) for one in rows]
    made = value_of(kind, rows)
    return Value(kind, made.data, null)


def _column_rows(column: Column) -> Sequence[Any]:
    match column:
        case Strings():
            return list(column.values)
        case Dense():
            return list(column.values.tolist())
        case Ragged():
            elements = _column_value(
                column.elements, type_of_column(column.elements, False)
            ).to_list()
            return [elements[a:b] for a, b in pairwise(column.offsets.tolist())]
        case Sparse():
            indices, numbers = column.indices.tolist(), column.values.tolist()
            spans = pairwise(column.offsets.tolist())
            return [(column.size, indices[a:b], numbers[a:b]) for a, b in spans]
