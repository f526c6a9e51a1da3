"""Functions of dates, timestamps and intervals.

Source: org.apache.spark.sql.catalyst.expressions.datetimeExpressions and
org.apache.spark.sql.catalyst.util.DateTimeUtils, 4.3.0.
"""

from __future__ import annotations

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
    row_by_row,
    strict,
)
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.casts import Mode
from hydro_runtimes.spark.sql.datetime_patterns import DAYS, MONTHS, datetime_pattern
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.types import (
    DATE,
    DOUBLE,
    INT,
    LONG,
    MICROS,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    UNKNOWN,
    VOID,
    SqlType,
    decimal,
)
from hydro_runtimes.spark.sql.types import INTERVAL as INTERVAL_TYPE
from hydro_runtimes.spark.sql.types import MONTHS as MONTHS_TYPE
from hydro_runtimes.spark.sql.values import Typed

_TIMES = (TIMESTAMP, TIMESTAMP_NTZ)
_DEFAULT = "yyyy-MM-dd HH:mm:ss"
_DAY_MICROS = {"HOUR": 3_600_000_000, "MINUTE": 60_000_000, "SECOND": 1_000_000}
_DAY_MICROS |= {"MILLISECOND": 1000, "MICROSECOND": 1, "DAY": DAY, "WEEK": 7 * DAY}
_DAY_MICROS |= {"DAYOFYEAR": DAY}
_MONTHS = {"YEAR": 12, "QUARTER": 3, "MONTH": 1}


def moved(operator: str, sides: Sequence[Typed], mode: Mode) -> Typed | None:
    """+ and - where a side is a date, timestamp or interval; None where none is.

    Raises:
        StatementError: Spark has no such operation.
    """
    left, right = sides
    kinds = (left.type, right.type)
    if not any(kind in (DATE, *_TIMES, MICROS, MONTHS_TYPE, INTERVAL_TYPE) for kind in kinds):
        return None
    if UNKNOWN in kinds:
        return Typed(UNKNOWN, left.evaluate)
    if operator == "-" and all(kind in (DATE, *_TIMES) for kind in kinds):
        return _difference(left, right, mode)
    if operator == "-" and DATE in kinds and STRING in kinds:
        return _difference(converted(left, DATE, mode), converted(right, DATE, mode), mode)
    if operator == "+" and left.type not in (DATE, *_TIMES):
        left, right = right, left
    sign = -1 if operator == "-" else 1
    if left.type in (MICROS, MONTHS_TYPE) and left.type == right.type:
        return row_by_row(lambda a, b: a + sign * b, [left, right], left.type)
    if left.type == DATE and ((right.type.is_whole and right.type != LONG) or right.type == VOID):
        return _days_later([left, right], mode, sign)
    if left.type in (DATE, *_TIMES) and right.type in (MICROS, MONTHS_TYPE, INTERVAL_TYPE):
        return _plus_interval(left, right, mode, sign)
    raise StatementError(f"{kinds[0]} {operator} {kinds[1]} is not supported")


