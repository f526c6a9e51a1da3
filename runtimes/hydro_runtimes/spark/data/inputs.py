"""The columns of a request, as the stages read them.

A saved pipeline does not tell the type of every column: an input of a VectorAssembler may be a
number, a boolean or a vector. The field of such a column is declared as JSON, and any column is
accepted. A value that comes as JSON has its own type; rows whose types differ are evaluated apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from hydro_runtimes import vector_json
from hydro_runtimes.columns import Array, Column, Columns, DataType, Dense, Ragged, Sparse, Strings
from hydro_runtimes.evaluator import Failure, Field, match_ignoring_case
from hydro_runtimes.spark.data import word_lists
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import Reading
from hydro_runtimes.spark.data.json_types import json_column, type_of_json
from hydro_runtimes.spark.data.sql_columns import SmallColumn, to_column
from hydro_runtimes.spark.sql.errors import RowError
from hydro_runtimes.spark.sql.functions.from_json import value_of_json
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import BOOLEAN, DOUBLE, LONG, STRING, VOID, SqlType
from hydro_runtimes.spark.sql.values import value_of

_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, slots=True)
class Readers:
    """How the columns that come as JSON are read, by name."""

    readings: Mapping[str, Reading]
    """Of those that may be of any type."""
    types: Mapping[str, SqlType]
    """Of those whose type in SQL is stated."""
    mode: Mode
    small: Mapping[str, SqlType]
    """The types of those that come as int32 and are of fewer bits."""

    def reading(self, name: str) -> Reading:
        return self.readings.get(name, Reading.ANY)


@dataclass(frozen=True, slots=True)
class Group:
    """Rows whose JSON values have the same types."""

    rows: Array | None
    """int64: their indices in the request; None where these are all rows."""
    columns: Columns
    kinds: Mapping[str, SqlType]
    """The types of the columns that come as JSON."""
    values: Mapping[str, Sequence[Any]]
    """Their values; their texts where the type is stated."""


def group_rows(columns: Columns, fields: Sequence[Field], readers: Readers) -> list[Group]:
    """The rows of a request, grouped so that no row's types depend on another row.

    Raises:
        ValueError: a column does not hold as many JSON values as there are rows.
    """
    parsed = {
        field.name: _texts_of(column)
        if field.name in readers.types
        else _parse_json(column, readers.reading(field.name))
        for field in fields
        if (column := columns.get(field.name)) is not None
        and isinstance(column, Strings)
        and column.type is DataType.JSON
    }
    if not parsed:
        return [Group(None, columns, {}, {})]
    kinds = {
        name: [readers.types[name]] * len(values)
        if name in readers.types
        else [type_of_json(value) for value in values]
        for name, values in parsed.items()
    }
    places: dict[tuple[SqlType, ...], list[int]] = {}
    for row, key in enumerate(zip(*kinds.values(), strict=True)):
        places.setdefault(key, []).append(row)
    if len(places) <= 1:
        key = next(iter(places), (VOID,) * len(kinds))
        return [Group(None, columns, dict(zip(kinds, key, strict=True)), parsed)]
    made = []
    for key, rows in places.items():
        values = {name: [column[row] for row in rows] for name, column in parsed.items()}
        at = np.array(rows, dtype=np.int64)
        made.append(Group(at, columns.take(at), dict(zip(kinds, key, strict=True)), values))
    return made


def add_missing_columns(columns: Columns, fields: Sequence[Field]) -> Columns:
    """The request's columns under the names of the fields, with nulls for a field that is missing.

    Names may differ in case, as in Spark. An optional field that is missing stays missing.
    """
    for field in fields:
        if field.name not in columns:
            return _add_nulls(columns, fields)
    return columns


def _add_nulls(columns: Columns, fields: Sequence[Field]) -> Columns:
    names = [field.name for field in fields]
    given = match_ignoring_case(names, columns)
    found = {
        name: columns[given.get(name, name)] for name in names if given.get(name, name) in columns
    }
    for field in fields:
        if field.name not in found and not field.optional:
            found[field.name] = _null_column(field, columns.rows)
    return Columns(found, columns.rows)


def _null_column(field: Field, rows: int) -> Column:
    missing = np.zeros(rows, dtype=bool)
    if field.shape:
        empty = Strings([]) if field.type is DataType.STRING else Dense(np.zeros(0))
        return Ragged(np.zeros(rows + 1, dtype=np.int64), empty, missing)
    if field.type in (DataType.STRING, DataType.JSON):
        return Strings([""] * rows, missing, field.type)
    return Dense(np.zeros(rows, dtype=field.type.dtype), missing)


def batch_of_columns(columns: Columns, fields: Sequence[Field], readers: Readers) -> Batch:
    """The batch that the pipeline starts from, of columns none of which comes as JSON."""
    taken = {field.name: columns[field.name] for field in fields if field.name in columns}
    batch = Batch(taken, columns.rows)
    return _narrow_numbers(batch, readers.small) if readers.small else batch


def batch_of_group(group: Group, fields: Sequence[Field], readers: Readers) -> Batch:
    """The batch that the pipeline starts from; rows whose values fit no input fail.

    Args:
        group: rows of a request.
        fields: the inputs of the signature.
        readers: of the columns that may be of any type.
    """
    taken: dict[str, Column] = {}
    failures: dict[int, Failure] = {}
    for field in fields:
        if field.name not in group.columns:
            continue
        column = group.columns[field.name]
        if field.name in group.kinds:
            source = InputColumn("", field.name)
            kind, values = group.kinds[field.name], group.values[field.name]
            if field.name in readers.types:
                column, bad = _stated(values, kind, readers.mode)
            else:
                column, bad = _column_of_type(values, kind, readers.reading(field.name))
            failures |= {row: source.invalid_row(text) for row, text in bad.items()}
        taken[field.name] = column
    batch = Batch(taken, group.columns.rows).without_rows(failures)
    return _narrow_numbers(batch, readers.small) if readers.small else batch


def _narrow_numbers(batch: Batch, kinds: Mapping[str, SqlType]) -> Batch:
    """The batch with columns of these types; rows whose number does not fit fail."""
    columns: dict[str, Column] = {}
    failures: dict[int, Failure] = {}
    for name, kind in kinds.items():
        column = batch.columns.get(name)
        if isinstance(column, Dense) and column.type in (DataType.INT32, DataType.INT64):
            narrow = column.values.astype(kind.dtype)
            bad = np.flatnonzero(narrow != column.values)
            source = InputColumn("", name)
            for row in bad.tolist():
                failures[row] = source.invalid_row(f"got {column.values[row]}, want {kind}")
            columns[name] = SmallColumn(narrow, column.validity, kind)
    return batch.with_columns(columns).without_rows(failures)


def _texts_of(column: Strings) -> Sequence[str]:
    if column.validity is None:
        return column.values
    pairs = zip(column.values, column.validity.tolist(), strict=True)
    return [text if valid else "null" for text, valid in pairs]


def _stated(texts: Sequence[str], kind: SqlType, mode: Mode) -> tuple[Column, dict[int, str]]:
    """The column of a stated type, and the rows whose JSON is of another."""
    bad: dict[int, str] = {}
    values: list[Any] = []
    for row, text in enumerate(texts):
        try:
            values.append(value_of_json(kind, text, mode))
        except RowError:
            values.append(None)
            bad[row] = f"got {text[:80]}, want {kind}"
    return to_column(value_of(kind, values), mode), bad


def _parse_json(column: Strings, reading: Reading) -> list[Any]:
    values: list[Any] = orjson.loads(f"[{','.join(_texts_of(column))}]")
    if len(values) != column.rows:
        raise ValueError(f"got {len(values)} JSON values, want {column.rows}")
    if reading in (Reading.NUMBERS, Reading.SQL_NUMBERS):
        values = [_NUMBERS.get(v, v) if isinstance(v, str) else v for v in values]
    return values


def _column_of_type(
    values: Sequence[Any], kind: SqlType, reading: Reading
) -> tuple[Column, dict[int, str]]:
    """The column of JSON values of one type; by row, what is wrong with those that do not fit."""
    if reading in (Reading.SQL, Reading.SQL_NUMBERS):
        return json_column(kind, values), {}
    if reading is Reading.LABEL:
        return _label_column(values, kind)
    return _column_by_kind(values, reading)


def _label_column(values: Sequence[Any], kind: SqlType) -> tuple[Column, dict[int, str]]:
    """Scalars, whose texts a StringIndexerModel looks up."""
    if kind in (BOOLEAN, LONG, DOUBLE):
        return _column_by_kind(values, Reading.ANY)
    is_text = kind in (STRING, VOID)
    want = "want a text, a number or a boolean"
    bad = {} if is_text else {row: f"got {_json_name(v)}, {want}" for row, v in enumerate(values)}
    texts = [value if isinstance(value, str) else None for value in values]
    return Strings([text or "" for text in texts], _validity_of(texts)), bad


def _column_by_kind(values: Sequence[Any], reading: Reading) -> tuple[Column, dict[int, str]]:
    kinds = {type(value) for value in values if value is not None}
    validity = _validity_of(values)
    if not kinds or kinds <= {bool, int, float}:
        return _number_column(values, kinds, validity), {}
    if kinds <= {list, dict}:
        return _vector_column(values, validity)
    if reading is Reading.NUMBERS:
        bad = {
            row: f"got {_json_name(value)}, want a number, a boolean or a vector"
            for row, value in enumerate(values)
            if isinstance(value, str)
        }
        rest = [None if row in bad else value for row, value in enumerate(values)]
        column, worse = _column_by_kind(rest, Reading.ANY)
        return column, bad | worse
    if kinds == {str}:
        return Strings([value or "" for value in values], validity), {}
    raise ValueError(f"rows differ in type: {', '.join(sorted(kind.__name__ for kind in kinds))}")


def _number_column(values: Sequence[Any], kinds: set[type], validity: Array | None) -> Dense:
    filled = [0 if value is None else value for value in values]
    if kinds == {bool}:
        return Dense(np.array(filled, dtype=np.bool_), validity)
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in filled):
        return Dense(np.array(filled, dtype=np.int64), validity)
    return Dense(np.array(filled, dtype=np.float64), validity)


def _vector_column(values: Sequence[Any], validity: Array | None) -> tuple[Column, dict[int, str]]:
    """A column of lists of texts or of vectors: Sparse if one value is, Ragged if sizes differ."""
    given = [value for value in values if isinstance(value, list)]
    if any(
        isinstance(element, str) and element not in _NUMBERS for one in given for element in one
    ):
        return _text_list_column(values, validity)
    bad: dict[int, str] = {}
    rows: list[tuple[int, Sequence[int], list[float]]] = []
    for row, value in enumerate(values):
        try:
            rows.append(_parse_vector(value))
        except (ValueError, TypeError, KeyError, OverflowError):
            bad[row] = f"got {orjson.dumps(value)[:80].decode(errors='replace')}, want a vector"
            rows.append((0, (), []))
    sizes = {size for row, (size, _, _) in enumerate(rows) if values[row] is not None} or {0}
    offsets = np.cumsum([0, *(len(stored) for _, _, stored in rows)], dtype=np.int64)
    flat = np.array([x for _, _, stored in rows for x in stored], dtype=np.float64)
    if len(sizes) == 1 and any(isinstance(value, dict) for value in values):
        indices = np.array([i for _, places, _ in rows for i in places], dtype=np.int32)
        return Sparse(sizes.pop(), offsets, indices, flat, validity), bad
    dense = [_fill_zeros(*row) for row in rows]
    if len(sizes) == 1:
        size = sizes.pop()
        matrix = np.array([one or [0.0] * size for one in dense], dtype=np.float64)
        return Dense(matrix.reshape(len(dense), size), validity), bad
    ends = np.cumsum([0, *map(len, dense)], dtype=np.int64)
    return Ragged(ends, Dense(np.array([x for one in dense for x in one])), validity), bad


def _parse_vector(value: Any) -> tuple[int, Sequence[int], list[float]]:
    """Size, indices and elements of a vector; a null one has none."""
    if value is None:
        return 0, (), []
    size, indices, elements = vector_json.parse_vector(value)
    return size, indices.tolist(), [_parse_number(element) for element in elements]


def _fill_zeros(size: int, indices: Sequence[int], elements: list[float]) -> list[float]:
    if len(elements) == size:
        return elements
    dense = [0.0] * size
    for index, element in zip(indices, elements, strict=True):
        dense[index] = element
    return dense


def _text_list_column(
    values: Sequence[Any], validity: Array | None
) -> tuple[Column, dict[int, str]]:
    bad = {
        row: f"got {_json_name(value)}, want a list of texts"
        for row, value in enumerate(values)
        if value is not None
        and not (isinstance(value, list) and all(x is None or isinstance(x, str) for x in value))
    }
    column = word_lists.words_column(
        [[] if v is None or r in bad else v for r, v in enumerate(values)]
    )
    return Ragged(column.offsets, column.elements, validity), bad


def _parse_number(value: Any) -> float:
    if isinstance(value, str):
        return _NUMBERS[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    return float(value)


def _validity_of(values: Sequence[Any]) -> Array | None:
    present = [value is not None for value in values]
    return None if all(present) else np.array(present, dtype=bool)


def _json_name(value: Any) -> str:
    names: dict[type, str] = {str: "a text", list: "a list", dict: "an object", bool: "a boolean"}
    return names.get(type(value), "a number")
