"""Columns to the wire, hydro.serving.v1.Column; `proto_columns` reads them."""

from __future__ import annotations

from collections.abc import Mapping

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import Array, Column, Dense, Lists, Ragged, Sparse, Strings, Validity
from hydro_services.codecs.proto_columns import INT32, TYPES, UINT32


def encode_column(
    name: str, column: Column, target: pb.Column, present: Array | None = None
) -> None:
    """Writes a column into an empty message, as bytes; `present` as in `Columns`."""
    target.name = name
    target.type = TYPES[column.type]
    if column.validity is not None:
        target.validity = _validity_bytes(column.validity)
    if present is not None:
        target.present = present.astype(UINT32).tobytes()
    match column:
        case Dense():
            if column.shape:
                target.shape.extend(column.shape)
            target.data = column.values.tobytes()
        case Strings():
            target.data = column.packed
        case Ragged():
            target.offsets = column.offsets.astype(UINT32).tobytes()
            _encode_elements(column.elements, target)
        case Sparse():
            target.shape.append(column.size)
            target.offsets = column.offsets.astype(UINT32).tobytes()
            target.indices = column.indices.astype(INT32).tobytes()
            target.data = column.values.tobytes()
            target.element_validity = _validity_bytes(column.element_validity)
            if column.sizes is not None:
                target.sizes = column.sizes.astype(UINT32).tobytes()


def _encode_elements(elements: Lists, target: pb.Column) -> None:
    """Scalars stand in the column of the lists itself."""
    if elements.shape or isinstance(elements, Ragged):
        encode_column("", elements, target.elements)
        return
    target.element_validity = _validity_bytes(elements.validity)
    target.data = elements.packed if isinstance(elements, Strings) else elements.values.tobytes()


def add_columns(
    columns: Mapping[str, Column], present: Mapping[str, Array], target: pb.Table
) -> None:
    """Adds columns to a table of as many rows; `present` as in `Columns`."""
    for name, column in columns.items():
        encode_column(name, column, target.columns.add(), present.get(name))


def _validity_bytes(validity: Validity) -> bytes:
    return b"" if validity is None or validity.all() else validity.tobytes()
