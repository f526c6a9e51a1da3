"""Functions of arrays, except those that take lambda functions.

Source: org.apache.spark.sql.catalyst.expressions.{collectionOperations, complexTypeCreator,
complexTypeExtractors}, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from hydro_runtimes.spark.sql import row_limits
from hydro_runtimes.spark.sql.binding import (
    Bind,
    Function,
    cast_to,
    cast_to_common_type,
    implicit_cast,
    require_type,
    row_by_row,
    row_function,
    try_row,
)
from hydro_runtimes.spark.sql.coercion import tightest_type
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.ordering import sort_key
from hydro_runtimes.spark.sql.types import (
    BINARY,
    DOUBLE,
    INT,
    STRING,
    VOID,
    SqlType,
    array_of,
    struct_of,
)
from hydro_runtimes.spark.sql.values import Rows, Typed, Value, value_of

MAX_ELEMENTS = 1 << 20
"""The most elements of an array that a function makes from numbers."""


def array_argument(typed: Typed) -> Typed:
    """An argument that is an array.

    Raises:
        StatementError: it is not.
    """
    if typed.type == VOID:
        return Typed(array_of(VOID), _void_array(typed), typed.foldable)
    if typed.type.name != "array":
        raise StatementError(f"got {typed.type}, want an array")
    return typed


def _void_array(typed: Typed) -> Callable[[Rows], Value]:
    return lambda rows: value_of(array_of(VOID), [None] * rows.count)


def same_key(kind: SqlType) -> Callable[[Any], Any]:
    """A function from a value to a hashable key; keys are equal if Spark's values are."""
    order_of = sort_key(kind)

    def freeze(value: Any) -> Any:
        return tuple(map(freeze, value)) if isinstance(value, list | tuple) else value

    return lambda value: freeze(order_of(value))


def _bind_array(arguments: Sequence[Typed], mode: Mode) -> Typed:
    if not arguments:
        return Typed(array_of(VOID), lambda rows: value_of(array_of(VOID), [[]] * rows.count), True)
    given = cast_to_common_type(arguments, mode)
    kind = array_of(given[0].type)

    def evaluate(rows: Rows) -> Value:
        columns = [one.evaluate(rows).to_list() for one in given]
        return value_of(kind, [list(row) for row in zip(*columns, strict=True)])

    return Typed(kind, evaluate, all(one.foldable for one in given))


def _array_function(compute: Callable[[list[Any]], Any], gives: SqlType | None = None) -> Function:
    """A function of an array whose answer has the array's type, or the given one."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = array_argument(arguments[0])
        return row_by_row(compute, [child], gives or child.type)

    return Function(bind, 1, 1, gives or array_of(VOID))


def _bind_attach(first: bool) -> Bind:
    """Binds array_prepend (first) or array_append; the element may be null."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = array_argument(arguments[0])
        kind = tightest_type(child.type.parts[0], arguments[1].type, mode.ansi)
        if kind is None:
            raise StatementError(f"{child.type} takes no {arguments[1].type}")
        lists, one = cast_to(child, array_of(kind), mode), cast_to(arguments[1], kind, mode)

        def evaluate(rows: Rows) -> Value:
            pairs = zip(lists.evaluate(rows).to_list(), one.evaluate(rows).to_list(), strict=True)
            return value_of(
                array_of(kind),
                [None if a is None else [b, *a] if first else [*a, b] for a, b in pairs],
            )

        return Typed(array_of(kind), evaluate)

    return bind


def _bind_array_join(arguments: Sequence[Typed], mode: Mode) -> Typed:
    texts = implicit_cast(array_argument(arguments[0]), array_of(STRING), mode)
    given = [texts, *(require_type(one, STRING, mode) for one in arguments[1:])]

    def join_texts(values: list[str | None], joint: str, missing: str | None = None) -> str:
        row_limits.check_size((len(joint) + len(missing or "")) * len(values))
        return joint.join(
            text if text is not None else missing or ""
            for text in values
            if text is not None or missing is not None
        )

    return row_by_row(join_texts, given, STRING)


def _slice_array(values: list[Any], start: int, length: int) -> list[Any]:
    if start == 0:
        raise RowError("INVALID_PARAMETER_VALUE.START: the start is 0, want 1 or more, or below 0")
    if length < 0:
        raise RowError(f"INVALID_PARAMETER_VALUE.LENGTH: the length is {length}, want 0 or more")
    at = start - 1 if start > 0 else len(values) + start
    return values[at : at + length] if 0 <= at < len(values) else []


