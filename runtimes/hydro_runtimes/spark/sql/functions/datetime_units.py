"""Functions that count, add and cut off units of time: months_between, timestampadd, trunc.

Source: org.apache.spark.sql.catalyst.expressions.datetimeExpressions and
org.apache.spark.sql.catalyst.util.DateTimeUtils, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from decimal import ROUND_HALF_UP, Decimal

from hydro_runtimes.spark.sql import calendar, zones
from hydro_runtimes.spark.sql.binding import (
    Function,
    constant_of,
    implicit_cast,
    row_by_row,
    row_function,
)
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.functions.interval_arithmetic import shift_instant
from hydro_runtimes.spark.sql.interval_texts import truncating_divmod
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    BOOLEAN,
    DATE,
    DOUBLE,
    LONG,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
)
from hydro_runtimes.spark.sql.values import Rows, Typed, constant_value

_DAY_MICROS = {"HOUR": 3_600_000_000, "MINUTE": 60_000_000, "SECOND": 1_000_000}
_DAY_MICROS |= {"MILLISECOND": 1000, "MICROSECOND": 1, "DAY": DAY, "WEEK": 7 * DAY}
_DAY_MICROS |= {"DAYOFYEAR": DAY}
_MONTHS = {"YEAR": 12, "QUARTER": 3, "MONTH": 1}


def _day_and_rest(at: int, zone: tzinfo) -> tuple[int, int]:
    """The day on the clocks of a zone, and the microseconds since its start."""
    day = zones.local_of(at, zone) // DAY
    return day, at - zones.day_start(day, zone)


def _bind_months_between(arguments: Sequence[Typed], mode: Mode) -> Typed:
    given = [implicit_cast(one, TIMESTAMP, mode) for one in arguments[:2]]
    given += [implicit_cast(one, BOOLEAN, mode) for one in arguments[2:]]

    def months_between(later: int, earlier: int, rounds: bool = True) -> float:
        (day1, rest1), (day2, rest2) = (_day_and_rest(at, mode.zone) for at in (later, earlier))
        (y1, m1, d1), (y2, m2, d2) = calendar.date_of(day1), calendar.date_of(day2)
        months = (y1 - y2) * 12 + m1 - m2
        last1, last2 = d1 == calendar.month_length(y1, m1), d2 == calendar.month_length(y2, m2)
        if d1 == d2 or (last1 and last2):
            return float(months)
        seconds = (d1 - d2) * 86400 + rest1 // 1_000_000 - rest2 // 1_000_000
        found = months + seconds / (31 * 86400)
        if not rounds:
            return found
        return float(Decimal(repr(found)).quantize(Decimal("1e-8"), ROUND_HALF_UP))

    return row_by_row(months_between, given, DOUBLE)


def _truncate_date(days: int, unit: str) -> int | None:
    """The first day of the year, quarter, month or week; None for another unit."""
    year, month, _ = calendar.date_of(days)
    match unit.upper():
        case "YEAR" | "YYYY" | "YY":
            return calendar.days_of(year, 1, 1)
        case "QUARTER":
            return calendar.days_of(year, (month - 1) // 3 * 3 + 1, 1)
        case "MONTH" | "MM" | "MON":
            return calendar.days_of(year, month, 1)
        case "WEEK":
            return days - calendar.weekday_of(days)
    return None


def _bind_trunc(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds trunc; if there is no such unit, the date is not evaluated."""
    unit = implicit_cast(arguments[1], STRING, mode)
    known = row_by_row(
        lambda text: text if _truncate_date(0, text) is not None else None, [unit], STRING
    )
    takes = [known, implicit_cast(arguments[0], DATE, mode)]
    return row_by_row(lambda text, days: _truncate_date(days, text), takes, DATE)


