"""The data types of Spark SQL, and their texts.

Source: org.apache.spark.sql.types, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class SqlType:
    """A data type; two are equal if Spark's are."""

    name: str
    """The name in DDL without parameters: int, decimal, array."""
    parts: tuple[SqlType, ...] = ()
    """The types of an array's elements, of a map's keys and values, or of a struct's fields."""
    names: tuple[str, ...] = ()
    """The names of a struct's fields."""
    precision: int = 0
    """The number of digits of a decimal, from 1 to 38."""
    scale: int = 0
    """How many of them follow the decimal point."""

    def __str__(self) -> str:
        match self.name:
            case "decimal":
                return f"decimal({self.precision},{self.scale})"
            case "array" | "map":
                return f"{self.name}<{','.join(map(str, self.parts))}>"
            case "struct":
                fields = zip(self.names, self.parts, strict=True)
                return f"struct<{','.join(f'{name}:{part}' for name, part in fields)}>"
        return self.name

    @property
    def is_whole(self) -> bool:
        return self.name in _WHOLE

    @property
    def is_fraction(self) -> bool:
        """A float or double."""
        return self.name in ("float", "double")

    @property
    def is_number(self) -> bool:
        return self.name in _NUMBERS or self.name == "decimal"

    @property
    def is_nested(self) -> bool:
        return self.name in ("array", "map", "struct")

    @property
    def is_months(self) -> bool:
        """An interval of years and months, held as months."""
        return self.name in _MONTH_INTERVALS

    @property
    def is_micros(self) -> bool:
        """An interval of days to seconds, held as microseconds."""
        return self.name in _MICRO_INTERVALS

    @property
    def is_interval(self) -> bool:
        return self.name.startswith("interval")

    @property
    def units(self) -> tuple[str, str]:
        """The first and the last unit of an interval of months or of microseconds."""
        first, _, last = self.name.removeprefix("interval ").partition(" to ")
        return first, last or first

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The dtype of the array that holds values of this type."""
        return _DTYPES.get(self.name, _OBJECT)


MONTH_UNITS = ("year", "month")
MICRO_UNITS = ("day", "hour", "minute", "second")


def interval_of(first: str, last: str) -> SqlType:
    """The interval of these units and those between them."""
    return SqlType(f"interval {first}" if first == last else f"interval {first} to {last}")


def _interval_names(units: Sequence[str]) -> frozenset[str]:
    pairs = ((a, b) for i, a in enumerate(units) for b in units[i:])
    return frozenset(interval_of(a, b).name for a, b in pairs)


_MONTH_INTERVALS, _MICRO_INTERVALS = _interval_names(MONTH_UNITS), _interval_names(MICRO_UNITS)

VOID = SqlType("void")
"""The type of NULL."""
UNKNOWN = SqlType("unknown")
"""The type of a column that is not known while the statement is loaded; no value has it."""
BOOLEAN = SqlType("boolean")
BYTE = SqlType("tinyint")
SHORT = SqlType("smallint")
INT = SqlType("int")
LONG = SqlType("bigint")
FLOAT = SqlType("float")
DOUBLE = SqlType("double")
STRING = SqlType("string")
BINARY = SqlType("binary")
DATE = SqlType("date")
"""Held as days since 1970-01-01."""
TIMESTAMP = SqlType("timestamp")
"""Held as microseconds since 1970-01-01 00:00 UTC."""
TIMESTAMP_NTZ = SqlType("timestamp_ntz")
"""Held as microseconds since 1970-01-01 00:00 on a clock without a zone."""
MONTHS = interval_of("year", "month")
MICROS = interval_of("day", "second")
DAYS = interval_of("day", "day")
INTERVAL = SqlType("interval")
"""CalendarIntervalType, of mixed units; held as (months, days, microseconds)."""
VECTOR = SqlType("vector")
"""VectorUDT of Spark ML; held as (size, indices or None if dense, values)."""

_WHOLE: Mapping[str, int] = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
_NUMBERS = (*_WHOLE, "float", "double")
_OBJECT = np.dtype(object)
_DTYPES: Mapping[str, np.dtype[np.generic]] = {
    "void": np.dtype(np.bool_),
    "unknown": np.dtype(np.bool_),
    "boolean": np.dtype(np.bool_),
    "tinyint": np.dtype(np.int8),
    "smallint": np.dtype(np.int16),
    "int": np.dtype(np.int32),
    "bigint": np.dtype(np.int64),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    "date": np.dtype(np.int32),
    "timestamp": np.dtype(np.int64),
    "timestamp_ntz": np.dtype(np.int64),
    **dict.fromkeys(_MONTH_INTERVALS, np.dtype(np.int32)),
    **dict.fromkeys(_MICRO_INTERVALS, np.dtype(np.int64)),
}
_WORDS: Mapping[str, SqlType] = {
    **{kind.name: kind for kind in (BOOLEAN, BYTE, SHORT, INT, LONG, FLOAT, DOUBLE, STRING)},
    **{kind.name: kind for kind in (BINARY, DATE, TIMESTAMP, TIMESTAMP_NTZ, VOID)},
    "timestamp_ltz": TIMESTAMP,
    "byte": BYTE,
    "short": SHORT,
    "integer": INT,
    "long": LONG,
    "real": FLOAT,
    "varchar": STRING,
    "char": STRING,
    "character": STRING,
}


CAST_NAMES = frozenset(
    ("boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "decimal")
    + ("date", "timestamp", "binary", "string")
)
"""Functions that cast to the type of their name."""


def decimal_of(precision: int, scale: int) -> SqlType:
    """A decimal type of at most 38 digits. Source: DecimalType.bounded, 4.3.0."""
    return SqlType("decimal", precision=min(precision, 38), scale=min(scale, 38))


def adjusted_decimal(precision: int, scale: int) -> SqlType:
    """The decimal type of a result; if it needs more than 38 digits, the fraction loses some first.

    Source: DecimalType.adjustPrecisionScale.
    """
    if precision <= 38:
        return decimal_of(precision, scale)
    whole = precision - scale
    return decimal_of(38, max(38 - whole, min(scale, 6)))


def array_of(element: SqlType) -> SqlType:
    return SqlType("array", (element,))


def map_of(key: SqlType, value: SqlType) -> SqlType:
    return SqlType("map", (key, value))


def struct_of(fields: Mapping[str, SqlType] | Sequence[tuple[str, SqlType]]) -> SqlType:
    pairs = list(fields.items() if isinstance(fields, Mapping) else fields)
    return SqlType("struct", tuple(kind for _, kind in pairs), tuple(name for name, _ in pairs))


def named_type(word: str) -> SqlType | None:
    """The type of a name without parameters, such as BIGINT; None if there is no such type."""
    return _WORDS.get(word.lower())


def bit_width(kind: SqlType) -> int:
    """The number of bits of a type of whole numbers."""
    return _WHOLE[kind.name]


def as_decimal(kind: SqlType) -> SqlType:
    """The decimal type that holds all values of a number type.

    Source: DecimalType.forType.
    """
    digits = {"tinyint": (3, 0), "smallint": (5, 0), "int": (10, 0), "bigint": (20, 0)}
    digits |= {"float": (14, 7), "double": (30, 15)}
    return kind if kind.name == "decimal" else decimal_of(*digits[kind.name])


def nested_types(kind: SqlType) -> Iterator[SqlType]:
    """The type itself, and all types within it."""
    yield kind
    for part in kind.parts:
        yield from nested_types(part)
