"""The values of expressions for many rows, and the rows that they are evaluated for."""

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
    """(rows,), of the type's dtype. Objects are str, bytes or Decimal; an array is a list, a map a
    list of pairs, a struct a tuple, each with None for null. In a row that is null, any value may
    stand."""
    null: Array
    """bool, (rows,)."""

    def take(self, rows: Array) -> Value:
        """Some of the rows: indices or a mask."""
        return Value(self.type, self.data[rows], self.null[rows])

    def to_list(self) -> list[Any]:
        """The values as Python objects; None for null."""
        values = self.data.tolist()
        if not self.null.any():
            return list(values)
        return [None if gone else value for value, gone in zip(values, self.null, strict=True)]

    def null_where(self, bad: Array) -> Value:
        """The value with null in the rows of a mask."""
        return Value(self.type, self.data, self.null | bad) if bad.any() else self

    def with_type(self, kind: SqlType) -> Value:
        """The same data under another type, which holds its values in the same way."""
        return Value(kind, self.data, self.null)


@dataclass(frozen=True, slots=True)
class _Layer:
    """Columns, and the rows of them that are read."""

    columns: Mapping[str, Value]
    at: Array | None
    """int64: the index of each row in the columns; None if all rows are read in order."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that an expression is evaluated for."""

    layers: tuple[_Layer, ...]
    """The variables of lambda functions, innermost first, and then the columns."""
    index: Array
    """int64: the index of each row in the batch."""
    errors: dict[int, str]
    """By index in the batch; the first error of a row counts. Shared by all parts of the batch."""
    made_sizes: dict[int, int]
    """How much functions have produced for each row, in `row_limits.size_of`; shared, too."""

    @classmethod
    def from_columns(cls, columns: Mapping[str, Value], count: int) -> Rows:
        return cls((_Layer(columns, None),), np.arange(count), {}, {})

    @property
    def count(self) -> int:
        return len(self.index)

    def read_column(self, key: str) -> Value:
        """The values of a column or variable."""
        # Innermost first: a variable of a lambda function hides a column of that name.
        layer = next(layer for layer in self.layers if key in layer.columns)
        value = layer.columns[key]
        return value if layer.at is None else value.take(layer.at)

    def take(self, rows: Array) -> Rows:
        """Some of the rows: indices or a mask."""
        if rows.dtype == np.bool_:
            rows = np.flatnonzero(rows)
        # Only the indices are taken, not the columns: a branch of CASE that reads one column of
        # fifty copies one.
        layers = tuple(
            _Layer(layer.columns, rows if layer.at is None else layer.at[rows])
            for layer in self.layers
        )
        return Rows(layers, self.index[rows], self.errors, self.made_sizes)

    def with_columns(self, columns: Mapping[str, Value]) -> Rows:
        """The same rows with more columns."""
        return Rows((_Layer(columns, None), *self.layers), self.index, self.errors, self.made_sizes)

    def with_own_errors(self) -> Rows:
        """The same rows, with errors that do not count for the batch."""
        return Rows(self.layers, self.index, {}, self.made_sizes)

    def note_errors(self, bad: Array, message: str) -> None:
        """Notes an error for the rows of a mask."""
        for row in self.index[bad].tolist():
            # The first error of a row stands, in the order in which Spark would evaluate it.
            self.errors.setdefault(row, message)


@dataclass(frozen=True, slots=True)
class Typed:
    """An expression whose type is known."""

    type: SqlType
    evaluate: Callable[[Rows], Value]
    foldable: bool = False
    """Whether it reads no column, so that its value is the same for all rows."""
    literal: bool = False
    """Whether it is a literal in the statement."""


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
        # Nulls have a value, too: NumPy would otherwise compute with what was in memory, and warn.
        data[:] = 0
    return Value(kind, data, np.full(rows, value is None))


def value_of(kind: SqlType, values: Sequence[Any]) -> Value:
    """The value of Python objects, one for each row; None for null."""
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
    """The value with null in the rows of a mask.

    Args:
        value: the value.
        bad: the mask: bool, (rows,).
        rows: that the value is of.
        message: of the error that these rows get, unless they are null already.
        safe: no errors.
    """
    bad = bad & ~value.null
    if not bad.any():
        return value
    if not safe:
        rows.note_errors(bad, message)
    return Value(value.type, value.data, value.null | bad)


def evaluate_where(expression: Typed, rows: Rows, mask: Array) -> Value:
    """The value of an expression that is evaluated for the rows of a mask only; null in others."""
    if mask.all():
        return expression.evaluate(rows)
    value = expression.evaluate(rows.take(mask))
    whole = constant_value(value.type, None, rows.count)
    whole.data[mask], whole.null[mask] = value.data, value.null
    return whole
