"""Functions of dates and timestamps.

Source: org.apache.spark.sql.catalyst.expressions.datetimeExpressions and
org.apache.spark.sql.catalyst.util.DateTimeUtils, 4.3.0.
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
    cast_to,
    constant_of,
    implicit_cast,
    require_type,
    row_by_row,
    row_function,
)
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.datetime_patterns import DateTimePattern, datetime_pattern
from hydro_runtimes.spark.sql.decimals import DECIMALS, nearest_micros
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.intervals import extract_unit, shift_instant
from hydro_runtimes.spark.sql.interval_texts import truncating_divmod
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.pattern_letters import DAYS, MONTHS
from hydro_runtimes.spark.sql.types import (
    BOOLEAN,
    DATE,
    DOUBLE,
    INT,
    LONG,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    UNKNOWN,
    VOID,
    SqlType,
    decimal_of,
)
from hydro_runtimes.spark.sql.values import Typed, constant_value

_TIMES = (TIMESTAMP, TIMESTAMP_NTZ)
_DEFAULT = "yyyy-MM-dd HH:mm:ss"
_DAY_MICROS = {"HOUR": 3_600_000_000, "MINUTE": 60_000_000, "SECOND": 1_000_000}
_DAY_MICROS |= {"MILLISECOND": 1000, "MICROSECOND": 1, "DAY": DAY, "WEEK": 7 * DAY}
_DAY_MICROS |= {"DAYOFYEAR": DAY}
_MONTHS = {"YEAR": 12, "QUARTER": 3, "MONTH": 1}


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

    return row_function(truncate_instant, [STRING, TIMESTAMP], TIMESTAMP).bind(arguments, mode)


def _bind_date_format(arguments: Sequence[Typed], mode: Mode) -> Typed:
    given = [
        implicit_cast(arguments[0], TIMESTAMP, mode),
        implicit_cast(arguments[1], STRING, mode),
    ]
    if given[1].foldable and (pattern := constant_of(given[1], "the pattern")) is not None:
        datetime_pattern(pattern)  # refused when the statement is loaded, not at each row
    return row_by_row(
        lambda at, p: _compile_pattern(p).format_instant(at, mode.zone), given, STRING
    )


def _compile_pattern(pattern: str) -> DateTimePattern:
    try:
        return datetime_pattern(pattern)
    except StatementError as error:
        raise RowError(f"INVALID_DATETIME_PATTERN: {error}") from None


def _pattern_argument(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """The pattern: the second argument, or Spark's default."""
    if len(arguments) > 1:
        return require_type(arguments[1], STRING, mode)
    return Typed(STRING, lambda rows: constant_value(STRING, _DEFAULT, rows.count), foldable=True)


def _parse_by_pattern(text: str, pattern: str, zone: tzinfo, quiet: bool) -> int | None:
    try:
        found = _compile_pattern(pattern).parse_instant(text, zone)
    except StatementError as error:
        raise RowError(f"INVALID_DATETIME_PATTERN: {error}") from None
    if found is None and not quiet:
        raise RowError(
            f"CANNOT_PARSE_TIMESTAMP: {text[:60]!r} is not of the form '{pattern}'; "
            "use try_to_timestamp to get null"
        )
    return found


