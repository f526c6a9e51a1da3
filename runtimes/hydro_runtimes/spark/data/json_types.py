"""The type of a JSON value, which depends on no other value.

A number with a point or an exponent is a double, one without is a bigint. An object with `type` and
`values`, as Spark ML writes vectors, is a vector; any other object is a struct of its fields.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from hydro_runtimes.columns import Column
from hydro_runtimes.spark.data.sql_columns import to_column
from hydro_runtimes.spark.sql.coercion import wider_type
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    BOOLEAN,
    DOUBLE,
    LONG,
    STRING,
    VECTOR,
    VOID,
    SqlType,
    array_of,
    struct_of,
)
from hydro_runtimes.spark.sql.values import value_of

_MODE = Mode(ansi=True, zone=UTC)
_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_VECTORS = ("sparse", "dense", 0, 1)


def type_of_json(value: Any) -> SqlType:
    """The SQL type of one JSON value."""
    match value:
        case None:
            return VOID
        case bool():
            return BOOLEAN
        case int():
            return LONG if -(2**63) <= value < 2**63 else DOUBLE
        case float():
            return DOUBLE
        case str():
            return STRING
        case list():
            return array_of(_element_type(value))
    if _is_vector(value):
        return VECTOR
    return struct_of([(name, type_of_json(one)) for name, one in value.items()])


def json_column(kind: SqlType, values: Sequence[Any]) -> Column:
    """The column of JSON values that are all of one type, or null."""
    return to_column(value_of(kind, [_sql_value(kind, value) for value in values]), _MODE)


def _is_vector(value: Mapping[str, Any]) -> bool:
    return value.get("type") in _VECTORS and isinstance(value.get("values"), list)


def _element_type(values: Sequence[Any]) -> SqlType:
    found = VOID
    for kind in dict.fromkeys(map(type_of_json, values)):
        # Spark reads elements of different types as texts (JsonInferSchema.compatibleType).
        found = wider_type(found, kind, ansi=False) or STRING
    return found


def _sql_value(kind: SqlType, value: Any) -> Any:
    """A JSON value as `sql.values.Value` holds a value of this type."""
    if value is None:
        return None
    match kind.name:
        case "double":
            return _NAMED[value] if isinstance(value, str) else float(value)
        case "array":
            return [_sql_value(kind.parts[0], one) for one in value]
        case "struct":
            pairs = zip(kind.names, kind.parts, strict=True)
            return tuple(_sql_value(part, value.get(name)) for name, part in pairs)
        case "vector":
            numbers = [_sql_value(DOUBLE, one) for one in value["values"]]
            if value["type"] in ("dense", 1):
                return len(numbers), None, numbers
            return int(value["size"]), list(value["indices"]), numbers
        case "string":
            return value if isinstance(value, str) else _text_of_scalar(value)
    return value


def _text_of_scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
