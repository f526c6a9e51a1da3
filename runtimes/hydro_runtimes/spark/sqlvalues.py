"""Values of SQL expressions and Spark's conversions between their types, in ANSI mode.

Source: org.apache.spark.sql.catalyst.expressions.Cast and
org.apache.spark.sql.catalyst.analysis.AnsiTypeCoercion, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from hydro_runtimes.columns import Array, Column, DataType, Dense, Strings
from hydro_runtimes.spark import java

Kind: TypeAlias = Literal[
    "null", "unknown", "bool", "int8", "int16", "int32", "int64", "float32", "float64", "string"
]
"""`unknown` only stands for a column whose type is not known while a statement is loaded."""

_ORDER: tuple[Kind, ...] = ("int8", "int16", "int32", "int64", "float32", "float64")
_DTYPES: Mapping[Kind, type] = {
    "null": np.bool_,
    "unknown": np.bool_,
    "bool": np.bool_,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "float32": np.float32,
    "float64": np.float64,
    "string": np.object_,
}
TRUE = frozenset(("t", "true", "y", "yes", "1"))
FALSE = frozenset(("f", "false", "n", "no", "0"))
_NUMBERS = {
    **dict.fromkeys(("inf", "+inf", "infinity", "+infinity"), np.inf),
    **dict.fromkeys(("-inf", "-infinity"), -np.inf),
    "nan": np.nan,
}


@dataclass(frozen=True, slots=True)
class Value:
    """A value for each row."""

    kind: Kind
    data: Array
    """(rows,): of the dtype of the kind; object arrays of str."""
    null: Array
    """bool, (rows,)."""

    def take(self, rows: Array) -> Value:
        return Value(self.kind, self.data[rows], self.null[rows])


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that an expression is worked out for."""

    columns: Mapping[str, Value]
    """By name in lower case: Spark's names are not case sensitive."""
    index: Array
    """int64: of each row in the batch."""
    errors: dict[int, str] = field(default_factory=dict)
    """By index in the batch; shared by all parts of the batch."""

    @property
    def count(self) -> int:
        return len(self.index)

    def take(self, rows: Array) -> Rows:
        columns = {name: value.take(rows) for name, value in self.columns.items()}
        return Rows(columns, self.index[rows], self.errors)

    def fail(self, bad: Array, message: str) -> None:
        """Notes an error for the rows of a mask."""
        for row in self.index[bad].tolist():
            self.errors.setdefault(row, message)


Function: TypeAlias = Callable[[list[Value], Rows], Value]
"""Values of the arguments, all worked out."""


def constant(kind: Kind, value: object, rows: int) -> Value:
    """The same value in every row; None for null."""
    null = np.full(rows, value is None)
    data: Array = np.empty(rows, dtype=_DTYPES[kind])
    data[:] = ("" if kind == "string" else 0) if value is None else value
    return Value(kind, data, null)


def of_column(column: Column) -> Value | None:
    """The values of a column of scalars; None for another."""
    null = np.zeros(column.rows, bool) if column.validity is None else ~column.validity
    if isinstance(column, Strings):
        data = np.empty(column.rows, dtype=object)
        data[:] = list(column.values)
        return Value("string", data, null)
    if isinstance(column, Dense) and column.values.ndim == 1:
        return Value(_KINDS[column.type], column.values, null)
    return None


def to_column(value: Value) -> Column:
    """The column of these values; null alone has the type of a text."""
    validity = ~value.null if value.null.any() else None
    if value.kind in ("string", "null", "unknown"):
        texts = value.data.tolist() if value.kind == "string" else [""] * len(value.data)
        return Strings(texts, validity)
    return Dense(value.data.astype(data_type(value.kind).dtype, copy=False), validity)


def data_type(kind: Kind) -> DataType:
    """The type of such a column: int32 for what is shorter; JSON where it is not known."""
    if kind in ("int8", "int16"):
        return DataType.INT32
    return next((name for name, one in _KINDS.items() if one == kind), DataType.JSON)


def kind_of(name: DataType) -> Kind:
    """The kind of the values of such a column of scalars."""
    return _KINDS.get(name, "unknown")


