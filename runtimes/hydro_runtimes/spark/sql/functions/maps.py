"""Functions of maps.

Source: org.apache.spark.sql.catalyst.expressions.{collectionOperations, complexTypeCreator},
4.3.0; ArrayBasedMapBuilder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from hydro_runtimes.spark.sql.binding import Function, converted, exactly, in_common, row_by_row
from hydro_runtimes.spark.sql.casts import Mode
from hydro_runtimes.spark.sql.coercion import tightest
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.arrays import array_argument, same_key, with_key
from hydro_runtimes.spark.sql.functions.patterns import split
from hydro_runtimes.spark.sql.types import (
    BOOLEAN,
    STRING,
    VOID,
    SqlType,
    array_of,
    map_of,
    struct_of,
)
from hydro_runtimes.spark.sql.values import Rows, Typed, Value, value_of

Pairs = list[tuple[Any, Any]]


def unique_keys(pairs: Pairs, kind: SqlType) -> Pairs:
    """The pairs, whose keys must differ and not be null.

    Raises:
        RowError: they are not so.
    """
    if kind.is_fraction:
        pairs = [(one if one is None else one + 0.0, value) for one, value in pairs]  # no -0.0
    key = same_key(kind)
    seen: set[Any] = set()
    for one, _ in pairs:
        if one is None:
            raise RowError("NULL_MAP_KEY: a key of a map is null")
        if key(one) in seen:
            raise RowError(f"DUPLICATED_MAP_KEY: the key {one!r} stands twice in a map")
        seen.add(key(one))
    return pairs


def _map(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """map(key, value, key, value, ...)."""
    if len(arguments) % 2:
        raise StatementError("wants a value after each key")
    if not arguments:
        empty = map_of(VOID, VOID)
        return Typed(empty, lambda rows: value_of(empty, [[]] * rows.count), foldable=True)
    keys, values = in_common(arguments[::2], mode), in_common(arguments[1::2], mode)
    kind = map_of(keys[0].type, values[0].type)

    def evaluate(rows: Rows) -> Value:
        columns = [[one.evaluate(rows).listed() for one in side] for side in (keys, values)]
        made: list[Any] = []
        for row in range(rows.count):
            pairs = [(a[row], b[row]) for a, b in zip(*columns, strict=True)]
            try:
                made.append(unique_keys(pairs, kind.parts[0]))
            except RowError as error:
                rows.errors.setdefault(int(rows.index[row]), str(error))
                made.append(None)
        return value_of(kind, made)

    return Typed(kind, evaluate, all(one.foldable for one in arguments))


def map_argument(typed: Typed) -> Typed:
    """An argument that is a map.

    Raises:
        StatementError: it is not.
    """
    if typed.type == VOID:
        return converted(typed, map_of(VOID, VOID), Mode(True, UTC))
    if typed.type.name != "map":
        raise StatementError(f"got {typed.type}, want a map")
    return typed


def _keys(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = map_argument(arguments[0])
    return row_by_row(lambda pairs: [a for a, _ in pairs], [child], array_of(child.type.parts[0]))


def _values(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = map_argument(arguments[0])
    return row_by_row(lambda pairs: [b for _, b in pairs], [child], array_of(child.type.parts[1]))


def _entries(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = map_argument(arguments[0])
    kind = struct_of(list(zip(("key", "value"), child.type.parts, strict=True)))
    return row_by_row(list, [child], array_of(kind))


def _from_arrays(arguments: Sequence[Typed], mode: Mode) -> Typed:
    given = [array_argument(one) for one in arguments]
    kind = map_of(given[0].type.parts[0], given[1].type.parts[0])

    def made(keys: list[Any], values: list[Any]) -> Pairs:
        if len(keys) != len(values):
            raise RowError(f"got {len(keys)} keys and {len(values)} values, want as many")
        return unique_keys(list(zip(keys, values, strict=True)), kind.parts[0])

    return row_by_row(made, given, kind)


def _from_entries(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = array_argument(arguments[0])
    entry = child.type.parts[0]
    if entry.name != "struct" or len(entry.parts) != 2:
        raise StatementError(f"got {child.type}, want an array of structs of key and value")
    kind = map_of(*entry.parts)

    def made(entries: list[Any]) -> Pairs | None:
        return None if None in entries else unique_keys(entries, kind.parts[0])

    return row_by_row(made, [child], kind)


def _concat(arguments: Sequence[Typed], mode: Mode) -> Typed:
    maps = [map_argument(one) for one in arguments]
    if mode.ansi:
        kind = maps[0].type
        for one in maps[1:]:
            both = tightest(kind, one.type, mode.ansi)
            if both is None:
                raise StatementError(f"{kind}, {one.type} have no common type")
            kind = both
        given = [converted(one, kind, mode) for one in maps]
    else:
        given = in_common(maps, mode)
    kind = given[0].type
    return row_by_row(
        lambda *maps: unique_keys([pair for one in maps for pair in one], kind.parts[0]),
        given,
        kind,
    )


def _contains_key(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = map_argument(arguments[0])
    if arguments[0].type == VOID:
        raise StatementError("got void, want a map")
    given, key = with_key(child, arguments[1], mode)
    if arguments[1].type == VOID:
        raise StatementError("the key is null, which no map has")
    return row_by_row(
        lambda pairs, wanted: any(key(one) == key(wanted) for one, _ in pairs), given, BOOLEAN
    )


def _from_text(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """str_to_map(text, between pairs, between key and value)."""
    given = [exactly(one, STRING, mode) for one in arguments]

    def made(text: str, pair: str = ",", value: str = ":") -> Pairs:
        pairs = [split(one, value, 2) for one in split(text, pair)]
        return unique_keys([(a, rest[0] if rest else None) for a, *rest in pairs], STRING)

    return row_by_row(made, given, map_of(STRING, STRING))


MAPS: Mapping[str, Function] = {
    "map": Function(_map, 0, 1000),
    "map_concat": Function(_concat, 1, 1000),
    "map_contains_key": Function(_contains_key, 2, 2, BOOLEAN),
    "map_entries": Function(_entries, 1, 1),
    "map_from_arrays": Function(_from_arrays, 2, 2),
    "map_from_entries": Function(_from_entries, 1, 1),
    "map_keys": Function(_keys, 1, 1),
    "map_values": Function(_values, 1, 1),
    "str_to_map": Function(_from_text, 1, 3),
}
"""By Spark's name."""
