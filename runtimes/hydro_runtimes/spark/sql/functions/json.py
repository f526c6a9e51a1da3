"""Functions of JSON.

Source: org.apache.spark.sql.catalyst.expressions.jsonExpressions, 4.3.0;
org.apache.spark.sql.catalyst.json.{JacksonGenerator, JacksonParser}.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from decimal import Decimal
from typing import Any, NamedTuple

from hydro_runtimes.spark.sql import java_text, zones
from hydro_runtimes.spark.sql.binding import (
    Function,
    cast_to,
    constant_of,
    require_type,
    row_by_row,
    row_function,
)
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.datetime_patterns import DateTimePattern, datetime_pattern
from hydro_runtimes.spark.sql.decimals import fit_decimal
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.typenames import parse_ddl
from hydro_runtimes.spark.sql.types import (
    BOOLEAN,
    DOUBLE,
    INT,
    LONG,
    STRING,
    VOID,
    SqlType,
    array_of,
    bit_width,
    struct_of,
)
from hydro_runtimes.spark.sql.types import decimal_of as decimal_type
from hydro_runtimes.spark.sql.value_texts import text_of
from hydro_runtimes.spark.sql.values import Typed

_STEP = re.compile(r"\.([^.\[\]']+)|\['([^']*)'\]|\[(\d+)\]|(\[\*\]|\.\*)")
_NAMED = {"NaN": math.nan, "Infinity": math.inf, "+INF": math.inf, "INF": math.inf}
_NAMED |= {"-Infinity": -math.inf, "-INF": -math.inf}


class Formats(NamedTuple):
    """Patterns of times in JSON; None for that of ISO 8601."""

    date: str | None = None
    timestamp: str | None = None
    timestamp_ntz: str | None = None

    def of_type(self, kind: SqlType) -> DateTimePattern | None:
        """The pattern for values of a type, if one is given."""
        text = getattr(self, kind.name) if kind.name in self._fields else None
        return None if text is None else datetime_pattern(text)


_ISO = Formats()


def write_json(
    kind: SqlType, value: Any, mode: Mode, with_nulls: bool = False, formats: Formats = _ISO
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
        return _quote_json(pattern.format_instant(micros, zone))
    match kind.name:
        case "struct":
            fields = zip(kind.names, kind.parts, value, strict=True)
            parts = (
                f"{_quote_json(name)}:{write_inner(part, one)}"
                for name, part, one in fields
                if with_nulls or one is not None
            )
            return f"{{{','.join(parts)}}}"
        case "map":
            key, item = kind.parts
            pairs = (
                f"{_quote_json(text_of(key, a, mode))}:{write_inner(item, b)}" for a, b in value
            )
            return f"{{{','.join(pairs)}}}"
        case "array":
            return f"[{','.join(write_inner(kind.parts[0], one) for one in value)}]"
        case "vector":
            return _vector_json(value)
        case "float" | "double":
            return _number_json(kind, value, mode)
        case "decimal":
            return f"{value:f}"
        case "timestamp":
            return _quote_json(_timestamp_text(value, mode))
        case "binary":
            return _quote_json(base64.b64encode(value).decode())
        case "timestamp_ntz":
            return _quote_json(
                datetime_pattern("yyyy-MM-dd'T'HH:mm:ss.SSS").format_instant(value, UTC)
            )
        case "string" | "date":
            return _quote_json(text_of(kind, value, mode))
    text = text_of(kind, value, mode)
    return _quote_json(text) if kind.is_interval else text


def _quote_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


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
    options = _read_options(arguments[1:], ("ignoreNullFields", *_FORMATS))
    with_nulls = options.get("ignorenullfields", "true").lower() == "false"
    formats = _read_formats(options)

    def write(value: Any) -> str:
        return write_json(kind, value, mode, with_nulls, formats)

    return row_by_row(write, [child], STRING)


_FORMATS = ("dateFormat", "timestampFormat", "timestampNTZFormat")


def _read_formats(options: Mapping[str, str]) -> Formats:
    formats = Formats(*(options.get(name.lower()) for name in _FORMATS))
    for pattern in formats:
        if pattern is not None:
            datetime_pattern(pattern)
    return formats


def _parse_json(text: str) -> Any:
    """The JSON value of a text; `_BAD` if it is not JSON."""
    try:
        value = json.loads(text, parse_float=_Real, parse_constant=_named_number)
    except (ValueError, RecursionError):
        return _BAD
    return value


class _Real(float):
    """A number that keeps its text, from which a decimal is read exactly."""

    text: str

    def __new__(cls, text: str) -> _Real:
        made = super().__new__(cls, text)
        made.text = text
        return made


def _named_number(name: str) -> float:
    return _NAMED[name]


_BAD = object()
_CORRUPT = "_corrupt_record"
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'((?:[^'\\]|\\.)*)'")
_DECODER = json.JSONDecoder(parse_float=_Real, parse_constant=_named_number)


def _bind_from_json(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds from_json; in mode PERMISSIVE, all fields of a text that does not fit are null."""
    schema = constant_of(arguments[1], "the schema")
    if not isinstance(schema, str):
        raise StatementError("the schema is null, want a text such as 'a INT, b STRING'")
    options = _read_options(arguments[2:], ("mode", *_FORMATS))
    formats = _read_formats(options)
    is_strict = options.get("mode", "").upper() == "FAILFAST"
    kind = parse_ddl(schema)
    if kind.name not in ("struct", "array", "map"):
        raise StatementError(f"the schema is {kind}, want a struct, an array or a map")

    def read_text(text: str) -> Any:
        if not text.strip():
            return None
        value = _first_json(text)
        if kind.name == "struct" and isinstance(value, list):
            value = value[0] if len(value) == 1 else _BAD
        if kind.name == "array" and isinstance(value, dict) and kind.parts[0].name == "struct":
            value = [value]
        try:
            return _complete(kind, _convert_json(kind, value, mode, True, formats), None)
        except _Mismatch:
            if is_strict:
                raise RowError(
                    f"MALFORMED_RECORD_IN_PARSING: the JSON is not a {kind}, mode FAILFAST"
                ) from None
        try:
            return _complete(kind, _convert_json(kind, value, mode, False, formats), text)
        except _Mismatch:
            return _complete(kind, None, text)

    return row_by_row(read_text, [require_type(arguments[0], STRING, mode)], kind)


