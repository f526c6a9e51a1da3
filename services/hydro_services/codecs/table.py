"""Columns on the wire: hydro.serving.v1.Column to a column and back; the only place that does it.

A dense column is a view of the message's bytes, not a copy. Text stays packed until it is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hydro.runtime.v1 import signature_pb2
from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import (
    Array,
    Column,
    DataType,
    Dense,
    Ragged,
    Sparse,
    Strings,
    Validity,
    unpack,
)
from hydro_runtimes.evaluator import Field, Signature
from hydro_services.codecs import cells
from hydro_services.errors import InvalidArgument

T = TypeVar("T")
TYPES: dict[DataType, Any] = {k: pb.DataType.Value(f"DATA_TYPE_{k.name}") for k in DataType}
_KINDS: dict[int, DataType] = {number: kind for kind, number in TYPES.items()}
_TEXTS = (DataType.STRING, DataType.JSON)
_LISTS = {
    DataType.BOOL: "bools",
    DataType.INT32: "integers",
    DataType.INT64: "integers",
    DataType.FLOAT32: "doubles",
    DataType.FLOAT64: "doubles",
    DataType.STRING: "strings",
    DataType.JSON: "strings",
}
"""Of Values, by the type of what they hold."""
_STRING, _FLOAT64 = TYPES[DataType.STRING], TYPES[DataType.FLOAT64]
_UINT32, _INT32 = np.dtype("<u4"), np.dtype("<i4")


def decode(column: pb.Column, rows: int) -> Column:
    """The column, whose bytes hold what they say they hold, but for text that is not yet read.

    Raises:
        InvalidArgument: the sizes of the parts do not agree, or the type is not set.
    """
    try:
        return _decode(column, rows)
    except ValueError as error:
        raise InvalidArgument(f"column '{column.name}': {error}", column=column.name) from None


def check_text(column: Column, name: str) -> None:
    """Reads a column's text, once, where it comes from outside.

    Raises:
        InvalidArgument: the bytes are not so many texts in UTF-8.
    """
    texts = column.elements if isinstance(column, Ragged) else column
    if isinstance(texts, Strings):
        try:
            len(texts.values)
        except ValueError as error:
            raise InvalidArgument(f"column '{name}': {error}", column=name) from None


def values(column: pb.Column, rows: int) -> list[Any]:
    """JSON values of a column as it is inside a chain; what `decode` would give, sooner.

    Raises:
        InvalidArgument: as `decode`.
    """
    if column.offsets or column.validity or column.type not in (_STRING, _FLOAT64):
        return cells.values(decode(column, rows))
    try:
        if column.type == _STRING:
            return unpack(column.data, rows)
        return cells.finite(np.frombuffer(column.data).reshape(rows, *column.shape))
    except ValueError as error:
        raise InvalidArgument(f"column '{column.name}': {error}", column=column.name) from None


def _decode(column: pb.Column, rows: int) -> Column:
    kind = _KINDS.get(column.type)
    if kind is None:
        raise ValueError(f"data type {column.type} is not known, want one of DataType")
    validity = _validity(column.validity, rows)
    if not column.offsets:
        return _elements(column, kind, rows, tuple(column.shape), validity)
    offsets = _offsets(column.offsets, rows)
    if not column.indices and not column.shape:
        return Ragged(offsets, _element(column, kind, int(offsets[-1])), validity)
    return _sparse(column, kind, offsets, validity)


def _element(column: pb.Column, kind: DataType, count: int) -> Dense | Strings:
    return _elements(column, kind, count, (), _validity(column.element_validity, count))


def _elements(
    column: pb.Column, kind: DataType, rows: int, shape: tuple[int, ...], validity: Validity
) -> Dense | Strings:
    if kind in _TEXTS:
        if shape:
            raise ValueError("text has no shape; send lists of text with offsets")
        if column.HasField("values"):
            return Strings(_count(column.values.strings[:], rows), validity, kind)
        return Strings(validity=validity, type=kind, packed=column.data, rows=rows)
    if not shape:
        return Dense(_numbers(column, kind, rows), validity)
    return Dense(_numbers(column, kind, rows * math.prod(shape)).reshape(rows, *shape), validity)


def _numbers(column: pb.Column, kind: DataType, count: int) -> Array:
    dtype = kind.dtype
    if column.HasField("values"):
        values = column.values
        listed: Sequence[float | int | bool] = values.doubles or values.integers or values.bools
        return np.array(_count(listed, count), dtype=kind.dtype)
    data = column.data
    if len(data) != count * dtype.itemsize:
        want = f"{count * dtype.itemsize} for {count} of {kind.value}"
        raise ValueError(f"got {len(data)} bytes of data, want {want}")
    return _booleans(data) if kind is DataType.BOOL else np.frombuffer(data, dtype)


def _count(listed: Sequence[T], count: int) -> Sequence[T]:
    if len(listed) != count:
        raise ValueError(f"got {len(listed)} values, want {count}")
    return listed


def _validity(data: bytes, rows: int) -> Validity:
    if not data:
        return None
    if len(data) != rows:
        raise ValueError(f"got validity for {len(data)} rows, want {rows}")
    return _booleans(data)


def _booleans(data: bytes) -> npt.NDArray[np.bool_]:
    return np.frombuffer(data, np.uint8).astype(np.bool_)


def _offsets(data: bytes, rows: int) -> npt.NDArray[np.int64]:
    if len(data) != (rows + 1) * 4:
        raise ValueError(f"got {len(data)} bytes of offsets, want {(rows + 1) * 4}")
    offsets = np.frombuffer(data, _UINT32).astype(np.int64)
    if offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise ValueError("offsets do not start at 0 and ascend")
    return offsets


def _sparse(column: pb.Column, kind: DataType, offsets: Array, validity: Validity) -> Sparse:
    if kind is not DataType.FLOAT64 or len(column.shape) != 1:
        raise ValueError("a sparse column is of float64 and has one size")
    count, size = int(offsets[-1]), column.shape[0]
    if len(column.indices) != count * 4:
        raise ValueError(f"got {len(column.indices)} bytes of indices, want {count * 4}")
    indices = np.frombuffer(column.indices, _INT32)
    inside = ((indices >= 0) & (indices < size)).all()
    starts = np.zeros(count, np.bool_)
    starts[offsets[:-1][offsets[:-1] < count]] = True
    ascending = (starts[1:] | (np.diff(indices) > 0)).all()
    if not inside or not ascending:
        raise ValueError(f"indices do not ascend within a row from 0 to below {size}")
    return Sparse(size, offsets, indices, _numbers(column, kind, count), validity)


def raw(column: pb.Column, decoded: Column) -> None:
    """Rewrites a column of lists of protobuf as bytes: as it is inside a chain."""
    flat = decoded.elements if isinstance(decoded, Ragged) else decoded
    column.data = flat.packed if isinstance(flat, Strings) else flat.values.tobytes()
    column.ClearField("values")


def encode(name: str, column: Column, target: pb.Column) -> None:
    """Writes a column into an empty message, as bytes."""
    target.name = name
    target.type = TYPES[column.type]
    if column.validity is not None:
        target.validity = _bytes(column.validity)
    match column:
        case Dense():
            target.shape.extend(column.shape)
            target.data = column.values.tobytes()
        case Strings():
            target.data = column.packed
        case Ragged():
            encode(name, column.elements, target)
            target.element_validity, target.validity = target.validity, _bytes(column.validity)
            target.offsets = column.offsets.astype(_UINT32).tobytes()
        case Sparse():
            target.shape.append(column.size)
            target.offsets = column.offsets.astype(_UINT32).tobytes()
            target.indices = column.indices.astype(_INT32).tobytes()
            target.data = column.values.tobytes()


def _bytes(validity: Validity) -> bytes:
    return b"" if validity is None or validity.all() else validity.tobytes()


def typed(column: pb.Column, rows: int) -> None:
    """Rewrites a column of bytes as lists of protobuf, for a client that asked so."""
    name, listed = _listed(column, rows)
    values = column.values
    values.SetInParent()
    getattr(values, name).extend(listed)
    column.data = b""


def _listed(column: pb.Column, rows: int) -> tuple[str, Sequence[Any]]:
    """The elements of a column of bytes, and the list of Values for them."""
    if column.type == _STRING and not column.offsets:
        return "strings", unpack(column.data, rows)
    decoded = decode(column, rows)
    flat = decoded.elements if isinstance(decoded, Ragged) else decoded
    listed = flat.values if isinstance(flat, Strings) else flat.values.ravel().tolist()
    return _LISTS[flat.type], listed


def field_message(field: Field) -> signature_pb2.Field:
    """A declared field as a message."""
    return signature_pb2.Field(
        name=field.name,
        type=TYPES[field.type],
        shape=field.shape,
        nullable=field.nullable,
        optional=field.optional,
        replaces=field.replaces,
        nominal=field.nominal,
    )


def signature_message(signature: Signature) -> signature_pb2.Signature:
    """A signature as a message."""
    return signature_pb2.Signature(
        inputs=[field_message(field) for field in signature.inputs],
        outputs=[field_message(field) for field in signature.outputs],
    )


def signature(message: signature_pb2.Signature) -> Signature:
    """The inverse of `signature_message`."""
    return Signature(
        tuple(_field(field) for field in message.inputs),
        tuple(_field(field) for field in message.outputs),
    )


def _field(message: signature_pb2.Field) -> Field:
    return Field(
        name=message.name,
        type=_KINDS[message.type],
        shape=tuple(message.shape),
        nullable=message.nullable,
        optional=message.optional,
        replaces=message.replaces,
        nominal=tuple(message.nominal),
    )
