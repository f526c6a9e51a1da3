"""Functions that make dates and timestamps from numbers, or move them to another zone.

Source: org.apache.spark.sql.catalyst.expressions.datetimeExpressions and
org.apache.spark.sql.catalyst.util.DateTimeUtils, 4.3.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from decimal import Decimal
from typing import Any

from hydro_runtimes.spark.sql import calendar, zones
from hydro_runtimes.spark.sql.binding import (
    Function,
    cast_to,
    implicit_cast,
    require_type,
    row_by_row,
    row_function,
)
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.decimals import DECIMALS, nearest_micros
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    DATE,
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
from hydro_runtimes.spark.sql.values import Typed


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


MAKE_DATETIMES: Mapping[str, Function] = {
    "convert_timezone": Function(_bind_convert_timezone, 2, 3, TIMESTAMP_NTZ),
    "from_utc_timestamp": _zone_shift_function(to_utc=False),
    "make_date": Function(_bind_make_date, 3, 3, DATE),
    "make_timestamp": _make_timestamp_function(TIMESTAMP),
    "make_timestamp_ltz": _make_timestamp_function(TIMESTAMP),
    "make_timestamp_ntz": _make_timestamp_function(TIMESTAMP_NTZ),
    "timestamp_micros": _whole_number_function(lambda micros: micros, TIMESTAMP),
    "timestamp_millis": _whole_number_function(lambda millis: millis * 1000, TIMESTAMP),
    "timestamp_seconds": Function(_bind_timestamp_seconds, 1, 1, TIMESTAMP),
    "to_utc_timestamp": _zone_shift_function(to_utc=True),
    "try_make_timestamp": _make_timestamp_function(TIMESTAMP, safe=True),
    "try_make_timestamp_ltz": _make_timestamp_function(TIMESTAMP, safe=True),
    "try_make_timestamp_ntz": _make_timestamp_function(TIMESTAMP_NTZ, safe=True),
    "unix_micros": _instant_function(lambda at: at),
    "unix_millis": _instant_function(lambda at: at // 1000),
    "unix_seconds": _instant_function(lambda at: at // 1_000_000),
}
"""By Spark's name."""
