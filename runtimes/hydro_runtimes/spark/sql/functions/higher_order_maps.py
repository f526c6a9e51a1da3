"""Functions of maps that take lambda functions.

Source: org.apache.spark.sql.catalyst.expressions.higherOrderFunctions, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hydro_runtimes.spark.sql.binding import cast_to
from hydro_runtimes.spark.sql.coercion import wider_type, wider_without_texts
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.arrays import same_key
from hydro_runtimes.spark.sql.functions.lambda_functions import (
    BindHigherOrder,
    Elements,
    HigherOrderArguments,
    LambdaFunction,
    evaluate_body,
    select_where_true,
)
from hydro_runtimes.spark.sql.functions.maps import map_argument, unique_keys
from hydro_runtimes.spark.sql.logic import require_condition
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import map_of
from hydro_runtimes.spark.sql.values import Rows, Typed, Value, value_of


def _per_pair(
    given: HigherOrderArguments, mode: Mode, is_test: bool
) -> tuple[Typed, Typed, Callable[[Rows], tuple[Elements, list[Any]]]]:
    child, function = given[0], given[1]
    if not isinstance(child, Typed) or not isinstance(function, LambdaFunction):
        raise StatementError("wants a map and then a function (key, value) -> ...")
    child = map_argument(child)
    key, item = child.type.parts
    body, keys = function.bind_variables(key, item)
    if is_test:
        body = require_condition(body, mode)

    def evaluate_pairs(rows: Rows) -> tuple[Elements, list[Any]]:
        elements = Elements.from_lists(child.evaluate(rows).to_list(), rows)
        flat = elements.all_elements
        columns = [value_of(key, [a for a, _ in flat]), value_of(item, [b for _, b in flat])]
        return elements, evaluate_body(body, keys, elements, columns)

    return child, body, evaluate_pairs


def bind_map_filter(given: HigherOrderArguments, mode: Mode) -> Typed:
    child, _, answers = _per_pair(given, mode, is_test=True)
    return select_where_true(child, answers)


def bind_map_zip_with(given: HigherOrderArguments, mode: Mode) -> Typed:
    """Binds map_zip_with, evaluated for each key of either map; a missing value is null."""
    left, right, function = given[0], given[1], given[2]
    if (
        not isinstance(left, Typed)
        or not isinstance(right, Typed)
        or not isinstance(function, LambdaFunction)
    ):
        raise StatementError("wants two maps and a function (key, x, y) -> ...")
    left, right = map_argument(left), map_argument(right)
    (key, a), (other, b) = left.type.parts, right.type.parts
    both = (wider_without_texts if mode.ansi else wider_type)(key, other, mode.ansi)
    if both is None:
        raise StatementError(f"{left.type} and {right.type} have keys of different types")
    left, right = cast_to(left, map_of(both, a), mode), cast_to(right, map_of(both, b), mode)
    body, keys = function.bind_variables(both, a, b)
    kind, frozen = map_of(both, body.type), same_key(both)

    def evaluate(rows: Rows) -> Value:
        pairs = zip(left.evaluate(rows).to_list(), right.evaluate(rows).to_list(), strict=True)
        joined = [None if x is None or y is None else _join_maps(x, y, frozen) for x, y in pairs]
        elements = Elements.from_lists(joined, rows)
        columns = [
            value_of(part, [triple[i] for triple in elements.all_elements])
            for i, part in enumerate((both, a, b))
        ]
        made = evaluate_body(body, keys, elements, columns)
        named = [(triple[0], one) for triple, one in zip(elements.all_elements, made, strict=True)]
        return value_of(kind, elements.cut_by_row(named))

    return Typed(kind, evaluate)


def _join_maps(
    x: list[Any], y: list[Any], frozen: Callable[[Any], Any]
) -> list[tuple[Any, Any, Any]]:
    first = {frozen(key): (key, value) for key, value in x}
    second = {frozen(key): (key, value) for key, value in y}
    nothing = (None, None)
    return [
        (
            (first.get(place) or second[place])[0],
            first.get(place, nothing)[1],
            second.get(place, nothing)[1],
        )
        for place in {**first, **second}
    ]


def bind_transform_map(of_keys: bool) -> BindHigherOrder:
    def bind(given: HigherOrderArguments, mode: Mode) -> Typed:
        child, body, answers = _per_pair(given, mode, is_test=False)
        key, item = child.type.parts
        kind = map_of(body.type, item) if of_keys else map_of(key, body.type)

        def evaluate(rows: Rows) -> Value:
            elements, values = answers(rows)
            made: list[Any] = []
            for row, (pairs, new) in enumerate(
                zip(elements.lists, elements.cut_by_row(values), strict=True)
            ):
                if pairs is None:
                    made.append(None)
                    continue
                changed = [
                    (x, b) if of_keys else (a, x) for (a, b), x in zip(pairs, new, strict=True)
                ]
                try:
                    made.append(unique_keys(changed, kind.parts[0]))
                except RowError as error:
                    rows.errors.setdefault(int(rows.index[row]), str(error))
                    made.append(None)
            return value_of(kind, made)

        return Typed(kind, evaluate)

    return bind
