"""Functions that make intervals, and the units of an interval.

Source: org.apache.spark.sql.catalyst.expressions.intervalExpressions, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydro_runtimes.spark.sql.binding import (
    Function,
    cast_to,
    implicit_cast,
    row_by_row,
)
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.interval_arithmetic import (
    bind_date_add,
    check_interval,
    interval_parts,
)
from hydro_runtimes.spark.sql.interval_texts import MICROS_OF, truncating_divmod, units_between
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    DATE,
    INT,
    INTERVAL,
    MICRO_UNITS,
    MICROS,
    MONTH_UNITS,
    MONTHS,
    SqlType,
    decimal_of,
)
from hydro_runtimes.spark.sql.values import Typed, constant_value

_SECONDS = decimal_of(18, 6)


def _micros_of_seconds(seconds: Decimal) -> int:
    return int(seconds.scaleb(6))


def _make_interval_function(safe: bool) -> Function:
    """The function make_interval(years, months, weeks, days, hours, minutes, seconds)."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        takes = [INT] * 6 + [_SECONDS]
        given = [
            implicit_cast(one, kind, mode) for one, kind in zip(arguments, takes, strict=False)
        ]

        def make_interval(*parts: Any) -> tuple[int, ...] | None:
            years, months, weeks, days, hours, minutes, seconds = [*parts, *[0] * 7][:7]
            clock = hours * MICROS_OF["hour"] + minutes * MICROS_OF["minute"]
            value = (
                years * 12 + months,
                weeks * 7 + days,
                clock + _micros_of_seconds(Decimal(seconds)),
            )
            try:
                return check_interval(value)
            except RowError:
                if safe or not mode.ansi:
                    return None
                raise

        if not given:
            given = [cast_to(_zero_constant(), INT, mode)]
        return row_by_row(make_interval, given, INTERVAL)

    return Function(bind, 0, 7, INTERVAL)


def _zero_constant() -> Typed:
    return Typed(INT, lambda rows: constant_value(INT, 0, rows.count), foldable=True)


def _bind_make_dt_interval(arguments: Sequence[Typed], mode: Mode) -> Typed:
    takes = [INT, INT, INT, _SECONDS]
    given = [implicit_cast(one, kind, mode) for one, kind in zip(arguments, takes, strict=False)]

    def make_dt_interval(days: int = 0, hours: int = 0, minutes: int = 0, seconds: Any = 0) -> int:
        whole = days * DAY + hours * MICROS_OF["hour"] + minutes * MICROS_OF["minute"]
        return whole + _micros_of_seconds(Decimal(seconds))

    return row_by_row(make_dt_interval, given or [_zero_constant()], MICROS)


def _bind_make_ym_interval(arguments: Sequence[Typed], mode: Mode) -> Typed:
    given = [implicit_cast(one, INT, mode) for one in arguments] or [_zero_constant()]
    return row_by_row(lambda years, months=0: years * 12 + months, given, MONTHS)


def extract_unit(unit: str, child: Typed) -> Typed:
    """A unit of an interval.

    Raises:
        StatementError: the interval has no such unit.
    """
    name = _UNITS.get(unit.lower())
    kind = child.type
    found = _EXTRACT.get(name or "") if _has_unit(kind, name) else None
    if found is None:
        raise StatementError(f"'{unit}' cannot be extracted from {kind}")
    compute, gives = found
    return row_by_row(lambda span: compute(*interval_parts(kind, span)), [child], gives)


def _has_unit(kind: SqlType, name: str | None) -> bool:
    if kind.is_months:
        return name in MONTH_UNITS and (name in kind.units)
    if kind.name == "interval":
        return name in _EXTRACT
    return name in MICRO_UNITS and name in units_between(*kind.units)


_UNITS: Mapping[str, str] = {
    **dict.fromkeys(("year", "y", "years", "yr", "yrs"), "year"),
    **dict.fromkeys(("month", "mon", "mons", "months"), "month"),
    **dict.fromkeys(("day", "d", "days"), "day"),
    **dict.fromkeys(("hour", "h", "hours", "hr", "hrs"), "hour"),
    **dict.fromkeys(("minute", "m", "min", "mins", "minutes"), "minute"),
    **dict.fromkeys(("second", "s", "sec", "seconds", "secs"), "second"),
}


def _seconds_of(months: int, days: int, micros: int) -> Decimal:
    return Decimal(truncating_divmod(micros, 60_000_000)[1]).scaleb(-6)


_BYTE, _WIDE = SqlType("tinyint"), SqlType("bigint")
_EXTRACT: Mapping[str, tuple[Callable[[int, int, int], Any], SqlType]] = {
    "year": (lambda months, days, micros: truncating_divmod(months, 12)[0], INT),
    "month": (lambda months, days, micros: truncating_divmod(months, 12)[1], _BYTE),
    "day": (lambda months, days, micros: days, INT),
    "hour": (lambda months, days, micros: truncating_divmod(micros, MICROS_OF["hour"])[0], _BYTE),
    "minute": (
        lambda months, days, micros: truncating_divmod(
            truncating_divmod(micros, MICROS_OF["hour"])[1], MICROS_OF["minute"]
        )[0],
        _BYTE,
    ),
    "second": (_seconds_of, decimal_of(8, 6)),
}
INTERVALS: Mapping[str, Function] = {
    "date_add": Function(lambda given, mode: bind_date_add(given, mode, 1), 2, 2, DATE),
    "date_sub": Function(lambda given, mode: bind_date_add(given, mode, -1), 2, 2, DATE),
    "make_dt_interval": Function(_bind_make_dt_interval, 0, 4, MICROS),
    "make_interval": _make_interval_function(safe=False),
    "make_ym_interval": Function(_bind_make_ym_interval, 0, 2, MONTHS),
    "try_make_interval": _make_interval_function(safe=True),
}
"""By Spark's name."""
