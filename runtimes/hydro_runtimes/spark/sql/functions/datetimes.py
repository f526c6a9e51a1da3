"""Functions of dates and timestamps.

Source: org.apache.spark.sql.catalyst.expressions.datetimeExpressions and
org.apache.spark.sql.catalyst.util.DateTimeUtils, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from decimal import Decimal
from typing import Any

from hydro_runtimes.spark.sql import calendar, zones
from hydro_runtimes.spark.sql.binding import (
    Function,
    constant_of,
    implicit_cast,
    row_by_row,
    row_function,
)
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.intervals import extract_unit
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.pattern_letters import DAYS, MONTHS
from hydro_runtimes.spark.sql.types import (
    DATE,
    INT,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    SqlType,
    decimal_of,
)
from hydro_runtimes.spark.sql.values import Typed


def _date_function(compute: Callable[[int], Any], gives: SqlType = INT) -> Function:
    """A function of a date."""
    return row_function(compute, [DATE], gives)


def _clock_function(compute: Callable[[int], Any], gives: SqlType = INT) -> Function:
    """A function of the time of day, in microseconds, that clocks of the session's zone show."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        kind = TIMESTAMP_NTZ if arguments[0].type == TIMESTAMP_NTZ else TIMESTAMP
        zone = mode.zone if kind == TIMESTAMP else UTC
        child = implicit_cast(arguments[0], kind, mode)
        return row_by_row(lambda at: compute(zones.local_of(at, zone) % DAY), [child], gives)

    return Function(bind, 1, 1, gives)


def _bind_extract(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds extract(unit FROM x) and date_part(unit, x)."""
    unit, child = str(constant_of(arguments[0], "the field")).upper(), arguments[1]
    if child.type.is_interval:
        return extract_unit(unit, child)
    if unit in ("SECOND", "S", "SEC", "SECONDS", "SECS"):
        return _clock_function(
            lambda micros: Decimal(micros % 60_000_000).scaleb(-6).quantize(Decimal("1e-6")),
            decimal_of(8, 6),
        ).bind([child], mode)
    name = _FIELDS.get(unit)
    if name is None:
        raise StatementError(f"'{unit}' cannot be extracted from {child.type}")
    return DATETIMES[name].bind([child], mode)


_FIELDS: Mapping[str, str] = {
    **dict.fromkeys(("YEAR", "Y", "YEARS", "YR", "YRS"), "year"),
    **dict.fromkeys(("YEAROFWEEK",), "yearofweek"),
    **dict.fromkeys(("QUARTER", "QTR"), "quarter"),
    **dict.fromkeys(("MONTH", "MON", "MONS", "MONTHS"), "month"),
    **dict.fromkeys(("WEEK", "W", "WEEKS"), "weekofyear"),
    **dict.fromkeys(("DAY", "D", "DAYS"), "dayofmonth"),
    **dict.fromkeys(("DAYOFWEEK", "DOW"), "dayofweek"),
    **dict.fromkeys(("DAYOFWEEK_ISO", "DOW_ISO"), "dayofweek_iso"),
    "DOY": "dayofyear",
    **dict.fromkeys(("HOUR", "H", "HOURS", "HR", "HRS"), "hour"),
    **dict.fromkeys(("MINUTE", "M", "MIN", "MINS", "MINUTES"), "minute"),
}


def _bind_next_day(arguments: Sequence[Typed], mode: Mode) -> Typed:
    def next_day(days: int, name: str) -> int | None:
        wanted = _weekday_named(name)
        if wanted is None:
            if mode.ansi:
                raise RowError(f"ILLEGAL_DAY_OF_WEEK: '{name}' is not a day of the week")
            return None
        return days + 1 + (wanted - calendar.weekday_of(days + 1)) % 7

    return row_function(next_day, [DATE, STRING], DATE).bind(arguments, mode)


def _weekday_named(name: str) -> int | None:
    upper = name.upper()
    for place, day in enumerate(DAYS):
        if upper in (day.upper(), day[:3].upper(), day[:2].upper()):
            return place
    return None


def _last_day(days: int) -> int:
    year, month, _ = calendar.date_of(days)
    return calendar.days_of(year, month, calendar.month_length(year, month))


DATETIMES: Mapping[str, Function] = {
    "add_months": row_function(calendar.add_months, [DATE, INT], DATE),
    "date_from_unix_date": row_function(lambda days: days, [INT], DATE),
    "date_part": Function(_bind_extract, 2, 2),
    "datediff": row_function(lambda end, start: end - start, [DATE, DATE], INT),
    "dayname": _date_function(lambda days: DAYS[calendar.weekday_of(days)][:3], STRING),
    "dayofmonth": _date_function(lambda days: calendar.date_of(days)[2]),
    "dayofweek": _date_function(lambda days: (calendar.weekday_of(days) + 1) % 7 + 1),
    "dayofweek_iso": _date_function(lambda days: calendar.weekday_of(days) + 1),
    "dayofyear": _date_function(calendar.day_of_year),
    "extract": Function(_bind_extract, 2, 2),
    "hour": _clock_function(lambda micros: micros // 3_600_000_000),
    "last_day": _date_function(_last_day, DATE),
    "minute": _clock_function(lambda micros: micros // 60_000_000 % 60),
    "month": _date_function(lambda days: calendar.date_of(days)[1]),
    "monthname": _date_function(lambda days: MONTHS[calendar.date_of(days)[1] - 1][:3], STRING),
    "next_day": Function(_bind_next_day, 2, 2, DATE),
    "quarter": _date_function(lambda days: (calendar.date_of(days)[1] + 2) // 3),
    "second": _clock_function(lambda micros: micros // 1_000_000 % 60),
    "unix_date": row_function(lambda days: days, [DATE], INT, exact=True),
    "weekday": _date_function(calendar.weekday_of),
    "weekofyear": _date_function(lambda days: calendar.iso_week(days)[1]),
    "year": _date_function(lambda days: calendar.date_of(days)[0]),
    "yearofweek": _date_function(lambda days: calendar.iso_week(days)[0]),
}
"""By Spark's name."""
