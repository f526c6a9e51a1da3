"""Values of expressions for many rows, and the rows that they are worked out for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sql.types import SqlType


@dataclass(frozen=True, slots=True)
class Value:
    """A value for each row."""

    type: SqlType
    data: Array
    """(rows,): of the type's dtype. Objects are str, bytes, Decimal; list for an array, list of
    pairs for a map, tuple for a struct, each with None for null. What stands in a null row does
    not matter."""
    null: Array
    """bool, (rows,)."""

    def take(self, rows: Array) -> Value:
        """Some of the rows: indices or a mask."""
        return Value(self.type, self.data[rows], self.null[rows])

    def to_list(self) -> list[Any]:
        """The values as Python's, None for null."""
        values = self.data.tolist()
        if not self.null.any():
            return list(values)
        return [None if gone else value for value, gone in zip(values, self.null, strict=True)]

    def null_where(self, bad: Array) -> Value:
        """Null where a mask says so."""
        return Value(self.type, self.data, self.null | bad) if bad.any() else self

    def with_type(self, kind: SqlType) -> Value:
        """The same data under a type that holds it the same way."""
        return Value(kind, self.data, self.null)


@dataclass(frozen=True, slots=True)
class _Layer:
    """Columns that rows read from, and which of their rows."""

    columns: Mapping[str, Value]
    at: Array | None
    """int64: the place of each row in the columns; None where they are the same rows."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that an expression is worked out for."""

    layers: tuple[_Layer, ...]
    """The columns, and before them the variables of functions around."""
    index: Array
    """int64: the place of each row in the batch."""
    errors: dict[int, str]
    """By place in the batch; shared by all parts of the batch."""
    made_sizes: dict[int, int]
    """How much functions have made of each row, as `row_limits.size_of` counts; shared as well."""

    @classmethod
    def from_columns(cls, columns: Mapping[str, Value], count: int) -> Rows:
        return cls((_Layer(columns, None),), np.arange(count), {}, {})

    @property
    def count(self) -> int:
        return len(self.index)

    def read_column(self, key: str) -> Value:
        """The values of a column or variable."""
        layer = next(layer for layer in self.layers if key in layer.columns)
        value = layer.columns[key]
        return value if layer.at is None else value.take(layer.at)

    def take(self, rows: Array) -> Rows:
        """Some of the rows: indices or a mask."""
        if rows.dtype == np.bool_:
            rows = np.flatnonzero(rows)
        layers = tuple(
            _Layer(layer.columns, rows if layer.at is None else layer.at[rows])
            for layer in self.layers
        )
        return Rows(layers, self.index[rows], self.errors, self.made_sizes)

    def with_columns(self, columns: Mapping[str, Value]) -> Rows:
        """The same rows with more columns."""
        return Rows((_Layer(columns, None), *self.layers), self.index, self.errors, self.made_sizes)

    def with_own_errors(self) -> Rows:
        """The same rows, whose errors are not those of the batch."""
        return Rows(self.layers, self.index, {}, self.made_sizes)

    def note_errors(self, bad: Array, message: str) -> None:
        """Notes an error for the rows of a mask."""
        for row in self.index[bad].tolist():
            self.errors.setdefault(row, message)


@dataclass(frozen=True, slots=True)
class Typed:
    """An expression whose type is known."""

    type: SqlType
    evaluate: Callable[[Rows], Value]
    foldable: bool = False
    """It reads no column: it is the same for all rows."""
    literal: bool = False
    """It is written as a constant."""


def constant_value(kind: SqlType, value: Any, rows: int) -> Value:
    """The same value in every row; None for null."""
    data: Array = np.empty(rows, dtype=kind.dtype)
    if value is not None:
        if kind.dtype.hasobject:
            for row in range(rows):
                data[row] = value
        else:
            data[:] = value
    elif not kind.dtype.hasobject:
        data[:] = 0
    return Value(kind, data, np.full(rows, value is None))


def value_of(kind: SqlType, values: Sequence[Any]) -> Value:
    """A value for each row from Python's, None for null."""
    null = np.fromiter((value is None for value in values), np.bool_, len(values))
    data: Array = np.empty(len(values), dtype=kind.dtype)
    if kind.dtype.hasobject:
        for row, value in enumerate(values):  # numpy would take lists apart
            data[row] = value
    elif null.any():
        data[:] = [0 if value is None else value for value in values]
    else:
        data[:] = values
    return Value(kind, data, null)


def refuse_where(value: Value, bad: Array, rows: Rows, message: str, safe: bool) -> Value:
    """The value with null where it is bad, noted as an error unless safe."""
    bad = bad & ~value.null
    if not bad.any():
        return value
    if not safe:
        rows.note_errors(bad, message)
    return Value(value.type, value.data, value.null | bad)


def evaluate_where(expression: Typed, rows: Rows, mask: Array) -> Value:
    """The values of an expression that is only worked out for the rows of a mask; else null."""
    if mask.all():
        return expression.evaluate(rows)
    value = expression.evaluate(rows.take(mask))
    whole = constant_value(value.type, None, rows.count)
    whole.data[mask], whole.null[mask] = value.data, value.null
    return whole
