"""Structs: their fields, and structs that are made of values or of fewer fields.

Source: org.apache.spark.sql.catalyst.expressions.{complexTypeCreator,
complexTypeExtractors}, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from hydro_runtimes.spark.sql.binding import row_function
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.functions.elements import element_of
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    STRING,
    UNKNOWN,
    SqlType,
    array_of,
    struct_of,
)
from hydro_runtimes.spark.sql.values import Rows, Typed, Value, constant_value, value_of


def get_field(child: Typed, name: str, mode: Mode) -> Typed:
    """A field of a struct, of each struct in an array, or the value of a key of a map.

    Source: org.apache.spark.sql.catalyst.expressions.ExtractValue, 4.3.0.
    """
    kind = child.type
    if kind == UNKNOWN:
        return Typed(UNKNOWN, child.evaluate)
    if kind.name == "map":
        key = Typed(
            STRING, lambda rows: constant_value(STRING, name, rows.count), True, literal=True
        )
        return element_of([child, key], mode)
    if kind.name == "array" and kind.parts[0].name == "struct":
        place = _field_place(kind.parts[0], name)
        made = array_of(kind.parts[0].parts[place])
        return _map_value(
            child, made, lambda value: [None if x is None else x[place] for x in value]
        )
    if kind.name != "struct":
        raise StatementError(f"'{name}' is asked of {kind}, which has no fields")
    place = _field_place(kind, name)
    return _map_value(child, kind.parts[place], lambda value: value[place])


def drop_fields(child: Typed, paths: Sequence[tuple[str, ...]], mode: Mode) -> Typed:
    """A struct without some of its fields, of * EXCEPT (s.a).

    Raises:
        StatementError: the struct has no field of such a name.
    """
    if child.type == UNKNOWN:
        return child
    kept: list[tuple[str, Typed]] = []
    named = {path[0].lower() for path in paths if len(path) == 1}
    for name in named:
        get_field(child, name, mode)
    for name in child.type.names:
        deeper = [path[1:] for path in paths if len(path) > 1 and path[0].lower() == name.lower()]
        if deeper:
            kept.append((name, drop_fields(get_field(child, name, mode), deeper, mode)))
        elif name.lower() not in named:
            kept.append((name, get_field(child, name, mode)))
    # Of a null struct this is a struct of nulls, as in Spark.
    return _zip_fields([name for name, _ in kept], [part for _, part in kept])


def make_struct(names: Sequence[str], parts: Sequence[Typed]) -> Typed:
    """A struct of these values; of an unknown type while the type of one is not known."""
    if any(part.type == UNKNOWN for part in parts):
        return Typed(UNKNOWN, refuse_to_evaluate)
    made = _zip_fields(names, parts)
    return Typed(made.type, made.evaluate, all(part.foldable for part in parts))


def _zip_fields(names: Sequence[str], parts: Sequence[Typed]) -> Typed:
    kind = struct_of(list(zip(names, (part.type for part in parts), strict=True)))

    def evaluate(rows: Rows) -> Value:
        columns = [part.evaluate(rows).to_list() for part in parts]
        return value_of(kind, list(zip(*columns, strict=True)) if columns else [()] * rows.count)

    return Typed(kind, evaluate)


def _field_place(kind: SqlType, name: str) -> int:
    places = [i for i, one in enumerate(kind.names) if one.lower() == name.lower()]
    if len(places) != 1:
        problem = "is ambiguous in" if places else "is not a field of"
        raise StatementError(f"'{name}' {problem} {kind}")
    return places[0]


def _map_value(child: Typed, kind: SqlType, change: Any) -> Typed:
    return row_function(change, [child.type], kind).bind([child], Mode(True, UTC))


def refuse_to_evaluate(rows: Rows) -> Value:
    """In place of an evaluation, while the statement is loaded and a type is not known."""
    raise StatementError("the type of a column is not known")
