"""CAST and TRY_CAST between all types, in ANSI mode and without it.

Source: org.apache.spark.sql.catalyst.expressions.Cast, 4.3.0.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, chain, pairwise
from typing import Any

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sql.cast_rows import cast_rows
from hydro_runtimes.spark.sql.datetime_casts import (
    cast_to_interval,
    cast_to_moment,
    interval_amount,
)
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.number_casts import (
    cast_to_boolean,
    cast_to_decimal,
    cast_to_fraction,
    cast_to_whole,
)
from hydro_runtimes.spark.sql.types import (
    BINARY,
    BOOLEAN,
    DATE,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    UNKNOWN,
    VOID,
    SqlType,
    bit_width,
)
from hydro_runtimes.spark.sql.value_texts import cast_to_text
from hydro_runtimes.spark.sql.values import Rows, Value, constant_value, value_of

_TIMES = (TIMESTAMP, TIMESTAMP_NTZ)


def cast_value(value: Value, kind: SqlType, rows: Rows, mode: Mode, safe: bool = False) -> Value:
    """A value as another type.

    Args:
        value: to convert.
        kind: what to convert it to; `can_cast` has allowed it.
        rows: that it is evaluated for, which take the errors.
        mode: with ANSI, a value that cannot be converted is an error, else null.
        safe: of TRY_CAST: null even with ANSI.
    """
    if value.type == kind or kind == UNKNOWN:
        return value
    if value.type in (VOID, UNKNOWN):
        return constant_value(kind, None, rows.count)
    if safe:
        mode = replace(mode, ansi=True)  # TRY_CAST has the rules of ANSI, without its errors
    try_cast, safe = safe, safe or not mode.ansi
    if kind.is_nested:
        return _cast_nested(value, kind, rows, mode, try_cast)
    if kind == STRING:
        return cast_to_text(value, mode)
    if kind == BINARY:
        return cast_rows(value, kind, lambda x: _to_bytes(x, value.type), rows, safe)
    if kind.is_interval:
        return cast_to_interval(value, kind, rows, safe)
    if value.type.is_interval:
        # A number that does not fit is an error even without ANSI.
        return cast_value(interval_amount(value), kind, rows, replace(mode, ansi=True), try_cast)
    if kind == BOOLEAN:
        return cast_to_boolean(value, rows, safe)
    if kind.name == "decimal":
        return cast_to_decimal(value, kind, rows, safe)
    if kind in (DATE, *_TIMES):
        return cast_to_moment(value, kind, rows, mode, safe)
    if kind.is_fraction:
        return cast_to_fraction(value, kind, rows, safe)
    if kind.is_whole:
        return cast_to_whole(value, kind, rows, mode, safe)
    return value.with_type(kind)


def can_cast(have: SqlType, want: SqlType, mode: Mode) -> bool:
    """Whether Spark casts between two types at all.

    Source: Cast.{canCast, canAnsiCast}.
    """
    if have == want or have in (VOID, UNKNOWN) or want == UNKNOWN:
        return True
    if have.is_nested or want.is_nested:
        if want == STRING:
            return True
        same = have.name == want.name and len(have.parts) == len(want.parts)
        return same and all(map(can_cast, have.parts, want.parts, [mode] * len(have.parts)))
    if want == STRING:
        return have.name != "vector"
    if want == BINARY:
        return have == STRING or (not mode.ansi and have.is_whole)
    if have == STRING:
        return want.name != "vector"
    if have.is_interval or want.is_interval:
        return _casts_intervals(have, want)
    if want == BOOLEAN or have == BOOLEAN:
        other = have if want == BOOLEAN else want
        odd = (TIMESTAMP,) if have == BOOLEAN else (DATE, TIMESTAMP)
        return other.is_number or (not mode.ansi and other in odd)
    if have.is_number and want.is_number:
        return True
    if have in (DATE, *_TIMES) and want in (DATE, *_TIMES):
        return True
    if have.is_number:
        return want == TIMESTAMP
    if want.is_number:
        return have == TIMESTAMP or (have == DATE and not mode.ansi)
    return False


def _casts_intervals(have: SqlType, want: SqlType) -> bool:
    """Whether Spark casts between two types of which one is an interval, or both are.

    Intervals of months cast to each other, and so do those of microseconds. An interval of a single
    unit casts to whole numbers and decimals, and back.
    """
    if have.is_interval and want.is_interval:
        return (have.is_months and want.is_months) or (have.is_micros and want.is_micros)
    span, other = (have, want) if have.is_interval else (want, have)
    is_number = other.is_whole or other.name == "decimal"
    return (
        is_number
        and span.name != "interval"
        and (have.is_interval or span.units[0] == span.units[1])
    )


def _to_bytes(value: Any, kind: SqlType) -> bytes:
    if kind == STRING:
        return bytes(value.encode())
    return int(value).to_bytes(bit_width(kind) // 8, "big", signed=True)


def _cast_nested(value: Value, kind: SqlType, rows: Rows, mode: Mode, safe: bool) -> Value:
    if kind.name == "struct":
        return _cast_struct(value, kind, rows, mode, safe)
    # The elements of all rows become one column, which is cast and cut into lists again.
    lists = [[] if one is None else one for one in value.to_list()]
    lengths = np.array([len(one) for one in lists], dtype=np.int64)
    flat = list(chain.from_iterable(lists))
    inner = rows.take(np.repeat(np.arange(rows.count), lengths))
    if kind.name == "array":
        parts = [
            cast_value(
                value_of(value.type.parts[0], flat), kind.parts[0], inner, mode, safe
            ).to_list()
        ]
    else:
        parts = [
            cast_value(
                value_of(have, [pair[i] for pair in flat]), want, inner, mode, safe
            ).to_list()
            for i, (have, want) in enumerate(zip(value.type.parts, kind.parts, strict=True))
        ]
    items: list[Any] = parts[0] if len(parts) == 1 else list(zip(*parts, strict=True))
    cuts = list(accumulate(lengths.tolist(), initial=0))
    made = [items[a:b] for a, b in pairwise(cuts)]
    return _with_null(value_of(kind, made), value.null)


def _cast_struct(value: Value, kind: SqlType, rows: Rows, mode: Mode, safe: bool) -> Value:
    present = [one if one is not None else (None,) * len(kind.parts) for one in value.to_list()]
    parts = [
        cast_value(value_of(have, [one[i] for one in present]), want, rows, mode, safe).to_list()
        for i, (have, want) in enumerate(zip(value.type.parts, kind.parts, strict=True))
    ]
    made = list(zip(*parts, strict=True)) if parts else [()] * rows.count
    return _with_null(value_of(kind, made), value.null)


def _with_null(value: Value, null: Array) -> Value:
    return Value(value.type, value.data, null)