def _plus_interval(left: Typed, right: Typed, mode: Mode, sign: int) -> Typed:
    kind = right.type
    if left.type == DATE and kind == MONTHS_TYPE:
        return row_by_row(lambda day, n: calendar.add_months(day, sign * n), [left, right], DATE)
    if left.type == DATE and kind == MICROS and right.foldable:
        micros = constant_of(right, "the interval")
        if micros is not None and micros % DAY == 0:
            return row_by_row(lambda day, n: day + sign * n // DAY, [left, right], DATE)
    moment = left if left.type in _TIMES else converted(left, TIMESTAMP, mode)
    zone = mode.zone if moment.type == TIMESTAMP else UTC

    def plus(at: int, span: Any) -> int:
        months, days, micros = (
            span
            if isinstance(span, tuple)
            else ((span, 0, 0) if kind == MONTHS_TYPE else _days_and_rest(span))
        )
        return _later(at, sign * months, sign * days, sign * micros, zone)

    return row_by_row(plus, [moment, right], moment.type)


def _days_and_rest(micros: int) -> tuple[int, int, int]:
    """Months, days and microseconds: whole days move what clocks show."""
    days = _truncated_division(micros, DAY)
    return 0, days, micros - days * DAY


def _later(at: int, months: int, days: int, micros: int, zone: tzinfo) -> int:
    """Months and days move what clocks show, microseconds the instant."""
    if months or days:
        day, rest = divmod(zones.local_of(at, zone), DAY)
        at = zones.instant_of((calendar.add_months(day, months) + days) * DAY + rest, zone)
    return at + micros


def _difference(left: Typed, right: Typed, mode: Mode) -> Typed:
    """The interval from right to left."""
    if left.type == right.type == DATE:
        return row_by_row(lambda a, b: (a - b) * DAY, [left, right], MICROS)
    kind = TIMESTAMP_NTZ if TIMESTAMP not in (left.type, right.type) else TIMESTAMP
    zone = mode.zone if kind == TIMESTAMP else UTC
    given = [converted(left, kind, mode), converted(right, kind, mode)]
    # Of what clocks show, so that a day is 24 hours long also where the clocks change.
    return row_by_row(lambda a, b: zones.local_of(a, zone) - zones.local_of(b, zone), given, MICROS)


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


def _days_later(arguments: Sequence[Typed], mode: Mode, sign: int = 1) -> Typed:
    start = argument(arguments[0], DATE, mode)
    days = arguments[1]
    if days.type == STRING and not mode.ansi and not days.foldable:
        raise StatementError("the number of days is string, want int")
    if not (days.type.is_whole and days.type != LONG) and days.type not in (STRING, VOID):
        raise StatementError(f"the number of days is {days.type}, want int")
    return row_by_row(
        lambda day, n: _checked(day + sign * n), [start, argument(days, INT, mode)], DATE
    )


def _checked(days: int) -> int:
    if not calendar.MIN_DAY <= days <= calendar.MAX_DAY:
        raise RowError("ARITHMETIC_OVERFLOW: the date is out of range")
    return days


def _months_between(arguments: Sequence[Typed], mode: Mode) -> Typed:
    rounds = constant_of(arguments[2], "roundOff") if len(arguments) > 2 else True
    given = [argument(one, TIMESTAMP, mode) for one in arguments[:2]]

    def between(later: int, earlier: int) -> float:
        (day1, rest1), (day2, rest2) = (
            divmod(zones.local_of(at, mode.zone), DAY) for at in (later, earlier)
        )
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
    kind = TIMESTAMP_NTZ if arguments[0].type == TIMESTAMP_NTZ else TIMESTAMP
    zone = mode.zone if kind == TIMESTAMP else UTC
    given = [argument(arguments[0], kind, mode), argument(arguments[1], STRING, mode)]
    if given[1].foldable and (pattern := constant_of(given[1], "the pattern")) is not None:
        datetime_pattern(pattern)  # refused when the statement is loaded, not at each row
    return row_by_row(lambda at, p: _pattern(p).write(at, zone), given, STRING)


def _pattern(pattern: str) -> Any:
    try:
        return datetime_pattern(pattern)
    except StatementError as error:
        raise RowError(f"INVALID_DATETIME_PATTERN: {error}") from None


def _read(text: str, pattern: str, zone: tzinfo, quiet: bool) -> int | None:
    found: int | None = _pattern(pattern).read(text, zone)
    if found is None and not quiet:
        raise RowError(
            f"CANNOT_PARSE_TIMESTAMP: {text[:60]!r} is not of the form '{pattern}'; "
            "use try_to_timestamp to get null"
        )
    return found


def _to_moment(kind: SqlType, safe: bool = False) -> Function:
    """to_date and to_timestamp: a cast, or read by a pattern."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        if len(arguments) == 1:
            return converted(arguments[0], kind, mode, safe)
        child, pattern = arguments
        if child.type not in (STRING, VOID):
            return converted(child, kind, mode, safe)
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
    if child.type in (DATE, *_TIMES):
        # Towards 0, other than a cast, which goes down.
        return row_by_row(
            lambda at: _truncated_division(at, 1_000_000), [converted(child, TIMESTAMP, mode)], LONG
        )
    form = constant_of(arguments[1], "the pattern") if len(arguments) > 1 else _DEFAULT
    return row_by_row(
        lambda text: (
            None if (at := _read(text, form, mode.zone, not mode.ansi)) is None else at // 1_000_000
        ),
        [argument(child, STRING, mode)],
        LONG,
    )


def _from_unixtime(arguments: Sequence[Typed], mode: Mode) -> Typed:
    form = constant_of(arguments[1], "the pattern") if len(arguments) > 1 else _DEFAULT
    return row_by_row(
        lambda seconds: _pattern(form).write(_wrapped(seconds * 1_000_000), mode.zone),
        [argument(arguments[0], LONG, mode)],
        STRING,
    )


def _wrapped(number: int) -> int:
    """As a long of Java that overflows."""
    return (number + 2**63) % 2**64 - 2**63


def _extract(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """extract(unit FROM x) and date_part(unit, x)."""
    unit, child = str(constant_of(arguments[0], "the field")).upper(), arguments[1]
    if child.type in (MICROS, MONTHS_TYPE):
        return _extract_interval(unit, child)
    if unit in ("SECOND", "S", "SEC", "SECONDS", "SECS"):
        return _of_clock(
            lambda micros: Decimal(micros % 60_000_000).scaleb(-6).quantize(Decimal("1e-6")),
            decimal(8, 6),
        ).bind([child], mode)
    name = _FIELDS.get(unit)
    if name is None:
        raise StatementError(f"'{unit}' cannot be extracted from {child.type}")
    return DATETIMES[name].bind([child], mode)


def _extract_interval(unit: str, child: Typed) -> Typed:
    steps = {"DAY": (DAY, None), "HOUR": (3_600_000_000, 24), "MINUTE": (60_000_000, 60)}
    name = unit.rstrip("S")
    if child.type == MONTHS_TYPE and name in ("YEAR", "MONTH"):
        return row_by_row(
            lambda n: int(n / 12) if name == "YEAR" else n - int(n / 12) * 12, [child], INT
        )
    if child.type == MICROS and name in steps:
        step, modulo = steps[name]

        def part(micros: int) -> int:
            whole = abs(micros) // step
            whole = whole if modulo is None else whole % modulo
            return -whole if micros < 0 else whole

        return row_by_row(part, [child], INT)
    raise StatementError(f"'{unit}' cannot be extracted from {child.type}")


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

    def between(start: int, end: int) -> int:
        a, b = zones.local_of(start, mode.zone), zones.local_of(end, mode.zone)
        if unit in _MONTHS:
            return _truncated_division(_whole_months(a, b), _MONTHS[unit])
        # Of what clocks show, hours too: java.time's LocalDateTime.until.
        return _truncated_division(b - a, _DAY_MICROS[unit])

    return row_by_row(between, given, LONG)


def _truncated_division(number: int, by: int) -> int:
    return number // by if number >= 0 else -(-number // by)


def _whole_months(a: int, b: int) -> int:
    (day1, rest1), (day2, rest2) = divmod(a, DAY), divmod(b, DAY)
    (y1, m1, d1), (y2, m2, d2) = calendar.date_of(day1), calendar.date_of(day2)
    months = (y2 - y1) * 12 + m2 - m1
    if months > 0 and (d2, rest2) < (d1, rest1):
        return months - 1
    if months < 0 and (d2, rest2) > (d1, rest1):
        return months + 1
    return months


def _timestampadd(arguments: Sequence[Typed], mode: Mode) -> Typed:
    unit = str(constant_of(arguments[0], "the unit")).upper()
    given = [argument(arguments[1], LONG, mode), argument(arguments[2], TIMESTAMP, mode)]

    def plus(count: int, at: int) -> int:
        if unit in _MONTHS:
            return _later(at, count * _MONTHS[unit], 0, 0, mode.zone)
        if unit in ("DAY", "WEEK", "DAYOFYEAR"):
            return _later(at, 0, count * (7 if unit == "WEEK" else 1), 0, mode.zone)
        return at + count * _DAY_MICROS[unit]

    return row_by_row(plus, given, TIMESTAMP)


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


def _make_timestamp(arguments: Sequence[Typed], mode: Mode) -> Typed:
    def made(
        year: int, month: int, day: int, hour: int, minute: int, second: Decimal
    ) -> int | None:
        micros = int(second * 1_000_000)
        if (
            calendar.is_date(year, month, day)
            and 0 <= hour < 24
            and 0 <= minute < 60
            and 0 <= micros <= 60_000_000
        ):
            local = calendar.days_of(year, month, day) * DAY
            local += (hour * 60 + minute) * 60_000_000 + micros
            return zones.instant_of(local, mode.zone)
        if mode.ansi:
            raise RowError("DATETIME_FIELD_OUT_OF_BOUNDS: there is no such date or time")
        return None

    takes = [INT, INT, INT, INT, INT, decimal(16, 6)]
    return strict(made, takes, TIMESTAMP).bind(arguments, mode)


def _from_seconds(arguments: Sequence[Typed], mode: Mode) -> Typed:
    return converted(arguments[0], TIMESTAMP, mode)


def _zone_shift(to_utc: bool) -> Function:
    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        def shifted(at: int, name: str) -> int:
            try:
                zone = zones.zone_of(name)
            except StatementError as error:
                raise RowError(str(error)) from None
            return zones.instant_of(at, zone) if to_utc else zones.local_of(at, zone)

        return strict(shifted, [TIMESTAMP, STRING], TIMESTAMP).bind(arguments, mode)

    return Function(bind, 2, 2, TIMESTAMP)


def _last_day(days: int) -> int:
    year, month, _ = calendar.date_of(days)
    return calendar.days_of(year, month, calendar.month_length(year, month))


DATETIMES: Mapping[str, Function] = {
    "add_months": strict(calendar.add_months, [DATE, INT], DATE),
    "date_add": Function(lambda given, mode: _days_later(given, mode, 1), 2, 2, DATE),
    "date_format": Function(_date_format, 2, 2, STRING),
    "date_from_unix_date": strict(lambda days: days, [INT], DATE),
    "date_part": Function(_extract, 2, 2),
    "date_sub": Function(lambda given, mode: _days_later(given, mode, -1), 2, 2, DATE),
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
    "make_timestamp": Function(_make_timestamp, 6, 6, TIMESTAMP),
    "minute": _of_clock(lambda micros: micros // 60_000_000 % 60),
    "month": _of_day(lambda days: calendar.date_of(days)[1]),
    "monthname": _of_day(lambda days: MONTHS[calendar.date_of(days)[1] - 1][:3], STRING),
    "months_between": Function(_months_between, 2, 3, DOUBLE),
    "next_day": Function(_next_day, 2, 2, DATE),
    "quarter": _of_day(lambda days: (calendar.date_of(days)[1] + 2) // 3),
    "second": _of_clock(lambda micros: micros // 1_000_000 % 60),
    "timestamp_micros": strict(lambda micros: micros, [LONG], TIMESTAMP),
    "timestamp_millis": strict(lambda millis: millis * 1000, [LONG], TIMESTAMP),
    "timestamp_seconds": Function(_from_seconds, 1, 1, TIMESTAMP),
    "timestampadd": Function(_timestampadd, 3, 3, TIMESTAMP),
    "timestampdiff": Function(_timestampdiff, 3, 3, LONG),
    "to_date": _to_moment(DATE),
    "to_timestamp": _to_moment(TIMESTAMP),
    "to_timestamp_ltz": _to_moment(TIMESTAMP),
    "to_timestamp_ntz": _to_moment(TIMESTAMP_NTZ),
    "to_unix_timestamp": Function(_unix_timestamp, 1, 2, LONG),
    "to_utc_timestamp": _zone_shift(to_utc=True),
    "trunc": strict(_truncated, [DATE, STRING], DATE),
    "try_to_date": _to_moment(DATE, safe=True),
    "try_to_timestamp": _to_moment(TIMESTAMP, safe=True),
    "unix_date": _of_day(lambda days: days),
    "unix_micros": strict(lambda at: at, [TIMESTAMP], LONG),
    "unix_millis": strict(lambda at: at // 1000, [TIMESTAMP], LONG),
    "unix_seconds": strict(lambda at: at // 1_000_000, [TIMESTAMP], LONG),
    "unix_timestamp": Function(_unix_timestamp, 0, 2, LONG),
    "weekday": _of_day(calendar.weekday),
    "weekofyear": _of_day(lambda days: calendar.iso_week(days)[1]),
    "year": _of_day(lambda days: calendar.date_of(days)[0]),
    "yearofweek": _of_day(lambda days: calendar.iso_week(days)[0]),
}
"""By Spark's name."""
