"""Types for what is null and nothing else, where a statement takes no null of no type.

Spark knows such types from its table; here any does that the statement takes. A field that a
statement asks for and that is not there is null, too: Spark leaves out what is null when it writes
JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any, TypeAlias

from hydro_runtimes.spark.sql.reads import names
from hydro_runtimes.spark.sql.syntax import Select
from hydro_runtimes.spark.sql.types import (
    BOOLEAN,
    DOUBLE,
    STRING,
    VOID,
    SqlType,
    array_of,
    map_of,
    struct_of,
)

_MAX_TRIES = 500
_MAX_OPTIONS = 64
_Fields: TypeAlias = dict[str, "_Fields"]
_EMPTY = struct_of([])
_PLAIN = (VOID, array_of(VOID), map_of(STRING, VOID), STRING, DOUBLE, BOOLEAN)


def combinations(select: Select, columns: Mapping[str, SqlType]) -> Iterator[Mapping[str, SqlType]]:
    """Types of the columns with others in place of those of no type, the likely ones first."""
    fields = _asked(select)
    known = {name.lower() for name in columns}
    # What is asked of the variable of a function may be a field of an element.
    others: _Fields = {}
    for name, inner in fields.items():
        if name not in known:
            others |= inner
    options = [
        _options(kind, fields.get(name.lower(), {}), others) for name, kind in columns.items()
    ]
    for kinds in islice(product(*options), _MAX_TRIES):
        yield dict(zip(columns, kinds, strict=True))


def reshaped(value: Any, have: SqlType, want: SqlType) -> Any:
    """A value of a type as one of another, which has a type for null and may have more fields."""
    if value is None or have == want:
        return value
    if have.name == "array":
        return [reshaped(one, have.parts[0], want.parts[0]) for one in value]
    parts = zip(value, have.parts, want.parts, strict=False)
    more = len(want.parts) - len(have.parts)
    return (*(reshaped(one, *kinds) for one, *kinds in parts), *([None] * more))


def _options(kind: SqlType, fields: _Fields, others: _Fields) -> list[SqlType]:
    if kind == VOID:
        structs = [
            struct for each in (fields, fields | others) if each for struct in _structs(each)
        ]
        found = [*structs, *map(array_of, structs), *_PLAIN]
        return list(dict.fromkeys(found))
    if kind.name == "array":
        return [array_of(one) for one in _options(kind.parts[0], fields, others)]
    return _structs(fields, kind) if kind.name == "struct" else [kind]


def _structs(fields: _Fields, kind: SqlType = _EMPTY) -> list[SqlType]:
    """Structs of what a struct has and of what is asked of it."""
    pairs = list(zip(kind.names, kind.parts, strict=True))
    there = {name.lower() for name in kind.names}
    pairs += [(name, VOID) for name in fields if name not in there]
    options = [_options(part, fields.get(name.lower(), {}), {}) for name, part in pairs]
    made = islice(product(*options), _MAX_OPTIONS)
    return [struct_of(list(zip((name for name, _ in pairs), one, strict=True))) for one in made]


def _asked(select: Select) -> _Fields:
    """The names after a dot, by those before it; each name of a path may be the column."""
    found: _Fields = {}
    for parts in names(select):
        for start in range(len(parts)):
            at = found
            for name in parts[start:]:
                at = at.setdefault(name.lower(), {})
    return found
