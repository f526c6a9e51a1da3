"""Functions of arrays, but for those that take functions.

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
    argument,
    attempt,
    constant_of,
    converted,
    exactly,
    in_common,
    row_by_row,
    strict,
)
from hydro_runtimes.spark.sql.casts import Mode
from hydro_runtimes.spark.sql.coercion import tightest, wider_without_texts
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.intervals import later, parts_of
from hydro_runtimes.spark.sql.ordering import orderable, sort_key
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
"""Elements of an array that a function makes from numbers."""


def element_of(sides: Sequence[Typed], mode: Mode) -> Typed:
    """child[key]: an element from 0, or the value of a key of a map.

    Raises:
        StatementError: the child is neither array nor map, or the key does not fit.
    """
    child, key = sides
    if child.type.name == "map":
        return _value_of_key(child, key, mode)
    if child.type.name != "array":
        return _not_nested(child, "an array or a map")
    if not (key.type.is_whole or key.type == VOID or key.type.name == "unknown"):
        raise StatementError(f"the index of an array is {key.type}, want a whole number")

    def element(elements: list[Any], place: int) -> Any:
        if 0 <= place < len(elements):
            return elements[place]
        if mode.ansi:
            raise RowError(_out_of_bounds(place, len(elements)) + "; use get() to get null")
        return None

    return row_by_row(element, [child, key], child.type.parts[0])


def _not_nested(child: Typed, want: str) -> Typed:
    if child.type.name == "unknown":
        return Typed(child.type, child.evaluate)
    raise StatementError(f"got {child.type}, want {want}")


def _out_of_bounds(place: int, size: int) -> str:
    return f"INVALID_ARRAY_INDEX: the index {place} is out of bounds, the array has {size} elements"


def _value_of_key(child: Typed, key: Typed, mode: Mode) -> Typed:
    """Of child[key], where the key is cast to the type of the map's."""
    kind, made = child.type.parts
    return _looked_up([child, argument(key, kind, mode)], sort_key(kind), made)


def _looked_up(given: Sequence[Typed], same: Callable[[Any], Any], made: SqlType) -> Typed:
    def value(pairs: list[tuple[Any, Any]], wanted: Any) -> Any:
        target = same(wanted)
        return next((item for one, item in pairs if same(one) == target), None)

    return row_by_row(value, given, made)


def with_key(child: Typed, key: Typed, mode: Mode) -> tuple[list[Typed], Callable[[Any], Any]]:
    """A map and a key in the one type that holds both kinds of keys, and what compares them.

    Raises:
        StatementError: there is no such type.
    """
    kind = tightest(child.type.parts[0], key.type, mode.ansi)
    if kind is None:
        raise StatementError(f"{child.type} has no keys of type {key.type}")
    keyed = map_of(kind, child.type.parts[1])
    return [converted(child, keyed, mode), converted(key, kind, mode)], same_key(kind)


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
    """From a value to something hashable, equal where Spark's values are."""
    ordered = sort_key(kind)

    def frozen(value: Any) -> Any:
        return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value

    return lambda value: frozen(ordered(value))


def _array(arguments: Sequence[Typed], mode: Mode) -> Typed:
    if not arguments:
        return Typed(array_of(VOID), lambda rows: value_of(array_of(VOID), [[]] * rows.count), True)
    given = in_common(arguments, mode)
    kind = array_of(given[0].type)

    def evaluate(rows: Rows) -> Value:
        columns = [one.evaluate(rows).listed() for one in given]
        return value_of(kind, [list(row) for row in zip(*columns, strict=True)])

    return Typed(kind, evaluate, all(one.foldable for one in given))