def _moment_function(kind: SqlType, safe: bool = False) -> Function:
    """The function to_date or to_timestamp: a cast, or reading by a pattern."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = arguments[0]
        if child.type not in (STRING, VOID, UNKNOWN, DATE, *_TIMES):
            if child.type.is_number and kind == TIMESTAMP:
                if len(arguments) > 1:
                    raise StatementError(f"a pattern is for texts, got {child.type}")
            else:
                child = implicit_cast(child, STRING, mode)
        if len(arguments) == 1 or child.type not in (STRING, VOID):
            return cast_to(child, kind, mode, safe)
        pattern = arguments[1]
        quiet = safe or not mode.ansi
        zone = UTC if kind == TIMESTAMP_NTZ else mode.zone

        def read_text(text: str, form: str) -> int | None:
            found = _parse_by_pattern(text, form, zone, quiet)
            if found is None or kind != DATE:
                return found
            return zones.local_of(found, zone) // DAY

        given = [implicit_cast(child, STRING, mode), implicit_cast(pattern, STRING, mode)]
        return row_by_row(read_text, given, kind)

    return Function(bind, 1, 2, kind)


def _bind_unix_timestamp(arguments: Sequence[Typed], mode: Mode) -> Typed:
    if not arguments:
        raise StatementError("without an argument it depends on the time, not on the row")
    child = arguments[0]
    form = _pattern_argument(arguments, mode)
    if child.type == TIMESTAMP_NTZ:
        return row_by_row(lambda at: truncating_divmod(at, 1_000_000)[0], [child], LONG)
    if child.type in (DATE, TIMESTAMP):
        # Rounded towards 0; a cast to bigint rounds down.
        return row_by_row(
            lambda at: truncating_divmod(at, 1_000_000)[0], [cast_to(child, TIMESTAMP, mode)], LONG
        )

    def seconds_of_text(text: str, pattern: str) -> int | None:
        at = _parse_by_pattern(text, pattern, mode.zone, not mode.ansi)
        return None if at is None else at // 1_000_000

    return row_by_row(seconds_of_text, [require_type(child, STRING, mode), form], LONG)


def _bind_from_unixtime(arguments: Sequence[Typed], mode: Mode) -> Typed:
    return row_by_row(
        lambda seconds, form: _compile_pattern(form).format_instant(
            _wrap_long(seconds * 1_000_000), mode.zone
        ),
        [implicit_cast(arguments[0], LONG, mode), _pattern_argument(arguments, mode)],
        STRING,
    )


def _wrap_long(number: int) -> int:
    """The number as a long of Java, which wraps."""
    return (number + 2**63) % 2**64 - 2**63


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


def _bind_make_date(arguments: Sequence[Typed], mode: Mode) -> Typed:
    def make_date(year: int, month: int, day: int) -> int | None:
        if abs(year) < 5_000_000 and calendar.is_date(year, month, day):
            return calendar.days_of(year, month, day)
        if mode.ansi:
            raise RowError(f"DATETIME_FIELD_OUT_OF_BOUNDS: {year}-{month}-{day} is not a date")
        return None

    return row_function(make_date, [INT, INT, INT], DATE).bind(arguments, mode)


def _make_timestamp_function(kind: SqlType, safe: bool = False) -> Function:
    """The function make_timestamp(year, month, day, hour, minute, seconds, zone)."""
    takes = [INT, INT, INT, INT, INT, decimal_of(16, 6), STRING]
    takes = takes if kind == TIMESTAMP else takes[:-1]

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        quiet = safe or not mode.ansi
        zone = mode.zone if kind == TIMESTAMP else UTC

        def make_timestamp(*parts: Any) -> int | None:
            where = _zone_named(parts[6]) if len(parts) > 6 else zone
            return _moment_of(parts, where, quiet)

        return row_function(make_timestamp, takes, kind, least=6).bind(arguments, mode)

    return Function(bind, 6, len(takes), kind)


def _zone_named(name: str) -> tzinfo:
    try:
        return zones.zone_of(name)
    except StatementError as error:
        raise RowError(f"INVALID_TIMEZONE: {error}") from None


def _moment_of(parts: Sequence[Any], zone: tzinfo, quiet: bool) -> int | None:
    year, month, day, hour, minute, second = parts[:6]
    micros = int(second * 1_000_000)
    is_clock = 0 <= hour < 24 and 0 <= minute < 60 and 0 <= micros <= 60_000_000
    if is_clock and abs(year) < 300_000 and calendar.is_date(year, month, day):
        local = calendar.days_of(year, month, day) * DAY
        return zones.instant_of(local + (hour * 60 + minute) * 60_000_000 + micros, zone)
    if quiet:
        return None
    raise RowError("DATETIME_FIELD_OUT_OF_BOUNDS: there is no such date or time")


def _bind_convert_timezone(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds convert_timezone(from, to, timestamp); the default of `from` is the session's zone."""
    given = [implicit_cast(one, STRING, mode) for one in arguments[:-1]]
    given.append(implicit_cast(arguments[-1], TIMESTAMP_NTZ, mode))

    def convert_zone(*parts: Any) -> int:
        *names, local = parts
        source = _zone_named(names[0]) if len(names) > 1 else mode.zone
        return zones.local_of(zones.instant_of(local, source), _zone_named(names[-1]))

    return row_by_row(convert_zone, given, TIMESTAMP_NTZ)


