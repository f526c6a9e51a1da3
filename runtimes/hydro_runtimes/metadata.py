"""`metadata.json`: the signature of a model that does not state it itself. Pure: no files.

    {"model": "iris", "inputs": [{"name": "sepal_length", "type": "float64"}, ...],
     "outputs": [{"name": "prediction", "type": "string"}]}

A column has `name` and `type` (a value of `DataType`), and may have `shape` (numbers, -1 for a size
that varies), `nullable`, `optional`, `replaces`, `nominal` and `elements`, as in `evaluator.Field`.
Beside a Spark model the type may be one of Spark's SQL: decimal(10,2), date, struct<a:int>.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hydro_runtimes.columns import DataType
from hydro_runtimes.evaluator import Field, Signature

MAX_BYTES = 4 << 20
_MAX_COLUMNS = 10_000
_MAX_DIMENSIONS = 8
_TYPES = frozenset(kind.value for kind in DataType)
_FLAGS = ("nullable", "optional", "replaces")
_KEYS = {"name", "type", "shape", "nominal", "elements", *_FLAGS}


def parse_signature(text: str | bytes) -> Signature:
    """The signature that the text of a metadata.json states.

    Raises:
        ValueError: with what was got and what is wanted.
    """
    return read_signature(_parse_object(text))


def parse_inputs(text: str | bytes) -> tuple[Field, ...]:
    """The inputs that the text of a metadata.json beside a Spark model states, if it states any.

    Raises:
        ValueError: with what was got and what is wanted.
    """
    document = _parse_object(text)
    return _read_fields(document, "inputs", of_spark=True) if "inputs" in document else ()


def parse_stated(text: str | bytes) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """The inputs and outputs that are stated beside a model that tells them itself, if any are.

    Raises:
        ValueError: with what was got and what is wanted.
    """
    document = _parse_object(text)
    inputs, outputs = (
        _read_fields(document, key) if key in document else () for key in ("inputs", "outputs")
    )
    return inputs, outputs


def parse_session(text: str | bytes) -> tuple[bool | None, str]:
    """Whether Spark's SQL follows ANSI, and the session's time zone, beside a Spark model.

    Returns:
        `ansi`, None where it is not stated, and `timeZone`, "UTC" where it is not stated.

    Raises:
        ValueError: with what was got and what is wanted.
    """
    document = _parse_object(text)
    ansi, zone = document.get("ansi"), document.get("timeZone", "UTC")
    if ansi is not None:
        _read_flag("ansi", ansi)
    if not isinstance(zone, str):
        raise ValueError(f"timeZone is {_short_json(zone)}, want a name such as Europe/Berlin")
    return ansi, zone


def _parse_object(text: str | bytes) -> dict[str, Any]:
    if len(text) > MAX_BYTES:
        raise ValueError(f"metadata.json has {len(text)} bytes, want {MAX_BYTES} or fewer")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"metadata.json is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"metadata.json is {_kind_name(document)}, want an object")
    return document


def read_signature(document: Mapping[str, Any]) -> Signature:
    """The signature in a parsed metadata.json.

    Raises:
        ValueError: with what was got and what is wanted.
    """
    return Signature(_read_fields(document, "inputs"), _read_fields(document, "outputs"))


def make_document(model: str, signature: Signature) -> dict[str, Any]:
    """The object to write as the metadata.json of a model."""
    return {
        "model": model,
        "inputs": [_field_object(field) for field in signature.inputs],
        "outputs": [_field_object(field) for field in signature.outputs],
    }


def _read_fields(
    document: Mapping[str, Any], key: str, of_spark: bool = False
) -> tuple[Field, ...]:
    entries = document.get(key)
    if not isinstance(entries, list):
        raise ValueError(f"'{key}' is {_kind_name(entries)}, want an array of columns")
    if not 0 < len(entries) <= _MAX_COLUMNS:
        raise ValueError(f"'{key}' has {len(entries)} columns, want 1 to {_MAX_COLUMNS}")
    fields = tuple(_read_field(f"{key}[{i}]", entry, of_spark) for i, entry in enumerate(entries))
    counts = Counter(field.name for field in fields)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"'{key}' has the column '{twice[0]}' more than once")
    return fields


def _read_field(where: str, entry: Any, of_spark: bool) -> Field:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is {_kind_name(entry)}, want an object with 'name' and 'type'")
    if unknown := sorted(set(entry) - _KEYS):
        raise ValueError(f"{where} has '{unknown[0]}', want only {', '.join(sorted(_KEYS))}")
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"{where}.name is {_kind_name(name)}, want a text that is not empty")
    shape = _read_shape(where, entry.get("shape", []))
    elements = _read_names(f"{where}.elements", entry.get("elements", []))
    if elements:
        if len(set(elements)) < len(elements) or shape not in ((), (-1,), (len(elements),)):
            want = f"different names, and the shape [{len(elements)}]"
            raise ValueError(f"{where}.elements has {len(elements)} names, want {want}")
        shape = (len(elements),)
    kind, sql = entry.get("type"), ""
    if of_spark and isinstance(kind, str) and kind not in _TYPES:
        kind, sql = DataType.JSON.value, kind
    return Field(
        name,
        _type(where, kind),
        shape,
        sql=sql,
        nominal=_read_names(f"{where}.nominal", entry.get("nominal", [])),
        elements=elements,
        **{flag: _read_flag(f"{where}.{flag}", entry.get(flag, False)) for flag in _FLAGS},
    )


def _type(where: str, value: Any) -> DataType:
    try:
        return DataType(value)
    except ValueError:
        wanted = ", ".join(kind.value for kind in DataType)
        raise ValueError(f"{where}.type is {json.dumps(value)}, want one of {wanted}") from None


def _read_shape(where: str, value: Any) -> tuple[int, ...]:
    if (
        not isinstance(value, list)
        or len(value) > _MAX_DIMENSIONS
        or not all(type(size) is int and -1 <= size < 2**31 for size in value)
    ):
        raise ValueError(
            f"{where}.shape is {_short_json(value)}, want an array of sizes, -1 if it varies"
        )
    return tuple(value)


def _read_names(where: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{where} is {_short_json(value)}, want an array of texts")
    return tuple(value)


def _read_flag(where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{where} is {_short_json(value)}, want true or false")
    return value


def _field_object(field: Field) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": field.name, "type": field.type.value}
    if field.shape:
        entry["shape"] = list(field.shape)
    if field.nominal:
        entry["nominal"] = list(field.nominal)
    if field.elements:
        entry["elements"] = list(field.elements)
    return entry | {flag: True for flag in _FLAGS if getattr(field, flag)}


def _short_json(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _kind_name(value: Any) -> str:
    match value:
        case None:
            return "missing or null"
        case str():
            return "a text" if value else "an empty text"
        case Mapping():
            return "an object"
        case Sequence():
            return "an array"
    return _short_json(value)