def _bind_slice(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = array_argument(arguments[0])
    given = [child, *(implicit_cast(one, INT, mode) for one in arguments[1:])]
    return row_by_row(_slice_array, given, child.type)


def _bind_size(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds size; of null it is null with ANSI and -1 without (spark.sql.legacy.sizeOfNull)."""
    child = arguments[0]
    if child.type.name not in ("array", "map") and child.type != VOID:
        raise StatementError(f"got {child.type}, want an array or a map")

    def evaluate(rows: Rows) -> Value:
        missing = None if mode.ansi else -1
        return value_of(
            INT, [missing if x is None else len(x) for x in child.evaluate(rows).to_list()]
        )

    return Typed(INT, evaluate, child.foldable)


def _bind_array_size(arguments: Sequence[Typed], mode: Mode) -> Typed:
    return row_by_row(len, [array_argument(arguments[0])], INT)


def _bind_flatten(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = array_argument(arguments[0])
    inner = child.type.parts[0]
    if arguments[0].type == VOID or inner.name != "array":
        raise StatementError(f"got {child.type}, want an array of arrays")
    return row_by_row(
        lambda lists: None if None in lists else [x for one in lists for x in one], [child], inner
    )


def _bind_array_repeat(arguments: Sequence[Typed], mode: Mode) -> Typed:
    element, count = arguments[0], require_type(arguments[1], INT, mode)
    kind = array_of(element.type)

    def evaluate(rows: Rows) -> Value:
        made: list[Any] = []
        for row, (one, times) in enumerate(
            zip(element.evaluate(rows).to_list(), count.evaluate(rows).to_list(), strict=True)
        ):
            if times is not None and times > MAX_ELEMENTS:
                message = f"the array would have more than {MAX_ELEMENTS} elements, the limit here"
                rows.errors.setdefault(int(rows.index[row]), message)
                times = None
            times = None if times is None else max(times, 0)
            if times and row_limits.count_made(rows, row, row_limits.deep_size([one]) * times):
                times = None
            made.append(None if times is None else [one] * times)
        return value_of(kind, made)

    return Typed(kind, evaluate, element.foldable and count.foldable)


def arrays_zip(arguments: Sequence[Typed], names: Sequence[str]) -> Typed:
    """Structs of the elements at the same index, with these names of fields.

    Raises:
        StatementError: an argument is not an array.
    """
    if any(one.type.name == "unknown" for one in arguments):
        return Typed(SqlType("unknown"), arguments[0].evaluate)
    given = [array_argument(one) for one in arguments]
    kinds = [one.type.parts[0] for one in given]
    kind = array_of(struct_of(list(zip(names, kinds, strict=True))))
    return row_by_row(lambda *lists: list(zip_longest(*lists)), given, kind)


def _bind_array_insert(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = array_argument(arguments[0])
    kind = tightest_type(child.type.parts[0], arguments[2].type, mode.ansi)
    if kind is None:
        raise StatementError(f"{child.type} takes no {arguments[2].type}")
    if not (arguments[1].type.is_whole or arguments[1].type == VOID):
        raise StatementError(f"the place is {arguments[1].type}, want int")
    lists, place = cast_to(child, array_of(kind), mode), implicit_cast(arguments[1], INT, mode)
    element = cast_to(arguments[2], kind, mode)

    def evaluate(rows: Rows) -> Value:
        columns = [one.evaluate(rows).to_list() for one in (lists, place, element)]
        made = [
            None
            if values is None or at is None
            else try_row(rows, row, _insert_element, values, at, one)
            for row, (values, at, one) in enumerate(zip(*columns, strict=True))
        ]
        return value_of(array_of(kind), made)

    return Typed(array_of(kind), evaluate)


def _insert_element(values: list[Any], place: int, element: Any) -> list[Any]:
    if place == 0:
        raise RowError("INVALID_INDEX_OF_ZERO: the index is 0, want 1 or more, or below 0")
    if abs(place) > MAX_ELEMENTS + len(values):
        raise RowError(f"the array would have more than {MAX_ELEMENTS} elements, the limit here")
    if place > 0:
        padded = values + [None] * (place - 1 - len(values))
        return [*padded[: place - 1], element, *padded[place - 1 :]]
    at = len(values) + place + 1
    if at >= 0:
        return [*values[:at], element, *values[at:]]
    return [element, *[None] * -at, *values]


def _bind_reverse(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = arguments[0]
    if child.type.name == "array":
        return row_by_row(lambda values: values[::-1], [child], child.type)
    kind = BINARY if child.type == BINARY else STRING
    return row_function(lambda text: text[::-1], [kind], kind).bind(arguments, mode)


def _bind_vector_to_array(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = arguments[0]
    if child.type.name == "array":
        return cast_to(child, array_of(DOUBLE), mode)
    if child.type.name != "vector":
        raise StatementError(f"got {child.type}, want a vector")
    return row_by_row(_dense_values, [child], array_of(DOUBLE))


def _dense_values(vector: tuple[int, Sequence[int] | None, Sequence[float]]) -> list[float]:
    size, indices, values = vector
    if indices is None:
        return list(values)
    dense = [0.0] * size
    for index, value in zip(indices, values, strict=True):
        dense[index] = value
    return dense


ARRAYS: Mapping[str, Function] = {
    "array": Function(_bind_array, 0, 1000),
    "array_append": Function(_bind_attach(first=False), 2, 2),
    "array_compact": _array_function(lambda values: [one for one in values if one is not None]),
    "array_insert": Function(_bind_array_insert, 3, 3),
    "array_join": Function(_bind_array_join, 2, 3, STRING),
    "array_prepend": Function(_bind_attach(first=True), 2, 2),
    "array_repeat": Function(_bind_array_repeat, 2, 2),
    "array_size": Function(_bind_array_size, 1, 1, INT),
    "arrays_zip": Function(
        lambda given, mode: arrays_zip(given, [str(i) for i in range(len(given))]), 0, 1000
    ),
    "cardinality": Function(_bind_size, 1, 1, INT),
    "flatten": Function(_bind_flatten, 1, 1),
    "reverse": Function(_bind_reverse, 1, 1),
    "size": Function(_bind_size, 1, 1, INT),
    "slice": Function(_bind_slice, 3, 3),
    "vector_to_array": Function(_bind_vector_to_array, 1, 2),
}
"""By Spark's name."""
