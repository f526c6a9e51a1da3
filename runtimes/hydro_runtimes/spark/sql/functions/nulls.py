"""Functions of null and of conditions.

Source: org.apache.spark.sql.catalyst.expressions.{nullExpressions, conditionalExpressions},
4.3.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hydro_runtimes.spark.sql import logic
from hydro_runtimes.spark.sql.binding import Function, constant_of
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.ordering import bind_comparison, null_safe_equal
from hydro_runtimes.spark.sql.types import BOOLEAN, STRING, VOID
from hydro_runtimes.spark.sql.values import Rows, Typed, Value, constant_value


def _bind_between(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child, low, high = arguments
    sides = [bind_comparison(">=", (child, low), mode), bind_comparison("<=", (child, high), mode)]
    return logic.and_or("AND", sides, mode)


def _bind_typeof(arguments: Sequence[Typed], mode: Mode) -> Typed:
    name = str(arguments[0].type)
    return Typed(STRING, lambda rows: constant_value(STRING, name, rows.count), foldable=True)


def _bind_raise_error(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = arguments[0]

    def evaluate(rows: Rows) -> Value:
        for row, text in enumerate(child.evaluate(rows).to_list()):
            rows.errors.setdefault(int(rows.index[row]), f"USER_RAISED_EXCEPTION: {text}")
        return constant_value(VOID, None, rows.count)

    return Typed(VOID, evaluate)


def _bind_assert_true(arguments: Sequence[Typed], mode: Mode) -> Typed:
    test = logic.require_condition(arguments[0], mode)
    message = constant_of(arguments[1], "the message") if len(arguments) > 1 else "it is not true"

    def evaluate(rows: Rows) -> Value:
        value = test.evaluate(rows)
        rows.note_errors(value.null | ~value.data, f"USER_RAISED_EXCEPTION: {message}")
        return constant_value(VOID, None, rows.count)

    return Typed(VOID, evaluate)


NULLS: Mapping[str, Function] = {
    "assert_true": Function(_bind_assert_true, 1, 2, VOID),
    "between": Function(_bind_between, 3, 3, BOOLEAN),
    "coalesce": Function(logic.coalesce, 1, 1000),
    "equal_null": Function(null_safe_equal, 2, 2, BOOLEAN),
    "if": Function(logic.if_else, 3, 3),
    "isnotnull": Function(lambda given, mode: logic.is_null(given[0], False), 1, 1, BOOLEAN),
    "isnull": Function(lambda given, mode: logic.is_null(given[0], True), 1, 1, BOOLEAN),
    "nullif": Function(logic.null_if, 2, 2),
    "nvl2": Function(logic.if_not_null, 3, 3),
    "raise_error": Function(_bind_raise_error, 1, 1, VOID),
    "typeof": Function(_bind_typeof, 1, 1, STRING),
}
"""By Spark's name."""
