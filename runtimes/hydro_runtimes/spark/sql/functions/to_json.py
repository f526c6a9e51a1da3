"""to_json, and how it writes values.

Source: org.apache.spark.sql.catalyst.expressions.jsonExpressions, 4.3.0;
org.apache.spark.sql.catalyst.json.JacksonGenerator.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from hydro_runtimes.spark.sql import java_text
from hydro_runtimes.spark.sql.binding import (
    Function,
    cast_to,
    row_by_row,
)
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.datetime_patterns import datetime_pattern
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.functions.json_options import (
    ISO_FORMATS,
    Formats,
    read_flag,
    read_formats,
    read_options,
    read_zone,
)
from hydro_runtimes.spark.sql.functions.json_texts import indent_json, quote_json
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    STRING,
    VOID,
    SqlType,
)
from hydro_runtimes.spark.sql.value_texts import text_of
from hydro_runtimes.spark.sql.values import Typed


def write_json(
    kind: SqlType, value: Any, mode: Mode, with_nulls: bool = False, formats: Formats = ISO_FORMATS
) -> str:
    """A value as to_json writes it.

    Args:
        kind: of the value.
        value: as `Value` holds it, None for null.
        mode: whose zone timestamps are written in.
        with_nulls: write null fields of structs, instead of omitting them.
        formats: of dates and timestamps.
    """

    def write_inner(part: SqlType, one: Any) -> str:
        return write_json(part, one, mode, with_nulls, formats)

    if value is None:
        return "null"
    if (pattern := formats.of_type(kind)) is not None:
        micros = value * DAY if kind.name == "date" else value
        zone = mode.zone if kind.name == "timestamp" else UTC
        return quote_json(pattern.format_instant(micros, zone))
    match kind.name:
        case "struct":
            fields = zip(kind.names, kind.parts, value, strict=True)
            parts = (
                f"{quote_json(name)}:{write_inner(part, one)}"
                for name, part, one in fields
                if with_nulls or one is not None
            )
            return f"{{{','.join(parts)}}}"
        case "map":
            key, item = kind.parts
            pairs = (
                f"{quote_json(text_of(key, a, mode))}:{write_inner(item, b)}" for a, b in value
            )
            return f"{{{','.join(pairs)}}}"
        case "array":
            return f"[{','.join(write_inner(kind.parts[0], one) for one in value)}]"
        case "vector":
            return _vector_json(value)
        case "float" | "double":
            return _number_json(kind, value, mode)
        case "decimal":
            return str(value)  # with an exponent where BigDecimal.toString has one
        case "timestamp":
            return quote_json(_timestamp_text(value, mode))
        case "binary":
            return quote_json(base64.b64encode(value).decode())
        case "timestamp_ntz":
            return quote_json(
                datetime_pattern("yyyy-MM-dd'T'HH:mm:ss.SSS").format_instant(value, UTC)
            )
        case "string" | "date":
            return quote_json(text_of(kind, value, mode))
    text = text_of(kind, value, mode)
    return quote_json(text) if kind.is_interval else text


def _number_json(kind: SqlType, value: float, mode: Mode) -> str:
    text = text_of(kind, value, mode)
    return text if math.isfinite(value) else f'"{text}"'


def _timestamp_text(micros: int, mode: Mode) -> str:
    return datetime_pattern("yyyy-MM-dd'T'HH:mm:ss.SSSXXXXX").format_instant(micros, mode.zone)


def _vector_json(value: tuple[int, Sequence[int] | None, Sequence[float]]) -> str:
    size, indices, values = value
    numbers = f"[{','.join(java_text.double_text(repr(float(x))) for x in values)}]"
    if indices is None:
        return numbers
    places = f"[{','.join(map(str, indices))}]"
    return f'{{"type":"sparse","size":{size},"indices":{places},"values":{numbers}}}'


def _bind_to_json(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = arguments[0]
    if child.type == VOID:
        return cast_to(child, STRING, mode)
    if not child.type.is_nested:
        raise StatementError(f"got {child.type}, want a struct, map or array")
    kind = child.type
    options = read_options(
        arguments[1:], ("locale", "sortKeys", "writeNonAsciiCharacterAsCodePoint")
    )
    with_nulls = not read_flag(options, "ignoreNullFields", True)
    is_indented = read_flag(options, "pretty", False)
    mode = read_zone(options, mode)
    formats = read_formats(options)

    def write(value: Any) -> str:
        text = write_json(kind, value, mode, with_nulls, formats)
        return indent_json(text) if is_indented else text

    return row_by_row(write, [child], STRING)


TO_JSON: Mapping[str, Function] = {
    "to_json": Function(_bind_to_json, 1, 2, STRING),
}
"""By Spark's name."""
