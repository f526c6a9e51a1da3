"""Casts to dates, timestamps and intervals, and from intervals to numbers.

Source: org.apache.spark.sql.catalyst.expressions.Cast, 4.3.0;
org.apache.spark.sql.catalyst.util.IntervalUtils.
"""

from __future__ import annotations

import math
from datetime import UTC
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np

from hydro_runtimes.spark.sql import zones
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.cast_rows import cast_rows
from hydro_runtimes.spark.sql.decimals import DECIMALS, nearest_long, nearest_micros
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.interval_texts import (
    MICROS_OF,
    MONTHS_OF,
    calendar_interval,
    read_interval,
    split_amounts,
    strip_interval_words,
    truncating_divmod,
)
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    BOOLEAN,
    DATE,
    INT,
    LONG,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    SqlType,
    decimal_of,
)
from hydro_runtimes.spark.sql.values import Rows, Value, value_of

_TIMES = (TIMESTAMP, TIMESTAMP_NTZ)


def cast_to_interval(value: Value, kind: SqlType, rows: Rows, safe: bool) -> Value:
    have = value.type
    if have == STRING:
        return cast_rows(value, kind, lambda text: _read_interval(text, kind), rows, safe)
    if have.is_interval:
        step = _unit_step(kind)
        return Value(kind, np.trunc(value.data / step).astype(np.int64) * step, value.null)
    limit = 2**31 if kind.is_months else 2**63

    def scale_number(number: Any) -> int | None:
        exact = DECIMALS.multiply(Decimal(number), _unit_step(kind))
        whole = int(exact.to_integral_value(ROUND_HALF_UP, DECIMALS))
        return whole if -limit <= whole < limit else None

    return cast_rows(value, kind, scale_number, rows, safe=False)


def _read_interval(text: str, kind: SqlType) -> Any:
    if kind.name == "interval":
        try:
            return calendar_interval(" ".join(part) for part in split_amounts(text))
        except StatementError:
            return None
    inner = strip_interval_words(text, kind)
    return None if inner is None else read_interval(inner, kind)


def interval_amount(value: Value) -> Value:
    """An interval of one unit, as the number of these units."""
    kind = value.type
    if kind.units[1] == "second":
        amounts = [None if x is None else Decimal(x).scaleb(-6) for x in value.to_list()]
        return value_of(decimal_of(18, 6), amounts)
    whole = [
        None if x is None else truncating_divmod(x, _unit_step(kind))[0] for x in value.to_list()
    ]
    return value_of(INT if kind.is_months else LONG, whole)


def _unit_step(kind: SqlType) -> int:
    """The length of the interval's last unit, in months or microseconds."""
    unit = kind.units[1]
    return 1 if unit == "second" and kind.units[0] != unit else {**MONTHS_OF, **MICROS_OF}[unit]


def cast_to_moment(value: Value, kind: SqlType, rows: Rows, mode: Mode, safe: bool) -> Value:
    """Casts to a date or timestamp; clocks are those of the session's zone, or UTC's for _ntz."""
    have, zone = value.type, mode.zone if kind == TIMESTAMP else UTC
    if have == STRING:
        if kind == DATE:
            return cast_rows(value, kind, zones.parse_date, rows, safe)
        read = zones.parse_clock if kind == TIMESTAMP_NTZ else zones.parse_timestamp
        return cast_rows(value, kind, lambda text: read(text, zone), rows, safe)
    if kind == DATE:
        local = UTC if have == TIMESTAMP_NTZ else mode.zone
        return cast_rows(value, kind, lambda at: zones.local_of(at, local) // DAY, rows, safe)
    if have == DATE:
        return cast_rows(value, kind, lambda day: zones.day_start(day, zone), rows, safe)
    if have in _TIMES:
        move = zones.local_of if kind == TIMESTAMP_NTZ else zones.instant_of
        return cast_rows(value, kind, lambda at: move(at, mode.zone), rows, safe)
    if have == BOOLEAN:
        return Value(kind, value.data.astype(np.int64), value.null)  # true is 1 microsecond
    return cast_rows(value, kind, lambda number: _from_seconds(number, mode), rows, safe)


def _from_seconds(seconds: Any, mode: Mode) -> int | None:
    """Seconds as microseconds; what does not fit depends on the type of the seconds, as in Spark.

    A bigint becomes the nearest that fits, and a decimal wraps. A double becomes the nearest
    without ANSI, and is refused with it.
    """
    if isinstance(seconds, Decimal):
        # BigDecimal.longValue keeps the lowest 64 bits.
        micros = int(DECIMALS.multiply(seconds, Decimal(1_000_000)))
        return (micros + 2**63) % 2**64 - 2**63
    if isinstance(seconds, float):
        is_inside = abs(seconds * 1_000_000) < 2**63
        if not math.isfinite(seconds) or (mode.ansi and not is_inside):
            return None
        return nearest_micros(seconds)
    return nearest_long(int(seconds) * 1_000_000)
