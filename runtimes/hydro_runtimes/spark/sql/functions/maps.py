"""Functions of maps.

Source: org.apache.spark.sql.catalyst.expressions.{collectionOperations, complexTypeCreator},
4.3.0; ArrayBasedMapBuilder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from hydro_runtimes.spark.sql.binding import (
    Function,
    cast_to,
    cast_to_common_type,
    require_type,
    row_by_row,
)
from hydro_runtimes.spark.sql.coercion import tightest_type, wider_without_texts
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.arrays import array_argument, same_key
from hydro_runtimes.spark.sql.functions.elements import unify_key_types
from hydro_runtimes.spark.sql.functions.patterns import split_text
from hydro_runtimes.spark.sql.mode import Mode
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
    """The pairs of a map, after their keys have been checked. Source: ArrayBasedMapBuilder, 4.3.0.

    Raises:
        RowError: a key is null, or stands twice.
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


def _bind_map(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds map(key, value, key, value, ...)."""
    if len(arguments) % 2:
        raise StatementError("wants a value after each key")
    if not arguments:
        empty = map_of(VOID, VOID)
        return Typed(empty, lambda rows: value_of(empty, [[]] * rows.count), foldable=True)
    keys, values = (
        cast_to_common_type(arguments[::2], mode),
        cast_to_common_type(arguments[1::2], mode),
    )
    kind = map_of(keys[0].type, values[0].type)

    def evaluate(rows: Rows) -> Value:
        columns = [[one.evaluate(rows).to_list() for one in side] for side in (keys, values)]
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
        return cast_to(typed, map_of(VOID, VOID), Mode(True, UTC))
    if typed.type.name != "map":
        raise StatementError(f"got {typed.type}, want a map")
    return typed


def _bind_map_keys(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = map_argument(arguments[0])
    return row_by_row(lambda pairs: [a for a, _ in pairs], [child], array_of(child.type.parts[0]))


def _bind_map_values(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = map_argument(arguments[0])
    return row_by_row(lambda pairs: [b for _, b in pairs], [child], array_of(child.type.parts[1]))


def _bind_map_entries(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = map_argument(arguments[0])
    kind = struct_of(list(zip(("key", "value"), child.type.parts, strict=True)))
    return row_by_row(list, [child], array_of(kind))


def _bind_map_from_arrays(arguments: Sequence[Typed], mode: Mode) -> Typed:
    given = [array_argument(one) for one in arguments]
    kind = map_of(given[0].type.parts[0], given[1].type.parts[0])

    def map_from_arrays(keys: list[Any], values: list[Any]) -> Pairs:
        if len(keys) != len(values):
            raise RowError(f"got {len(keys)} keys and {len(values)} values, want as many")
        return unique_keys(list(zip(keys, values, strict=True)), kind.parts[0])

    return row_by_row(map_from_arrays, given, kind)


def _bind_map_from_entries(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = array_argument(arguments[0])
    entry = child.type.parts[0]
    if entry.name != "struct" or len(entry.parts) != 2:
        raise StatementError(f"got {child.type}, want an array of structs of key and value")
    kind = map_of(*entry.parts)

    def map_from_entries(entries: list[Any]) -> Pairs | None:
        return None if None in entries else unique_keys(entries, kind.parts[0])

    return row_by_row(map_from_entries, [child], kind)


def _bind_map_concat(arguments: Sequence[Typed], mode: Mode) -> Typed:
    maps = [map_argument(one) for one in arguments]
    if mode.ansi:
        kind = maps[0].type
        for one in maps[1:]:
            both = tightest_type(kind, one.type, mode.ansi)
            if both is None:
                raise StatementError(f"{kind}, {one.type} have no common type")
            kind = both
        given = [cast_to(one, kind, mode) for one in maps]
    else:
        given = cast_to_common_type(maps, mode)
    kind = given[0].type
    return row_by_row(
        lambda *maps: unique_keys([pair for one in maps for pair in one], kind.parts[0]),
        given,
        kind,
    )


def _bind_map_contains_key(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = map_argument(arguments[0])
    if arguments[0].type == VOID:
        raise StatementError("got void, want a map")
    given, key = unify_key_types(child, arguments[1], mode, wider_without_texts)
    if arguments[1].type == VOID:
        raise StatementError("the key is null, which no map has")
    return row_by_row(
        lambda pairs, wanted: any(key(one) == key(wanted) for one, _ in pairs), given, BOOLEAN
    )


def _bind_str_to_map(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds str_to_map(text, delimiter of pairs, delimiter of key and value)."""
    given = [require_type(one, STRING, mode) for one in arguments]

    def str_to_map(text: str, pair: str = ",", value: str = ":") -> Pairs:
        pairs = [split_text(one, value, 2) for one in split_text(text, pair)]
        return unique_keys([(a, rest[0] if rest else None) for a, *rest in pairs], STRING)

    return row_by_row(str_to_map, given, map_of(STRING, STRING))


MAPS: Mapping[str, Function] = {
    "map": Function(_bind_map, 0, 1000),
    "map_concat": Function(_bind_map_concat, 1, 1000),
    "map_contains_key": Function(_bind_map_contains_key, 2, 2, BOOLEAN),
    "map_entries": Function(_bind_map_entries, 1, 1),
    "map_from_arrays": Function(_bind_map_from_arrays, 2, 2),
    "map_from_entries": Function(_bind_map_from_entries, 1, 1),
    "map_keys": Function(_bind_map_keys, 1, 1),
    "map_values": Function(_bind_map_values, 1, 1),
    "str_to_map": Function(_bind_str_to_map, 1, 3),
}
"""By Spark's name."""
