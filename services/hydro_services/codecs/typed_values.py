"""Numbers in lists of protobuf, `hydro.serving.v1.Values`, to arrays: checked, never cast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import Array, DataType

LISTS: Mapping[DataType, str] = {
    DataType.BOOL: "bools",
    DataType.INT32: "integers",
    DataType.INT64: "integers",
    DataType.FLOAT32: "doubles",
    DataType.FLOAT64: "doubles",
    DataType.STRING: "strings",
    DataType.JSON: "strings",
}
"""The list of `Values` for each type; no other list may be set."""
_WIDE = {"bools": np.bool_, "integers": np.int64, "doubles": np.float64}
_STEP = 1 << 16
"""Elements that are converted while nobody else has the interpreter."""


def typed_list(column: pb.Column, kind: DataType, count: int) -> Sequence[Any]:
    """The list of a column that has `values`.

    Raises:
        ValueError: another list is set, or `data`, or the list is not of this length.
    """
    want = LISTS[kind]
    given = [field.name for field, _ in column.values.ListFields()]
    if given and given != [want]:
        raise ValueError(f"got values in {' and '.join(given)}, want {kind.value} in {want} alone")
    if column.data:
        raise ValueError("got data and values, want one of them")
    values: Sequence[Any] = getattr(column.values, want)
    if len(values) != count:
        raise ValueError(f"got {len(values)} values, want {count}")
    return values


def decode_texts(column: pb.Column, kind: DataType, count: int) -> list[str]:
    """The texts.

    Raises:
        ValueError: as `typed_list`.
    """
    values = typed_list(column, kind, count)
    texts: list[str] = []
    # In steps: one slice of millions of values is made in a single call, during which no other
    # thread of the process runs.
    for at in range(0, count, _STEP):
        texts += values[at : at + _STEP]
    return texts


def fill_list(target: Any, elements: Sequence[str] | Array) -> None:
    """Adds elements, texts or an array of them, to a list of `Values`."""
    if len(elements) > _STEP:
        for at in range(0, len(elements), _STEP):
            fill_list(target, elements[at : at + _STEP])
    else:
        target.extend(elements.tolist() if isinstance(elements, np.ndarray) else elements)


def decode_numbers(column: pb.Column, kind: DataType, count: int) -> Array:
    """The elements; 0 in the place of those that do not fit the type.

    Raises:
        ValueError: as `typed_list`.
    """
    values = typed_list(column, kind, count)
    numbers: Array = np.empty(count, kind.dtype)
    for at, wide in _widen(values, kind):
        is_same = wide.dtype == kind.dtype
        numbers[at : at + _STEP] = wide if is_same else np.where(_fits_type(wide, kind), wide, 0)
    return numbers


def find_misfits(column: pb.Column, kind: DataType, count: int) -> Array:
    """The indices of elements that do not fit: integers out of range, and doubles beyond float32.

    Doubles are rounded to the nearest float32.

    Raises:
        ValueError: as `typed_list`.
    """
    if kind not in (DataType.INT32, DataType.FLOAT32):
        return np.zeros(0, np.int64)
    parts = _widen(typed_list(column, kind, count), kind)
    indices = [at + np.flatnonzero(~_fits_type(wide, kind)) for at, wide in parts]
    return np.concatenate([np.zeros(0, np.int64), *indices])


def _widen(found: Sequence[Any], kind: DataType) -> Iterator[tuple[int, Array]]:
    """The elements as they came, some at a time, and where these begin."""
    for at in range(0, len(found), _STEP):
        yield at, np.array(found[at : at + _STEP], _WIDE[LISTS[kind]])


def _fits_type(wide: Array, kind: DataType) -> Array:
    """Which of int64 or float64 elements are in the range of a narrower type: bool."""
    limits = np.finfo(np.float32) if kind is DataType.FLOAT32 else np.iinfo(kind.dtype)
    # Negated, so that NaN, which is neither below nor above anything, fits.
    return ~((wide < limits.min) | (wide > limits.max)) | np.isinf(wide)
