"""The order of values of all types, and comparisons, as in Spark.

Source: org.apache.spark.sql.catalyst.util.TypeUtils.getInterpretedOrdering and
SQLOrderingUtil, 4.3.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sql.binding import cast_to, cast_to_common_type
from hydro_runtimes.spark.sql.coercion import (
    common_type_without_texts,
    compared_type,
    with_names_of,
)
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import BOOLEAN, SqlType, nested_types
from hydro_runtimes.spark.sql.values import Rows, Typed, Value, evaluate_where

_TESTS: dict[str, Callable[[Array], Array]] = {
    "=": lambda order: order == 0,
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


def is_orderable(kind: SqlType) -> bool:
    """Whether values of a type have an order; maps and intervals of mixed units have none."""
    return not any(part.name in ("map", "interval", "vector") for part in nested_types(kind))


def compare_values(left: Value, right: Value) -> Array:
    """-1, 0 or 1 if the left side is less than, equal to or more than the right: int8, (rows,).

    Both are of one type. NaN equals NaN and is more than all numbers; -0.0 equals 0.0
    (SQLOrderingUtil.compareDoubles).
    """
    a, b = left.data, right.data
    if left.type.dtype.hasobject:
        keys = sort_key(left.type)
        return np.array(
            [
                0 if gone else _compare_keys(keys(x), keys(y))
                for x, y, gone in zip(a, b, left.null | right.null, strict=True)
            ],
            dtype=np.int8,
        )
    found = (a > b).astype(np.int8) - (a < b).astype(np.int8)
    # NumPy answers False to every comparison with NaN: here it is set apart afterwards.
    if left.type.is_fraction:
        found = np.where(np.isnan(a) | np.isnan(b), np.isnan(a) * 1 - np.isnan(b) * 1, found)
    return np.asarray(found)


def sort_key(kind: SqlType) -> Callable[[Any], Any]:
    """A function from values to keys that Python orders as Spark orders values; null is first."""
    if kind.is_fraction:
        # x + 0.0 makes 0.0 of -0.0. NaN comes after all numbers, and equals itself.
        return lambda x: (0,) if x is None else (2,) if math.isnan(x) else (1, x + 0.0)
    if kind.name == "array":
        inner = sort_key(kind.parts[0])
        return lambda x: (0,) if x is None else (1, [inner(one) for one in x])
    if kind.name == "struct":
        inners = [sort_key(part) for part in kind.parts]
        return lambda x: (
            (0,) if x is None else (1, [key(one) for key, one in zip(inners, x, strict=True)])
        )
    return lambda x: (0,) if x is None else (1, x)


def bind_comparison(operator: str, sides: Sequence[Typed], mode: Mode) -> Typed:
    """=, <, <=, > or >= in the type that both sides have in common.

    Raises:
        StatementError: they have no type in common, or it has no order.
    """
    left, right = _in_common(operator, sides, mode)

    def evaluate(rows: Rows) -> Value:
        a = left.evaluate(rows)
        b = evaluate_where(right, rows, ~a.null)
        return Value(BOOLEAN, _TESTS[operator](compare_values(a, b)), a.null | b.null)

    return Typed(BOOLEAN, evaluate, left.foldable and right.foldable)


def null_safe_equal(sides: Sequence[Typed], mode: Mode) -> Typed:
    """<=>: as =, but null equals null, and nothing else.

    Raises:
        StatementError: the sides have no type in common.
    """
    left, right = _in_common("<=>", sides, mode)

    def evaluate(rows: Rows) -> Value:
        a, b = left.evaluate(rows), right.evaluate(rows)
        # Under a null `data` has no meaning: null decides first.
        either = a.null | b.null
        same = np.where(either, a.null & b.null, compare_values(a, b) == 0)
        return Value(BOOLEAN, same, np.zeros(rows.count, bool))

    return Typed(BOOLEAN, evaluate, left.foldable and right.foldable)


def bind_in(child: Typed, options: Sequence[Typed], mode: Mode) -> Typed:
    """IN: true if an option is equal; null if none is, but the child or an option is null.

    Raises:
        StatementError: the options have no type in common with the child.
    """
    given = _all_in_common([child, *options], mode)

    def evaluate(rows: Rows) -> Value:
        first = given[0].evaluate(rows)
        found, null = np.zeros(rows.count, dtype=bool), first.null.copy()
        for option in given[1:]:
            # An option is evaluated only where none before it was equal, as in Spark.
            other = evaluate_where(option, rows, ~first.null & ~found)
            found = found | ((compare_values(first, other) == 0) & ~other.null & ~first.null)
            # Kept, in case none is equal: then a null option leaves the answer open.
            null = null | other.null
        return Value(BOOLEAN, found, null & ~found)

    return Typed(BOOLEAN, evaluate, all(one.foldable for one in given))


def bind_extreme(sign: int) -> Callable[[Sequence[Typed], Mode], Typed]:
    """The greatest (sign 1) or least (sign -1) of the arguments that are not null."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        kinds = [one.type for one in arguments]
        kind = common_type_without_texts(kinds, mode.ansi)
        if kind is None or not is_orderable(kind):
            raise StatementError(f"{', '.join(map(str, kinds))} cannot be compared")
        given = [cast_to(one, kind, mode) for one in arguments]

        def evaluate(rows: Rows) -> Value:
            best = given[0].evaluate(rows)
            for one in given[1:]:
                other = one.evaluate(rows)
                better = best.null | (~other.null & (sign * compare_values(other, best) > 0))
                null = np.where(better, other.null, best.null)
                best = Value(kind, np.where(better, other.data, best.data), null)
            return best

        return Typed(kind, evaluate, all(one.foldable for one in given))

    return bind


def _in_common(operator: str, sides: Sequence[Typed], mode: Mode) -> tuple[Typed, Typed]:
    left, right = sides
    kind = compared_type(left.type, right.type, mode.ansi)
    if not mode.ansi and kind is None and BOOLEAN in (left.type, right.type):
        kind = _boolean_beside_number(operator, left.type, right.type)
    if kind is None or not is_orderable(kind):
        raise StatementError(f"{left.type} {operator} {right.type} is not supported")
    return cast_to(left, kind, mode), cast_to(right, kind, mode)


def _boolean_beside_number(operator: str, one: SqlType, other: SqlType) -> SqlType | None:
    """Without ANSI, true equals 1.

    Source: TypeCoercion.BooleanEquality.
    """
    rest = other if one == BOOLEAN else one
    return rest if operator in ("=", "<=>") and rest.is_number else None


def _all_in_common(arguments: Sequence[Typed], mode: Mode) -> list[Typed]:
    first = arguments[0].type
    renamed = [replace(one, type=with_names_of(one.type, first)) for one in arguments]
    given = cast_to_common_type(renamed, mode)
    if not is_orderable(given[0].type):
        raise StatementError(f"{given[0].type} IN (...) is not supported")
    return given


def _compare_keys(a: Any, b: Any) -> int:
    return int(a > b) - int(a < b)
