"""AND, OR, NOT, CASE, COALESCE and their like: what is only worked out for some rows.

Source: org.apache.spark.sql.catalyst.expressions.{predicates, conditionalExpressions,
nullExpressions}, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sql.binding import argument, converted, in_common
from hydro_runtimes.spark.sql.casts import Mode
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.ordering import compare
from hydro_runtimes.spark.sql.types import BOOLEAN, DOUBLE, STRING, UNKNOWN, VOID
from hydro_runtimes.spark.sql.values import Rows, Typed, Value, constant

_NULL = Typed(VOID, lambda rows: constant(VOID, None, rows.count), foldable=True)


def truth(typed: Typed, mode: Mode) -> Typed:
    """An expression that is a condition.

    Raises:
        StatementError: it is no boolean.
    """
    if typed.type not in (BOOLEAN, VOID, UNKNOWN):
        raise StatementError(f"a condition is {typed.type}, want boolean")
    return converted(typed, BOOLEAN, mode)


def _operand(side: Typed, mode: Mode) -> Typed:
    """Of AND, OR and NOT, for which a text is cast with ANSI, other than for CASE and WHERE."""
    return truth(
        converted(side, BOOLEAN, mode) if side.type == STRING and mode.ansi else side, mode
    )


def logic(operator: str, sides: Sequence[Typed], mode: Mode) -> Typed:
    """AND, OR, three-valued; the right side is only worked out where the left leaves it open."""
    is_and = operator == "AND"
    left_side, right_side = (_operand(side, mode) for side in sides)

    def evaluate(rows: Rows) -> Value:
        left = left_side.evaluate(rows)
        unsettled = left.null | (left.data == is_and)
        right = right_side.evaluate(rows.take(unsettled))
        data, null = left.data.copy(), left.null.copy()
        settles = ~right.null & (right.data != is_and)
        data[unsettled] = np.where(settles, not is_and, is_and)
        null[unsettled] = ~settles & (right.null | left.null[unsettled])
        return Value(BOOLEAN, data, null)

    return Typed(BOOLEAN, evaluate, left_side.foldable and right_side.foldable)


def negation(child: Typed, mode: Mode) -> Typed:
    """NOT."""
    inner = _operand(child, mode)

    def evaluate(rows: Rows) -> Value:
        value = inner.evaluate(rows)
        return Value(BOOLEAN, ~value.data, value.null)

    return Typed(BOOLEAN, evaluate, inner.foldable)


def is_null(child: Typed, wanted: bool) -> Typed:
    """IS NULL, or IS NOT NULL where that is not wanted."""

    def evaluate(rows: Rows) -> Value:
        null = child.evaluate(rows).null
        return Value(BOOLEAN, null == wanted, np.zeros(rows.count, dtype=bool))

    return Typed(BOOLEAN, evaluate, child.foldable)


def case(tests: Sequence[Typed], results: Sequence[Typed], mode: Mode) -> Typed:
    """The result of the first test that is true, else the last result.

    Args:
        tests: conditions.
        results: one for each test, and one more.
        mode: of the statement.

    Raises:
        StatementError: a test is no boolean, or the results have no type in common.
    """
    conditions = [truth(test, mode) for test in tests]
    given = in_common(results, mode)
    last = len(conditions)

    def evaluate(rows: Rows) -> Value:
        chosen = np.full(rows.count, last)
        for place, test in enumerate(conditions):
            left = np.flatnonzero(chosen == last)
            part = test.evaluate(rows.take(left))
            chosen[left[part.data & ~part.null]] = place
        return _picked(rows, chosen, given)

    return Typed(given[0].type, evaluate, all(one.foldable for one in (*conditions, *given)))


def coalesce(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """The first that is not null; what comes after it is not worked out.

    Raises:
        StatementError: the arguments have no type in common.
    """
    given = in_common(arguments, mode)

    def evaluate(rows: Rows) -> Value:
        chosen = np.full(rows.count, len(given) - 1)
        left = np.arange(rows.count)
        for place, one in enumerate(given[:-1]):
            null = one.evaluate(rows.take(left)).null
            chosen[left[~null]] = place
            left = left[null]
        return _picked(rows, chosen, given)

    return Typed(given[0].type, evaluate, all(one.foldable for one in given))


def null_if(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """The first, or null where it equals the second."""
    first, second = arguments
    return case([compare("=", (first, second), mode)], [_NULL, first], mode)


def if_else(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """if(condition, then, else)."""
    return case(arguments[:1], arguments[1:], mode)


def if_not_null(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """nvl2(x, where it is not null, where it is)."""
    first, present, missing = arguments
    return case([is_null(first, wanted=False)], [present, missing], mode)


def not_a_number(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """isnan: false for null."""
    (child,) = arguments
    inner = child if child.type.is_fraction else argument(child, DOUBLE, mode)

    def evaluate(rows: Rows) -> Value:
        value = inner.evaluate(rows)
        return Value(BOOLEAN, np.isnan(value.data) & ~value.null, np.zeros(rows.count, bool))

    return Typed(BOOLEAN, evaluate, inner.foldable)


def unless_nan(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """nanvl: the first, or the second where the first is NaN."""
    first, second = arguments
    if first.type != second.type or not first.type.is_fraction:
        first, second = argument(first, DOUBLE, mode), argument(second, DOUBLE, mode)
    return case([not_a_number([first], mode)], [second, first], mode)


def _picked(rows: Rows, chosen: Array, results: Sequence[Typed]) -> Value:
    """For each row the result that was chosen; all are of one type."""
    picked = constant(results[0].type, None, rows.count)
    for place, result in enumerate(results):
        at = chosen == place
        if not at.any():
            continue
        value = result.evaluate(rows.take(at))
        if at.all():
            return value
        picked.data[at], picked.null[at] = value.data, value.null
    return picked
