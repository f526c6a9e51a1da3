"""Arithmetic of dates, timestamps and intervals, and functions that make intervals.

Source: org.apache.spark.sql.catalyst.analysis.BinaryArithmeticWithDatetimeResolver, and
org.apache.spark.sql.catalyst.expressions.intervalExpressions, 4.3.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hydro_runtimes.spark.sql import calendar, zones
from hydro_runtimes.spark.sql.binding import (
    Function,
    argument,
    converted,
    in_common,
    row_by_row,
)
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.casts import DECIMALS, Mode
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.interval_texts import MICROS_OF, between, truncated
from hydro_runtimes.spark.sql.syntax import Call, Expression, Operation
from hydro_runtimes.spark.sql.types import (
    DATE,
    DAYS,
    DOUBLE,
    INT,
    INTERVAL,
    MICRO_UNITS,
    MICROS,
    MONTH_UNITS,
    MONTHS,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    UNKNOWN,
    VOID,
    SqlType,
    decimal,
)
from hydro_runtimes.spark.sql.values import Typed, constant

_TIMES = (TIMESTAMP, TIMESTAMP_NTZ)
_INT, _LONG = 2**31, 2**63
_OVERFLOW = "INTERVAL_ARITHMETIC_OVERFLOW: the interval does not fit"


def dated(operator: str, sides: Sequence[Typed], mode: Mode) -> Typed | None:
    """+ - * / where a side is a date, timestamp or interval; None where none is.

    Raises:
        StatementError: Spark has no such operation.
    """
    kinds = [side.type for side in sides]
    if not any(kind in (DATE, *_TIMES) or kind.is_interval for kind in kinds):
        return None
    if UNKNOWN in kinds:
        return Typed(UNKNOWN, sides[0].evaluate)
    left, right = sides
    made = (_moved if operator in ("+", "-") else _scaled)(operator, left, right, mode)
    if made is None:
        raise StatementError(f"{kinds[0]} {operator} {kinds[1]} is not supported")
    return made


def shown(node: Operation, left: SqlType, right: SqlType) -> Expression:
    """The operation as Spark names it: d + 1 is date_add(d, 1)."""
    one, other = node.sides
    plus = node.operator == "+"
    if INTERVAL in (left, right) and node.operator in ("*", "/"):
        name = "multiply_interval" if node.operator == "*" else "divide_interval"
        return Call(name, (other, one) if right.is_interval else (one, other))
    if VOID in (left, right) and (left.is_interval or right.is_interval or not plus):
        return node
    if node.operator in ("*", "/"):
        return Operation(node.operator, (other, one)) if right.is_interval else node
    if plus and (left.is_interval or right == DATE) and not (right.is_interval):
        one, other, left, right = other, one, right, left
    if left == DATE and right == DAYS:
        days: Expression = Call("extractansiintervaldays", (other,))
        return Call("date_add", (one, days if plus else Operation("negate", (days,))))
    if right.is_interval and not left.is_interval:
        return Operation(f"{node.operator} interval", (one, other))
    if left == DATE and right not in (DATE, *_TIMES, STRING):
        return Call("date_add" if plus else "date_sub", (one, other))
    return node


def _moved(operator: str, left: Typed, right: Typed, mode: Mode) -> Typed | None:
    sign = -1 if operator == "-" else 1
    if sign == 1 and (left.type.is_interval or right.type == DATE) and not right.type.is_interval:
        left, right = right, left
    one, other = left.type, right.type
    if VOID in (one, other) and (one.is_interval or other.is_interval):
        return _interval_sum(left, right, mode, sign)
    if sign == -1 and one == DATE and other == VOID:
        return _difference(left, right, mode)
    if one.is_interval:
        return _interval_sum(left, right, mode, sign)
    if other.is_interval:
        return _plus_interval(left, right, mode, sign)
    if sign == -1 and (one in _TIMES or other in (DATE, *_TIMES)):
        return _difference(left, right, mode)
    if sign == -1 and one == DATE and other == STRING:
        return _difference(left, right, mode)
    if one == DATE and other not in (STRING, DATE, *_TIMES):
        return days_later([left, right], mode, sign)
    return None


def _interval_sum(left: Typed, right: Typed, mode: Mode, sign: int) -> Typed | None:
    if not all(one.type.is_interval or one.type == VOID for one in (left, right)):
        return None
    given = in_common([left, right], mode)
    kind = given[0].type
    if kind.name != "interval":
        return row_by_row(lambda a, b: a + sign * b, given, kind)
    return row_by_row(
        lambda a, b: _fits(tuple(x + sign * y for x, y in zip(a, b, strict=True))), given, kind
    )


def _fits(value: tuple[int, ...]) -> tuple[int, ...]:
    for amount, limit in zip(value, (_INT, _INT, _LONG), strict=True):
        if not -limit <= amount < limit:
            raise RowError(_OVERFLOW)
    return value


def _plus_interval(left: Typed, right: Typed, mode: Mode, sign: int) -> Typed | None:
    kind = right.type
    if left.type == STRING:
        moved = _plus_interval(converted(left, TIMESTAMP, mode), right, mode, sign)
        return None if moved is None or kind.is_months else converted(moved, STRING, mode)
    if left.type == DATE and kind.is_months:
        return row_by_row(lambda day, n: calendar.add_months(day, sign * n), [left, right], DATE)
    if left.type == DATE and kind == DAYS:
        return row_by_row(lambda day, n: day + sign * (n // DAY), [left, right], DATE)
    if left.type == DATE and kind == INTERVAL:
        return row_by_row(lambda day, span: _day_later(day, span, sign, mode), [left, right], DATE)
    if left.type not in (DATE, *_TIMES):
        return None
    moment = left if left.type in _TIMES else converted(left, TIMESTAMP, mode)
    zone = mode.zone if moment.type == TIMESTAMP else UTC

    def plus(at: int, span: Any) -> int:
        months, days, micros = parts_of(kind, span)
        return later(at, sign * months, sign * days, sign * micros, zone)

    return row_by_row(plus, [moment, right], moment.type)


def _day_later(day: int, span: tuple[int, int, int], sign: int, mode: Mode) -> int:
    months, days, micros = (sign * amount for amount in span)
    if micros and mode.ansi:
        raise RowError("INVALID_INTERVAL_WITH_MICROSECONDS_ADDITION: a date takes whole days")
    if not micros:
        return calendar.add_months(day, months) + days
    return later(day * DAY, months, days, micros, UTC) // DAY


def parts_of(kind: SqlType, span: Any) -> tuple[int, int, int]:
    """Months, days and microseconds: whole days move what clocks show."""
    if kind.is_months:
        return span, 0, 0
    if kind.is_micros:
        return 0, *truncated(span, DAY)
    months, days, micros = span
    return months, days, micros


def later(at: int, months: int, days: int, micros: int, zone: tzinfo) -> int:
    """Months and days move what clocks show, microseconds the instant."""
    if months or days:
        offset = zones.offset_at(at, zone)
        day, rest = divmod(at + offset, DAY)
        local = (calendar.add_months(day, months) + days) * DAY + rest
        at = zones.instant_of(local, zone, offset)
    return at + micros


def _difference(left: Typed, right: Typed, mode: Mode) -> Typed | None:
    """The interval from right to left."""
    kinds = [DATE if side.type in (VOID, STRING) else side.type for side in (left, right)]
    # Without ANSI a text is only a date before another.
    odd = not mode.ansi and (right.type == STRING or (left.type == STRING and kinds[1] != DATE))
    if odd or any(kind not in (DATE, *_TIMES) for kind in kinds):
        return None
    if DATE in (left.type, right.type) and kinds == [DATE, DATE]:
        given = [argument(left, DATE, mode), argument(right, DATE, mode)]
        return row_by_row(lambda a, b: (a - b) * DAY, given, DAYS)
    kind = TIMESTAMP_NTZ if TIMESTAMP_NTZ in kinds else TIMESTAMP
    zone = mode.zone if kind == TIMESTAMP else UTC
    given = [argument(left, kind, mode), argument(right, kind, mode)]
    # Of what clocks show, so that a day is 24 hours long also where the clocks change.
    return row_by_row(lambda a, b: zones.local_of(a, zone) - zones.local_of(b, zone), given, MICROS)


def days_later(arguments: Sequence[Typed], mode: Mode, sign: int = 1) -> Typed:
    """The date so many days on.

    Raises:
        StatementError: it is no date, or the number is none that Spark takes.
    """
    start = argument(arguments[0], DATE, mode)
    days = arguments[1]
    if days.type == STRING and not mode.ansi and not days.foldable:
        raise StatementError("the number of days is string, want int")
    if not (days.type.is_whole and days.type.name != "bigint") and days.type not in (STRING, VOID):
        raise StatementError(f"the number of days is {days.type}, want int")
    return row_by_row(lambda day, n: day + sign * n, [start, argument(days, INT, mode)], DATE)


def _scaled(operator: str, left: Typed, right: Typed, mode: Mode) -> Typed | None:
    """An interval times or over a number, rounded half up."""
    if operator == "*" and right.type.is_interval:
        left, right = right, left
    if not left.type.is_interval or operator not in ("*", "/"):
        return None
    if right.type in (STRING, VOID):
        right = converted(right, DOUBLE, mode)
    if not right.type.is_number:
        return None
    kind = left.type
    change = _product if operator == "*" else _quotient
    if kind.name == "interval":
        number = converted(right, DOUBLE, mode)
        return row_by_row(lambda span, n: _mixed(span, n, operator), [left, number], kind)
    result = MONTHS if kind.is_months else MICROS
    limit = _INT if kind.is_months else _LONG

    def scaled(span: int, number: Any) -> int:
        if operator == "/" and number == 0:
            raise RowError("INTERVAL_DIVIDED_BY_ZERO: the divisor is 0")
        if isinstance(number, float):
            inexact = span * number if operator == "*" else span / number
            made = _half_up(Decimal(inexact)) if math.isfinite(inexact) else limit
        else:
            made = change(span, Decimal(number))
        if not -limit <= made < limit:
            raise RowError(_OVERFLOW)
        return made

    return row_by_row(scaled, [left, right], result)


def _product(span: int, number: Decimal) -> int:
    return _half_up(DECIMALS.multiply(Decimal(span), number))


def _quotient(span: int, number: Decimal) -> int:
    return _half_up(DECIMALS.divide(Decimal(span), number))


def _half_up(number: Decimal) -> int:
    return int(number.to_integral_value(ROUND_HALF_UP, DECIMALS))


def _mixed(span: tuple[int, int, int], number: float, operator: str) -> tuple[int, ...]:
    """Fractions of months go to days, those of days to microseconds; a month has 30 days."""
    if operator == "/" and number == 0:
        raise RowError("INTERVAL_DIVIDED_BY_ZERO: the divisor is 0")
    try:
        months, days, micros = (x * number if operator == "*" else x / number for x in span)
        whole_days = int(days)
        rest = micros + DAY * (days - whole_days)
        return _fits((int(months), whole_days, round(rest)))
    except (ValueError, OverflowError):
        raise RowError(_OVERFLOW) from None


_SECONDS = decimal(18, 6)


def _micros(seconds: Decimal) -> int:
    return int(seconds.scaleb(6))


def _make_interval(safe: bool) -> Function:
    """make_interval(years, months, weeks, days, hours, minutes, seconds)."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        takes = [INT] * 6 + [_SECONDS]
        given = [argument(one, kind, mode) for one, kind in zip(arguments, takes, strict=False)]

        def made(*parts: Any) -> tuple[int, ...] | None:
            years, months, weeks, days, hours, minutes, seconds = [*parts, *[0] * 7][:7]
            clock = hours * MICROS_OF["hour"] + minutes * MICROS_OF["minute"]
            value = (
                years * 12 + months,
                weeks * 7 + days,
                clock + _micros(Decimal(seconds)),
            )
            try:
                return _fits(value)
            except RowError:
                if safe or not mode.ansi:
                    return None
                raise

        if not given:
            given = [converted(_zero(), INT, mode)]
        return row_by_row(made, given, INTERVAL)

    return Function(bind, 0, 7, INTERVAL)