def _complete(kind: SqlType, value: Any, corrupt: str | None) -> Any:
    """A record with the text of what is wrong with it in its field for that, if it has one."""
    if kind.name != "struct":
        return value
    fields = (None,) * len(kind.parts) if value is None else value
    pairs = zip(kind.names, kind.parts, fields, strict=True)
    return tuple(
        corrupt if (name, part) == (_CORRUPT, STRING) else one for name, part, one in pairs
    )


def _first_json(text: str) -> Any:
    """The first JSON value of a text; what follows is not looked at, and texts may stand in '."""
    value = _decode_first(text)
    if value is _BAD and "'" in text:
        value = _decode_first(_QUOTED.sub(_double_quotes, text))
    return value


def _decode_first(text: str) -> Any:
    try:
        return _DECODER.raw_decode(text.strip())[0]
    except (ValueError, RecursionError):
        return _BAD


def _double_quotes(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0]
    return '"' + match[1].replace("\\'", "'").replace('"', '\\"') + '"'


def _read_options(arguments: Sequence[Typed], known: Sequence[str]) -> Mapping[str, str]:
    """The options of a function, by lower-case names.

    Raises:
        StatementError: they are not a map of constants, or an option is not supported.
    """
    if not arguments:
        return {}
    pairs = constant_of(arguments[0], "the map of options")
    if arguments[0].type.name != "map" or pairs is None:
        raise StatementError("the options are not a map")
    options = {str(name).lower(): str(value) for name, value in pairs}
    unknown = sorted(set(options) - {name.lower() for name in known})
    if unknown:
        raise StatementError(f"the option '{unknown[0]}' is not supported, want {', '.join(known)}")
    return options


def value_of_json(kind: SqlType, text: str, mode: Mode) -> Any:
    """A JSON value of a type, as `Value` holds it.

    Raises:
        RowError: it is of another.
    """
    try:
        return _convert_json(kind, _parse_json(text), mode, is_strict=True, formats=_ISO)
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
            return value if isinstance(value, str) else _compact_text(value)
        case "boolean":
            if isinstance(value, bool):
                return value
        case "float" | "double":
            if is_number:
                return float(value)
            if isinstance(value, str) and value in _NAMED:
                return _NAMED[value]
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


def _compact_text(value: Any) -> str:
    """The JSON of a value that is not a text, without blanks."""
    if isinstance(value, _Real):
        return java_text.double_text(repr(float(value)))
    if isinstance(value, dict):
        return f"{{{','.join(f'{_quote_json(k)}:{_compact_json(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_compact_json, value))}]"
    return json.dumps(value)


def _compact_json(value: Any) -> str:
    return _quote_json(value) if isinstance(value, str) else _compact_text(value)


def _get_json_object(text: str, path: str) -> str | None:
    """The value at a path such as $.a.b[0], as JSON; a text has no quotes."""
    if not path.startswith("$"):
        return None
    steps, at = [], 1
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            return None
        steps.append(match)
        at = match.end()
    value = _parse_json(text)
    found = [] if value is _BAD else _walk_path(value, steps)
    if not found:
        return None
    several = any(step[4] for step in steps)
    if several and len(found) > 1:
        return _compact_text(found)
    one = found[0]
    if one is None:
        return None
    return (
        one
        if isinstance(one, str) and not several
        else _compact_json(one)
        if several
        else _compact_text(one)
    )


def _walk_path(value: Any, steps: Sequence[re.Match[str]]) -> list[Any]:
    if not steps:
        return [value]
    step, rest = steps[0], steps[1:]
    name = step[1] if step[1] is not None else step[2]
    if name is not None:
        if isinstance(value, list):
            return [x for one in value if isinstance(one, dict) for x in _walk_path(one, steps)]
        return _walk_path(value[name], rest) if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    if step[3] is not None:
        return _walk_path(value[int(step[3])], rest) if int(step[3]) < len(value) else []
    return [x for one in value for x in _walk_path(one, rest)]


def _array_length(text: str) -> int | None:
    value = _parse_json(text)
    return len(value) if isinstance(value, list) else None


def _object_keys(text: str) -> list[str] | None:
    value = _parse_json(text)
    return list(value) if isinstance(value, dict) else None


def _bind_schema_of_json(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds schema_of_json: fields are ordered by name, numbers are BIGINT or DOUBLE."""
    text = constant_of(arguments[0], "the JSON")
    value = _parse_json(text) if isinstance(text, str) else _BAD
    if value is _BAD:
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


JSON: Mapping[str, Function] = {
    "from_json": Function(_bind_from_json, 2, 3),
    "get_json_object": row_function(_get_json_object, [STRING, STRING], STRING, exact=True),
    "json_array_length": row_function(_array_length, [STRING], INT, exact=True),
    "json_object_keys": row_function(_object_keys, [STRING], array_of(STRING), exact=True),
    "schema_of_json": Function(_bind_schema_of_json, 1, 1, STRING),
    "to_json": Function(_bind_to_json, 1, 2, STRING),
}
"""By Spark's name."""
