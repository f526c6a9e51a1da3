"""JSON values to a column and back: one function for each kind of declared column.

The quick way takes all values at once and fails on the first odd one; then `fault` looks at each
value by itself, so that only the rows at fault are lost.

Numbers that JSON has no name for are the strings "NaN", "Infinity" and "-Infinity". A vector is an
array when dense, and {"type": "sparse", "size": n, "indices": [...], "values": [...]} when sparse;
{"type": "dense", "values": [...]} is read as well.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from hydro_runtimes.columns import Column, DataType, Dense, Ragged, Sparse, Strings, Validity
from hydro_runtimes.evaluator import Failure, Field

_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_LIMITS = {DataType.INT32: 2**31, DataType.INT64: 2**63}
_FLOATS = (DataType.FLOAT32, DataType.FLOAT64)


def column(values: Sequence[Any], field: Field) -> Column:
    """The column of a declared field from its JSON values, None for null.

    Raises:
        ValueError: a value does not fit; `fault` tells which.
    """
    validity: Validity = None
    if None in values:
        validity = np.fromiter((value is not None for value in values), np.bool_, len(values))
        values = [_zero(field) if value is None else value for value in values]
    if field.shape:
        return _lists(values, field, validity)
    if field.type is DataType.STRING:
        _only({str}, values)
        return Strings(values, validity)
    if field.type is DataType.JSON:
        return Strings([orjson.dumps(v).decode() for v in values], validity, DataType.JSON)
    return Dense(_numbers(values, field.type), validity)


def fault(value: Any, field: Field) -> Failure | None:
    """Why a value does not fit a field, or None if it does."""
    if value is None:
        return None if field.nullable else _wrong("null", field, "NULL_VALUE")
    try:
        found = column([value], field)
    except (ValueError, TypeError, OverflowError, KeyError):
        return _wrong(_short(value), field, "WRONG_TYPE")
    wanted = field.shape[0] if len(field.shape) == 1 else -1
    size = np.asarray(found.shape)
    if wanted >= 0 and (isinstance(found, Ragged) or size[0] != wanted):
        return _wrong(f"{_length(value)} elements", field, "WRONG_SHAPE")
    return None


def inferred(values: Sequence[Any]) -> Column:
    """The column of JSON values that no field declares.

    Text, numbers and booleans are taken by their type, anything else as JSON.
    """
    kinds = set(map(type, values))
    for kind, type_ in _PLAIN.items():
        if kinds <= {kind, type(None)} and kind in kinds:
            try:
                return column(values, Field("", type_, nullable=True))
            except (ValueError, OverflowError):
                break
    return column(values, Field("", DataType.JSON, nullable=True))


_PLAIN = {
    str: DataType.STRING,
    float: DataType.FLOAT64,
    int: DataType.INT64,
    bool: DataType.BOOL,
}


def values(column: Column) -> list[Any]:
    """JSON values of a column, row by row, for orjson; None for null."""
    found = _values(column)
    if column.validity is None:
        return found
    return [v if ok else None for v, ok in zip(found, column.validity.tolist(), strict=True)]


def _values(column: Column) -> list[Any]:
    match column:
        case Strings(type=DataType.JSON):
            return [orjson.Fragment(text) for text in column.values]
        case Strings():
            return list(column.values)
        case Dense():
            return finite(column.values)
        case Ragged():
            elements, offsets = values(column.elements), column.offsets.tolist()
            return [elements[a:b] for a, b in itertools.pairwise(offsets)]
        case Sparse():
            indices, cells = column.indices.tolist(), finite(column.values)
            spans = itertools.pairwise(column.offsets.tolist())
            return [_sparse(column.size, indices[a:b], cells[a:b]) for a, b in spans]


def _sparse(size: int, indices: list[int], cells: list[Any]) -> Any:
    """A row that stores every element is a dense one, among others that are not."""
    if 0 < size == len(indices) and indices == list(range(size)):
        return cells
    return {"type": "sparse", "size": size, "indices": indices, "values": cells}


def finite(array: np.ndarray[Any, Any]) -> list[Any]:
    """Numbers of any shape as lists, those that JSON has no name for as strings."""
    listed: list[Any] = array.tolist()
    if array.dtype.kind != "f":
        return listed
    return listed if _is_finite(array.ravel()) else [_named(value) for value in listed]


def _is_finite(flat: np.ndarray[Any, Any]) -> bool:
    """No element is NaN or infinite. Numpy's way costs 4 us however few there are."""
    if flat.size <= 64:
        return math.isfinite(sum(flat.data))
    return bool(np.isfinite(flat).all())


def _named(value: Any) -> Any:
    if isinstance(value, list):
        return [_named(element) for element in value]
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _only(kinds: set[type], values: Sequence[Any]) -> None:
    if not set(map(type, values)) <= kinds:
        raise ValueError("a value is of another type")


def _numbers(values: Sequence[Any], type_: DataType) -> np.ndarray[Any, Any]:
    if type_ in _FLOATS:
        kinds = set(map(type, values))
        if str in kinds:
            values = [_SPECIAL[v] if type(v) is str else v for v in values]
            kinds.discard(str)
        if not kinds <= {float, int}:
            raise ValueError("a value is not a number")
        return np.array(values, type_.dtype)
    if type_ is DataType.BOOL:
        _only({bool}, values)
        return np.array(values, np.bool_)
    return _integers(values, _LIMITS[type_]).astype(type_.dtype)


