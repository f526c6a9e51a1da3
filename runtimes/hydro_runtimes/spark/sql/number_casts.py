"""Casts to booleans and numbers.

Source: org.apache.spark.sql.catalyst.expressions.Cast, 4.3.0.
"""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, Decimal
from typing import Any

import numpy as np

from hydro_runtimes.spark.sql import zones
from hydro_runtimes.spark.sql.cast_rows import cast_rows, note_invalid
from hydro_runtimes.spark.sql.decimals import DECIMALS, as_number, fit_decimal
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    BOOLEAN,
    DATE,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    SqlType,
    bit_width,
)
from hydro_runtimes.spark.sql.values import Rows, Value, constant_value, refuse_where, value_of

TRUE = frozenset(("t", "true", "y", "yes", "1"))
FALSE = frozenset(("f", "false", "n", "no", "0"))
_NAMED = {
    **dict.fromkeys(("inf", "+inf", "infinity", "+infinity"), math.inf),
    **dict.fromkeys(("-inf", "-infinity"), -math.inf),
    "nan": math.nan,
}
_TIMES = (TIMESTAMP, TIMESTAMP_NTZ)


def cast_to_boolean(value: Value, rows: Rows, safe: bool) -> Value:
    if value.type == STRING:
        return cast_rows(value, BOOLEAN, _parse_boolean, rows, safe)
    if value.type in (DATE, *_TIMES):
        return Value(BOOLEAN, value.data != 0, value.null | (value.type == DATE))
    data = np.array([bool(x) for x in value.data.tolist()], dtype=bool)
    return Value(BOOLEAN, data, value.null)


def _parse_boolean(text: str) -> bool | None:
    word = zones.trim_text(text).lower()
    return True if word in TRUE else False if word in FALSE else None


def cast_to_fraction(value: Value, kind: SqlType, rows: Rows, safe: bool) -> Value:
    if value.type == STRING:
        return cast_rows(value, kind, parse_double, rows, safe)
    if value.type == TIMESTAMP:
        return Value(kind, (value.data / 1_000_000).astype(kind.dtype), value.null)
    if value.type == DATE:
        return constant_value(kind, None, rows.count)
    if value.type.name == "decimal":
        return cast_rows(value, kind, float, rows, safe)
    return Value(kind, value.data.astype(kind.dtype), value.null)


def parse_double(text: str) -> float | None:
    """A double as Double.valueOf of Java reads it, but not in hexadecimal; None if it is none."""
    text = zones.trim_text(text)
    # Spark knows more names than Java (Cast.processFloatingPointSpecialLiterals): inf, +infinity.
    named = _NAMED.get(text.lower())
    if named is not None:
        return named
    digits = text[:-1] if text[-1:] in ("d", "D", "f", "F") else text
    if not digits or not set(digits) <= set("0123456789.eE+-"):
        return None
    try:
        return float(digits)
    except ValueError:
        return None


def cast_to_whole(value: Value, kind: SqlType, rows: Rows, mode: Mode, safe: bool) -> Value:
    have = value.type
    limit = 1 << (bit_width(kind) - 1)
    if have == STRING:
        return cast_rows(value, kind, lambda text: _parse_whole(text, limit, mode), rows, safe)
    if have == BOOLEAN:
        return Value(kind, value.data.astype(kind.dtype), value.null)
    if have == DATE:
        return constant_value(kind, None, rows.count)
    if have.name == "decimal":
        return _decimal_to_whole(value, kind, rows, mode, safe)
    # Microseconds to seconds, rounded down, before 1970 as well (MICROSECONDS.toSeconds is
    # floorDiv).
    data = value.data if have != TIMESTAMP else value.data // 1_000_000
    if have.is_fraction:
        return _fraction_to_whole(value, kind, rows, mode, safe)
    bad = (data > limit - 1) | (data < -limit)
    if not mode.ansi and have != TIMESTAMP:
        bad = np.zeros(rows.count, bool)  # without ANSI it wraps, as a cast in Java
    made = Value(kind, data.astype(kind.dtype), value.null)
    return refuse_where(made, bad, rows, _overflow_message(kind), safe)


def _parse_whole(text: str, limit: int, mode: Mode) -> int | None:
    text = zones.trim_text(text)
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not mode.ansi and "." in digits:
        # Without ANSI a fraction is cut off (UTF8String.toLong), but it must consist of digits.
        digits, _, fraction = digits.partition(".")
        if fraction and not (fraction.isascii() and fraction.isdigit()):
            return None
        digits = digits or ("0" if fraction else "")
    # Python refuses to read more than 4300 digits; none of so many fits.
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 4000:
        return None
    number = -int(digits) if text[0] == "-" else int(digits)
    return number if -limit <= number < limit else None


def _fraction_to_whole(value: Value, kind: SqlType, rows: Rows, mode: Mode, safe: bool) -> Value:
    """Truncates towards 0.

    Without ANSI it casts as Java does: NaN to 0, and what is too large to the largest value. A byte
    or short is cast by way of an int, so that the int's lowest bits remain.
    """
    whole = np.trunc(value.data.astype(np.float64))
    limit = float(1 << (bit_width(kind) - 1))
    if mode.ansi:
        # At the limit it is too large already: 2.0**63 is a double, 2**63 - 1 is none.
        bad = np.isnan(whole) | (whole >= limit) | (whole < -limit)
        made = Value(kind, np.where(bad, 0, whole).astype(kind.dtype), value.null)
        return refuse_where(made, bad, rows, _overflow_message(kind), safe)
    # Java narrows by way of a long or an int, whose lowest bits a byte or a short keeps.
    wide = 63 if kind.name == "bigint" else 31
    edge = 2.0**wide
    held = np.where(np.isnan(whole), 0, whole)
    inside = np.where(np.abs(held) < edge, held, 0).astype(np.int64)
    java_cast = np.where(held >= edge, 2**wide - 1, np.where(held < -edge, -(2**wide), inside))
    return Value(kind, java_cast.astype(np.int64).astype(kind.dtype), value.null)


def _decimal_to_whole(value: Value, kind: SqlType, rows: Rows, mode: Mode, safe: bool) -> Value:
    limit = 1 << (bit_width(kind) - 1)

    def convert(number: Decimal) -> int | None:
        whole = int(number.to_integral_value(ROUND_DOWN, DECIMALS))
        if -limit <= whole < limit:
            return whole
        # Java's narrowing of a BigInteger: the lowest bits, with the sign of the highest of them.
        return None if mode.ansi else (whole + limit) % (2 * limit) - limit

    return cast_rows(value, kind, convert, rows, safe)


def _overflow_message(kind: SqlType) -> str:
    return f"CAST_OVERFLOW: the value does not fit into {kind}; use try_cast to get null"


def cast_to_decimal(value: Value, kind: SqlType, rows: Rows, safe: bool) -> Value:
    made: list[Any] = []
    invalid = np.zeros(rows.count, bool)
    over = np.zeros(rows.count, bool)
    for row, (one, gone) in enumerate(zip(value.data.tolist(), value.null, strict=True)):
        number = None if gone else as_number(value.type, one)
        invalid[row] = number is None and not gone and value.type == STRING
        fitted = None if number is None else fit_decimal(number, kind)
        over[row] = number is not None and fitted is None
        made.append(fitted)
    if not safe:
        note_invalid(value, invalid, kind, rows)
        rows.note_errors(over, f"NUMERIC_VALUE_OUT_OF_RANGE: the value does not fit into {kind}")
    return value_of(kind, made)
