"""Functions of dates, timestamps and intervals.

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
    argument,
    constant_of,
    converted,
    exactly,
    row_by_row,
    strict,
)
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.casts import DECIMALS, Mode, nearest_micros
from hydro_runtimes.spark.sql.datetime_patterns import DAYS, MONTHS, datetime_pattern
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.intervals import extracted, later
from hydro_runtimes.spark.sql.interval_texts import truncated
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
    decimal,
)
from hydro_runtimes.spark.sql.values import Typed, constant

_TIMES = (TIMESTAMP, TIMESTAMP_NTZ)
_DEFAULT = "yyyy-MM-dd HH:mm:ss"
_DAY_MICROS = {"HOUR": 3_600_000_000, "MINUTE": 60_000_000, "SECOND": 1_000_000}
_DAY_MICROS |= {"MILLISECOND": 1000, "MICROSECOND": 1, "DAY": DAY, "WEEK": 7 * DAY}
_DAY_MICROS |= {"DAYOFYEAR": DAY}
_MONTHS = {"YEAR": 12, "QUARTER": 3, "MONTH": 1}


def _of_day(compute: Callable[[int], Any], gives: SqlType = INT) -> Function:
    """A function of a date."""
    return strict(compute, [DATE], gives)


def _of_clock(compute: Callable[[int], Any], gives: SqlType = INT) -> Function:
    """A function of the microseconds of the day that clocks of the zone show."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        kind = TIMESTAMP_NTZ if arguments[0].type == TIMESTAMP_NTZ else TIMESTAMP
        zone = mode.zone if kind == TIMESTAMP else UTC
        child = argument(arguments[0], kind, mode)
        return row_by_row(lambda at: compute(zones.local_of(at, zone) % DAY), [child], gives)

    return Function(bind, 1, 1, gives)


def _day_and_rest(at: int, zone: tzinfo) -> tuple[int, int]:
    """The day, and the microseconds that have gone by in it, which clocks may show otherwise."""
    day = zones.local_of(at, zone) // DAY
    return day, at - zones.day_start(day, zone)


def _months_between(arguments: Sequence[Typed], mode: Mode) -> Typed:
    given = [argument(one, TIMESTAMP, mode) for one in arguments[:2]]
    given += [argument(one, BOOLEAN, mode) for one in arguments[2:]]

    def between(later: int, earlier: int, rounds: bool = True) -> float:
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

    return row_by_row(between, given, DOUBLE)


