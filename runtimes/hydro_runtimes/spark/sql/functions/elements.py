"""Functions that take one element of an array, or one value of a map.

Source: org.apache.spark.sql.catalyst.expressions.{collectionOperations, complexTypeExtractors},
4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydro_runtimes.spark.sql.binding import (
    Bind,
    Function,
    cast_to,
    implicit_cast,
    row_by_row,
)
from hydro_runtimes.spark.sql.coercion import tightest_type
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.arrays import array_argument, same_key
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.ordering import sort_key
from hydro_runtimes.spark.sql.types import (
    INT,
    LONG,
    VOID,
    SqlType,
    map_of,
)
from hydro_runtimes.spark.sql.values import Typed


def element_of(sides: Sequence[Typed], mode: Mode) -> Typed:
    """child[key]: the element at an index from 0, or the value of a key of a map.

    Raises:
        StatementError: the child is neither an array nor a map, or the key does not fit.
    """
    child, key = sides
    if child.type.name == "map":
        return _value_of_key(child, key, mode)
    if child.type.name != "array":
        return _not_nested(child, "an array or a map")
    if not (key.type.is_whole or key.type == VOID or key.type.name == "unknown"):
        raise StatementError(f"the index of an array is {key.type}, want a whole number")

    def element_from_zero(elements: list[Any], place: int) -> Any:
        if 0 <= place < len(elements):
            return elements[place]
        if mode.ansi:
            raise RowError(_out_of_bounds(place, len(elements)) + "; use get() to get null")
        return None

    return row_by_row(element_from_zero, [child, key], child.type.parts[0])


def _not_nested(child: Typed, want: str) -> Typed:
    if child.type.name == "unknown":
        return Typed(child.type, child.evaluate)
    raise StatementError(f"got {child.type}, want {want}")


def _out_of_bounds(place: int, size: int) -> str:
    return f"INVALID_ARRAY_INDEX: the index {place} is out of bounds, the array has {size} elements"


def _value_of_key(child: Typed, key: Typed, mode: Mode) -> Typed:
    """child[key] of a map; the key is cast to the type of the map's keys."""
    kind, made = child.type.parts
    return _look_up_key([child, implicit_cast(key, kind, mode)], sort_key(kind), made)


def _look_up_key(given: Sequence[Typed], same: Callable[[Any], Any], made: SqlType) -> Typed:
    def value_of_key(pairs: list[tuple[Any, Any]], wanted: Any) -> Any:
        target = same(wanted)
        return next((item for one, item in pairs if same(one) == target), None)

    return row_by_row(value_of_key, given, made)


def unify_key_types(
    child: Typed, key: Typed, mode: Mode, common: Callable[..., SqlType | None] = tightest_type
) -> tuple[list[Typed], Callable[[Any], Any]]:
    """A map and a key, cast to one type of keys, and what makes keys comparable.

    Raises:
        StatementError: there is no such type.
    """
    kind = common(child.type.parts[0], key.type, mode.ansi)
    if kind is None:
        raise StatementError(f"{child.type} has no keys of type {key.type}")
    keyed = map_of(kind, child.type.parts[1])
    return [cast_to(child, keyed, mode), cast_to(key, kind, mode)], same_key(kind)


def _bind_element_at(safe: bool) -> Bind:
    """Binds element_at: the index counts from 1, or below 0 from the end; of a map it is a key."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child, key = arguments
        if child.type == VOID or (key.type == VOID and child.type.name == "array"):
            raise StatementError(f"got {child.type} and {key.type}, want an array or a map")
        if child.type.name == "map":
            given, same = unify_key_types(child, key, mode)
            return _look_up_key(given, same, child.type.parts[1])
        child = array_argument(child)
        if key.type not in (INT, VOID) and not (key.type.is_whole and key.type != LONG):
            raise StatementError(f"the index is {key.type}, want int")

        def element_at(values: list[Any], place: int) -> Any:
            if place == 0:
                raise RowError("INVALID_INDEX_OF_ZERO: the index is 0, want 1 or more, or below 0")
            if abs(place) <= len(values):
                return values[place - 1 if place > 0 else place]
            if mode.ansi and not safe:
                raise RowError(
                    _out_of_bounds(place, len(values)) + "; use try_element_at to get null"
                )
            return None

        return row_by_row(element_at, [child, implicit_cast(key, INT, mode)], child.type.parts[0])

    return bind


def _bind_get(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = array_argument(arguments[0])
    return row_by_row(
        lambda values, place: values[place] if 0 <= place < len(values) else None,
        [child, implicit_cast(arguments[1], INT, mode)],
        child.type.parts[0],
    )


ELEMENTS: Mapping[str, Function] = {
    "element_at": Function(_bind_element_at(safe=False), 2, 2),
    "get": Function(_bind_get, 2, 2),
    "try_element_at": Function(_bind_element_at(safe=True), 2, 2),
}
"""By Spark's name."""