def _bind_date_trunc(arguments: Sequence[Typed], mode: Mode) -> Typed:
    def truncate_instant(unit: str, at: int) -> int | None:
        days, rest = divmod(zones.local_of(at, mode.zone), DAY)
        upper = unit.upper()
        if upper in ("DAY", "DD"):
            return zones.day_start(days, mode.zone)
        step = _DAY_MICROS.get(upper) if upper not in ("WEEK", "DAYOFYEAR") else None
        if step is not None:
            if step <= 1_000_000:
                return at - at % step
            return at - rest % step
        start = _truncate_date(days, unit)
        return None if start is None else zones.day_start(start, mode.zone)

    bound = row_function(truncate_instant, [STRING, TIMESTAMP], TIMESTAMP).bind(arguments, mode)
    unit = arguments[0]
    if unit.foldable and unit.type == STRING:
        text = unit.evaluate(Rows.from_columns({}, 1)).to_list()[0]
        if text is not None and truncate_instant(text, 0) is None:
            # Spark does not look at the timestamp then, not even whether it is one.
            return Typed(TIMESTAMP, lambda rows: constant_value(TIMESTAMP, None, rows.count), True)
    return bound


def _bind_timestampdiff(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds timestampdiff: the whole units from the first timestamp to the second."""
    unit = str(constant_of(arguments[0], "the unit")).upper()
    given = [implicit_cast(one, TIMESTAMP, mode) for one in arguments[1:]]
    if unit not in _MONTHS and unit not in _DAY_MICROS:
        raise StatementError(f"there is no unit '{unit[:40]}'")

    def units_from(start: int, end: int) -> int:
        a, b = zones.local_of(start, mode.zone), zones.local_of(end, mode.zone)
        if unit in _MONTHS:
            return truncating_divmod(_whole_months(a, b), _MONTHS[unit])[0]
        # Spark counts on clocks, hours too (java.time.LocalDateTime.until).
        return truncating_divmod(b - a, _DAY_MICROS[unit])[0]

    return row_by_row(units_from, given, LONG)


def _whole_months(a: int, b: int) -> int:
    """The whole months between two times on clocks, in microseconds.

    Source: java.time.LocalDateTime.until, which moves the last day by one if its time of day is
    not reached, and LocalDate.monthsUntil, which packs months and days into months * 32 + days.
    """
    (start, rest1), (end, rest2) = divmod(a, DAY), divmod(b, DAY)
    if end > start and rest2 < rest1:
        end -= 1
    elif end < start and rest2 > rest1:
        end += 1
    (y1, m1, d1), (y2, m2, d2) = calendar.date_of(start), calendar.date_of(end)
    return truncating_divmod(((y2 - y1) * 12 + m2 - m1) * 32 + d2 - d1, 32)[0]


def _bind_timestampadd(arguments: Sequence[Typed], mode: Mode) -> Typed:
    unit = str(constant_of(arguments[0], "the unit")).upper()
    kind = TIMESTAMP_NTZ if arguments[2].type == TIMESTAMP_NTZ else TIMESTAMP
    zone = mode.zone if kind == TIMESTAMP else UTC
    given = [implicit_cast(arguments[1], LONG, mode), implicit_cast(arguments[2], kind, mode)]
    if unit not in _MONTHS and unit not in _DAY_MICROS:
        raise StatementError(f"there is no unit '{unit[:40]}'")

    def add_units(count: int, at: int) -> int:
        if unit in _MONTHS:
            return shift_instant(at, count * _MONTHS[unit], 0, 0, zone)
        if unit in ("DAY", "WEEK", "DAYOFYEAR"):
            return shift_instant(at, 0, count * (7 if unit == "WEEK" else 1), 0, zone)
        return at + count * _DAY_MICROS[unit]

    return row_by_row(add_units, given, kind)


DATETIME_UNITS: Mapping[str, Function] = {
    "date_trunc": Function(_bind_date_trunc, 2, 2, TIMESTAMP),
    "months_between": Function(_bind_months_between, 2, 3, DOUBLE),
    "timestampadd": Function(_bind_timestampadd, 3, 3, TIMESTAMP),
    "timestampdiff": Function(_bind_timestampdiff, 3, 3, LONG),
    "trunc": Function(_bind_trunc, 2, 2, DATE),
}
"""By Spark's name."""