def _zero() -> Typed:
    return Typed(INT, lambda rows: constant(INT, 0, rows.count), foldable=True)


def _days_to_seconds(arguments: Sequence[Typed], mode: Mode) -> Typed:
    takes = [INT, INT, INT, _SECONDS]
    given = [argument(one, kind, mode) for one, kind in zip(arguments, takes, strict=False)]

    def made(days: int = 0, hours: int = 0, minutes: int = 0, seconds: Any = 0) -> int:
        whole = days * DAY + hours * MICROS_OF["hour"] + minutes * MICROS_OF["minute"]
        return whole + _micros(Decimal(seconds))

    return row_by_row(made, given or [_zero()], MICROS)


def _years_to_months(arguments: Sequence[Typed], mode: Mode) -> Typed:
    given = [argument(one, INT, mode) for one in arguments] or [_zero()]
    return row_by_row(lambda years, months=0: years * 12 + months, given, MONTHS)


def extracted(unit: str, child: Typed) -> Typed:
    """A unit of an interval.

    Raises:
        StatementError: the interval has no such unit.
    """
    name = _UNITS.get(unit.lower())
    kind = child.type
    found = _EXTRACT.get(name or "") if _has(kind, name) else None
    if found is None:
        raise StatementError(f"'{unit}' cannot be extracted from {kind}")
    compute, gives = found
    return row_by_row(lambda span: compute(*parts_of(kind, span)), [child], gives)


