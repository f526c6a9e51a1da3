"""What an ONNX file tells of its inputs and outputs. Pure: neither onnx nor its runtime is needed.

The file is one protobuf message, of which the weights are skipped.

Source: onnx 1.23, onnx/onnx.proto; https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

_GRAPH = 7
_NODE, _INITIALIZER, _INPUT, _OUTPUT = 1, 5, 11, 12
"""Fields of ModelProto and GraphProto."""
_ZIP_MAP, _LABELS = b"ZipMap", (b"classlabels_strings", b"classlabels_int64s")
_MAX_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor."""

    type: int
    """Of its elements, as in TensorProto.DataType."""
    shape: tuple[int, ...] | None
    """-1 for a size that varies; None where not even their number is stated."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence of values."""

    of: ValueType


@dataclass(frozen=True, slots=True)
class Map:
    """A map to numbers."""

    key: int
    """As in TensorProto.DataType."""
    value: ValueType


@dataclass(frozen=True, slots=True)
class Other:
    """A type that is not supported: optional and sparse values."""


ValueType: TypeAlias = Tensor | Sequence | Map | Other


class ValueInfo(NamedTuple):
    """An input or an output."""

    name: str
    type: ValueType


class Graph(NamedTuple):
    """The inputs and outputs of a model."""

    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    labels: Mapping[str, tuple[str | int, ...]]
    """By output that is a sequence of maps: their keys, in order, where they are stated."""


def parse_graph(data: bytes) -> Graph:
    """The inputs and outputs of a model.

    Raises:
        ValueError: it is not whole.
    """
    graphs = [part for number, part in _fields(memoryview(data)) if number == _GRAPH]
    if len(graphs) != 1:
        raise ValueError(f"has {len(graphs)} graphs, want a file of ONNX")
    inputs: list[ValueInfo] = []
    outputs: list[ValueInfo] = []
    constant: set[str] = set()
    labels: dict[str, tuple[str | int, ...]] = {}
    for number, part in _fields(_part(graphs[0])):
        if number == _INPUT:
            inputs.append(_read_value(_part(part)))
        elif number == _OUTPUT:
            outputs.append(_read_value(_part(part)))
        elif number == _INITIALIZER:
            constant.add(_first_text(_part(part), 8))
        elif number == _NODE:
            labels |= _read_labels(_part(part))
    given = tuple(value for value in inputs if value.name not in constant)
    if not given or not outputs:
        raise ValueError(f"has {len(given)} inputs and {len(outputs)} outputs, want one or more")
    return Graph(given, tuple(outputs), labels)


def _read_value(data: memoryview) -> ValueInfo:
    name, type = "", data[:0]
    for number, part in _fields(data):
        if number == 1:
            name = _text(part)
        elif number == 2:
            type = _part(part)
    return ValueInfo(name, _read_type(type, 0))


def _read_type(data: memoryview, depth: int) -> ValueType:
    if depth > _MAX_DEPTH:
        raise ValueError(f"has a type nested more than {_MAX_DEPTH} levels deep")
    for number, part in _fields(data):
        if number == 1:
            return _read_tensor(_part(part))
        if number in (4, 5):
            inner = {key: value for key, value in _fields(_part(part))}
            if number == 4:
                return Sequence(_read_type(_part(inner.get(1, b"")), depth + 1))
            return Map(_number(inner.get(1, 0)), _read_type(_part(inner.get(2, b"")), depth + 1))
    return Other()


def _read_tensor(data: memoryview) -> Tensor:
    type, shape = 0, None
    for number, part in _fields(data):
        if number == 1:
            type = _number(part)
        elif number == 2:
            shape = tuple(
                _read_size(_part(each)) for field, each in _fields(_part(part)) if field == 1
            )
    return Tensor(type, shape)


def _read_size(data: memoryview) -> int:
    """A dimension: its size, or -1 where it is a name, or nothing is stated."""
    sizes = [_number(part) for number, part in _fields(data) if number == 1]
    return sizes[-1] if sizes and 0 <= sizes[-1] < 1 << 31 else -1


def _read_labels(data: memoryview) -> dict[str, tuple[str | int, ...]]:
    """The keys of the maps that a node makes, if it makes any."""
    parts = list(_fields(data))
    if (4, _ZIP_MAP) not in ((number, bytes(_raw(part))) for number, part in parts):
        return {}
    made = [_text(part) for number, part in parts if number == 2]
    attributes = (_part(part) for number, part in parts if number == 5)
    keys = next(filter(None, map(_read_keys, attributes)), ())
    return dict.fromkeys(made, keys) if keys else {}


def _read_keys(attribute: memoryview) -> tuple[str | int, ...]:
    parts = list(_fields(attribute))
    name = next((bytes(_raw(part)) for number, part in parts if number == 1), b"")
    if name not in _LABELS:
        return ()
    keys: list[str | int] = []
    for number, part in parts:
        if number == 9:
            keys.append(_text(part))
        elif number == 8:
            keys += [_signed(part)] if isinstance(part, int) else _unpack_integers(part)
    return tuple(keys)


def _first_text(data: memoryview, field: int) -> str:
    return next((_text(part) for number, part in _fields(data) if number == field), "")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message, by number: numbers, and the bytes of all others."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _read_varint(data, at)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            size, at = _read_varint(data, at)
        if size is None or at + size > len(data):
            raise ValueError(f"byte {at} of {len(data)}: want another field, or the end")
        yield key >> 3, data[at : at + size]
        at += size


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"byte {at} of {len(data)}: a number does not end")


def _unpack_integers(data: memoryview) -> list[int]:
    found, at = [], 0
    while at < len(data):
        value, at = _read_varint(data, at)
        found.append(_signed(value))
    return found


def _signed(value: Any) -> int:
    number = _number(value) & ((1 << 64) - 1)
    return number - (1 << 64) if number >> 63 else number


def _number(part: Any) -> int:
    if not isinstance(part, int):
        raise ValueError("has bytes where a number belongs")
    return part


def _raw(part: Any) -> bytes | memoryview:
    return b"" if isinstance(part, int) else part


def _part(part: Any) -> memoryview:
    if isinstance(part, int):
        raise ValueError("has a number where a message belongs")
    return memoryview(part)


def _text(part: Any) -> str:
    return bytes(_part(part)).decode()
