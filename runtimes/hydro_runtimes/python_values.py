"""Columns as plain numpy arrays and lists, and back, for estimators and custom models."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import orjson

from hydro_runtimes.column_forms import make_lists, to_model_form
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
)
from hydro_runtimes.evaluator import Failure, Field

Plain: TypeAlias = Array | Sequence[Any]


def to_plain(column: Column, shape: tuple[int, ...]) -> Plain:
    """The values of a column. What a row gets does not depend on the other rows.

    A number: an array (rows,), nulls as NaN, or where the type has no NaN as None in an object
    array. A tensor: an array (rows, *shape), where one is null a list of arrays and None. A text: a
    list of str, null as None. A list: a list of arrays, of lists of arrays where they differ in
    shape, or of lists of str; a null one as None, nulls in it as for numbers. A sparse vector: a
    float64 array (rows, size).

    Args:
        column: as its field is declared.
        shape: of the field.

    Raises:
        DenseTooLarge: sparse vectors would take too much memory.
    """
    match column:
        case Sparse():
            return _plain_array(column.dense())
        case Dense():
            return _plain_array(column)
        case Strings():
            return _with_nones(list(column.values), column)
        case Ragged():
            return _with_nones(_row_lists(column, shape[1:]), column)


def to_column(field: Field, values: Any, rows: int) -> Column:
    """The values that a model gave for a declared output, checked and converted.

    Numbers may be widened (an integer to a float, never the other way). A list or an object array
    may hold None where the field is nullable; what a masked array masks is null.

    Raises:
        ValueError: the number of rows, the shape or the type is not as declared.
    """
    if isinstance(values, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(values)
        values = values.data.astype(object)
        values[masked] = None
    if not hasattr(values, "__len__"):
        raise ValueError(f"output '{field.name}' is {_type_name(values)}, want an array or a list")
    if len(values) != rows:
        raise ValueError(f"output '{field.name}' has {len(values)} rows, want {rows}")
    if field.type.dtype.hasobject:
        given = values.tolist() if isinstance(values, np.ndarray) else values
        return _list_column(field, given, field.shape)
    valid = _find_nulls(field, values)
    if valid is None:
        return _number_column(field, values, None)
    if field.shape:
        return _list_column(field, values, field.shape)
    return _scalar_column(field, values)


def drop_null_rows(
    columns: Columns, fields: Sequence[Field]
) -> tuple[Columns, dict[int, Failure], Array]:
    """The rows without nulls in fields that are not nullable.

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


def _plain_array(column: Dense) -> Plain:
    if column.validity is None:
        return column.values
    if column.values.dtype.kind == "f" and not column.shape:
        values = column.values.copy()
        values[~column.validity] = np.nan
        return values
    rows = _with_nones(
        list(column.values), column
    )  # numbers of numpy, as in a column without nulls
    return rows if column.shape else _object_array(rows)


def _object_array(values: Sequence[Any]) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _row_lists(column: Ragged, shape: tuple[int, ...]) -> list[Any]:
    """The list of each row; `shape` of an element."""
    spans = list(pairwise(column.offsets.tolist()))
    elements = column.elements
    if isinstance(elements, Dense) and elements.validity is not None:
        parts = (elements.take(slice(a, b)) for a, b in spans)
        return [to_plain(_without_validity(part), shape) for part in parts]
    values: Any = to_plain(elements, shape)
    if not shape or elements.type.dtype.kind == "O":
        return [values[a:b] for a, b in spans]
    empty = np.zeros((0, *(max(size, 0) for size in shape)), elements.type.dtype)
    return [_stack_alike(values[a:b]) if a < b else empty for a, b in spans]


def _without_validity(column: Dense) -> Dense:
    is_whole = column.validity is None or column.validity.all()
    return Dense(column.values) if is_whole else column


def _stack_alike(lists: Any) -> Any:
    """Lists that are alike as one array, as they would be if no other row differed."""
    if isinstance(lists, np.ndarray) or not all(isinstance(one, np.ndarray) for one in lists):
        return lists
    alike = len({(one.shape, one.dtype.kind == "O") for one in lists}) == 1
    return np.stack(lists) if alike else lists


