"""Columns as plain numpy arrays and lists, and back: what estimators and custom models see."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from hydro_runtimes.columns import Array, Column, Columns, Dense, Ragged, Sparse, Strings
from hydro_runtimes.evaluator import Failure, Field

Plain: TypeAlias = Array | Sequence[Any]


def plain(column: Column) -> Plain:
    """The values of a column.

    A number or tensor: an array (rows, *shape), nulls as NaN, or where the type has no NaN as None
    in an object array. A text: a list of str, null as None. A list: a list of arrays or lists.
    A sparse vector: a float64 array (rows, size).
    """
    match column:
        case Sparse():
            return plain(column.dense())
        case Dense():
            return _dense(column)
        case Strings():
            return _nulled(list(column.values), column)
        case Ragged():
            elements = plain(column.elements)
            ends = column.offsets.tolist()
            lists = [elements[a:b] for a, b in pairwise(ends)]
            return _nulled(lists, column)


def column(field: Field, values: Any, rows: int) -> Column:
    """The values that a model gave for a declared output, checked and converted.

    Numbers may be widened (an integer to a float, never the other way). A list or an object array
    may hold None where the field is nullable.

    Raises:
        ValueError: the number of rows, the shape or the type is not as declared.
    """
    if not hasattr(values, "__len__"):
        raise ValueError(f"output '{field.name}' is {_name(values)}, want an array or a list")
    if len(values) != rows:
        raise ValueError(f"output '{field.name}' has {len(values)} rows, want {rows}")
    if field.type.dtype.hasobject:
        return _texts(field, values)
    valid = _validity(field, values)
    if valid is not None:
        given = [np.zeros(_filler(field)) if value is None else value for value in values]
        return _numbers(field, given, valid)
    return _numbers(field, values, None)


def without_nulls(
    columns: Columns, fields: Sequence[Field]
) -> tuple[Columns, dict[int, Failure], Array]:
    """The rows that have no null in a field that lets none through.

    Returns:
        The remaining rows, the failures of the others, and the indices of the remaining (int64).
    """
    failures: dict[int, Failure] = {}
    for field in fields:
        validity = columns[field.name].validity if field.name in columns else None
        if not field.nullable and validity is not None:
            for row in np.flatnonzero(~validity).tolist():
                message = f"column '{field.name}' is null, want {field.type.value}"
                failures.setdefault(row, Failure("INVALID_VALUE", message, field.name))
    kept = np.arange(columns.rows)
    if not failures:
        return columns, failures, kept
    kept = np.delete(kept, sorted(failures))
    return columns.take(kept), failures, kept


def _dense(column: Dense) -> Array:
    if column.validity is None:
        return column.values
    kind = np.float64 if column.values.dtype.kind == "f" else object
    values = column.values.astype(kind)
    values[~column.validity] = np.nan if kind is np.float64 else None
    return values


def _nulled(values: list[Any], column: Column) -> list[Any]:
    if column.validity is None:
        return values
    return [v if ok else None for v, ok in zip(values, column.validity.tolist(), strict=True)]


def _validity(field: Field, values: Plain) -> Array | None:
    if isinstance(values, np.ndarray) and values.dtype != object:
        return None
    valid = [value is not None for value in values]
    if all(valid):
        return None
    if not field.nullable:
        row = valid.index(False)
        raise ValueError(f"output '{field.name}' is null in row {row}, want {field.type.value}")
    return np.array(valid)


def _filler(field: Field) -> tuple[int, ...]:
    return tuple(max(size, 0) for size in field.shape)


def _numbers(field: Field, values: Plain, valid: Array | None) -> Column:
    try:
        is_object = isinstance(values, np.ndarray) and values.dtype == object
        array = np.asarray(list(values) if is_object else values)
    except ValueError:
        if field.shape == (-1,):
            return _lists(field, values, valid)
        raise ValueError(f"output '{field.name}' varies in shape, want {field.shape}") from None
    if len(array) == 0:
        array = array.reshape(0, *_filler(field)).astype(field.type.dtype)
    shape = array.shape[1:]
    if not field.fits(shape):
        raise ValueError(f"output '{field.name}' has rows of shape {shape}, want {field.shape}")
    return Dense(_cast(field, array), valid)


def _lists(field: Field, values: Plain, valid: Array | None) -> Ragged:
    rows = [np.asarray(value) for value in values]
    if any(row.ndim != 1 for row in rows):
        raise ValueError(f"output '{field.name}' has rows that are no lists, want {field.shape}")
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return Ragged(offsets, Dense(_cast(field, np.concatenate(rows))), valid)


def _cast(field: Field, array: Array) -> Array:
    want = field.type.dtype
    if array.dtype == want:
        return np.ascontiguousarray(array)
    widens = array.dtype.kind in "iu" and want.kind == "f"
    if array.size and not widens and not np.can_cast(array.dtype, want, "same_kind"):
        raise ValueError(f"output '{field.name}' is {array.dtype}, want {field.type.value}")
    if want.kind == "i" and array.dtype.kind in "iu" and not np.can_cast(array.dtype, want):
        limits = np.iinfo(want)
        if array.size and (array.max() > limits.max or array.min() < limits.min):
            raise ValueError(f"output '{field.name}' overflows {field.type.value}")
    return np.ascontiguousarray(array, dtype=want)


def _texts(field: Field, values: Plain) -> Column:
    valid = _validity(field, values)
    given = values.tolist() if isinstance(values, np.ndarray) else values
    if field.shape:
        rows = [[] if value is None else list(value) for value in given]
        offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        flat = _strings(field, [text for row in rows for text in row])
        return Ragged(offsets, Strings(flat, None, field.type), valid)
    return Strings(_strings(field, ["" if v is None else v for v in given]), valid, field.type)


def _strings(field: Field, values: list[Any]) -> list[str]:
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f"output '{field.name}' holds {_name(value)}, want {field.type.value}")
    return values


def _name(value: Any) -> str:
    return f"a {type(value).__name__}"
