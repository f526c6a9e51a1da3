"""Functions of arrays and maps that take lambda functions: transform, filter, aggregate and others.

The elements of all rows become one column, for which the lambda function is evaluated at once; its
answers are cut into lists again.

Source: org.apache.spark.sql.catalyst.expressions.higherOrderFunctions, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from itertools import accumulate, chain, count, pairwise
from typing import Any, TypeAlias

import numpy as np

from hydro_runtimes.spark.sql.binding import cast_to
from hydro_runtimes.spark.sql.coercion import wider_type, wider_without_texts
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.arrays import array_argument, same_key
from hydro_runtimes.spark.sql.functions.maps import map_argument, unique_keys
from hydro_runtimes.spark.sql.logic import require_condition
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.ordering import sort_key
from hydro_runtimes.spark.sql.types import BOOLEAN, INT, SqlType, array_of, map_of
from hydro_runtimes.spark.sql.values import Rows, Typed, Value, evaluate_where, value_of

_KEYS = count()


@dataclass(frozen=True, slots=True)
class LambdaFunction:
    """A lambda function, which is compiled when the types of its variables are known."""

    variables: int
    bind: Callable[[Sequence[SqlType], Sequence[str]], Typed]

    def bind_variables(self, *kinds: SqlType) -> tuple[Typed, tuple[str, ...]]:
        """The body for variables of these types, and the keys under which `Rows` hold them.

        Raises:
            StatementError: it has more variables than there are types.
        """
        if self.variables > len(kinds):
            raise StatementError(f"a function takes {self.variables} variables, want {len(kinds)}")
        keys = tuple(f"variable {next(_KEYS)}" for _ in kinds)
        return self.bind(kinds, keys), keys


HigherOrderArguments: TypeAlias = Sequence[Typed | LambdaFunction]
_Bind: TypeAlias = Callable[[HigherOrderArguments, Mode], Typed]


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


def _array_and_body(given: HigherOrderArguments) -> tuple[Typed, LambdaFunction]:
    child, body = given[0], given[1]
    if not isinstance(child, Typed) or not isinstance(body, LambdaFunction):
        raise StatementError("wants an array and then a function x -> ...")
    return array_argument(child), body


@dataclass(frozen=True, slots=True)
class _Elements:
    """The elements of the arrays of all rows as one column."""

    lists: list[list[Any] | None]
    rows: Rows
    """A row for each element."""
    cuts: list[int]
    """Where the elements of each row start, and the end: rows + 1 numbers."""

    @classmethod
    def from_lists(cls, lists: list[Any], rows: Rows) -> _Elements:
        lengths = [0 if one is None else len(one) for one in lists]
        repeated = np.repeat(np.arange(rows.count), lengths)
        return cls(lists, rows.take(repeated), list(accumulate(lengths, initial=0)))

    @property
    def all_elements(self) -> list[Any]:
        return list(chain.from_iterable(one for one in self.lists if one is not None))

    def places(self) -> list[int]:
        """The index of each element in its array, from 0."""
        return [i for one in self.lists if one is not None for i in range(len(one))]

    def cut_by_row(self, values: Sequence[Any]) -> list[Any]:
        """Cuts values, one for each element, into a list for each row; None for a null row."""
        parts = pairwise(self.cuts)
        return [
            None if one is None else list(values[a:b])
            for one, (a, b) in zip(self.lists, parts, strict=True)
        ]


def _evaluate_body(
    body: Typed, keys: Sequence[str], elements: _Elements, columns: Sequence[Value]
) -> list[Any]:
    variables = dict(zip(keys, columns, strict=False))
    return body.evaluate(elements.rows.with_columns(variables)).to_list()


def _per_element(
    given: HigherOrderArguments, mode: Mode, is_test: bool
) -> tuple[Typed, Typed, Callable[[Rows], tuple[_Elements, list[Any]]]]:
    """The array, the body, and a function that evaluates the body for each element of all rows."""
    child, function = _array_and_body(given)
    element = child.type.parts[0]
    body, keys = function.bind_variables(element, INT)
    if is_test:
        body = require_condition(body, mode)

    def evaluate_elements(rows: Rows) -> tuple[_Elements, list[Any]]:
        elements = _Elements.from_lists(child.evaluate(rows).to_list(), rows)
        columns = [value_of(element, elements.all_elements), value_of(INT, elements.places())]
        return elements, _evaluate_body(body, keys, elements, columns)

    return child, body, evaluate_elements


def _bind_transform(given: HigherOrderArguments, mode: Mode) -> Typed:
    _, body, answers = _per_element(given, mode, is_test=False)
    kind = array_of(body.type)

    def evaluate(rows: Rows) -> Value:
        elements, made = answers(rows)
        return value_of(kind, elements.cut_by_row(made))

    return Typed(kind, evaluate)


def _bind_filter(given: HigherOrderArguments, mode: Mode) -> Typed:
    if isinstance(given[0], Typed) and given[0].type.name == "map":
        return _bind_map_filter(given, mode)
    child, _, answers = _per_element(given, mode, is_test=True)
    return _select_where_true(child, answers)


def _select_where_true(
    child: Typed, answers: Callable[[Rows], tuple[_Elements, list[Any]]]
) -> Typed:
    """The elements or pairs for which the answer is true."""

    def evaluate(rows: Rows) -> Value:
        elements, kept = answers(rows)
        made = [
            None if values is None else [x for x, keep in zip(values, tests, strict=True) if keep]
            for values, tests in zip(elements.lists, elements.cut_by_row(kept), strict=True)
        ]
        return value_of(child.type, made)

    return Typed(child.type, evaluate)


def _bind_exists(wanted: bool) -> _Bind:
    """Binds exists (wanted is true) or forall (wanted is false); both are three-valued."""

    def bind(given: HigherOrderArguments, mode: Mode) -> Typed:
        _, _, answers = _per_element(given, mode, is_test=True)

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
        elements = _Elements.from_lists(pairs, rows)
        columns = [
            value_of(a, [x for x, _ in elements.all_elements]),
            value_of(b, [y for _, y in elements.all_elements]),
        ]
        return value_of(kind, elements.cut_by_row(_evaluate_body(body, keys, elements, columns)))

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


def _per_pair(
    given: HigherOrderArguments, mode: Mode, is_test: bool
) -> tuple[Typed, Typed, Callable[[Rows], tuple[_Elements, list[Any]]]]:
    child, function = given[0], given[1]
    if not isinstance(child, Typed) or not isinstance(function, LambdaFunction):
        raise StatementError("wants a map and then a function (key, value) -> ...")
    child = map_argument(child)
    key, item = child.type.parts
    body, keys = function.bind_variables(key, item)
    if is_test:
        body = require_condition(body, mode)

    def evaluate_pairs(rows: Rows) -> tuple[_Elements, list[Any]]:
        elements = _Elements.from_lists(child.evaluate(rows).to_list(), rows)
        flat = elements.all_elements
        columns = [value_of(key, [a for a, _ in flat]), value_of(item, [b for _, b in flat])]
        return elements, _evaluate_body(body, keys, elements, columns)

    return child, body, evaluate_pairs


def _bind_map_filter(given: HigherOrderArguments, mode: Mode) -> Typed:
    child, _, answers = _per_pair(given, mode, is_test=True)
    return _select_where_true(child, answers)


def _bind_map_zip_with(given: HigherOrderArguments, mode: Mode) -> Typed:
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
        elements = _Elements.from_lists(joined, rows)
        columns = [
            value_of(part, [triple[i] for triple in elements.all_elements])
            for i, part in enumerate((both, a, b))
        ]
        made = _evaluate_body(body, keys, elements, columns)
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


def _bind_transform_map(of_keys: bool) -> _Bind:
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


HIGHER_ORDER: Mapping[str, tuple[_Bind, int, int]] = {
    "aggregate": (_bind_aggregate, 3, 4),
    "array_sort": (_bind_array_sort, 1, 2),
    "exists": (_bind_exists(wanted=True), 2, 2),
    "filter": (_bind_filter, 2, 2),
    "forall": (_bind_exists(wanted=False), 2, 2),
    "map_filter": (_bind_map_filter, 2, 2),
    "map_zip_with": (_bind_map_zip_with, 3, 3),
    "transform": (_bind_transform, 2, 2),
    "transform_keys": (_bind_transform_map(of_keys=True), 2, 2),
    "transform_values": (_bind_transform_map(of_keys=False), 2, 2),
    "zip_with": (_bind_zip_with, 3, 3),
}
"""By Spark's name: what binds it, and the least and most numbers of its arguments."""