def _one(compute: Callable[[list[Any]], Any], gives: SqlType | None = None) -> Function:
    """A function of an array that gives an array of its type, or another type."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = array_argument(arguments[0])
        return row_by_row(compute, [child], gives or child.type)

    return Function(bind, 1, 1, gives or array_of(VOID))


def _with_element(
    compute: Callable[[list[Any], Any, Callable[[Any], Any]], Any],
    gives: SqlType | None,
    common: Callable[[SqlType, SqlType, bool], SqlType | None] = tightest,
) -> Bind:
    """A function of an array and of a value that is compared with its elements."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = array_argument(arguments[0])
        element = child.type.parts[0]
        kind = common(element, arguments[1].type, mode.ansi)
        if VOID in (arguments[0].type, arguments[1].type) and gives == BOOLEAN:
            raise StatementError("null is not an element of any array")
        if kind is None:
            raise StatementError(f"{child.type} has no elements of type {arguments[1].type}")
        given = [converted(child, array_of(kind), mode), converted(arguments[1], kind, mode)]
        key = same_key(kind)
        return row_by_row(
            lambda values, wanted: compute(values, wanted, key), given, gives or array_of(kind)
        )

    return bind


def _contains(values: list[Any], wanted: Any, key: Callable[[Any], Any]) -> bool | None:
    target = key(wanted)
    if any(value is not None and key(value) == target for value in values):
        return True
    return None if None in values else False


def _position(values: list[Any], wanted: Any, key: Callable[[Any], Any]) -> int:
    target = key(wanted)
    places = (i for i, one in enumerate(values, 1) if one is not None and key(one) == target)
    return next(places, 0)


def _removed(values: list[Any], wanted: Any, key: Callable[[Any], Any]) -> list[Any]:
    target = key(wanted)
    return [one for one in values if one is None or key(one) != target]


def _attached(first: bool) -> Bind:
    """array_prepend and array_append; an element may be null."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = array_argument(arguments[0])
        kind = tightest(child.type.parts[0], arguments[1].type, mode.ansi)
        if kind is None:
            raise StatementError(f"{child.type} takes no {arguments[1].type}")
        lists, one = converted(child, array_of(kind), mode), converted(arguments[1], kind, mode)

        def evaluate(rows: Rows) -> Value:
            pairs = zip(lists.evaluate(rows).listed(), one.evaluate(rows).listed(), strict=True)
            return value_of(
                array_of(kind),
                [None if a is None else [b, *a] if first else [*a, b] for a, b in pairs],
            )

        return Typed(array_of(kind), evaluate)

    return bind


def _unique(values: Iterable[Any], key: Callable[[Any], Any]) -> list[Any]:
    """The first of all that are equal."""
    seen: dict[Any, Any] = {}
    for value in values:
        seen.setdefault(key(value), value)
    return list(seen.values())


def _sets(
    compute: Callable[[list[Any], list[Any], Callable[[Any], Any]], Any],
    gives: SqlType | None = None,
) -> Bind:
    """A function of two arrays of one type."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        arrays = [array_argument(one) for one in arguments]
        kind = wider_without_texts(arrays[0].type, arrays[1].type, mode.ansi)
        if kind is None:
            raise StatementError(f"{arrays[0].type}, {arrays[1].type} have no common type")
        given = [converted(one, kind, mode) for one in arrays]
        key = same_key(given[0].type.parts[0])
        return row_by_row(lambda a, b: compute(a, b, key), given, gives or given[0].type)

    return bind


def _except(a: list[Any], b: list[Any], key: Callable[[Any], Any]) -> list[Any]:
    other = set(map(key, b))
    return [value for value in _unique(a, key) if key(value) not in other]


def _intersect(a: list[Any], b: list[Any], key: Callable[[Any], Any]) -> list[Any]:
    other = set(map(key, b))
    return [value for value in _unique(a, key) if key(value) in other]


def _overlap(a: list[Any], b: list[Any], key: Callable[[Any], Any]) -> bool | None:
    other = {key(value) for value in b if value is not None}
    if any(value is not None and key(value) in other for value in a):
        return True
    return None if a and b and (None in a or None in b) else False


