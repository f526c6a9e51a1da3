"""Functions of arrays and maps that take lambda functions: transform, filter, aggregate and others.

The elements of all rows become one column, for which the lambda function is evaluated at once; its
answers are cut into lists again.

Source: org.apache.spark.sql.catalyst.expressions.higherOrderFunctions, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cmp_to_key
from typing import Any

import numpy as np

from hydro_runtimes.spark.sql.binding import cast_to
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.functions.arrays import array_argument
from hydro_runtimes.spark.sql.functions.higher_order_maps import (
    bind_map_filter,
    bind_map_zip_with,
    bind_transform_map,
)
from hydro_runtimes.spark.sql.functions.lambda_functions import (
    BindHigherOrder,
    Elements,
    HigherOrderArguments,
    LambdaFunction,
    evaluate_body,
    per_element,
    select_where_true,
)
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.ordering import sort_key
from hydro_runtimes.spark.sql.types import BOOLEAN, INT, SqlType, array_of
from hydro_runtimes.spark.sql.values import Rows, Typed, Value, evaluate_where, value_of


def bind_higher_order(name: str, given: HigherOrderArguments, mode: Mode) -> Typed:
    """Binds a function to arguments of which some are lambda functions.

    Raises:
        StatementError: the arguments do not fit.
    """
    bind, least, most = HIGHER_ORDER[{"reduce": "aggregate"}.get(name, name)]
    if not least <= len(given) <= most:
        raise StatementError(f"got {len(given)} arguments, want {least} to {most}")
    if any(isinstance(one, Typed) and one.type.name == "unknown" for one in given):
        unknown = next(one for one in given if isinstance(one, Typed))
        return Typed(SqlType("unknown"), unknown.evaluate)
    return bind(given, mode)


def _bind_transform(given: HigherOrderArguments, mode: Mode) -> Typed:
    _, body, answers = per_element(given, mode, is_test=False)
    kind = array_of(body.type)

    def evaluate(rows: Rows) -> Value:
        elements, made = answers(rows)
        return value_of(kind, elements.cut_by_row(made))

    return Typed(kind, evaluate)


def _bind_filter(given: HigherOrderArguments, mode: Mode) -> Typed:
    if isinstance(given[0], Typed) and given[0].type.name == "map":
        return bind_map_filter(given, mode)
    child, _, answers = per_element(given, mode, is_test=True)
    return select_where_true(child, answers)


def _bind_exists(wanted: bool) -> BindHigherOrder:
    """Binds exists (wanted is true) or forall (wanted is false); both are three-valued."""

    def bind(given: HigherOrderArguments, mode: Mode) -> Typed:
        _, _, answers = per_element(given, mode, is_test=True)

        def evaluate(rows: Rows) -> Value:
            elements, tests = answers(rows)
            made = [
                None
                if part is None
                else wanted
                if wanted in part
                else None
                if None in part
                else not wanted
                for part in elements.cut_by_row(tests)
            ]
            return value_of(BOOLEAN, made)

        return Typed(BOOLEAN, evaluate)

    return bind


def _bind_aggregate(given: HigherOrderArguments, mode: Mode) -> Typed:
    """Binds aggregate: index by index, it is evaluated for all rows that have an element."""
    child, start, function = given[0], given[1], given[2]
    if (
        not isinstance(child, Typed)
        or not isinstance(start, Typed)
        or not isinstance(function, LambdaFunction)
    ):
        raise StatementError("wants an array, a start and a function (sum, x) -> ...")
    child = array_argument(child)
    element = child.type.parts[0]
    body, keys = function.bind_variables(start.type, element)
    if body.type != start.type:
        raise StatementError(f"the function gives {body.type}, want {start.type} as the start")
    finish = given[3] if len(given) > 3 else None
    end, end_keys = (
        finish.bind_variables(start.type) if isinstance(finish, LambdaFunction) else (None, ())
    )

    def evaluate(rows: Rows) -> Value:
        lists = child.evaluate(rows)
        total = start.evaluate(rows)
        values = [[] if one is None else one for one in lists.to_list()]
        lengths = np.array([len(one) for one in values], dtype=np.int64)
        total = Value(start.type, total.data.copy(), total.null.copy())
        for place in range(int(lengths.max(initial=0))):
            at = np.flatnonzero(lengths > place)
            variables = {
                keys[0]: total.take(at),
                keys[1]: value_of(element, [values[row][place] for row in at.tolist()]),
            }
            step = body.evaluate(rows.take(at).with_columns(variables))
            total.data[at], total.null[at] = step.data, step.null
        if end is not None:
            total = evaluate_where(end, rows.with_columns({end_keys[0]: total}), ~lists.null)
        return Value(total.type, total.data, total.null | lists.null)

    return Typed(end.type if end is not None else start.type, evaluate)


def _bind_zip_with(given: HigherOrderArguments, mode: Mode) -> Typed:
    left, right, function = given[0], given[1], given[2]
    if (
        not isinstance(left, Typed)
        or not isinstance(right, Typed)
        or not isinstance(function, LambdaFunction)
    ):
        raise StatementError("wants two arrays and a function (x, y) -> ...")
    left, right = array_argument(left), array_argument(right)
    a, b = left.type.parts[0], right.type.parts[0]
    body, keys = function.bind_variables(a, b)
    kind = array_of(body.type)

    def evaluate(rows: Rows) -> Value:
        pairs = [
            None if x is None or y is None else _pair_elements(x, y)
            for x, y in zip(
                left.evaluate(rows).to_list(), right.evaluate(rows).to_list(), strict=True
            )
        ]
        elements = Elements.from_lists(pairs, rows)
        columns = [
            value_of(a, [x for x, _ in elements.all_elements]),
            value_of(b, [y for _, y in elements.all_elements]),
        ]
        return value_of(kind, elements.cut_by_row(evaluate_body(body, keys, elements, columns)))

    return Typed(kind, evaluate)


def _pair_elements(x: list[Any], y: list[Any]) -> list[tuple[Any, Any]]:
    size = max(len(x), len(y))
    return list(zip(x + [None] * (size - len(x)), y + [None] * (size - len(y)), strict=True))


def _bind_array_sort(given: HigherOrderArguments, mode: Mode) -> Typed:
    """Binds array_sort: ascending with nulls last, or by a function that compares two elements."""
    child = given[0]
    if not isinstance(child, Typed):
        raise StatementError("wants an array")
    child = array_argument(child)
    element = child.type.parts[0]
    if len(given) == 1:
        key = sort_key(element)

        def sort_values(values: list[Any]) -> list[Any]:
            present = sorted((x for x in values if x is not None), key=key)
            return present + [None] * (len(values) - len(present))

        return Typed(
            child.type,
            lambda rows: value_of(
                child.type,
                [
                    None if one is None else sort_values(one)
                    for one in child.evaluate(rows).to_list()
                ],
            ),
        )
    function = given[1]
    if not isinstance(function, LambdaFunction):
        raise StatementError("wants a function (x, y) -> ... that compares")
    body, keys = function.bind_variables(element, element)
    order = cast_to(body, INT, mode)

    def evaluate(rows: Rows) -> Value:
        made: list[Any] = []
        for row, values in enumerate(child.evaluate(rows).to_list()):
            one = rows.take(np.array([row]))

            def compare_elements(x: Any, y: Any, one: Rows = one) -> int:
                variables = {keys[0]: value_of(element, [x]), keys[1]: value_of(element, [y])}
                found = order.evaluate(one.with_columns(variables)).to_list()[0]
                if found is None:
                    one.errors.setdefault(
                        int(one.index[0]), "COMPARATOR_RETURNS_NULL: the comparison gives null"
                    )
                return found or 0

            made.append(
                None if values is None else sorted(values, key=cmp_to_key(compare_elements))
            )
        return value_of(child.type, made)

    return Typed(child.type, evaluate)


HIGHER_ORDER: Mapping[str, tuple[BindHigherOrder, int, int]] = {
    "aggregate": (_bind_aggregate, 3, 4),
    "array_sort": (_bind_array_sort, 1, 2),
    "exists": (_bind_exists(wanted=True), 2, 2),
    "filter": (_bind_filter, 2, 2),
    "forall": (_bind_exists(wanted=False), 2, 2),
    "map_filter": (bind_map_filter, 2, 2),
    "map_zip_with": (bind_map_zip_with, 3, 3),
    "transform": (_bind_transform, 2, 2),
    "transform_keys": (bind_transform_map(of_keys=True), 2, 2),
    "transform_values": (bind_transform_map(of_keys=False), 2, 2),
    "zip_with": (_bind_zip_with, 3, 3),
}
"""By Spark's name: what binds it, and the least and most numbers of its arguments."""
