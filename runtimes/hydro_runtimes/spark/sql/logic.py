"""AND, OR, NOT, CASE, COALESCE and others that evaluate an operand for some rows only.

Source: org.apache.spark.sql.catalyst.expressions.{predicates, conditionalExpressions,
nullExpressions}, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sql.binding import cast_to, cast_to_common_type, implicit_cast
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.ordering import bind_comparison
from hydro_runtimes.spark.sql.types import BOOLEAN, DOUBLE, STRING, UNKNOWN, VOID
from hydro_runtimes.spark.sql.values import Rows, Typed, Value, constant_value

_NULL = Typed(VOID, lambda rows: constant_value(VOID, None, rows.count), foldable=True)


def require_condition(typed: Typed, mode: Mode) -> Typed:
    """An expression as a condition.

    Raises:
        StatementError: it is not a boolean.
    """
    if typed.type not in (BOOLEAN, VOID, UNKNOWN):
        raise StatementError(f"a condition is {typed.type}, want boolean")
    return cast_to(typed, BOOLEAN, mode)


def _logical_operand(side: Typed, mode: Mode) -> Typed:
    """An operand of AND, OR or NOT; with ANSI a text is cast, other than for CASE and WHERE."""
    return require_condition(
        cast_to(side, BOOLEAN, mode) if side.type == STRING and mode.ansi else side, mode
    )


def and_or(operator: str, sides: Sequence[Typed], mode: Mode) -> Typed:
    """Three-valued AND or OR; the right side is evaluated only where the left leaves it open."""
    is_and = operator == "AND"
    left_side, right_side = (_logical_operand(side, mode) for side in sides)

    def evaluate(rows: Rows) -> Value:
        left = left_side.evaluate(rows)
        # false AND x is false whatever x is, and true OR x is true: x is not evaluated there, so it
        # has no errors either.
        unsettled = left.null | (left.data == is_and)
        right = right_side.evaluate(rows.take(unsettled))
        data, null = left.data.copy(), left.null.copy()
        settles = ~right.null & (right.data != is_and)
        # The left side leaves it open where it is null, true AND ..., or false OR ...
        data[unsettled] = np.where(settles, not is_and, is_and)
        null[unsettled] = ~settles & (right.null | left.null[unsettled])
        return Value(BOOLEAN, data, null)

    return Typed(BOOLEAN, evaluate, left_side.foldable and right_side.foldable)


def logical_not(child: Typed, mode: Mode) -> Typed:
    """NOT."""
    inner = _logical_operand(child, mode)

    def evaluate(rows: Rows) -> Value:
        value = inner.evaluate(rows)
        return Value(BOOLEAN, ~value.data, value.null)

    return Typed(BOOLEAN, evaluate, inner.foldable)


def is_null(child: Typed, wanted: bool) -> Typed:
    """IS NULL; IS NOT NULL if `wanted` is false."""

    def evaluate(rows: Rows) -> Value:
        null = child.evaluate(rows).null
        return Value(BOOLEAN, null == wanted, np.zeros(rows.count, dtype=bool))

    return Typed(BOOLEAN, evaluate, child.foldable)


def case_when(tests: Sequence[Typed], results: Sequence[Typed], mode: Mode) -> Typed:
    """CASE WHEN: the result of the first test that is true, else the last result.

    Each test is evaluated only for rows in which no test before it is true, and each result only
    for the rows that it is chosen for: an error elsewhere does not count.

    Args:
        tests: conditions.
        results: one for each test, and one more.
        mode: of the statement.

    Raises:
        StatementError: a test is not a boolean, or the results have no type in common.
    """
    conditions = [require_condition(test, mode) for test in tests]
    given = cast_to_common_type(results, mode)
    last = len(conditions)

    def evaluate(rows: Rows) -> Value:
        # Which result each row gets; `last` is ELSE, and stands for "none yet" while tests go on.
        chosen = np.full(rows.count, last)
        for place, test in enumerate(conditions):
            left = np.flatnonzero(chosen == last)
            part = test.evaluate(rows.take(left))
            chosen[left[part.data & ~part.null]] = place
        return _pick_results(rows, chosen, given)

    return Typed(given[0].type, evaluate, all(one.foldable for one in (*conditions, *given)))


def coalesce(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """The first argument that is not null; those after it are not evaluated.

    Raises:
        StatementError: the arguments have no type in common.
    """
    given = cast_to_common_type(arguments, mode)

    def evaluate(rows: Rows) -> Value:
        chosen = np.full(rows.count, len(given) - 1)
        left = np.arange(rows.count)
        for place, one in enumerate(given[:-1]):
            null = one.evaluate(rows.take(left)).null
            chosen[left[~null]] = place
            left = left[null]
        return _pick_results(rows, chosen, given)

    return Typed(given[0].type, evaluate, all(one.foldable for one in given))


def null_if(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """nullif: the first argument, or null where it equals the second."""
    first, second = arguments
    return case_when([bind_comparison("=", (first, second), mode)], [_NULL, first], mode)


def if_else(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """if(condition, value, otherwise)."""
    return case_when(arguments[:1], arguments[1:], mode)


def if_not_null(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """nvl2(x, value where x is not null, value where it is)."""
    first, present, missing = arguments
    return case_when([is_null(first, wanted=False)], [present, missing], mode)


def not_a_number(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """isnan: false for null."""
    (child,) = arguments
    inner = child if child.type.is_fraction else implicit_cast(child, DOUBLE, mode)

    def evaluate(rows: Rows) -> Value:
        value = inner.evaluate(rows)
        return Value(BOOLEAN, np.isnan(value.data) & ~value.null, np.zeros(rows.count, bool))

    return Typed(BOOLEAN, evaluate, inner.foldable)


def unless_nan(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """nanvl: the first, or the second where the first is NaN."""
    first, second = arguments
    if first.type != second.type or not first.type.is_fraction:
        first, second = implicit_cast(first, DOUBLE, mode), implicit_cast(second, DOUBLE, mode)
    return case_when([not_a_number([first], mode)], [second, first], mode)


def _pick_results(rows: Rows, chosen: Array, results: Sequence[Typed]) -> Value:
    """For each row the value of the chosen result; all results are of one type."""
    picked = constant_value(results[0].type, None, rows.count)
    for place, result in enumerate(results):
        at = chosen == place
        if not at.any():
            continue
        value = result.evaluate(rows.take(at))
        if at.all():
            return value
        # Only for the rows that chose it: an error in a branch that is not taken does not count.
        picked.data[at], picked.null[at] = value.data, value.null
    return picked
