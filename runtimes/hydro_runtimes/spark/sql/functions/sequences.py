"""sequence: arrays of numbers, dates or timestamps at equal distances.

Source: org.apache.spark.sql.catalyst.expressions.Sequence, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from itertools import islice
from typing import Any

from hydro_runtimes.spark.sql import calendar
from hydro_runtimes.spark.sql.binding import (
    Function,
    cast_to,
    cast_to_common_type,
    implicit_cast,
    row_by_row,
)
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.arrays import MAX_ELEMENTS
from hydro_runtimes.spark.sql.functions.interval_arithmetic import interval_parts, shift_instant
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    DATE,
    INT,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    VOID,
    array_of,
)
from hydro_runtimes.spark.sql.values import Typed


def _bind_sequence(arguments: Sequence[Typed], mode: Mode) -> Typed:
    kinds = [one.type for one in arguments[:2]]
    if any(kind in (DATE, TIMESTAMP, TIMESTAMP_NTZ) for kind in kinds):
        return _bind_moment_sequence(arguments, mode)
    if STRING in kinds:
        raise StatementError("a sequence of string is not supported, want numbers or dates")
    given = cast_to_common_type(arguments[:2], mode)
    kind = given[0].type
    if kind == VOID:
        given, kind = [cast_to(one, INT, mode) for one in given], INT
    if not kind.is_whole:
        raise StatementError(f"a sequence of {kind} is not supported, want whole numbers or dates")
    if len(arguments) > 2:
        given = [*given, implicit_cast(arguments[2], kind, mode)]

    def number_sequence(start: int, stop: int, step: int | None = None) -> list[int]:
        by = (1 if start <= stop else -1) if step is None else step
        if (by > 0 and start > stop) or (by < 0 and start < stop) or (by == 0 and start != stop):
            raise RowError(f"the sequence from {start} to {stop} has no end with the step {by}")
        return _bounded_list(range(start, stop + (1 if by > 0 else -1), by) if by else [start])

    return row_by_row(number_sequence, given, array_of(kind))


def _bounded_list(values: Iterable[int]) -> list[int]:
    made = list(islice(values, MAX_ELEMENTS + 1))
    if len(made) > MAX_ELEMENTS:
        raise RowError(f"the sequence would have more than {MAX_ELEMENTS} elements, the limit here")
    return made


def _bind_moment_sequence(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds a sequence of dates or timestamps; the step is an interval, by default a day."""
    if STRING in [one.type for one in arguments] and not mode.ansi:
        raise StatementError("a sequence of string is not supported, want dates or timestamps")
    given = cast_to_common_type(arguments[:2], mode)
    kind = given[0].type
    zone = mode.zone if kind == TIMESTAMP else UTC
    step = arguments[2] if len(arguments) > 2 else None
    if step is not None and not step.type.is_interval:
        raise StatementError(f"the step is {step.type}, want an interval")
    unit = calendar.DAY if kind == DATE else 1

    def moment_sequence(start: int, stop: int, span: Any = None) -> list[int]:
        parts = (
            (0, 1 if start <= stop else -1, 0) if step is None else interval_parts(step.type, span)
        )
        months, days, micros = parts
        if kind == DATE and not months and abs(days * calendar.DAY + micros) < calendar.DAY:
            raise RowError("the step of a sequence of dates is less than a day")
        length = (months * 28 + days) * calendar.DAY + micros
        if (
            (length > 0 and start > stop)
            or (length < 0 and start < stop)
            or (not length and start != stop)
        ):
            raise RowError("the sequence never comes to its end with this step")
        if not length:
            return [start]
        made: list[int] = []
        # n steps are added to the start at once, for a month after Jan 31 and Feb 28 is Mar 31.
        for n in range(MAX_ELEMENTS + 1):
            at = shift_instant(start * unit, n * months, n * days, n * micros, zone)
            if at > stop * unit if length > 0 else at < stop * unit:
                return made
            made.append(at // unit)
        raise RowError(f"the sequence would have more than {MAX_ELEMENTS} elements, the limit here")

    return row_by_row(moment_sequence, given if step is None else [*given, step], array_of(kind))


SEQUENCES: Mapping[str, Function] = {
    "sequence": Function(_bind_sequence, 2, 3),
}
"""By Spark's name."""