def _with_nones(values: list[Any], column: Column) -> list[Any]:
    if column.validity is None:
        return values
    return [v if ok else None for v, ok in zip(values, column.validity.tolist(), strict=True)]


def _find_nulls(field: Field, values: Plain) -> Array | None:
    if isinstance(values, np.ndarray) and values.dtype != object:
        return None
    valid = [value is not None for value in values]
    if all(valid):
        return None
    if not field.nullable:
        row = valid.index(False)
        raise ValueError(f"output '{field.name}' is null in row {row}, want {field.type.value}")
    return np.array(valid)


def _empty_shape(field: Field) -> tuple[int, ...]:
    return tuple(max(size, 0) for size in field.shape)


def _number_column(field: Field, values: Plain, valid: Array | None) -> Column:
    try:
        is_object = isinstance(values, np.ndarray) and values.dtype == object
        array = np.asarray(list(values) if is_object else values)
    except ValueError:
        return _list_column(field, values, field.shape)
    if len(array) == 0:
        array = array.reshape(0, *_empty_shape(field)).astype(field.type.dtype)
    shape = array.shape[1:]
    if array.dtype == object or (not array.size and not field.fits(shape)):
        return _list_column(field, values, field.shape)
    if not field.fits(shape):
        raise ValueError(f"output '{field.name}' has rows of shape {shape}, want {field.shape}")
    return Dense(_cast_array(field, array), valid)


def _list_column(field: Field, values: Plain, shape: tuple[int, ...]) -> Lists:
    """The column of lists of any lengths; of scalars, where there is no shape left."""
    if not shape:
        return _scalar_column(field, values)
    valid = _find_nulls(field, values)
    rows = [() if value is None else value for value in values]
    if not all(hasattr(row, "__len__") and not isinstance(row, str | bytes) for row in rows):
        raise ValueError(f"output '{field.name}' has rows that are not lists, want {field.shape}")
    lengths = list(map(len, rows))
    wrong = [len(value) for value in values if value is not None and len(value) != shape[0]]
    if shape[0] >= 0 and wrong:
        got = f"a list of {wrong[0]} elements"
        raise ValueError(f"output '{field.name}' has {got}, want {field.shape}")
    arrays = [row for row in rows if isinstance(row, np.ndarray) and row.dtype != object]
    if len(shape) == 1 and rows and len(arrays) == len(rows) and all(a.ndim == 1 for a in arrays):
        elements: Lists = Dense(_cast_array(field, np.concatenate(arrays)))
    else:
        elements = _list_column(field, [value for row in rows for value in row], shape[1:])
    return to_model_form(make_lists(lengths, elements, valid), shape)


def _scalar_column(field: Field, values: Plain) -> Dense | Strings:
    valid = _find_nulls(field, values)
    if field.type.dtype.hasobject:
        _check_texts(field, [value for value in values if value is not None])
        return Strings(["" if value is None else value for value in values], valid, field.type)
    zero = field.type.dtype.type(0)
    given = values if valid is None else [zero if value is None else value for value in values]
    array = np.asarray(given) if len(given) else np.zeros(0, field.type.dtype)
    if array.ndim != 1:
        raise ValueError(f"output '{field.name}' holds lists, want {field.shape}")
    return Dense(_cast_array(field, array), valid)


def _cast_array(field: Field, array: Array) -> Array:
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
    with np.errstate(over="raise"):
        return np.ascontiguousarray(array, dtype=want)


def _check_texts(field: Field, values: Sequence[Any]) -> None:
    for value in values:
        if not isinstance(value, str):
            raise ValueError(
                f"output '{field.name}' holds {_type_name(value)}, want {field.type.value}"
            )
        if field.type is DataType.JSON:
            _check_json(field, value)


def _check_json(field: Field, text: str) -> None:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"output '{field.name}' holds text that is not JSON: {error}") from None


def _type_name(value: Any) -> str:
    return f"a {type(value).__name__}"
