"""Casts that convert row by row, and the errors of rows that cannot be converted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sql.types import DATE, TIMESTAMP, TIMESTAMP_NTZ, SqlType
from hydro_runtimes.spark.sql.values import Rows, Value, value_of

_TIMES = (TIMESTAMP, TIMESTAMP_NTZ)


def cast_rows(
    value: Value, kind: SqlType, convert: Callable[[Any], Any], rows: Rows, safe: bool
) -> Value:
    """Casts row by row.

    Args:
        value: what is cast.
        kind: to which type.
        convert: returns None for a value that cannot be converted.
        rows: that the value is of; they take the errors.
        safe: gives null without an error where a value cannot be converted.
    """
    made = [
        None if gone else convert(x)
        for x, gone in zip(value.data.tolist(), value.null, strict=True)
    ]
    if kind.dtype.kind == "i" and value.type in (DATE, *_TIMES):
        limit = 1 << (8 * kind.dtype.itemsize - 1)
        over = np.array([x is not None and not -limit <= x < limit for x in made], dtype=bool)
        rows.note_errors(over, f"ARITHMETIC_OVERFLOW: the {value.type} does not fit into {kind}")
        made = [None if bad else x for x, bad in zip(made, over, strict=True)]
    found = value_of(kind, made)
    if not safe:
        note_invalid(value, found.null & ~value.null, kind, rows)
    return found


def note_invalid(value: Value, bad: Array, kind: SqlType, rows: Rows) -> None:
    """Notes an error for each row of a mask; the message has the value of that row only."""
    for row in np.flatnonzero(bad).tolist():
        message = _invalid_input(value.type, value.data[row], kind)
        rows.errors.setdefault(int(rows.index[row]), message)


def _invalid_input(have: SqlType, example: Any, want: SqlType) -> str:
    shown = str(example)
    shown = shown if len(shown) <= 40 else shown[:37] + "..."
    way_out = "use try_cast to get null"
    return f"CAST_INVALID_INPUT: the {have} {shown!r} is not a {want}; {way_out}"