def _bind_timestamp_seconds(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds timestamp_seconds: NaN and infinities give null; what does not fit is an error."""
    child = arguments[0]
    if child.type not in (VOID, UNKNOWN) and not child.type.is_number:
        raise StatementError(f"got {child.type}, want a number")

    def micros_of(seconds: Any) -> int | None:
        if isinstance(seconds, float):
            if not math.isfinite(seconds):
                return None
            return nearest_micros(seconds)
        micros = Decimal(seconds).scaleb(6, DECIMALS)
        if micros != micros.to_integral_value(context=DECIMALS):
            raise RowError("the seconds have more than 6 digits after the point")
        return int(micros)

    return row_by_row(micros_of, [child], TIMESTAMP)


def _whole_number_function(compute: Callable[[int], int], gives: SqlType) -> Function:
    """A function of a whole number; Spark casts no other type to one here."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = arguments[0]
        if not (child.type.is_whole or child.type in (VOID, UNKNOWN)):
            raise StatementError(f"got {child.type}, want a whole number")
        return row_by_row(compute, [cast_to(child, LONG, mode)], gives)

    return Function(bind, 1, 1, gives)


def _instant_function(compute: Callable[[int], int]) -> Function:
    """A function of a timestamp, with or without a zone."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = arguments[0]
        kind = TIMESTAMP_NTZ if child.type == TIMESTAMP_NTZ else TIMESTAMP
        return row_by_row(compute, [require_type(child, kind, mode)], LONG)

    return Function(bind, 1, 1, LONG)


def _zone_shift_function(to_utc: bool) -> Function:
    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        def shift_zone(at: int, name: str) -> int:
            zone = _zone_named(name)
            return zones.instant_of(at, zone) if to_utc else zones.local_of(at, zone)

        return row_function(shift_zone, [TIMESTAMP, STRING], TIMESTAMP).bind(arguments, mode)

    return Function(bind, 2, 2, TIMESTAMP)


def _last_day(days: int) -> int:
    year, month, _ = calendar.date_of(days)
    return calendar.days_of(year, month, calendar.month_length(year, month))


DATETIMES: Mapping[str, Function] = {
    "add_months": row_function(calendar.add_months, [DATE, INT], DATE),
    "convert_timezone": Function(_bind_convert_timezone, 2, 3, TIMESTAMP_NTZ),
    "date_format": Function(_bind_date_format, 2, 2, STRING),
    "date_from_unix_date": row_function(lambda days: days, [INT], DATE),
    "date_part": Function(_bind_extract, 2, 2),
    "date_trunc": Function(_bind_date_trunc, 2, 2, TIMESTAMP),
    "datediff": row_function(lambda end, start: end - start, [DATE, DATE], INT),
    "dayname": _date_function(lambda days: DAYS[calendar.weekday_of(days)][:3], STRING),
    "dayofmonth": _date_function(lambda days: calendar.date_of(days)[2]),
    "dayofweek": _date_function(lambda days: (calendar.weekday_of(days) + 1) % 7 + 1),
    "dayofweek_iso": _date_function(lambda days: calendar.weekday_of(days) + 1),
    "dayofyear": _date_function(calendar.day_of_year),
    "extract": Function(_bind_extract, 2, 2),
    "from_unixtime": Function(_bind_from_unixtime, 1, 2, STRING),
    "from_utc_timestamp": _zone_shift_function(to_utc=False),
    "hour": _clock_function(lambda micros: micros // 3_600_000_000),
    "last_day": _date_function(_last_day, DATE),
    "make_date": Function(_bind_make_date, 3, 3, DATE),
    "make_timestamp": _make_timestamp_function(TIMESTAMP),
    "make_timestamp_ltz": _make_timestamp_function(TIMESTAMP),
    "make_timestamp_ntz": _make_timestamp_function(TIMESTAMP_NTZ),
    "minute": _clock_function(lambda micros: micros // 60_000_000 % 60),
    "month": _date_function(lambda days: calendar.date_of(days)[1]),
    "monthname": _date_function(lambda days: MONTHS[calendar.date_of(days)[1] - 1][:3], STRING),
    "months_between": Function(_bind_months_between, 2, 3, DOUBLE),
    "next_day": Function(_bind_next_day, 2, 2, DATE),
    "quarter": _date_function(lambda days: (calendar.date_of(days)[1] + 2) // 3),
    "second": _clock_function(lambda micros: micros // 1_000_000 % 60),
    "timestamp_micros": _whole_number_function(lambda micros: micros, TIMESTAMP),
    "timestamp_millis": _whole_number_function(lambda millis: millis * 1000, TIMESTAMP),
    "timestamp_seconds": Function(_bind_timestamp_seconds, 1, 1, TIMESTAMP),
    "timestampadd": Function(_bind_timestampadd, 3, 3, TIMESTAMP),
    "timestampdiff": Function(_bind_timestampdiff, 3, 3, LONG),
    "to_date": _moment_function(DATE),
    "to_timestamp": _moment_function(TIMESTAMP),
    "to_timestamp_ltz": _moment_function(TIMESTAMP),
    "to_timestamp_ntz": _moment_function(TIMESTAMP_NTZ),
    "to_unix_timestamp": Function(_bind_unix_timestamp, 1, 2, LONG),
    "to_utc_timestamp": _zone_shift_function(to_utc=True),
    "trunc": Function(_bind_trunc, 2, 2, DATE),
    "try_make_timestamp": _make_timestamp_function(TIMESTAMP, safe=True),
    "try_make_timestamp_ltz": _make_timestamp_function(TIMESTAMP, safe=True),
    "try_make_timestamp_ntz": _make_timestamp_function(TIMESTAMP_NTZ, safe=True),
    "try_to_date": _moment_function(DATE, safe=True),
    "try_to_timestamp": _moment_function(TIMESTAMP, safe=True),
    "unix_date": row_function(lambda days: days, [DATE], INT, exact=True),
    "unix_micros": _instant_function(lambda at: at),
    "unix_millis": _instant_function(lambda at: at // 1000),
    "unix_seconds": _instant_function(lambda at: at // 1_000_000),
    "unix_timestamp": Function(_bind_unix_timestamp, 0, 2, LONG),
    "weekday": _date_function(calendar.weekday_of),
    "weekofyear": _date_function(lambda days: calendar.iso_week(days)[1]),
    "year": _date_function(lambda days: calendar.date_of(days)[0]),
    "yearofweek": _date_function(lambda days: calendar.iso_week(days)[0]),
}
"""By Spark's name."""
