"""from_json, and how it reads values of a type.

Source: org.apache.spark.sql.catalyst.expressions.jsonExpressions, 4.3.0;
org.apache.spark.sql.catalyst.json.JacksonParser.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC
from decimal import Decimal
from typing import Any

from hydro_runtimes.spark.sql import zones
from hydro_runtimes.spark.sql.binding import (
    Function,
    constant_of,
    require_type,
    row_by_row,
)
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.decimals import fit_decimal
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.json_options import (
    ISO_FORMATS,
    Formats,
    read_dialect,
    read_formats,
    read_options,
    read_zone,
)
from hydro_runtimes.spark.sql.functions.json_texts import (
    NAMED_NUMBERS,
    NOT_JSON,
    compact_text,
    first_json,
    parse_json,
)
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.typenames import parse_ddl
from hydro_runtimes.spark.sql.types import (
    STRING,
    SqlType,
    bit_width,
)
from hydro_runtimes.spark.sql.values import Typed

_CORRUPT = "_corrupt_record"


def _bind_from_json(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds from_json; in mode PERMISSIVE, all fields of a text that does not fit are null."""
    schema = constant_of(arguments[1], "the schema")
    if not isinstance(schema, str):
        raise StatementError("the schema is null, want a text such as 'a INT, b STRING'")
    options = read_options(arguments[2:], ("locale", "singleVariantColumn"))
    dialect, mode = read_dialect(options), read_zone(options, mode)
    corrupt = options.get("columnnameofcorruptrecord", _CORRUPT)
    formats = read_formats(options)
    is_strict = options.get("mode", "").upper() == "FAILFAST"
    if options.get("mode", "").upper() == "DROPMALFORMED":
        raise StatementError("the mode DROPMALFORMED is not for from_json, as in Spark")
    kind = parse_ddl(schema)
    if kind.name not in ("struct", "array", "map"):
        raise StatementError(f"the schema is {kind}, want a struct, an array or a map")

    def read_text(text: str) -> Any:
        if not text.strip():
            return None
        value = first_json(text, dialect)
        if kind.name == "struct" and isinstance(value, list):
            value = value[0] if len(value) == 1 else NOT_JSON
        if kind.name == "array" and isinstance(value, dict) and kind.parts[0].name == "struct":
            value = [value]
        try:
            return _complete(kind, _convert_json(kind, value, mode, True, formats), corrupt, None)
        except _Mismatch:
            if is_strict:
                raise RowError(
                    f"MALFORMED_RECORD_IN_PARSING: the JSON is not a {kind}, mode FAILFAST"
                ) from None
        try:
            return _complete(kind, _convert_json(kind, value, mode, False, formats), corrupt, text)
        except _Mismatch:
            return _complete(kind, None, corrupt, text)

    return row_by_row(read_text, [require_type(arguments[0], STRING, mode)], kind)


def _complete(kind: SqlType, value: Any, field: str, corrupt: str | None) -> Any:
    """A record with the text of what is wrong with it in its field for that, if it has one."""
    if kind.name != "struct":
        return value
    fields = (None,) * len(kind.parts) if value is None else value
    pairs = zip(kind.names, kind.parts, fields, strict=True)
    return tuple(corrupt if (name, part) == (field, STRING) else one for name, part, one in pairs)


def value_of_json(kind: SqlType, text: str, mode: Mode) -> Any:
    """A JSON value of a type, as `Value` holds it.

    Raises:
        RowError: it is of another.
    """
    try:
        return _convert_json(kind, parse_json(text), mode, is_strict=True, formats=ISO_FORMATS)
    except _Mismatch:
        raise RowError(f"the JSON is no {kind}") from None


class _Mismatch(Exception):
    """A JSON value does not fit its type."""


def _convert_json(kind: SqlType, value: Any, mode: Mode, is_strict: bool, formats: Formats) -> Any:
    """A JSON value as a value of a type; a field that does not fit is null, unless strict.

    Raises:
        _Mismatch: the value itself does not fit.
    """
    if value is None:
        return None
    match kind.name:
        case "struct":
            if not isinstance(value, dict):
                raise _Mismatch
            return tuple(
                _convert_field(part, value.get(name), mode, is_strict, formats)
                for name, part in zip(kind.names, kind.parts, strict=True)
            )
        case "array":
            if not isinstance(value, list):
                raise _Mismatch
            return [_convert_json(kind.parts[0], one, mode, is_strict, formats) for one in value]
        case "map":
            if not isinstance(value, dict):
                raise _Mismatch
            return [
                (key, _convert_json(kind.parts[1], one, mode, is_strict, formats))
                for key, one in value.items()
            ]
    return _convert_scalar(kind, value, mode, formats)


def _convert_field(kind: SqlType, value: Any, mode: Mode, is_strict: bool, formats: Formats) -> Any:
    try:
        return _convert_json(kind, value, mode, is_strict, formats)
    except _Mismatch:
        if is_strict:
            raise
        return None


def _convert_scalar(kind: SqlType, value: Any, mode: Mode, formats: Formats) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    pattern = formats.of_type(kind)
    if pattern is not None and isinstance(value, str):
        micros = pattern.parse_instant(value, mode.zone if kind.name == "timestamp" else UTC)
        if micros is None:
            raise _Mismatch
        return micros // DAY if kind.name == "date" else micros
    match kind.name:
        case "string":
            return value if isinstance(value, str) else compact_text(value)
        case "boolean":
            if isinstance(value, bool):
                return value
        case "float" | "double":
            if is_number:
                return float(value)
            if isinstance(value, str) and value in NAMED_NUMBERS:
                return NAMED_NUMBERS[value]
        case "decimal":
            if is_number or isinstance(value, str):
                return _as_decimal(value, kind)
        case "binary":
            if isinstance(value, str):
                return _from_base64(value)
        case "date":
            if isinstance(value, str) and (day := zones.parse_date(value)) is not None:
                return day
        case "timestamp":
            if (
                isinstance(value, str)
                and (at := zones.parse_timestamp(value, mode.zone)) is not None
            ):
                return at
            if is_number:
                return int(value * 1_000_000)
    if kind.is_whole and isinstance(value, int) and not isinstance(value, bool):
        limit = 1 << (bit_width(kind) - 1)
        if -limit <= value < limit:
            return value
    raise _Mismatch


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise _Mismatch from None


def _as_decimal(value: Any, kind: SqlType) -> Decimal:
    try:
        number = Decimal(getattr(value, "text", str(value)))
    except ArithmeticError:
        raise _Mismatch from None
    fitted = fit_decimal(number, kind)
    if fitted is None:
        raise _Mismatch
    return fitted


FROM_JSON: Mapping[str, Function] = {
    "from_json": Function(_bind_from_json, 2, 3),
}
"""By Spark's name."""