def common(kinds: list[Kind]) -> Kind:
    """The type that all of these are converted to.

    Raises:
        ValueError: there is none.
    """
    found: Kind = "null"
    for kind in kinds:
        found = _common(found, kind)
    return found


def cast(value: Value, kind: Kind, rows: Rows, safe: bool = False) -> Value:
    """CAST, or with `safe` TRY_CAST: what cannot be converted is an error or null."""
    if value.kind == kind or kind == "unknown":
        return value
    if value.kind in ("null", "unknown"):
        return constant(kind, None, rows.count)
    if kind == "string":
        return _texts(value)
    if value.kind == "string":
        return _parsed(value, kind, rows, safe)
    if kind == "bool":
        return Value("bool", value.data != 0, value.null)
    return _number(value, kind, rows, safe)


def refused(value: Value, bad: Array, rows: Rows, message: str, safe: bool) -> Value:
    """The value with null where it is bad, noted as an error unless safe."""
    bad = bad & ~value.null
    if not safe and bad.any():
        rows.fail(bad, message)
    return Value(value.kind, value.data, value.null | bad)


_KINDS: Mapping[DataType, Kind] = {
    DataType.BOOL: "bool",
    DataType.INT32: "int32",
    DataType.INT64: "int64",
    DataType.FLOAT32: "float32",
    DataType.FLOAT64: "float64",
    DataType.STRING: "string",
}


def is_number(kind: Kind) -> bool:
    return kind in _ORDER


def _common(one: Kind, other: Kind) -> Kind:
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    if "unknown" in (one, other):
        rest = other if one == "unknown" else one
        return rest if rest in ("string", "bool") else "unknown"
    if one in _ORDER and other in _ORDER:
        # An int or bigint beside a float gives a double, so that no digit of it is lost.
        if "float32" in (one, other):
            return "float64"
        return max(one, other, key=_ORDER.index)
    if "string" in (one, other):
        rest = other if one == "string" else one
        if rest in _ORDER:
            return "int64" if rest.startswith("int") else "float64"
        return rest
    raise ValueError(f"{one} and {other} have no common type")


def _texts(value: Value) -> Value:
    data = np.empty(len(value.data), dtype=object)
    data[:] = java.numbers(value.data)
    return Value("string", data, value.null)


def _number(value: Value, kind: Kind, rows: Rows, safe: bool) -> Value:
    if kind.startswith("float") or value.kind == "bool":
        return Value(kind, value.data.astype(_DTYPES[kind]), value.null)
    limits = np.iinfo(_DTYPES[kind])
    whole = np.trunc(value.data) if value.kind.startswith("float") else value.data
    # The largest bigint is no double: the next one above it is.
    over = (whole >= float(limits.max) + 1) if whole.dtype.kind == "f" else whole > limits.max
    bad = over | (whole < limits.min) | np.isnan(whole)
    held: Array = np.where(bad, 0, whole).astype(_DTYPES[kind])
    message = f"CAST_OVERFLOW: the value does not fit into {kind}"
    return refused(Value(kind, held, value.null), bad, rows, message, safe)


def _parsed(value: Value, kind: Kind, rows: Rows, safe: bool) -> Value:
    data: Array = np.zeros(rows.count, dtype=_DTYPES[kind])
    bad = np.zeros(rows.count, dtype=bool)
    for row in np.flatnonzero(~value.null).tolist():
        found = _parse(value.data[row].strip(), kind)
        if found is None:
            bad[row] = True
        else:
            data[row] = found
    message = f"CAST_INVALID_INPUT: the text is no {kind}"
    return refused(Value(kind, data, value.null), bad, rows, message, safe)


def _parse(text: str, kind: Kind) -> float | int | bool | None:
    if kind == "bool":
        lower = text.lower()
        return True if lower in TRUE else False if lower in FALSE else None
    digits = text[1:] if text[:1] in ("+", "-") else text
    if kind.startswith("int"):
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 400:
            return None
        limits = np.iinfo(_DTYPES[kind])
        number = int(text)
        return number if limits.min <= number <= limits.max else None
    if text.lower() in _NUMBERS:
        return _NUMBERS[text.lower()]
    if not digits or not set(digits.rstrip("dDfF")) <= set("0123456789.eE+-"):
        return None
    try:
        return float(text.rstrip("dDfF"))
    except ValueError:
        return None
