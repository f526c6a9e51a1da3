"""Functions that join values or choose among them: concat, concat_ws, elt.

Source: org.apache.spark.sql.catalyst.expressions.stringExpressions, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydro_runtimes.spark.sql import row_limits
from hydro_runtimes.spark.sql.binding import (
    Function,
    cast_to_common_type,
    implicit_cast,
    row_by_row,
)
from hydro_runtimes.spark.sql.functions.texts import text_function
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    BINARY,
    INT,
    STRING,
    array_of,
)
from hydro_runtimes.spark.sql.values import (
    Rows,
    Typed,
    Value,
    value_of,
)


def _bind_concat(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds concat: all texts or arrays one after the other; null if one is."""
    if any(one.type.name == "array" for one in arguments):
        return _bind_concat_arrays(arguments, mode)
    if arguments and all(one.type == BINARY for one in arguments):
        return row_by_row(lambda *parts: b"".join(parts), arguments, BINARY)
    given = [implicit_cast(one, STRING, mode) for one in arguments]
    return row_by_row(lambda *parts: "".join(parts), given, STRING)


def _bind_concat_arrays(arguments: Sequence[Typed], mode: Mode) -> Typed:
    given = cast_to_common_type(arguments, mode)
    return row_by_row(lambda *lists: [x for one in lists for x in one], given, given[0].type)


def _bind_concat_ws(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds concat_ws: texts, and those in arrays, with a separator and without nulls."""
    separator = implicit_cast(arguments[0], STRING, mode)
    texts = array_of(STRING)
    others = [
        implicit_cast(one, texts if one.type.name == "array" else STRING, mode)
        for one in arguments[1:]
    ]

    def evaluate(rows: Rows) -> Value:
        between = separator.evaluate(rows).to_list()
        columns = [one.evaluate(rows).to_list() for one in others]
        made: list[str | None] = []
        for row, joint in enumerate(between):
            parts: list[str] = []
            for column in columns:
                value = column[row]
                found = value if isinstance(value, list) else [value]
                parts += [text for text in found if text is not None]
            size = 0 if joint is None else len(joint) * len(parts)
            is_well = joint is not None and not row_limits.count_made(rows, row, size)
            made.append(joint.join(parts) if is_well else None)
        return value_of(STRING, made)

    return Typed(STRING, evaluate, separator.foldable and all(one.foldable for one in others))


def _bind_elt(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds elt(n, first, second, ...): if there is no n-th, null, or with ANSI an error."""
    kind = BINARY if all(one.type == BINARY for one in arguments[1:]) else STRING
    given = [
        implicit_cast(arguments[0], INT, mode),
        *(implicit_cast(one, kind, mode) for one in arguments[1:]),
    ]

    def evaluate(rows: Rows) -> Value:
        places, *columns = (one.evaluate(rows).to_list() for one in given)
        made: list[Any] = []
        for row, place in enumerate(places):
            inside = place is not None and 1 <= place <= len(columns)
            made.append(columns[place - 1][row] if inside else None)
            if mode.ansi and place is not None and not inside:
                rows.errors.setdefault(int(rows.index[row]), _out_of_bounds(place, len(columns)))
        return value_of(kind, made)

    return Typed(kind, evaluate)


def _out_of_bounds(place: int, size: int) -> str:
    return f"INVALID_ARRAY_INDEX: the index {place} is out of bounds, there are {size} elements"


CONCAT: Mapping[str, Function] = {
    "concat": Function(_bind_concat, 0, 1000),
    "concat_ws": text_function(_bind_concat_ws, 1, 1000),
    "elt": text_function(_bind_elt, 2, 1000),
}
"""By Spark's name."""
