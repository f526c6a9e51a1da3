"""schema_of_json: the type that a text of JSON has.

Source: org.apache.spark.sql.catalyst.expressions.jsonExpressions, 4.3.0;
org.apache.spark.sql.catalyst.json.JsonInferSchema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydro_runtimes.spark.sql.binding import (
    Function,
    constant_of,
    row_function,
)
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.functions.json_texts import NOT_JSON, parse_json
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    BOOLEAN,
    DOUBLE,
    LONG,
    STRING,
    SqlType,
    array_of,
    struct_of,
)
from hydro_runtimes.spark.sql.types import decimal_of as decimal_type
from hydro_runtimes.spark.sql.values import Typed


def _bind_schema_of_json(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds schema_of_json: fields are ordered by name, numbers are BIGINT or DOUBLE."""
    text = constant_of(arguments[0], "the JSON")
    value = parse_json(text) if isinstance(text, str) else NOT_JSON
    if value is NOT_JSON:
        raise StatementError("wants a constant that is JSON")
    return row_function(lambda _: _schema_ddl(_schema_of(value)), [STRING], STRING).bind(
        arguments, mode
    )


def _schema_of(value: Any) -> SqlType:
    match value:
        case bool():
            return BOOLEAN
        case int():
            return LONG if -(2**63) <= value < 2**63 else decimal_type(len(str(abs(value))), 0)
        case float():
            return DOUBLE
        case list():
            parts = [_schema_of(one) for one in value if one is not None]
            found = parts[0] if parts else STRING
            for part in parts[1:]:
                found = _common_schema(found, part)
            return array_of(found)
        case dict():
            return struct_of({name: _schema_of(value[name]) for name in sorted(value)})
    return STRING


def _common_schema(one: SqlType, other: SqlType) -> SqlType:
    if one == other:
        return one
    if {one, other} == {LONG, DOUBLE}:
        return DOUBLE
    if one.name == other.name == "array":
        return array_of(_common_schema(one.parts[0], other.parts[0]))
    if one.name == other.name == "struct":
        fields = dict(zip(one.names, one.parts, strict=True))
        for name, part in zip(other.names, other.parts, strict=True):
            fields[name] = _common_schema(fields[name], part) if name in fields else part
        return struct_of({name: fields[name] for name in sorted(fields)})
    return STRING


def _schema_ddl(kind: SqlType) -> str:
    if kind.name == "array":
        return f"ARRAY<{_schema_ddl(kind.parts[0])}>"
    if kind.name == "struct":
        fields = zip(kind.names, kind.parts, strict=True)
        columns = (f"{_quote_name(name)}: {_schema_ddl(part)}" for name, part in fields)
        return f"STRUCT<{', '.join(columns)}>"
    return str(kind).upper()


def _quote_name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else f"`{name}`"


JSON_SCHEMAS: Mapping[str, Function] = {
    "schema_of_json": Function(_bind_schema_of_json, 1, 1, STRING),
}
"""By Spark's name."""