def _truncated(days: int, unit: str) -> int | None:
    """The first day of a year, quarter, month or week; None for another unit."""
    year, month, _ = calendar.date_of(days)
    match unit.upper():
        case "YEAR" | "YYYY" | "YY":
            return calendar.days_of(year, 1, 1)
        case "QUARTER":
            return calendar.days_of(year, (month - 1) // 3 * 3 + 1, 1)
        case "MONTH" | "MM" | "MON":
            return calendar.days_of(year, month, 1)
        case "WEEK":
            return days - calendar.weekday(days)
    return None


def _trunc(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """The date is not even read where there is no such unit."""
    unit = argument(arguments[1], STRING, mode)
    known = row_by_row(
        lambda text: text if _truncated(0, text) is not None else None, [unit], STRING
    )
    takes = [known, argument(arguments[0], DATE, mode)]
    return row_by_row(lambda text, days: _truncated(days, text), takes, DATE)


def _date_trunc(arguments: Sequence[Typed], mode: Mode) -> Typed:
    def truncated(unit: str, at: int) -> int | None:
        days, rest = divmod(zones.local_of(at, mode.zone), DAY)
        upper = unit.upper()
        if upper in ("DAY", "DD"):
            return zones.day_start(days, mode.zone)
        step = _DAY_MICROS.get(upper) if upper not in ("WEEK", "DAYOFYEAR") else None
        if step is not None:
            if step <= 1_000_000:
                return at - at % step
            return at - rest % step
        start = _truncated(days, unit)
        return None if start is None else zones.day_start(start, mode.zone)

    return strict(truncated, [STRING, TIMESTAMP], TIMESTAMP).bind(arguments, mode)


def _date_format(arguments: Sequence[Typed], mode: Mode) -> Typed:
    given = [argument(arguments[0], TIMESTAMP, mode), argument(arguments[1], STRING, mode)]
    if given[1].foldable and (pattern := constant_of(given[1], "the pattern")) is not None:
        datetime_pattern(pattern)  # refused when the statement is loaded, not at each row
    return row_by_row(lambda at, p: _pattern(p).write(at, mode.zone), given, STRING)


def _pattern(pattern: str) -> Any:
    try:
        return datetime_pattern(pattern)
    except StatementError as error:
        raise RowError(f"INVALID_DATETIME_PATTERN: {error}") from None


def _form(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """The pattern that is the second argument, or the one that Spark has without it."""
    if len(arguments) > 1:
        return exactly(arguments[1], STRING, mode)
    return Typed(STRING, lambda rows: constant(STRING, _DEFAULT, rows.count), foldable=True)


def _read(text: str, pattern: str, zone: tzinfo, quiet: bool) -> int | None:
    try:
        found: int | None = _pattern(pattern).read(text, zone)
    except StatementError as error:
        raise RowError(f"INVALID_DATETIME_PATTERN: {error}") from None
    if found is None and not quiet:
        raise RowError(
            f"CANNOT_PARSE_TIMESTAMP: {text[:60]!r} is not of the form '{pattern}'; "
            "use try_to_timestamp to get null"
        )
    return found


def _to_moment(kind: SqlType, safe: bool = False) -> Function:
    """to_date and to_timestamp: a cast, or read by a pattern."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = arguments[0]
        if child.type not in (STRING, VOID, UNKNOWN, DATE, *_TIMES):
            if child.type.is_number and kind == TIMESTAMP:
                if len(arguments) > 1:
                    raise StatementError(f"a pattern is for texts, got {child.type}")
            else:
                child = argument(child, STRING, mode)
        if len(arguments) == 1 or child.type not in (STRING, VOID):
            return converted(child, kind, mode, safe)
        pattern = arguments[1]
        quiet = safe or not mode.ansi
        zone = UTC if kind == TIMESTAMP_NTZ else mode.zone

        def read(text: str, form: str) -> int | None:
            found = _read(text, form, zone, quiet)
            if found is None or kind != DATE:
                return found
            return zones.local_of(found, zone) // DAY

        given = [argument(child, STRING, mode), argument(pattern, STRING, mode)]
        return row_by_row(read, given, kind)

    return Function(bind, 1, 2, kind)


def _unix_timestamp(arguments: Sequence[Typed], mode: Mode) -> Typed:
    if not arguments:
        raise StatementError("without an argument it depends on the time, not on the row")
    child = arguments[0]
    form = _form(arguments, mode)
    if child.type == TIMESTAMP_NTZ:
        return row_by_row(lambda at: truncated(at, 1_000_000)[0], [child], LONG)
    if child.type in (DATE, TIMESTAMP):
        # Towards 0, other than a cast, which goes down.
        return row_by_row(
            lambda at: truncated(at, 1_000_000)[0], [converted(child, TIMESTAMP, mode)], LONG
        )

    def seconds(text: str, pattern: str) -> int | None:
        at = _read(text, pattern, mode.zone, not mode.ansi)
        return None if at is None else at // 1_000_000

    return row_by_row(seconds, [exactly(child, STRING, mode), form], LONG)


def _from_unixtime(arguments: Sequence[Typed], mode: Mode) -> Typed:
    return row_by_row(
        lambda seconds, form: _pattern(form).write(_wrapped(seconds * 1_000_000), mode.zone),
        [argument(arguments[0], LONG, mode), _form(arguments, mode)],
        STRING,
    )


def _wrapped(number: int) -> int:
    """As a long of Java that overflows."""
    return (number + 2**63) % 2**64 - 2**63


def _extract(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """extract(unit FROM x) and date_part(unit, x)."""
    unit, child = str(constant_of(arguments[0], "the field")).upper(), arguments[1]
    if child.type.is_interval:
        return extracted(unit, child)
    if unit in ("SECOND", "S", "SEC", "SECONDS", "SECS"):
        return _of_clock(
            lambda micros: Decimal(micros % 60_000_000).scaleb(-6).quantize(Decimal("1e-6")),
            decimal(8, 6),
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


def _timestampdiff(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """The whole units from the first to the second."""
    unit = str(constant_of(arguments[0], "the unit")).upper()
    given = [argument(one, TIMESTAMP, mode) for one in arguments[1:]]
    if unit not in _MONTHS and unit not in _DAY_MICROS:
        raise StatementError(f"there is no unit '{unit[:40]}'")

    def between(start: int, end: int) -> int:
        a, b = zones.local_of(start, mode.zone), zones.local_of(end, mode.zone)
        if unit in _MONTHS:
            return truncated(_whole_months(a, b), _MONTHS[unit])[0]
        # Of what clocks show, hours too: java.time's LocalDateTime.until.
        return truncated(b - a, _DAY_MICROS[unit])[0]

    return row_by_row(between, given, LONG)


def _whole_months(a: int, b: int) -> int:
    """Source: java.time.LocalDateTime.until: the time of day moves the date it ends on."""
    (start, rest1), (end, rest2) = divmod(a, DAY), divmod(b, DAY)
    if end > start and rest2 < rest1:
        end -= 1
    elif end < start and rest2 > rest1:
        end += 1
    (y1, m1, d1), (y2, m2, d2) = calendar.date_of(start), calendar.date_of(end)
    return truncated(((y2 - y1) * 12 + m2 - m1) * 32 + d2 - d1, 32)[0]


def _timestampadd(arguments: Sequence[Typed], mode: Mode) -> Typed:
    unit = str(constant_of(arguments[0], "the unit")).upper()
    kind = TIMESTAMP_NTZ if arguments[2].type == TIMESTAMP_NTZ else TIMESTAMP
    zone = mode.zone if kind == TIMESTAMP else UTC
    given = [argument(arguments[1], LONG, mode), argument(arguments[2], kind, mode)]
    if unit not in _MONTHS and unit not in _DAY_MICROS:
        raise StatementError(f"there is no unit '{unit[:40]}'")

    def plus(count: int, at: int) -> int:
        if unit in _MONTHS:
            return later(at, count * _MONTHS[unit], 0, 0, zone)
        if unit in ("DAY", "WEEK", "DAYOFYEAR"):
            return later(at, 0, count * (7 if unit == "WEEK" else 1), 0, zone)
        return at + count * _DAY_MICROS[unit]

    return row_by_row(plus, given, kind)


def _next_day(arguments: Sequence[Typed], mode: Mode) -> Typed:
    def following(days: int, name: str) -> int | None:
        wanted = _weekday(name)
        if wanted is None:
            if mode.ansi:
                raise RowError(f"ILLEGAL_DAY_OF_WEEK: '{name}' is not a day of the week")
            return None
        return days + 1 + (wanted - calendar.weekday(days + 1)) % 7

    return strict(following, [DATE, STRING], DATE).bind(arguments, mode)


def _weekday(name: str) -> int | None:
    upper = name.upper()
    for place, day in enumerate(DAYS):
        if upper in (day.upper(), day[:3].upper(), day[:2].upper()):
            return place
    return None


def _make_date(arguments: Sequence[Typed], mode: Mode) -> Typed:
    def made(year: int, month: int, day: int) -> int | None:
        if abs(year) < 5_000_000 and calendar.is_date(year, month, day):
            return calendar.days_of(year, month, day)
        if mode.ansi:
            raise RowError(f"DATETIME_FIELD_OUT_OF_BOUNDS: {year}-{month}-{day} is not a date")
        return None

    return strict(made, [INT, INT, INT], DATE).bind(arguments, mode)


def _make_timestamp(kind: SqlType, safe: bool = False) -> Function:
    """make_timestamp(year, month, day, hour, minute, seconds, zone)."""
    takes = [INT, INT, INT, INT, INT, decimal(16, 6), STRING]
    takes = takes if kind == TIMESTAMP else takes[:-1]

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        quiet = safe or not mode.ansi
        zone = mode.zone if kind == TIMESTAMP else UTC

        def made(*parts: Any) -> int | None:
            where = _zone(parts[6]) if len(parts) > 6 else zone
            return _moment_of(parts, where, quiet)

        return strict(made, takes, kind, least=6).bind(arguments, mode)

    return Function(bind, 6, len(takes), kind)


def _zone(name: str) -> tzinfo:
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


def _convert_timezone(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """convert_timezone(from, to, timestamp); from the session's zone without the first."""
    given = [argument(one, STRING, mode) for one in arguments[:-1]]
    given.append(argument(arguments[-1], TIMESTAMP_NTZ, mode))

    def moved(*parts: Any) -> int:
        *names, local = parts
        source = _zone(names[0]) if len(names) > 1 else mode.zone
        return zones.local_of(zones.instant_of(local, source), _zone(names[-1]))

    return row_by_row(moved, given, TIMESTAMP_NTZ)


def _from_seconds(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """NaN and infinities give null; a bigint or decimal that does not fit is an error."""
    child = arguments[0]
    if child.type not in (VOID, UNKNOWN) and not child.type.is_number:
        raise StatementError(f"got {child.type}, want a number")

    def moment(seconds: Any) -> int | None:
        if isinstance(seconds, float):
            if not math.isfinite(seconds):
                return None
            return nearest_micros(seconds)
        micros = Decimal(seconds).scaleb(6, DECIMALS)
        if micros != micros.to_integral_value(context=DECIMALS):
            raise RowError("the seconds have more than 6 digits after the point")
        return int(micros)

    return row_by_row(moment, [child], TIMESTAMP)


def _of_whole(compute: Callable[[int], int], gives: SqlType) -> Function:
    """A function of a whole number; Spark casts nothing else to one here."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = arguments[0]
        if not (child.type.is_whole or child.type in (VOID, UNKNOWN)):
            raise StatementError(f"got {child.type}, want a whole number")
        return row_by_row(compute, [converted(child, LONG, mode)], gives)

    return Function(bind, 1, 1, gives)


def _of_instant(compute: Callable[[int], int]) -> Function:
    """A function of a timestamp, with or without a zone."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = arguments[0]
        kind = TIMESTAMP_NTZ if child.type == TIMESTAMP_NTZ else TIMESTAMP
        return row_by_row(compute, [exactly(child, kind, mode)], LONG)

    return Function(bind, 1, 1, LONG)


def _zone_shift(to_utc: bool) -> Function:
    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        def shifted(at: int, name: str) -> int:
            zone = _zone(name)
            return zones.instant_of(at, zone) if to_utc else zones.local_of(at, zone)

        return strict(shifted, [TIMESTAMP, STRING], TIMESTAMP).bind(arguments, mode)

    return Function(bind, 2, 2, TIMESTAMP)


def _last_day(days: int) -> int:
    year, month, _ = calendar.date_of(days)
    return calendar.days_of(year, month, calendar.month_length(year, month))


DATETIMES: Mapping[str, Function] = {
    "add_months": strict(calendar.add_months, [DATE, INT], DATE),
    "convert_timezone": Function(_convert_timezone, 2, 3, TIMESTAMP_NTZ),
    "date_format": Function(_date_format, 2, 2, STRING),
    "date_from_unix_date": strict(lambda days: days, [INT], DATE),
    "date_part": Function(_extract, 2, 2),
    "date_trunc": Function(_date_trunc, 2, 2, TIMESTAMP),
    "datediff": strict(lambda end, start: end - start, [DATE, DATE], INT),
    "dayname": _of_day(lambda days: DAYS[calendar.weekday(days)][:3], STRING),
    "dayofmonth": _of_day(lambda days: calendar.date_of(days)[2]),
    "dayofweek": _of_day(lambda days: (calendar.weekday(days) + 1) % 7 + 1),
    "dayofweek_iso": _of_day(lambda days: calendar.weekday(days) + 1),
    "dayofyear": _of_day(calendar.day_of_year),
    "extract": Function(_extract, 2, 2),
    "from_unixtime": Function(_from_unixtime, 1, 2, STRING),
    "from_utc_timestamp": _zone_shift(to_utc=False),
    "hour": _of_clock(lambda micros: micros // 3_600_000_000),
    "last_day": _of_day(_last_day, DATE),
    "make_date": Function(_make_date, 3, 3, DATE),
    "make_timestamp": _make_timestamp(TIMESTAMP),
    "make_timestamp_ltz": _make_timestamp(TIMESTAMP),
    "make_timestamp_ntz": _make_timestamp(TIMESTAMP_NTZ),
    "minute": _of_clock(lambda micros: micros // 60_000_000 % 60),
    "month": _of_day(lambda days: calendar.date_of(days)[1]),
    "monthname": _of_day(lambda days: MONTHS[calendar.date_of(days)[1] - 1][:3], STRING),
    "months_between": Function(_months_between, 2, 3, DOUBLE),
    "next_day": Function(_next_day, 2, 2, DATE),
    "quarter": _of_day(lambda days: (calendar.date_of(days)[1] + 2) // 3),
    "second": _of_clock(lambda micros: micros // 1_000_000 % 60),
    "timestamp_micros": _of_whole(lambda micros: micros, TIMESTAMP),
    "timestamp_millis": _of_whole(lambda millis: millis * 1000, TIMESTAMP),
    "timestamp_seconds": Function(_from_seconds, 1, 1, TIMESTAMP),
    "timestampadd": Function(_timestampadd, 3, 3, TIMESTAMP),
    "timestampdiff": Function(_timestampdiff, 3, 3, LONG),
    "to_date": _to_moment(DATE),
    "to_timestamp": _to_moment(TIMESTAMP),
    "to_timestamp_ltz": _to_moment(TIMESTAMP),
    "to_timestamp_ntz": _to_moment(TIMESTAMP_NTZ),
    "to_unix_timestamp": Function(_unix_timestamp, 1, 2, LONG),
    "to_utc_timestamp": _zone_shift(to_utc=True),
    "trunc": Function(_trunc, 2, 2, DATE),
    "try_make_timestamp": _make_timestamp(TIMESTAMP, safe=True),
    "try_make_timestamp_ltz": _make_timestamp(TIMESTAMP, safe=True),
    "try_make_timestamp_ntz": _make_timestamp(TIMESTAMP_NTZ, safe=True),
    "try_to_date": _to_moment(DATE, safe=True),
    "try_to_timestamp": _to_moment(TIMESTAMP, safe=True),
    "unix_date": strict(lambda days: days, [DATE], INT, exact=True),
    "unix_micros": _of_instant(lambda at: at),
    "unix_millis": _of_instant(lambda at: at // 1000),
    "unix_seconds": _of_instant(lambda at: at // 1_000_000),
    "unix_timestamp": Function(_unix_timestamp, 0, 2, LONG),
    "weekday": _of_day(calendar.weekday),
    "weekofyear": _of_day(lambda days: calendar.iso_week(days)[1]),
    "year": _of_day(lambda days: calendar.date_of(days)[0]),
    "yearofweek": _of_day(lambda days: calendar.iso_week(days)[0]),
}
"""By Spark's name."""