def _integers(values: Sequence[Any], limit: int) -> np.ndarray[Any, Any]:
    kinds = set(map(type, values))
    if float in kinds:
        values = [int(v) if type(v) is float and v.is_integer() else v for v in values]
    _only({int}, values)
    if values and not -limit <= min(values) <= max(values) < limit:
        raise ValueError("an integer is out of range")
    return np.array(values, np.int64)


def _zero(field: Field) -> Any:
    if field.shape:
        size = max(math.prod(field.shape), 0) if -1 not in field.shape else 0
        return np.zeros(size).reshape(field.shape).tolist() if size else []
    return {DataType.STRING: "", DataType.BOOL: False}.get(field.type, 0)


def _lists(values: Sequence[Any], field: Field, validity: Validity) -> Column:
    if dict in set(map(type, values)):
        return _vectors(values, field, validity)
    _only({list}, values)
    if field.type is DataType.STRING:
        return _ragged(values, field, validity)
    lengths = set(map(len, values))
    if len(lengths) > 1 or field.shape == (-1,):
        return _ragged(values, field, validity)
    flat = _flatten(values, len(field.shape))
    shape = (len(values), *_shape(values, len(field.shape), field))
    return Dense(_numbers(flat, field.type).reshape(shape), validity)


def _shape(values: Sequence[Any], depth: int, field: Field) -> tuple[int, ...]:
    shape: list[int] = []
    level: Any = values
    for _ in range(depth):
        level = level[0] if level else []
        shape.append(len(level))
    return tuple(shape) if values else tuple(max(size, 0) for size in field.shape)


def _flatten(values: Sequence[Any], depth: int) -> list[Any]:
    flat: Any = values
    for _ in range(depth):
        flat = list(itertools.chain.from_iterable(flat))
    return list(flat)


def _ragged(values: Sequence[Any], field: Field, validity: Validity) -> Column:
    """A list a row; numbers of one length in all rows make a tensor, as a model expects."""
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    flat = list(itertools.chain.from_iterable(values))
    element = Field("", field.type, nullable=True)
    if field.type is not DataType.STRING and len(set(lengths.tolist())) == 1 and None not in flat:
        return Dense(_numbers(flat, field.type).reshape(len(values), -1), validity)
    elements = column(flat, element)
    if not isinstance(elements, Dense | Strings):
        raise ValueError("lists are nested too deeply")
    return Ragged(np.concatenate(([0], np.cumsum(lengths))), elements, validity)


def _vectors(values: Sequence[Any], field: Field, validity: Validity) -> Column:
    """Vectors of which some are written as objects."""
    if all(type(v) is list or v.get("type") == "dense" for v in values):
        plain = [v if type(v) is list else v["values"] for v in values]
        return _lists(plain, field, validity)
    parts = [_stored(value) for value in values]
    sizes = {size for size, _, _ in parts if size} or {0}
    if len(sizes) > 1:
        raise ValueError("vectors differ in size")
    offsets = np.concatenate(([0], np.cumsum([len(indices) for _, indices, _ in parts])))
    indices = np.concatenate([indices for _, indices, _ in parts])
    stored = np.concatenate([cells for _, _, cells in parts])
    return Sparse(sizes.pop(), offsets, indices.astype(np.int32), stored, validity)


def _stored(value: Any) -> tuple[int, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Size, indices and values of a vector, in any of the three ways to write it."""
    if isinstance(value, list) or value["type"] == "dense":
        cells = _numbers(value if isinstance(value, list) else value["values"], DataType.FLOAT64)
        return len(cells), np.arange(len(cells)), cells
    if value["type"] != "sparse" or type(value["size"]) is not int:
        raise ValueError("not a vector")
    indices = _integers(value["indices"], 2**31)
    cells = _numbers(value["values"], DataType.FLOAT64)
    inside = not len(indices) or (indices[0] >= 0 and indices[-1] < value["size"])
    if len(indices) != len(cells) or not inside or (np.diff(indices) <= 0).any():
        raise ValueError("not a sparse vector")
    return value["size"], indices, cells


def _wrong(got: str, field: Field, reason: str) -> Failure:
    message = f"column '{field.name}': got {got}, want {wanted(field)}"
    return Failure(reason, message, field.name)


def wanted(field: Field) -> str:
    """A field's type in words, for messages."""
    kind = {DataType.STRING: "a string", DataType.BOOL: "true or false"}.get(field.type)
    if field.shape:
        sizes = " x ".join("any number of" if size < 0 else str(size) for size in field.shape)
        return f"an array of {sizes} {field.type.value}"
    return kind or f"a number ({field.type.value})"


def _length(value: Any) -> int:
    if isinstance(value, Mapping):
        return int(value.get("size", len(value.get("values", ()))))
    return len(value)


def _short(value: Any) -> str:
    text = orjson.dumps(value, default=str).decode()
    return text if len(text) <= 40 else text[:37] + "..."
