"""Operators of dates, timestamps and intervals.

Source: org.apache.spark.sql.catalyst.analysis.BinaryArithmeticWithDatetimeResolver, and
org.apache.spark.sql.catalyst.expressions.{datetimeExpressions, intervalExpressions}, 4.3.0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hydro_runtimes.spark.sql import calendar, zones
from hydro_runtimes.spark.sql.binding import (
    cast_to,
    cast_to_common_type,
    implicit_cast,
    row_by_row,
)
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.decimals import DECIMALS
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.interval_texts import truncating_divmod
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.syntax import Expression, FunctionCall, Operation
from hydro_runtimes.spark.sql.types import (
    DATE,
    DAYS,
    DOUBLE,
    INT,
    INTERVAL,
    MICROS,
    MONTHS,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    UNKNOWN,
    VOID,
    SqlType,
)
from hydro_runtimes.spark.sql.values import Typed

_TIMES = (TIMESTAMP, TIMESTAMP_NTZ)
_INT, _LONG = 2**31, 2**63
_OVERFLOW = "INTERVAL_ARITHMETIC_OVERFLOW: the interval does not fit"


def bind_datetime_arithmetic(operator: str, sides: Sequence[Typed], mode: Mode) -> Typed | None:
    """+ - * / if a side is a date, timestamp or interval; None if neither is.

    Raises:
        StatementError: Spark has no such operation.
    """
    kinds = [side.type for side in sides]
    if not any(kind in (DATE, *_TIMES) or kind.is_interval for kind in kinds):
        return None
    if UNKNOWN in kinds:
        return Typed(UNKNOWN, sides[0].evaluate)
    left, right = sides
    made = (_bind_sum if operator in ("+", "-") else _bind_scaling)(operator, left, right, mode)
    if made is None:
        raise StatementError(f"{kinds[0]} {operator} {kinds[1]} is not supported")
    return made


def spark_operation(node: Operation, left: SqlType, right: SqlType) -> Expression:
    """The operation as Spark names it: d + 1 is date_add(d, 1)."""
    one, other = node.sides
    plus = node.operator == "+"
    if INTERVAL in (left, right) and node.operator in ("*", "/"):
        name = "multiply_interval" if node.operator == "*" else "divide_interval"
        return FunctionCall(name, (other, one) if right.is_interval else (one, other))
    if VOID in (left, right) and (left.is_interval or right.is_interval or not plus):
        return node
    if node.operator in ("*", "/"):
        return Operation(node.operator, (other, one)) if right.is_interval else node
    if plus and (left.is_interval or right == DATE) and not (right.is_interval):
        one, other, left, right = other, one, right, left
    if left == DATE and right == DAYS:
        days: Expression = FunctionCall("extractansiintervaldays", (other,))
        return FunctionCall("date_add", (one, days if plus else Operation("negate", (days,))))
    if right.is_interval and not left.is_interval:
        return Operation(f"{node.operator} interval", (one, other))
    if left == DATE and right not in (DATE, *_TIMES, STRING):
        return FunctionCall("date_add" if plus else "date_sub", (one, other))
    return node


def _bind_sum(operator: str, left: Typed, right: Typed, mode: Mode) -> Typed | None:
    sign = -1 if operator == "-" else 1
    if sign == 1 and (left.type.is_interval or right.type == DATE) and not right.type.is_interval:
        left, right = right, left
    one, other = left.type, right.type
    if VOID in (one, other) and (one.is_interval or other.is_interval):
        return _interval_sum(left, right, mode, sign)
    if sign == -1 and one == DATE and other == VOID:
        return _bind_difference(left, right, mode)
    if one.is_interval:
        return _interval_sum(left, right, mode, sign)
    if other.is_interval:
        return _plus_interval(left, right, mode, sign)
    if sign == -1 and (one in _TIMES or other in (DATE, *_TIMES)):
        return _bind_difference(left, right, mode)
    if sign == -1 and one == DATE and other == STRING:
        return _bind_difference(left, right, mode)
    if one == DATE and other not in (STRING, DATE, *_TIMES):
        return bind_date_add([left, right], mode, sign)
    return None


def _interval_sum(left: Typed, right: Typed, mode: Mode, sign: int) -> Typed | None:
    if not all(one.type.is_interval or one.type == VOID for one in (left, right)):
        return None
    given = cast_to_common_type([left, right], mode)
    kind = given[0].type
    if kind.name != "interval":
        return row_by_row(lambda a, b: a + sign * b, given, kind)
    return row_by_row(
        lambda a, b: check_interval(tuple(x + sign * y for x, y in zip(a, b, strict=True))),
        given,
        kind,
    )


def check_interval(value: tuple[int, ...]) -> tuple[int, ...]:
    for amount, limit in zip(value, (_INT, _INT, _LONG), strict=True):
        if not -limit <= amount < limit:
            raise RowError(_OVERFLOW)
    return value


def _plus_interval(left: Typed, right: Typed, mode: Mode, sign: int) -> Typed | None:
    kind = right.type
    if left.type == STRING:
        moved = _plus_interval(cast_to(left, TIMESTAMP, mode), right, mode, sign)
        return None if moved is None or kind.is_months else cast_to(moved, STRING, mode)
    if left.type == DATE and kind.is_months:
        return row_by_row(lambda day, n: calendar.add_months(day, sign * n), [left, right], DATE)
    if left.type == DATE and kind == DAYS:
        return row_by_row(lambda day, n: day + sign * (n // DAY), [left, right], DATE)
    if left.type == DATE and kind == INTERVAL:
        return row_by_row(lambda day, span: _day_later(day, span, sign, mode), [left, right], DATE)
    if left.type not in (DATE, *_TIMES):
        return None
    moment = left if left.type in _TIMES else cast_to(left, TIMESTAMP, mode)
    zone = mode.zone if moment.type == TIMESTAMP else UTC

    def add_interval(at: int, span: Any) -> int:
        months, days, micros = interval_parts(kind, span)
        return shift_instant(at, sign * months, sign * days, sign * micros, zone)

    return row_by_row(add_interval, [moment, right], moment.type)


def _day_later(day: int, span: tuple[int, int, int], sign: int, mode: Mode) -> int:
    months, days, micros = (sign * amount for amount in span)
    if micros and mode.ansi:
        raise RowError("INVALID_INTERVAL_WITH_MICROSECONDS_ADDITION: a date takes whole days")
    if not micros:
        return calendar.add_months(day, months) + days
    return shift_instant(day * DAY, months, days, micros, UTC) // DAY


def interval_parts(kind: SqlType, span: Any) -> tuple[int, int, int]:
    """The months, days and microseconds of an interval, all of which may be set."""
    if kind.is_months:
        return span, 0, 0
    if kind.is_micros:
        return 0, *truncating_divmod(span, DAY)
    months, days, micros = span
    return months, days, micros


def shift_instant(at: int, months: int, days: int, micros: int, zone: tzinfo) -> int:
    """An instant plus an interval: months and days are added on the clocks of a zone.

    The offset before is kept if the clocks show the new time twice. Microseconds are added to the
    instant. Source: DateTimeUtils.timestampAddInterval, 4.3.0.
    """
    if months or days:
        offset = zones.offset_at(at, zone)
        day, rest = divmod(at + offset, DAY)
        local = (calendar.add_months(day, months) + days) * DAY + rest
        at = zones.instant_of(local, zone, offset)
    return at + micros


def _bind_difference(left: Typed, right: Typed, mode: Mode) -> Typed | None:
    """Binds left - right, which is an interval; None if Spark has no such difference."""
    kinds = [DATE if side.type in (VOID, STRING) else side.type for side in (left, right)]
    # Without ANSI a text is a date only on the left, and only beside a date.
    odd = not mode.ansi and (right.type == STRING or (left.type == STRING and kinds[1] != DATE))
    if odd or any(kind not in (DATE, *_TIMES) for kind in kinds):
        return None
    if DATE in (left.type, right.type) and kinds == [DATE, DATE]:
        given = [implicit_cast(left, DATE, mode), implicit_cast(right, DATE, mode)]
        return row_by_row(lambda a, b: (a - b) * DAY, given, DAYS)
    kind = TIMESTAMP_NTZ if TIMESTAMP_NTZ in kinds else TIMESTAMP
    zone = mode.zone if kind == TIMESTAMP else UTC
    given = [implicit_cast(left, kind, mode), implicit_cast(right, kind, mode)]
    # On clocks, so that a day has 24 hours even if the clocks change in it.
    return row_by_row(lambda a, b: zones.local_of(a, zone) - zones.local_of(b, zone), given, MICROS)


def bind_date_add(arguments: Sequence[Typed], mode: Mode, sign: int = 1) -> Typed:
    """Binds date_add (sign 1) or date_sub (sign -1).

    Raises:
        StatementError: the first argument is not a date, or the second is not an int.
    """
    start = implicit_cast(arguments[0], DATE, mode)
    days = arguments[1]
    if days.type == STRING and not mode.ansi and not days.foldable:
        raise StatementError("the number of days is string, want int")
    if not (days.type.is_whole and days.type.name != "bigint") and days.type not in (STRING, VOID):
        raise StatementError(f"the number of days is {days.type}, want int")
    return row_by_row(lambda day, n: day + sign * n, [start, implicit_cast(days, INT, mode)], DATE)


def _bind_scaling(operator: str, left: Typed, right: Typed, mode: Mode) -> Typed | None:
    """Binds an interval * or / a number, rounded half up; None if Spark has no such operation."""
    if operator == "*" and right.type.is_interval:
        left, right = right, left
    if not left.type.is_interval or operator not in ("*", "/"):
        return None
    if right.type in (STRING, VOID):
        right = cast_to(right, DOUBLE, mode)
    if not right.type.is_number:
        return None
    kind = left.type
    change = _multiply_span if operator == "*" else _divide_span
    if kind.name == "interval":
        number = cast_to(right, DOUBLE, mode)

        def scale_interval(span: tuple[int, int, int], n: float) -> tuple[int, ...] | None:
            if operator == "/" and n == 0 and not mode.ansi:
                return None
            return _scale_calendar_interval(span, n, operator)

        return row_by_row(scale_interval, [left, number], kind)
    result = MONTHS if kind.is_months else MICROS
    limit = _INT if kind.is_months else _LONG

    def scale_span(span: int, number: Any) -> int:
        if operator == "/" and number == 0:
            raise RowError("INTERVAL_DIVIDED_BY_ZERO: the divisor is 0")
        if isinstance(number, float):
            inexact = span * number if operator == "*" else span / number
            made = _round_half_up(Decimal(inexact)) if math.isfinite(inexact) else limit
        else:
            made = change(span, Decimal(number))
        if not -limit <= made < limit:
            raise RowError(_OVERFLOW)
        return made

    return row_by_row(scale_span, [left, right], result)


def _multiply_span(span: int, number: Decimal) -> int:
    return _round_half_up(DECIMALS.multiply(Decimal(span), number))


def _divide_span(span: int, number: Decimal) -> int:
    return _round_half_up(DECIMALS.divide(Decimal(span), number))


def _round_half_up(number: Decimal) -> int:
    return int(number.to_integral_value(ROUND_HALF_UP, DECIMALS))


def _scale_calendar_interval(
    span: tuple[int, int, int], number: float, operator: str
) -> tuple[int, ...]:
    """A CalendarInterval * or / a number; fractions of days go to the microseconds.

    Source: IntervalUtils.{multiplyExact, divideExact} and fromDoubles, 4.3.0.
    """
    if operator == "/" and number == 0:
        raise RowError("INTERVAL_DIVIDED_BY_ZERO: the divisor is 0")
    try:
        months, days, micros = (x * number if operator == "*" else x / number for x in span)
        whole_days = int(days)
        rest = micros + DAY * (days - whole_days)
        return check_interval((int(months), whole_days, round(rest)))
    except (ValueError, OverflowError):
        raise RowError(_OVERFLOW) from None