def _has(kind: SqlType, name: str | None) -> bool:
    if kind.is_months:
        return name in MONTH_UNITS and (name in kind.units)
    if kind.name == "interval":
        return name in _EXTRACT
    return name in MICRO_UNITS and name in between(*kind.units)


_UNITS: Mapping[str, str] = {
    **dict.fromkeys(("year", "y", "years", "yr", "yrs"), "year"),
    **dict.fromkeys(("month", "mon", "mons", "months"), "month"),
    **dict.fromkeys(("day", "d", "days"), "day"),
    **dict.fromkeys(("hour", "h", "hours", "hr", "hrs"), "hour"),
    **dict.fromkeys(("minute", "m", "min", "mins", "minutes"), "minute"),
    **dict.fromkeys(("second", "s", "sec", "seconds", "secs"), "second"),
}


def _second(months: int, days: int, micros: int) -> Decimal:
    return Decimal(truncated(micros, 60_000_000)[1]).scaleb(-6)


_BYTE, _WIDE = SqlType("tinyint"), SqlType("bigint")
_EXTRACT: Mapping[str, tuple[Callable[[int, int, int], Any], SqlType]] = {
    "year": (lambda months, days, micros: truncated(months, 12)[0], INT),
    "month": (lambda months, days, micros: truncated(months, 12)[1], _BYTE),
    "day": (lambda months, days, micros: days, INT),
    "hour": (lambda months, days, micros: truncated(micros, MICROS_OF["hour"])[0], _BYTE),
    "minute": (
        lambda months, days, micros: truncated(
            truncated(micros, MICROS_OF["hour"])[1], MICROS_OF["minute"]
        )[0],
        _BYTE,
    ),
    "second": (_second, decimal(8, 6)),
}

INTERVALS: Mapping[str, Function] = {
    "date_add": Function(lambda given, mode: days_later(given, mode, 1), 2, 2, DATE),
    "date_sub": Function(lambda given, mode: days_later(given, mode, -1), 2, 2, DATE),
    "make_dt_interval": Function(_days_to_seconds, 0, 4, MICROS),
    "make_interval": _make_interval(safe=False),
    "make_ym_interval": Function(_years_to_months, 0, 2, MONTHS),
    "try_make_interval": _make_interval(safe=True),
}
"""By Spark's name."""
