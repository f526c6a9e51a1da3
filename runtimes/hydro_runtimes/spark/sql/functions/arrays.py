"""Functions of arrays, except those that take lambda functions.

Source: org.apache.spark.sql.catalyst.expressions.{collectionOperations, complexTypeCreator,
complexTypeExtractors}, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC
from itertools import islice, zip_longest
from typing import Any

from hydro_runtimes.spark.sql import calendar, row_limits
from hydro_runtimes.spark.sql.binding import (
    Bind,
    Function,
    cast_to,
    cast_to_common_type,
    constant_of,
    implicit_cast,
    require_type,
    row_by_row,
    row_function,
    try_row,
)
from hydro_runtimes.spark.sql.coercion import tightest_type, wider_without_texts
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.intervals import interval_parts, shift_instant
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.ordering import is_orderable, sort_key
from hydro_runtimes.spark.sql.types import (
    BINARY,
    BOOLEAN,
    DATE,
    DOUBLE,
    INT,
    LONG,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    VOID,
    SqlType,
    array_of,
    map_of,
    struct_of,
)
from hydro_runtimes.spark.sql.values import Rows, Typed, Value, value_of

MAX_ELEMENTS = 1 << 20
"""The most elements of an array that a function makes from numbers."""


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
    child: Typed, key: Typed, mode: Mode
) -> tuple[list[Typed], Callable[[Any], Any]]:
    """A map and a key, cast to one type of keys, and what makes keys comparable.

    Raises:
        StatementError: there is no such type.
    """
    kind = tightest_type(child.type.parts[0], key.type, mode.ansi)
    if kind is None:
        raise StatementError(f"{child.type} has no keys of type {key.type}")
    keyed = map_of(kind, child.type.parts[1])
    return [cast_to(child, keyed, mode), cast_to(key, kind, mode)], same_key(kind)


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


def _bind_sequence(arguments: Sequence[Typed], mode: Mode) -> Typed:
    kinds = [one.type for one in arguments[:2]]
    if any(kind in (DATE, TIMESTAMP, TIMESTAMP_NTZ) for kind in kinds):
        return _bind_moment_sequence(arguments, mode)
    if STRING in kinds:
        raise StatementError("a sequence of string is not supported, want numbers or dates")
    given = cast_to_common_type(arguments[:2], mode)
    kind = given[0].type
    if kind == VOID:
        given, kind = [cast_to(one, INT, mode) for one in given], INT
    if not kind.is_whole:
        raise StatementError(f"a sequence of {kind} is not supported, want whole numbers or dates")
    if len(arguments) > 2:
        given = [*given, implicit_cast(arguments[2], kind, mode)]

    def number_sequence(start: int, stop: int, step: int | None = None) -> list[int]:
        by = (1 if start <= stop else -1) if step is None else step
        if (by > 0 and start > stop) or (by < 0 and start < stop) or (by == 0 and start != stop):
            raise RowError(f"the sequence from {start} to {stop} has no end with the step {by}")
        return _bounded_list(range(start, stop + (1 if by > 0 else -1), by) if by else [start])

    return row_by_row(number_sequence, given, array_of(kind))


def _bounded_list(values: Iterable[int]) -> list[int]:
    made = list(islice(values, MAX_ELEMENTS + 1))
    if len(made) > MAX_ELEMENTS:
        raise RowError(f"the sequence would have more than {MAX_ELEMENTS} elements, the limit here")
    return made


def _bind_moment_sequence(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds a sequence of dates or timestamps; the step is an interval, by default a day."""
    if STRING in [one.type for one in arguments] and not mode.ansi:
        raise StatementError("a sequence of string is not supported, want dates or timestamps")
    given = cast_to_common_type(arguments[:2], mode)
    kind = given[0].type
    zone = mode.zone if kind == TIMESTAMP else UTC
    step = arguments[2] if len(arguments) > 2 else None
    if step is not None and not step.type.is_interval:
        raise StatementError(f"the step is {step.type}, want an interval")
    unit = calendar.DAY if kind == DATE else 1

    def moment_sequence(start: int, stop: int, span: Any = None) -> list[int]:
        parts = (
            (0, 1 if start <= stop else -1, 0) if step is None else interval_parts(step.type, span)
        )
        months, days, micros = parts
        if kind == DATE and not months and abs(days * calendar.DAY + micros) < calendar.DAY:
            raise RowError("the step of a sequence of dates is less than a day")
        length = (months * 28 + days) * calendar.DAY + micros
        if (
            (length > 0 and start > stop)
            or (length < 0 and start < stop)
            or (not length and start != stop)
        ):
            raise RowError("the sequence never comes to its end with this step")
        if not length:
            return [start]
        made: list[int] = []
        # n steps are added to the start at once, for a month after Jan 31 and Feb 28 is Mar 31.
        for n in range(MAX_ELEMENTS + 1):
            at = shift_instant(start * unit, n * months, n * days, n * micros, zone)
            if at > stop * unit if length > 0 else at < stop * unit:
                return made
            made.append(at // unit)
        raise RowError(f"the sequence would have more than {MAX_ELEMENTS} elements, the limit here")

    return row_by_row(moment_sequence, given if step is None else [*given, step], array_of(kind))


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
    "array_contains": Function(
        _bind_with_element(_array_contains, BOOLEAN, wider_without_texts), 2, 2, BOOLEAN
    ),
    "array_distinct": Function(_bind_array_distinct, 1, 1),
    "array_except": Function(_bind_set_operation(_array_except), 2, 2),
    "array_insert": Function(_bind_array_insert, 3, 3),
    "array_intersect": Function(_bind_set_operation(_array_intersect), 2, 2),
    "array_join": Function(_bind_array_join, 2, 3, STRING),
    "array_max": Function(_bind_array_extreme(largest=True), 1, 1),
    "array_min": Function(_bind_array_extreme(largest=False), 1, 1),
    "array_position": Function(_bind_with_element(_array_position, LONG), 2, 2, LONG),
    "array_prepend": Function(_bind_attach(first=True), 2, 2),
    "array_remove": Function(_bind_with_element(_array_remove, None), 2, 2),
    "array_repeat": Function(_bind_array_repeat, 2, 2),
    "array_size": Function(_bind_array_size, 1, 1, INT),
    "array_union": Function(_bind_set_operation(lambda a, b, key: _distinct([*a, *b], key)), 2, 2),
    "arrays_overlap": Function(_bind_set_operation(_arrays_overlap, BOOLEAN), 2, 2, BOOLEAN),
    "arrays_zip": Function(
        lambda given, mode: arrays_zip(given, [str(i) for i in range(len(given))]), 0, 1000
    ),
    "cardinality": Function(_bind_size, 1, 1, INT),
    "element_at": Function(_bind_element_at(safe=False), 2, 2),
    "flatten": Function(_bind_flatten, 1, 1),
    "get": Function(_bind_get, 2, 2),
    "reverse": Function(_bind_reverse, 1, 1),
    "sequence": Function(_bind_sequence, 2, 3),
    "size": Function(_bind_size, 1, 1, INT),
    "slice": Function(_bind_slice, 3, 3),
    "sort_array": Function(_bind_sort_array, 1, 2),
    "try_element_at": Function(_bind_element_at(safe=True), 2, 2),
    "vector_to_array": Function(_bind_vector_to_array, 1, 2),
}
"""By Spark's name."""
