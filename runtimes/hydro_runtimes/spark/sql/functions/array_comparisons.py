"""Functions of arrays that compare elements: contains, distinct, union, sort, min and others.

Source: org.apache.spark.sql.catalyst.expressions.collectionOperations, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hydro_runtimes.spark.sql.binding import (
    Bind,
    Function,
    cast_to,
    constant_of,
    require_type,
    row_by_row,
)
from hydro_runtimes.spark.sql.coercion import tightest_type, wider_without_texts
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.functions.arrays import array_argument, same_key
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.ordering import is_orderable, sort_key
from hydro_runtimes.spark.sql.types import (
    BOOLEAN,
    LONG,
    VOID,
    SqlType,
    array_of,
)
from hydro_runtimes.spark.sql.values import Typed


def _bind_with_element(
    compute: Callable[[list[Any], Any, Callable[[Any], Any]], Any],
    gives: SqlType | None,
    common: Callable[[SqlType, SqlType, bool], SqlType | None] = tightest_type,
) -> Bind:
    """Binds a function of an array and a value that is compared with its elements.

    Args:
        compute: from the elements, the value and `same_key` to the answer.
        gives: the type of the answer; None means the array's.
        common: the type in which elements and value are compared.
    """

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = array_argument(arguments[0])
        element = child.type.parts[0]
        kind = common(element, arguments[1].type, mode.ansi)
        if VOID in (arguments[0].type, arguments[1].type) and gives == BOOLEAN:
            raise StatementError("null is not an element of any array")
        if kind is None:
            raise StatementError(f"{child.type} has no elements of type {arguments[1].type}")
        given = [cast_to(child, array_of(kind), mode), cast_to(arguments[1], kind, mode)]
        key = same_key(kind)
        return row_by_row(
            lambda values, wanted: compute(values, wanted, key), given, gives or array_of(kind)
        )

    return bind


def _array_contains(values: list[Any], wanted: Any, key: Callable[[Any], Any]) -> bool | None:
    target = key(wanted)
    if any(value is not None and key(value) == target for value in values):
        return True
    return None if None in values else False


def _array_position(values: list[Any], wanted: Any, key: Callable[[Any], Any]) -> int:
    target = key(wanted)
    places = (i for i, one in enumerate(values, 1) if one is not None and key(one) == target)
    return next(places, 0)


def _array_remove(values: list[Any], wanted: Any, key: Callable[[Any], Any]) -> list[Any]:
    target = key(wanted)
    return [one for one in values if one is None or key(one) != target]


def _distinct(values: Iterable[Any], key: Callable[[Any], Any]) -> list[Any]:
    """The first of all values that are equal, in order."""
    seen: dict[Any, Any] = {}
    for value in values:
        seen.setdefault(key(value), value)
    return list(seen.values())


def _bind_set_operation(
    compute: Callable[[list[Any], list[Any], Callable[[Any], Any]], Any],
    gives: SqlType | None = None,
) -> Bind:
    """Binds a function of two arrays, which are cast to one type."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        arrays = [array_argument(one) for one in arguments]
        kind = wider_without_texts(arrays[0].type, arrays[1].type, mode.ansi)
        if kind is None:
            raise StatementError(f"{arrays[0].type}, {arrays[1].type} have no common type")
        given = [cast_to(one, kind, mode) for one in arrays]
        key = same_key(given[0].type.parts[0])
        return row_by_row(lambda a, b: compute(a, b, key), given, gives or given[0].type)

    return bind


def _array_except(a: list[Any], b: list[Any], key: Callable[[Any], Any]) -> list[Any]:
    other = set(map(key, b))
    return [value for value in _distinct(a, key) if key(value) not in other]


def _array_intersect(a: list[Any], b: list[Any], key: Callable[[Any], Any]) -> list[Any]:
    other = set(map(key, b))
    return [value for value in _distinct(a, key) if key(value) in other]


def _arrays_overlap(a: list[Any], b: list[Any], key: Callable[[Any], Any]) -> bool | None:
    other = {key(value) for value in b if value is not None}
    if any(value is not None and key(value) in other for value in a):
        return True
    return None if a and b and (None in a or None in b) else False


def _bind_array_distinct(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = array_argument(arguments[0])
    key = same_key(child.type.parts[0])
    return row_by_row(lambda values: _distinct(values, key), [child], child.type)


def _bind_sort_array(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds sort_array: ascending with nulls first, or descending with nulls last."""
    child = array_argument(arguments[0])
    if not is_orderable(child.type):
        raise StatementError(f"{child.type} has no order")
    key = sort_key(child.type.parts[0])
    if len(arguments) > 1:
        order = require_type(arguments[1], BOOLEAN, mode)
        constant_of(order, "the order")
        given = [child, order]
    else:
        given = [child]
    return row_by_row(
        lambda values, up=True: sorted(values, key=key, reverse=not up), given, child.type
    )


def _bind_array_extreme(largest: bool) -> Bind:
    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = array_argument(arguments[0])
        key = sort_key(child.type.parts[0])
        choose = max if largest else min

        def extreme_of(values: list[Any]) -> Any:
            present = [value for value in values if value is not None]
            return choose(present, key=key) if present else None

        return row_by_row(extreme_of, [child], child.type.parts[0])

    return bind


ARRAY_COMPARISONS: Mapping[str, Function] = {
    "array_contains": Function(
        _bind_with_element(_array_contains, BOOLEAN, wider_without_texts), 2, 2, BOOLEAN
    ),
    "array_distinct": Function(_bind_array_distinct, 1, 1),
    "array_except": Function(_bind_set_operation(_array_except), 2, 2),
    "array_intersect": Function(_bind_set_operation(_array_intersect), 2, 2),
    "array_max": Function(_bind_array_extreme(largest=True), 1, 1),
    "array_min": Function(_bind_array_extreme(largest=False), 1, 1),
    "array_position": Function(_bind_with_element(_array_position, LONG), 2, 2, LONG),
    "array_remove": Function(_bind_with_element(_array_remove, None), 2, 2),
    "array_union": Function(_bind_set_operation(lambda a, b, key: _distinct([*a, *b], key)), 2, 2),
    "arrays_overlap": Function(_bind_set_operation(_arrays_overlap, BOOLEAN), 2, 2, BOOLEAN),
    "sort_array": Function(_bind_sort_array, 1, 2),
}
"""By Spark's name."""
