"""Columns from the wire, hydro.serving.v1.Column; `proto_encoding` writes them.

A dense column is a view of the message's bytes, not a copy. Text stays packed until it is read.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import (
    Array,
    Column,
    Columns,
    DataType,
    Dense,
    Lists,
    Ragged,
    Sparse,
    Strings,
    Validity,
    unpack_texts,
)
from hydro_services.codecs import json_values, typed_values
from hydro_services.errors import InvalidArgument

TYPES: dict[DataType, Any] = {k: pb.DataType.Value(f"DATA_TYPE_{k.name}") for k in DataType}
_KINDS: dict[int, DataType] = {number: kind for kind, number in TYPES.items()}
_TEXTS = (DataType.STRING, DataType.JSON)
_STRING, _FLOAT64 = TYPES[DataType.STRING], TYPES[DataType.FLOAT64]
UINT32, INT32 = np.dtype("<u4"), np.dtype("<i4")
MAX_DEPTH = 8
"""Dimensions of a value, as in a metadata.json."""
MAX_EMPTY = 1_000_000
"""Lists that take no bytes, in a column."""


def decode_table(table: pb.Table, names: Container[str] | None = None) -> Columns:
    """The columns of a table, all or those of some names.

    Raises:
        InvalidArgument: as `decode_column` and `decode_present`.
    """
    rows = table.rows
    decoded: dict[str, Column] = {}
    places: dict[str, Array] = {}
    for column in table.columns:
        if names is None or column.name in names:
            decoded[column.name] = decode_column(column, rows)
            if column.present and (at := decode_present(column, rows)) is not None:
                places[column.name] = at
    return Columns(decoded, rows, places)


def decode_present(column: pb.Column, rows: int) -> Array | None:
    """The rows that have a column (int64, ascending), None where all have it.

    Raises:
        InvalidArgument: they do not ascend, or are not in the table.
    """
    if not column.present:
        return None
    name = column.name
    if len(column.present) % 4:
        got = f"got {len(column.present)} bytes of present rows"
        raise InvalidArgument(f"column '{name}': {got}, want 4 for each", column=name)
    # Wider at once: sums and differences of 32-bit numbers from a client could wrap around.
    at = np.frombuffer(column.present, UINT32).astype(np.int64)
    if at[-1] >= rows or (len(at) > 1 and (at[1:] <= at[:-1]).any()):
        want = f"want ascending numbers below {rows}"
        raise InvalidArgument(f"column '{name}': present rows are others, {want}", column=name)
    return at


def decode_column(column: pb.Column, rows: int) -> Column:
    """The column, whose bytes hold what they say they hold, but for text that is not yet read.

    Args:
        column: as it came.
        rows: of its table; the column has those of them that it says are present.

    Raises:
        InvalidArgument: the sizes of the parts do not agree, or the type is not set.
    """
    try:
        return _decode_parts(column, len(column.present) // 4 or rows)
    except ValueError as error:
        raise InvalidArgument(f"column '{column.name}': {error}", column=column.name) from None


def decode_values(column: pb.Column, rows: int) -> list[Any]:
    """JSON values of a column as it is inside a chain; what `decode_column` would give, sooner.

    Raises:
        InvalidArgument: as `decode_column`.
    """
    # The two forms that nearly all answers have need no column in between.
    if column.offsets or column.validity or column.type not in (_STRING, _FLOAT64):
        return json_values.list_values(decode_column(column, rows))
    rows = len(column.present) // 4 or rows
    try:
        if column.type == _STRING:
            return unpack_texts(column.data, rows)
        return json_values.list_numbers(np.frombuffer(column.data).reshape(rows, *column.shape))
    except ValueError as error:
        raise InvalidArgument(f"column '{column.name}': {error}", column=column.name) from None


def _decode_parts(column: pb.Column, rows: int, depth: int = 1) -> Column:
    kind = _KINDS.get(column.type)
    if kind is None:
        raise ValueError(f"data type {column.type} is not known, want one of DataType")
    validity = _decode_validity(column.validity, rows)
    # The parts that are set say the form: offsets alone a list, offsets with a shape sparse
    # vectors, neither a value or a tensor in each row.
    if not column.offsets:
        return _decode_elements(column, kind, rows, tuple(column.shape), validity)
    offsets = _decode_offsets(column.offsets, rows)
    if column.shape:
        return _decode_sparse(column, kind, offsets, validity)
    count = int(offsets[-1])
    if not column.HasField("elements"):
        inner = _decode_elements(
            column, kind, count, (), _decode_validity(column.element_validity, count)
        )
        return Ragged(offsets, inner, validity)
    return Ragged(offsets, _decode_inner(column, count, depth), validity)


def _decode_inner(column: pb.Column, count: int, depth: int) -> Lists:
    """The elements of lists of lists or tensors."""
    # Protobuf nests a hundred deep, and each level costs a call here.
    if depth == MAX_DEPTH:
        raise ValueError(f"lists are nested too deeply, want {MAX_DEPTH} dimensions at most")
    if column.elements.type != column.type:
        raise ValueError(f"elements are of type {column.elements.type}, want {column.type}")
    inner = _decode_parts(column.elements, count, depth + 1)
    if isinstance(inner, Sparse):
        raise ValueError("elements are sparse vectors, want values or lists")
    return inner


def _decode_elements(
    column: pb.Column, kind: DataType, rows: int, shape: tuple[int, ...], validity: Validity
) -> Dense | Strings:
    if kind in _TEXTS:
        if shape:
            raise ValueError("text has no shape; send lists of text with offsets")
        if column.HasField("values"):
            return Strings(typed_values.decode_texts(column, kind, rows), validity, kind)
        return Strings(validity=validity, type=kind, packed=column.data, rows=rows)
    if not shape:
        return Dense(_decode_numbers(column, kind, rows), validity)
    # A shape with a 0 in it takes no bytes whatever the other sizes are: a few bytes of a client
    # could stand for thousands of millions of lists.
    if 0 in shape and math.prod(size or 1 for size in (rows, *shape)) > MAX_EMPTY:
        raise ValueError(f"got over {MAX_EMPTY} empty lists, want them without a shape of 0")
    return Dense(
        _decode_numbers(column, kind, rows * math.prod(shape)).reshape(rows, *shape), validity
    )


def _decode_numbers(column: pb.Column, kind: DataType, count: int) -> Array:
    dtype = kind.dtype
    if column.HasField("values"):
        return typed_values.decode_numbers(column, kind, count)
    data = column.data
    # Checked before NumPy sees it: from here on the bytes are used as they came, without a copy.
    if len(data) != count * dtype.itemsize:
        want = f"{count * dtype.itemsize} for {count} of {kind.value}"
        raise ValueError(f"got {len(data)} bytes of data, want {want}")
    return _decode_booleans(data) if kind is DataType.BOOL else np.frombuffer(data, dtype)


def _decode_validity(data: bytes, rows: int) -> Validity:
    if not data:
        return None
    if len(data) != rows:
        raise ValueError(f"got validity for {len(data)} rows, want {rows}")
    validity = _decode_booleans(data)
    # None rather than all true: models and codecs then skip what they do for nulls.
    return None if validity.all() else validity


def _decode_booleans(data: bytes) -> npt.NDArray[np.bool_]:
    return np.frombuffer(data, np.uint8).astype(np.bool_)


def _decode_offsets(data: bytes, rows: int) -> npt.NDArray[np.int64]:
    if len(data) != (rows + 1) * 4:
        raise ValueError(f"got {len(data)} bytes of offsets, want {(rows + 1) * 4}")
    offsets = np.frombuffer(data, UINT32).astype(np.int64)
    if offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise ValueError("offsets do not start at 0 and ascend")
    return offsets


def _decode_sparse(column: pb.Column, kind: DataType, offsets: Array, validity: Validity) -> Sparse:
    if kind is not DataType.FLOAT64 or len(column.shape) != 1:
        raise ValueError("a sparse column is of float64 and has one size")
    count, size = int(offsets[-1]), column.shape[0]
    if len(column.indices) != count * 4:
        raise ValueError(f"got {len(column.indices)} bytes of indices, want {count * 4}")
    sizes = _decode_sizes(column.sizes, len(offsets) - 1, size)
    indices = np.frombuffer(column.indices, INT32)
    limits = size if sizes is None else np.repeat(sizes, np.diff(offsets))
    inside = ((indices >= 0) & (indices < limits)).all()
    # A row's first index may be lower than the last one of the row before. Empty rows at the end
    # begin behind the last element.
    starts = np.zeros(count, np.bool_)
    starts[offsets[:-1][offsets[:-1] < count]] = True
    ascending = (starts[1:] | (np.diff(indices) > 0)).all()
    if not inside or not ascending:
        raise ValueError(f"indices do not ascend within a row from 0 to below {size}")
    values = _decode_numbers(column, kind, count)
    elements = _decode_validity(column.element_validity, count)
    _check_nulls(elements, offsets, size if sizes is None else sizes)
    return Sparse(size, offsets, indices, values, validity, sizes, elements)


def _check_nulls(elements: Validity, offsets: Array, sizes: Array | int) -> None:
    if elements is not None:
        lengths = np.diff(offsets)
        rows = np.repeat(np.arange(len(lengths)), lengths)[~elements]
        if (lengths != sizes)[rows].any():
            raise ValueError("a sparse vector has null elements, want numbers")


def _decode_sizes(data: bytes, rows: int, size: int) -> npt.NDArray[np.int64] | None:
    if not data:
        return None
    if len(data) != rows * 4:
        raise ValueError(f"got {len(data)} bytes of sizes, want {rows * 4}")
    sizes = np.frombuffer(data, UINT32).astype(np.int64)
    if (sizes > size).any():
        raise ValueError(f"got a vector of size {sizes.max()}, want at most the shape, {size}")
    return sizes


def has_lists(column: pb.Column) -> bool:
    """It has lists of protobuf, as a client sent it."""
    while column.HasField("elements"):
        column = column.elements
    return column.HasField("values")


def lists_to_bytes(column: pb.Column, decoded: Column) -> None:
    """Rewrites a column of lists of protobuf as bytes: as it is inside a chain."""
    if isinstance(decoded, Ragged):
        target = column.elements if column.HasField("elements") else column
        lists_to_bytes(target, decoded.elements)
        return
    # Before `values` are cleared: both are never set for long, and never neither.
    column.data = decoded.packed if isinstance(decoded, Strings) else decoded.values.tobytes()
    column.ClearField("values")


def bytes_to_lists(column: pb.Column, rows: int) -> None:
    """Rewrites a column of bytes as lists of protobuf, for a client that asked so."""
    if column.HasField("elements"):
        count = int(_decode_offsets(column.offsets, len(column.present) // 4 or rows)[-1])
        bytes_to_lists(column.elements, count)
        return
    name, listed = _flat_elements(column, rows)
    values = column.values
    values.SetInParent()
    typed_values.fill_list(getattr(values, name), listed)
    column.data = b""


def _flat_elements(column: pb.Column, rows: int) -> tuple[str, Sequence[str] | Array]:
    """The elements of a column of bytes, and the list of Values for them."""
    kind = _KINDS[column.type]
    if not column.offsets and kind in _TEXTS:
        return "strings", unpack_texts(column.data, len(column.present) // 4 or rows)
    if not column.offsets:
        return typed_values.LISTS[kind], np.frombuffer(column.data, kind.dtype)
    decoded = decode_column(column, rows)
    flat = decoded.elements if isinstance(decoded, Ragged) else decoded
    assert not isinstance(flat, Ragged), "lists of lists have elements of their own"
    listed = flat.values if isinstance(flat, Strings) else flat.values.ravel()
    return typed_values.LISTS[flat.type], listed
