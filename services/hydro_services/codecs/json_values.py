"""A column as JSON values, for orjson.

Numbers that JSON has no name for are the strings "NaN", "Infinity" and "-Infinity". A vector is an
array when dense, and {"type": "sparse", "size": n, "indices": [...], "values": [...]} when sparse.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import orjson

from hydro_runtimes.columns import Column, DataType, Dense, Ragged, Sparse, Strings


def list_values(column: Column) -> list[Any]:
    """JSON values of a column, row by row, for orjson; None for null."""
    listed = _list_unmasked(column)
    if column.validity is None:
        return listed
    return [v if ok else None for v, ok in zip(listed, column.validity.tolist(), strict=True)]


def _list_unmasked(column: Column) -> list[Any]:
    match column:
        case Strings(type=DataType.JSON):
            return [orjson.Fragment(text) for text in column.values]
        case Strings():
            return list(column.values)
        case Dense():
            return list_numbers(column.values)
        case Ragged():
            elements, offsets = list_values(column.elements), column.offsets.tolist()
            return [elements[a:b] for a, b in itertools.pairwise(offsets)]
        case Sparse():
            indices, cells = column.indices.tolist(), _sparse_elements(column)
            sizes = [column.size] * column.rows if column.sizes is None else column.sizes.tolist()
            spans = zip(sizes, itertools.pairwise(column.offsets.tolist()), strict=True)
            return [_write_sparse(size, indices[a:b], cells[a:b]) for size, (a, b) in spans]


def _write_sparse(size: int, indices: list[int], cells: list[Any]) -> Any:
    """A row that stores every element is a dense one, among others that are not."""
    if size == len(indices):
        return cells
    return {"type": "sparse", "size": size, "indices": indices, "values": cells}


def _sparse_elements(column: Sparse) -> list[Any]:
    return list_values(Dense(column.values, column.element_validity))


def list_numbers(array: np.ndarray[Any, Any]) -> list[Any]:
    """Numbers of any shape as lists, those that JSON has no name for as strings."""
    listed: list[Any] = array.tolist()
    if array.dtype.kind != "f":
        return listed
    return (
        listed if _is_finite(array.ravel()) else [_name_special_numbers(value) for value in listed]
    )


def _is_finite(flat: np.ndarray[Any, Any]) -> bool:
    """No element is NaN or infinite. Numpy's way costs 4 us however few there are."""
    if flat.size <= 64:
        return math.isfinite(sum(flat.data))
    return bool(np.isfinite(flat).all())


def _name_special_numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_name_special_numbers(element) for element in value]
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
