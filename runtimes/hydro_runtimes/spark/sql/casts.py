"""CAST and TRY_CAST between all types, in ANSI mode and without it.

Source: org.apache.spark.sql.catalyst.expressions.Cast, 4.3.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from itertools import accumulate, chain, pairwise
from typing import Any

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sql import java_text, zones
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.interval_texts import (
    MICROS_OF,
    MONTHS_OF,
    calendar_interval,
    read_interval,
    split_amounts,
    strip_interval_words,
    text_of_interval,
    truncating_divmod,
)
from hydro_runtimes.spark.sql.types import (
    BINARY,
    BOOLEAN,
    DATE,
    INT,
    LONG,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    UNKNOWN,
    VOID,
    SqlType,
    bit_width,
    decimal_of,
)
from hydro_runtimes.spark.sql.values import Rows, Value, constant_value, refuse_where, value_of

DECIMALS = Context(prec=400, Emin=-10000, Emax=10000)
TRUE = frozenset(("t", "true", "y", "yes", "1"))
FALSE = frozenset(("f", "false", "n", "no", "0"))
_NAMED = {
    **dict.fromkeys(("inf", "+inf", "infinity", "+infinity"), math.inf),
    **dict.fromkeys(("-inf", "-infinity"), -math.inf),
    "nan": math.nan,
}
_TIMES = (TIMESTAMP, TIMESTAMP_NTZ)


@dataclass(frozen=True, slots=True)
class Mode:
    """What changes the meaning of a statement."""

    ansi: bool
    zone: tzinfo
    """Of the session."""
    utf8_words: bool = True


def cast_value(value: Value, kind: SqlType, rows: Rows, mode: Mode, safe: bool = False) -> Value:
    """A value as another type.

    Args:
        value: to convert.
        kind: what to convert it to; `castable` has allowed it.
        rows: that it is worked out for, which take the errors.
        mode: with ANSI, what cannot be converted is an error, else null.
        safe: TRY_CAST: null even with ANSI.
    """
    if value.type == kind or kind == UNKNOWN:
        return value
    if value.type in (VOID, UNKNOWN):
        return constant_value(kind, None, rows.count)
    if safe:
        mode = replace(mode, ansi=True)  # TRY_CAST has the rules of ANSI, without its errors
    try_cast, safe = safe, safe or not mode.ansi
    if kind.is_nested:
        return _cast_nested(value, kind, rows, mode, try_cast)
    if kind == STRING:
        return _cast_to_text(value, mode)
    if kind == BINARY:
        return _cast_rows(value, kind, lambda x: _to_bytes(x, value.type), rows, safe)
    if kind.is_interval:
        return _cast_to_interval(value, kind, rows, safe)
    if value.type.is_interval:
        # What does not fit is an error without ANSI, too.
        return cast_value(_interval_amount(value), kind, rows, replace(mode, ansi=True), try_cast)
    if kind == BOOLEAN:
        return _cast_to_boolean(value, rows, safe)
    if kind.name == "decimal":
        return _cast_to_decimal(value, kind, rows, safe)
    if kind in (DATE, *_TIMES):
        return _cast_to_moment(value, kind, rows, mode, safe)
    if kind.is_fraction:
        return _cast_to_fraction(value, kind, rows, safe)
    if kind.is_whole:
        return _cast_to_whole(value, kind, rows, mode, safe)
    return value.with_type(kind)


def can_cast(have: SqlType, want: SqlType, mode: Mode) -> bool:
    """Whether Spark casts between two types at all.

    Source: Cast.{canCast, canAnsiCast}.
    """
    if have == want or have in (VOID, UNKNOWN) or want == UNKNOWN:
        return True
    if have.is_nested or want.is_nested:
        if want == STRING:
            return True
        same = have.name == want.name and len(have.parts) == len(want.parts)
        return same and all(map(can_cast, have.parts, want.parts, [mode] * len(have.parts)))
    if want == STRING:
        return have.name != "vector"
    if want == BINARY:
        return have == STRING or (not mode.ansi and have.is_whole)
    if have == STRING:
        return want.name != "vector"
    if have.is_interval or want.is_interval:
        return _casts_intervals(have, want)
    if want == BOOLEAN or have == BOOLEAN:
        other = have if want == BOOLEAN else want
        odd = (TIMESTAMP,) if have == BOOLEAN else (DATE, TIMESTAMP)
        return other.is_number or (not mode.ansi and other in odd)
    if have.is_number and want.is_number:
        return True
    if have in (DATE, *_TIMES) and want in (DATE, *_TIMES):
        return True
    if have.is_number:
        return want == TIMESTAMP
    if want.is_number:
        return have == TIMESTAMP or (have == DATE and not mode.ansi)
    return False


def _casts_intervals(have: SqlType, want: SqlType) -> bool:
    """Between intervals of the same kind of units, and from and to numbers of one unit."""
    if have.is_interval and want.is_interval:
        return (have.is_months and want.is_months) or (have.is_micros and want.is_micros)
    span, other = (have, want) if have.is_interval else (want, have)
    is_number = other.is_whole or other.name == "decimal"
    return (
        is_number
        and span.name != "interval"
        and (have.is_interval or span.units[0] == span.units[1])
    )


def text_of(kind: SqlType, value: Any, mode: Mode) -> str:
    """The text of one value, which is not null.

    Raises:
        StatementError: the type has none.
    """
    match kind.name:
        case "string":
            return str(value)
        case "boolean":
            return "true" if value else "false"
        case "float":
            return java_text.number_texts(np.array([value], np.float32))[0]
        case "double":
            return java_text.number_texts(np.array([value], np.float64))[0]
        case "decimal":
            return f"{value:f}" if mode.ansi else _scientific_text(value)
        case "date":
            return zones.date_text(int(value))
        case "timestamp":
            return zones.timestamp_text(int(value), mode.zone)
        case "timestamp_ntz":
            return zones.timestamp_text(int(value), UTC)
        case "binary":
            return bytes(value).decode(errors="replace")
        case "array":
            return f"[{', '.join(_text_of_part(kind.parts[0], one, mode) for one in value)}]"
        case "map":
            key, item = kind.parts
            pairs = (
                f"{_text_of_part(key, a, mode)} -> {_text_of_part(item, b, mode)}" for a, b in value
            )
            return f"{{{', '.join(pairs)}}}"
        case "struct":
            return f"{{{', '.join(map(_text_of_part, kind.parts, value, [mode] * len(value)))}}}"
    if kind.is_whole:
        return str(int(value))
    if kind.is_interval:
        return text_of_interval(kind, value)
    raise StatementError(f"{kind} has no text")


def _text_of_part(kind: SqlType, value: Any, mode: Mode) -> str:
    return "null" if value is None else text_of(kind, value, mode)


def _scientific_text(value: Decimal) -> str:
    """As BigDecimal.toString."""
    sign, figures, exponent = value.as_tuple()
    digits = "".join(map(str, figures)) or "0"
    power = int(exponent) + len(digits) - 1
    if power >= -6:
        return f"{value:f}"
    after = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{'-' if sign else ''}{digits[0]}{after}E{power:+d}"


def _cast_rows(
    value: Value, kind: SqlType, convert: Callable[[Any], Any], rows: Rows, safe: bool
) -> Value:
    """Converts row by row; None is what cannot be converted."""
    made = [
        None if gone else convert(x)
        for x, gone in zip(value.data.tolist(), value.null, strict=True)
    ]
    if kind.dtype.kind == "i" and value.type in (DATE, *_TIMES):
        limit = 1 << (8 * kind.dtype.itemsize - 1)
        over = np.array([x is not None and not -limit <= x < limit for x in made], dtype=bool)
        rows.note_errors(over, f"ARITHMETIC_OVERFLOW: the {value.type} does not fit into {kind}")
        made = [None if bad else x for x, bad in zip(made, over, strict=True)]
    found = value_of(kind, made)
    if not safe:
        _fail_each(value, found.null & ~value.null, kind, rows)
    return found


def _fail_each(value: Value, bad: Array, kind: SqlType, rows: Rows) -> None:
    """Each row's error tells its own value, and no other's."""
    for row in np.flatnonzero(bad).tolist():
        message = _invalid_input(value.type, value.data[row], kind)
        rows.errors.setdefault(int(rows.index[row]), message)


def _invalid_input(have: SqlType, example: Any, want: SqlType) -> str:
    shown = str(example)
    shown = shown if len(shown) <= 40 else shown[:37] + "..."
    way_out = "use try_cast to get null"
    return f"CAST_INVALID_INPUT: the {have} {shown!r} is not a {want}; {way_out}"


def _to_bytes(value: Any, kind: SqlType) -> bytes:
    if kind == STRING:
        return bytes(value.encode())
    return int(value).to_bytes(bit_width(kind) // 8, "big", signed=True)


def _cast_to_text(value: Value, mode: Mode) -> Value:
    kind = value.type
    if kind.is_whole or kind.is_fraction or kind == BOOLEAN:
        texts: list[Any] = list(java_text.number_texts(value.data))
    else:
        texts = [
            "" if gone else text_of(kind, x, mode)
            for x, gone in zip(value.data.tolist(), value.null, strict=True)
        ]
    data = np.empty(len(texts), dtype=object)
    data[:] = texts
    return Value(STRING, data, value.null)


def _cast_to_interval(value: Value, kind: SqlType, rows: Rows, safe: bool) -> Value:
    have = value.type
    if have == STRING:
        return _cast_rows(value, kind, lambda text: _read_interval(text, kind), rows, safe)
    if have.is_interval:
        step = _unit_step(kind)
        return Value(kind, np.trunc(value.data / step).astype(np.int64) * step, value.null)
    limit = 2**31 if kind.is_months else 2**63

    def scale_number(number: Any) -> int | None:
        exact = DECIMALS.multiply(Decimal(number), _unit_step(kind))
        whole = int(exact.to_integral_value(ROUND_HALF_UP, DECIMALS))
        return whole if -limit <= whole < limit else None

    return _cast_rows(value, kind, scale_number, rows, safe=False)


def _read_interval(text: str, kind: SqlType) -> Any:
    if kind.name == "interval":
        try:
            return calendar_interval(" ".join(part) for part in split_amounts(text))
        except StatementError:
            return None
    inner = strip_interval_words(text, kind)
    return None if inner is None else read_interval(inner, kind)


def _interval_amount(value: Value) -> Value:
    """An interval of one unit as a number of them."""
    kind = value.type
    if kind.units[1] == "second":
        amounts = [None if x is None else Decimal(x).scaleb(-6) for x in value.to_list()]
        return value_of(decimal_of(18, 6), amounts)
    whole = [
        None if x is None else truncating_divmod(x, _unit_step(kind))[0] for x in value.to_list()
    ]
    return value_of(INT if kind.is_months else LONG, whole)


def _unit_step(kind: SqlType) -> int:
    """Of the last unit."""
    unit = kind.units[1]
    return 1 if unit == "second" and kind.units[0] != unit else {**MONTHS_OF, **MICROS_OF}[unit]


def _cast_to_boolean(value: Value, rows: Rows, safe: bool) -> Value:
    if value.type == STRING:
        return _cast_rows(value, BOOLEAN, _parse_boolean, rows, safe)
    if value.type in (DATE, *_TIMES):
        return Value(BOOLEAN, value.data != 0, value.null | (value.type == DATE))
    data = np.array([bool(x) for x in value.data.tolist()], dtype=bool)
    return Value(BOOLEAN, data, value.null)


def _parse_boolean(text: str) -> bool | None:
    word = zones.trim_text(text).lower()
    return True if word in TRUE else False if word in FALSE else None


def _cast_to_fraction(value: Value, kind: SqlType, rows: Rows, safe: bool) -> Value:
    if value.type == STRING:
        return _cast_rows(value, kind, parse_double, rows, safe)
    if value.type == TIMESTAMP:
        return Value(kind, (value.data / 1_000_000).astype(kind.dtype), value.null)
    if value.type == DATE:
        return constant_value(kind, None, rows.count)
    if value.type.name == "decimal":
        return _cast_rows(value, kind, float, rows, safe)
    return Value(kind, value.data.astype(kind.dtype), value.null)


def parse_double(text: str) -> float | None:
    """A double as java.lang.Double.valueOf reads it, without hexadecimal; None where it is none."""
    text = zones.trim_text(text)
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


def _cast_to_whole(value: Value, kind: SqlType, rows: Rows, mode: Mode, safe: bool) -> Value:
    have = value.type
    limit = 1 << (bit_width(kind) - 1)
    if have == STRING:
        return _cast_rows(value, kind, lambda text: _parse_whole(text, limit, mode), rows, safe)
    if have == BOOLEAN:
        return Value(kind, value.data.astype(kind.dtype), value.null)
    if have == DATE:
        return constant_value(kind, None, rows.count)
    if have.name == "decimal":
        return _decimal_to_whole(value, kind, rows, mode, safe)
    data = value.data if have != TIMESTAMP else value.data // 1_000_000
    if have.is_fraction:
        return _fraction_to_whole(value, kind, rows, mode, safe)
    bad = (data > limit - 1) | (data < -limit)
    if not mode.ansi and have != TIMESTAMP:
        bad = np.zeros(rows.count, bool)  # wraps, as a cast of Java does
    made = Value(kind, data.astype(kind.dtype), value.null)
    return refuse_where(made, bad, rows, _overflow_message(kind), safe)


def _parse_whole(text: str, limit: int, mode: Mode) -> int | None:
    text = zones.trim_text(text)
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not mode.ansi and "." in digits:
        # Without ANSI the fraction is cut off, but must be one.
        digits, _, fraction = digits.partition(".")
        if fraction and not (fraction.isascii() and fraction.isdigit()):
            return None
        digits = digits or ("0" if fraction else "")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 4000:
        return None
    number = -int(digits) if text[0] == "-" else int(digits)
    return number if -limit <= number < limit else None


def _fraction_to_whole(value: Value, kind: SqlType, rows: Rows, mode: Mode, safe: bool) -> Value:
    """Towards 0. Without ANSI as Java casts: NaN is 0, and what is too large is the largest."""
    whole = np.trunc(value.data.astype(np.float64))
    limit = float(1 << (bit_width(kind) - 1))
    if mode.ansi:
        bad = np.isnan(whole) | (whole >= limit) | (whole < -limit)
        made = Value(kind, np.where(bad, 0, whole).astype(kind.dtype), value.null)
        return refuse_where(made, bad, rows, _overflow_message(kind), safe)
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
        return None if mode.ansi else (whole + limit) % (2 * limit) - limit

    return _cast_rows(value, kind, convert, rows, safe)


def _overflow_message(kind: SqlType) -> str:
    return f"CAST_OVERFLOW: the value does not fit into {kind}; use try_cast to get null"


def _cast_to_decimal(value: Value, kind: SqlType, rows: Rows, safe: bool) -> Value:
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
        _fail_each(value, invalid, kind, rows)
        rows.note_errors(over, f"NUMERIC_VALUE_OUT_OF_RANGE: the value does not fit into {kind}")
    return value_of(kind, made)


def as_number(kind: SqlType, value: Any) -> Decimal | None:
    """The decimal number of a value; None for NaN, infinities and texts that are no number."""
    if kind == STRING:
        text = zones.trim_text(value)
        if not set(text) <= set("0123456789.eE+-"):
            return None
        try:
            return DECIMALS.create_decimal(text)
        except InvalidOperation:
            return None
    if kind.is_fraction:
        return Decimal(repr(value)) if math.isfinite(value) else None
    if kind == TIMESTAMP:
        return Decimal(value) / 1_000_000
    if kind == DATE:
        return None
    return value if isinstance(value, Decimal) else Decimal(int(value))


def fit_decimal(number: Decimal, kind: SqlType) -> Decimal | None:
    """The number with the scale of a type, rounded half up; None where it has too many digits."""
    if not number.is_finite() or number.adjusted() > 40:
        return None
    fitted = number.quantize(Decimal(1).scaleb(-kind.scale), ROUND_HALF_UP, DECIMALS)
    if fitted.is_zero():
        return abs(fitted)  # a decimal of Java has no -0
    return fitted if fitted.adjusted() < kind.precision - kind.scale else None


def _cast_to_moment(value: Value, kind: SqlType, rows: Rows, mode: Mode, safe: bool) -> Value:
    """A date or timestamp."""
    have, zone = value.type, mode.zone if kind == TIMESTAMP else UTC
    if have == STRING:
        if kind == DATE:
            return _cast_rows(value, kind, zones.parse_date, rows, safe)
        read = zones.parse_clock if kind == TIMESTAMP_NTZ else zones.parse_timestamp
        return _cast_rows(value, kind, lambda text: read(text, zone), rows, safe)
    if kind == DATE:
        local = UTC if have == TIMESTAMP_NTZ else mode.zone
        return _cast_rows(value, kind, lambda at: zones.local_of(at, local) // DAY, rows, safe)
    if have == DATE:
        return _cast_rows(value, kind, lambda day: zones.day_start(day, zone), rows, safe)
    if have in _TIMES:
        move = zones.local_of if kind == TIMESTAMP_NTZ else zones.instant_of
        return _cast_rows(value, kind, lambda at: move(at, mode.zone), rows, safe)
    if have == BOOLEAN:
        return Value(kind, value.data.astype(np.int64), value.null)  # true is 1 microsecond
    return _cast_rows(value, kind, lambda number: _from_seconds(number, mode), rows, safe)


def _from_seconds(seconds: Any, mode: Mode) -> int | None:
    """A bigint that does not fit is the nearest, a decimal wraps; a double so only without ANSI."""
    if isinstance(seconds, Decimal):
        micros = int(DECIMALS.multiply(seconds, Decimal(1_000_000)))
        return (micros + 2**63) % 2**64 - 2**63
    if isinstance(seconds, float):
        is_inside = abs(seconds * 1_000_000) < 2**63
        if not math.isfinite(seconds) or (mode.ansi and not is_inside):
            return None
        return nearest_micros(seconds)
    return nearest_long(int(seconds) * 1_000_000)


def nearest_micros(seconds: float) -> int:
    """Seconds as microseconds; what does not fit a bigint is the nearest."""
    micros = seconds * 1_000_000
    if math.isinf(micros):
        return nearest_long(2**64 if micros > 0 else -(2**64))
    return nearest_long(int(micros))


def nearest_long(number: int) -> int:
    """The bigint nearest to a whole number."""
    return max(-(2**63), min(2**63 - 1, number))


def _cast_nested(value: Value, kind: SqlType, rows: Rows, mode: Mode, safe: bool) -> Value:
    if kind.name == "struct":
        return _cast_struct(value, kind, rows, mode, safe)
    # The lists of all rows as one column of elements, cast and cut into lists again.
    lists = [[] if one is None else one for one in value.to_list()]
    lengths = np.array([len(one) for one in lists], dtype=np.int64)
    flat = list(chain.from_iterable(lists))
    inner = rows.take(np.repeat(np.arange(rows.count), lengths))
    if kind.name == "array":
        parts = [
            cast_value(
                value_of(value.type.parts[0], flat), kind.parts[0], inner, mode, safe
            ).to_list()
        ]
    else:
        parts = [
            cast_value(
                value_of(have, [pair[i] for pair in flat]), want, inner, mode, safe
            ).to_list()
            for i, (have, want) in enumerate(zip(value.type.parts, kind.parts, strict=True))
        ]
    items: list[Any] = parts[0] if len(parts) == 1 else list(zip(*parts, strict=True))
    cuts = list(accumulate(lengths.tolist(), initial=0))
    made = [items[a:b] for a, b in pairwise(cuts)]
    return _with_null(value_of(kind, made), value.null)


def _cast_struct(value: Value, kind: SqlType, rows: Rows, mode: Mode, safe: bool) -> Value:
    present = [one if one is not None else (None,) * len(kind.parts) for one in value.to_list()]
    parts = [
        cast_value(value_of(have, [one[i] for one in present]), want, rows, mode, safe).to_list()
        for i, (have, want) in enumerate(zip(value.type.parts, kind.parts, strict=True))
    ]
    made = list(zip(*parts, strict=True)) if parts else [()] * rows.count
    return _with_null(value_of(kind, made), value.null)


def _with_null(value: Value, null: Array) -> Value:
    return Value(value.type, value.data, null)