def _array_distinct(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = array_argument(arguments[0])
    key = same_key(child.type.parts[0])
    return row_by_row(lambda values: _unique(values, key), [child], child.type)


def _join(arguments: Sequence[Typed], mode: Mode) -> Typed:
    texts = argument(array_argument(arguments[0]), array_of(STRING), mode)
    given = [texts, *(exactly(one, STRING, mode) for one in arguments[1:])]

    def joined(values: list[str | None], joint: str, missing: str | None = None) -> str:
        row_limits.check((len(joint) + len(missing or "")) * len(values))
        return joint.join(
            text if text is not None else missing or ""
            for text in values
            if text is not None or missing is not None
        )

    return row_by_row(joined, given, STRING)


def _slice(values: list[Any], start: int, length: int) -> list[Any]:
    if start == 0:
        raise RowError("INVALID_PARAMETER_VALUE.START: the start is 0, want 1 or more, or below 0")
    if length < 0:
        raise RowError(f"INVALID_PARAMETER_VALUE.LENGTH: the length is {length}, want 0 or more")
    at = start - 1 if start > 0 else len(values) + start
    return values[at : at + length] if 0 <= at < len(values) else []


def _sliced(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = array_argument(arguments[0])
    given = [child, *(argument(one, INT, mode) for one in arguments[1:])]
    return row_by_row(_slice, given, child.type)


def _sort_array(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Ascending with nulls first, or descending with nulls last."""
    child = array_argument(arguments[0])
    if not orderable(child.type):
        raise StatementError(f"{child.type} has no order")
    key = sort_key(child.type.parts[0])
    if len(arguments) > 1:
        order = exactly(arguments[1], BOOLEAN, mode)
        constant_of(order, "the order")
        given = [child, order]
    else:
        given = [child]
    return row_by_row(
        lambda values, up=True: sorted(values, key=key, reverse=not up), given, child.type
    )


def _extreme(largest: bool) -> Bind:
    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = array_argument(arguments[0])
        key = sort_key(child.type.parts[0])
        choose = max if largest else min

        def best(values: list[Any]) -> Any:
            present = [value for value in values if value is not None]
            return choose(present, key=key) if present else None

        return row_by_row(best, [child], child.type.parts[0])

    return bind


def _size(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Of null: null with ANSI, -1 without, as spark.sql.legacy.sizeOfNull has it."""
    child = arguments[0]
    if child.type.name not in ("array", "map") and child.type != VOID:
        raise StatementError(f"got {child.type}, want an array or a map")

    def evaluate(rows: Rows) -> Value:
        missing = None if mode.ansi else -1
        return value_of(
            INT, [missing if x is None else len(x) for x in child.evaluate(rows).listed()]
        )

    return Typed(INT, evaluate, child.foldable)


def _array_size(arguments: Sequence[Typed], mode: Mode) -> Typed:
    return row_by_row(len, [array_argument(arguments[0])], INT)


def _element_at(safe: bool) -> Bind:
    """element_at: counted from 1, or from the end below 0; or the value of a key."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child, key = arguments
        if child.type == VOID or (key.type == VOID and child.type.name == "array"):
            raise StatementError(f"got {child.type} and {key.type}, want an array or a map")
        if child.type.name == "map":
            given, same = with_key(child, key, mode)
            return _looked_up(given, same, child.type.parts[1])
        child = array_argument(child)
        if key.type not in (INT, VOID) and not (key.type.is_whole and key.type != LONG):
            raise StatementError(f"the index is {key.type}, want int")

        def element(values: list[Any], place: int) -> Any:
            if place == 0:
                raise RowError("INVALID_INDEX_OF_ZERO: the index is 0, want 1 or more, or below 0")
            if abs(place) <= len(values):
                return values[place - 1 if place > 0 else place]
            if mode.ansi and not safe:
                raise RowError(
                    _out_of_bounds(place, len(values)) + "; use try_element_at to get null"
                )
            return None

        return row_by_row(element, [child, argument(key, INT, mode)], child.type.parts[0])

    return bind


def _get(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = array_argument(arguments[0])
    return row_by_row(
        lambda values, place: values[place] if 0 <= place < len(values) else None,
        [child, argument(arguments[1], INT, mode)],
        child.type.parts[0],
    )


def _flatten(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = array_argument(arguments[0])
    inner = child.type.parts[0]
    if arguments[0].type == VOID or inner.name != "array":
        raise StatementError(f"got {child.type}, want an array of arrays")
    return row_by_row(
        lambda lists: None if None in lists else [x for one in lists for x in one], [child], inner
    )


def _repeated(arguments: Sequence[Typed], mode: Mode) -> Typed:
    element, count = arguments[0], exactly(arguments[1], INT, mode)
    kind = array_of(element.type)

    def evaluate(rows: Rows) -> Value:
        made: list[Any] = []
        for row, (one, times) in enumerate(
            zip(element.evaluate(rows).listed(), count.evaluate(rows).listed(), strict=True)
        ):
            if times is not None and times > MAX_ELEMENTS:
                message = f"the array would have more than {MAX_ELEMENTS} elements, the limit here"
                rows.errors.setdefault(int(rows.index[row]), message)
                times = None
            times = None if times is None else max(times, 0)
            if times and row_limits.spend(rows, row, row_limits.deep_size([one]) * times):
                times = None
            made.append(None if times is None else [one] * times)
        return value_of(kind, made)

    return Typed(kind, evaluate, element.foldable and count.foldable)


def arrays_zip(arguments: Sequence[Typed], names: Sequence[str]) -> Typed:
    """Structs of the elements at the same place, under these names.

    Raises:
        StatementError: an argument is no array.
    """
    if any(one.type.name == "unknown" for one in arguments):
        return Typed(SqlType("unknown"), arguments[0].evaluate)
    given = [array_argument(one) for one in arguments]
    kinds = [one.type.parts[0] for one in given]
    kind = array_of(struct_of(list(zip(names, kinds, strict=True))))
    return row_by_row(lambda *lists: list(zip_longest(*lists)), given, kind)


def _sequence(arguments: Sequence[Typed], mode: Mode) -> Typed:
    kinds = [one.type for one in arguments[:2]]
    if any(kind in (DATE, TIMESTAMP, TIMESTAMP_NTZ) for kind in kinds):
        return _moments(arguments, mode)
    if STRING in kinds:
        raise StatementError("a sequence of string is not supported, want numbers or dates")
    given = in_common(arguments[:2], mode)
    kind = given[0].type
    if kind == VOID:
        given, kind = [converted(one, INT, mode) for one in given], INT
    if not kind.is_whole:
        raise StatementError(f"a sequence of {kind} is not supported, want whole numbers or dates")
    if len(arguments) > 2:
        given = [*given, argument(arguments[2], kind, mode)]

    def numbers(start: int, stop: int, step: int | None = None) -> list[int]:
        by = (1 if start <= stop else -1) if step is None else step
        if (by > 0 and start > stop) or (by < 0 and start < stop) or (by == 0 and start != stop):
            raise RowError(f"the sequence from {start} to {stop} has no end with the step {by}")
        return _bounded(range(start, stop + (1 if by > 0 else -1), by) if by else [start])

    return row_by_row(numbers, given, array_of(kind))


def _bounded(values: Iterable[int]) -> list[int]:
    made = list(islice(values, MAX_ELEMENTS + 1))
    if len(made) > MAX_ELEMENTS:
        raise RowError(f"the sequence would have more than {MAX_ELEMENTS} elements, the limit here")
    return made


def _moments(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """A sequence of dates or timestamps, by an interval; one day without it."""
    if STRING in [one.type for one in arguments] and not mode.ansi:
        raise StatementError("a sequence of string is not supported, want dates or timestamps")
    given = in_common(arguments[:2], mode)
    kind = given[0].type
    zone = mode.zone if kind == TIMESTAMP else UTC
    step = arguments[2] if len(arguments) > 2 else None
    if step is not None and not step.type.is_interval:
        raise StatementError(f"the step is {step.type}, want an interval")
    unit = calendar.DAY if kind == DATE else 1

    def moments(start: int, stop: int, span: Any = None) -> list[int]:
        parts = (0, 1 if start <= stop else -1, 0) if step is None else parts_of(step.type, span)
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
        for n in range(MAX_ELEMENTS + 1):
            at = later(start * unit, n * months, n * days, n * micros, zone)
            if at > stop * unit if length > 0 else at < stop * unit:
                return made
            made.append(at // unit)
        raise RowError(f"the sequence would have more than {MAX_ELEMENTS} elements, the limit here")

    return row_by_row(moments, given if step is None else [*given, step], array_of(kind))


def _insert(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = array_argument(arguments[0])
    kind = tightest(child.type.parts[0], arguments[2].type, mode.ansi)
    if kind is None:
        raise StatementError(f"{child.type} takes no {arguments[2].type}")
    if not (arguments[1].type.is_whole or arguments[1].type == VOID):
        raise StatementError(f"the place is {arguments[1].type}, want int")
    lists, place = converted(child, array_of(kind), mode), argument(arguments[1], INT, mode)
    element = converted(arguments[2], kind, mode)

    def evaluate(rows: Rows) -> Value:
        columns = [one.evaluate(rows).listed() for one in (lists, place, element)]
        made = [
            None if values is None or at is None else attempt(rows, row, _inserted, values, at, one)
            for row, (values, at, one) in enumerate(zip(*columns, strict=True))
        ]
        return value_of(array_of(kind), made)

    return Typed(array_of(kind), evaluate)


def _inserted(values: list[Any], place: int, element: Any) -> list[Any]:
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


def _reversed(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = arguments[0]
    if child.type.name == "array":
        return row_by_row(lambda values: values[::-1], [child], child.type)
    kind = BINARY if child.type == BINARY else STRING
    return strict(lambda text: text[::-1], [kind], kind).bind(arguments, mode)


def _vector_to_array(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = arguments[0]
    if child.type.name == "array":
        return converted(child, array_of(DOUBLE), mode)
    if child.type.name != "vector":
        raise StatementError(f"got {child.type}, want a vector")
    return row_by_row(_dense, [child], array_of(DOUBLE))


def _dense(vector: tuple[int, Sequence[int] | None, Sequence[float]]) -> list[float]:
    size, indices, values = vector
    if indices is None:
        return list(values)
    dense = [0.0] * size
    for index, value in zip(indices, values, strict=True):
        dense[index] = value
    return dense


ARRAYS: Mapping[str, Function] = {
    "array": Function(_array, 0, 1000),
    "array_append": Function(_attached(first=False), 2, 2),
    "array_compact": _one(lambda values: [one for one in values if one is not None]),
    "array_contains": Function(
        _with_element(_contains, BOOLEAN, wider_without_texts), 2, 2, BOOLEAN
    ),
    "array_distinct": Function(_array_distinct, 1, 1),
    "array_except": Function(_sets(_except), 2, 2),
    "array_insert": Function(_insert, 3, 3),
    "array_intersect": Function(_sets(_intersect), 2, 2),
    "array_join": Function(_join, 2, 3, STRING),
    "array_max": Function(_extreme(largest=True), 1, 1),
    "array_min": Function(_extreme(largest=False), 1, 1),
    "array_position": Function(_with_element(_position, LONG), 2, 2, LONG),
    "array_prepend": Function(_attached(first=True), 2, 2),
    "array_remove": Function(_with_element(_removed, None), 2, 2),
    "array_repeat": Function(_repeated, 2, 2),
    "array_size": Function(_array_size, 1, 1, INT),
    "array_union": Function(_sets(lambda a, b, key: _unique([*a, *b], key)), 2, 2),
    "arrays_overlap": Function(_sets(_overlap, BOOLEAN), 2, 2, BOOLEAN),
    "arrays_zip": Function(
        lambda given, mode: arrays_zip(given, [str(i) for i in range(len(given))]), 0, 1000
    ),
    "cardinality": Function(_size, 1, 1, INT),
    "element_at": Function(_element_at(safe=False), 2, 2),
    "flatten": Function(_flatten, 1, 1),
    "get": Function(_get, 2, 2),
    "reverse": Function(_reversed, 1, 1),
    "sequence": Function(_sequence, 2, 3),
    "size": Function(_size, 1, 1, INT),
    "slice": Function(_sliced, 3, 3),
    "sort_array": Function(_sort_array, 1, 2),
    "try_element_at": Function(_element_at(safe=True), 2, 2),
    "vector_to_array": Function(_vector_to_array, 1, 2),
}
"""By Spark's name."""
