"""JSON values to a column and back: one function for each kind of declared column.

The quick way takes all values at once and fails on the first odd one; then `find_fault` looks at
each value by itself, so that only the rows at fault are lost. What a value becomes depends on its
field alone, never on the values beside it.

Numbers that JSON has no name for are the strings "NaN", "Infinity" and "-Infinity"; a vector is an
array or an object, see `hydro_runtimes.vector_json`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson

from hydro_runtimes import vector_json
from hydro_runtimes.column_forms import make_lists, make_sparse, to_model_form
from hydro_runtimes.columns import (
    Array,
    Column,
    DataType,
    Dense,
    Lists,
    Strings,
    Validity,
)
from hydro_runtimes.evaluator import Failure, Field

_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_LIMITS = {DataType.INT32: 2**31, DataType.INT64: 2**63}
_FLOATS = (DataType.FLOAT32, DataType.FLOAT64)
_NUMBERS = (*_FLOATS, DataType.INT32, DataType.INT64)


class _Misfit(ValueError):
    """A value has another shape than its field, or is null."""

    def __init__(self, reason: str, got: str) -> None:
        super().__init__(got)
        self.reason = reason
        self.got = got


_STEP = 64
"""Values that are looked at together, before their halves are."""
ODD = (ValueError, TypeError, ArithmeticError, KeyError, AttributeError)
"""What `parse_column` raises."""


def parse_column(values: Sequence[Any], field: Field) -> Column:
    """The column of a declared field from its JSON values, None for null.

    Raises:
        ValueError, TypeError, ArithmeticError, KeyError, AttributeError: a value does not fit;
            `find_fault` tells which.
    """
    if field.shape:
        # A look at the types, not at the values: sets of types are built in C, and a column has one
        # or two.
        if dict in set(map(type, values)):
            return _parse_vectors(values, field)
        return _parse_lists(values, field, field.shape)
    return _parse_scalars(values, field)


def find_faults(values: Sequence[Any], field: Field) -> Iterator[tuple[int, Failure]]:
    """The values that do not fit a field, by index."""
    for at in range(0, len(values), _STEP):
        yield from _find_faults_by_halves(values[at : at + _STEP], field, at)


def _find_faults_by_halves(
    values: Sequence[Any], field: Field, first: int
) -> Iterator[tuple[int, Failure]]:
    """Halves the values until single ones are at fault; the first value has index `first`."""
    try:
        parse_column(values, field)
    except ODD:
        # Alone, so its message is about it and no other.
        if len(values) == 1:
            if found := find_fault(values[0], field):
                yield first, found
            return
        middle = len(values) // 2
        yield from _find_faults_by_halves(values[:middle], field, first)
        yield from _find_faults_by_halves(values[middle:], field, first + middle)


def replace_failed(values: Sequence[Any], failed: Container[int], field: Field) -> Sequence[Any]:
    """The values with one that fits in the place of those that failed."""
    empty = _fitting_value(field, field.shape)
    return [empty if i in failed else value for i, value in enumerate(values)]


def find_fault(value: Any, field: Field) -> Failure | None:
    """Why a value does not fit a field, or None if it does."""
    try:
        parse_column([value], field)
    except _Misfit as misfit:
        return wrong_value(misfit.reason, misfit.got, field)
    except ODD:
        return wrong_value("WRONG_TYPE", _shorten(value), field)
    return None


def find_undeclared_fault(name: str, value: Any) -> Failure | None:
    """Why a value of a column that no field declares cannot be taken, or None if it can."""
    try:
        infer_column([value])
    except TypeError:
        got = "a value that is nested too deeply or has text that is not Unicode"
        return Failure("WRONG_TYPE", f"column '{name}': got {got}, want JSON", name)
    return None


def infer_column(values: Sequence[Any]) -> Column:
    """The column of JSON values that no field declares.

    Text, numbers and booleans are taken by their type, anything else as JSON.
    """
    kinds = set(map(type, values))
    for kind, type_ in _PLAIN.items():
        if kinds <= {kind, type(None)} and kind in kinds:
            try:
                return parse_column(values, Field("", type_, nullable=True))
            except ODD:
                break
    return parse_column(values, Field("", DataType.JSON, nullable=True))


_PLAIN = {
    str: DataType.STRING,
    float: DataType.FLOAT64,
    int: DataType.INT64,
    bool: DataType.BOOL,
}


def _check_types(kinds: set[type], values: Sequence[Any]) -> None:
    if not set(map(type, values)) <= kinds:
        raise ValueError("a value is of another type")


def _parse_numbers(values: Sequence[Any], type_: DataType) -> np.ndarray[Any, Any]:
    if type_ in _FLOATS:
        kinds = set(map(type, values))
        if str in kinds:
            # JSON has no NaN and no infinity; they come as protobuf's JSON writes them. Any other
            # text raises KeyError, which is one of `ODD`.
            values = [_SPECIAL[v] if type(v) is str else v for v in values]
            kinds.discard(str)
        # By type, not isinstance: a bool is an int in Python, and is not a number here.
        if not kinds <= {float, int}:
            raise ValueError("a value is not a number")
        if type_ is DataType.FLOAT64:
            return np.array(values, np.float64)
        # A double that is too large for float32 would become infinity without a word.
        with np.errstate(over="raise"):
            return np.array(values, np.float32)
    if type_ is DataType.BOOL:
        _check_types({bool}, values)
        return np.array(values, np.bool_)
    return vector_json.parse_integers(values, _LIMITS[type_]).astype(type_.dtype)


def _parse_scalars(values: Sequence[Any], field: Field) -> Dense | Strings:
    values, validity = _fill_nulls(values, field, ())
    if field.type is DataType.STRING:
        _check_types({str}, values)
        return Strings(values, validity)
    if field.type is DataType.JSON:
        return Strings([orjson.dumps(v).decode() for v in values], validity, DataType.JSON)
    return Dense(_parse_numbers(values, field.type), validity)


def _parse_lists(values: Sequence[Any], field: Field, shape: tuple[int, ...]) -> Lists:
    """Lists of a shape: a tensor where all are alike, as a model expects."""
    values, validity = _fill_nulls(values, field, shape)
    _check_types({list}, values)
    size, *inner = shape
    lengths = list(map(len, values))
    if size >= 0 and set(lengths) - {size}:
        got = next(length for length in lengths if length != size)
        raise _Misfit("WRONG_SHAPE", describe_length(got, len(field.shape) - len(inner)))
    flat = list(itertools.chain.from_iterable(values))
    elements = _parse_lists(flat, field, tuple(inner)) if inner else _parse_scalars(flat, field)
    return to_model_form(make_lists(lengths, elements, validity), shape)


def _fill_nulls(
    values: Sequence[Any], field: Field, shape: tuple[int, ...]
) -> tuple[Sequence[Any], Validity]:
    """The values with something in the place of nulls, and which are none."""
    if None not in values:
        return values, None
    if not field.nullable:
        raise _Misfit("NULL_VALUE", "null" if shape == field.shape else "a list with null")
    validity = np.fromiter((value is not None for value in values), np.bool_, len(values))
    # Something has to stand there for NumPy; nothing reads it, since validity says null.
    empty = _fitting_value(field, shape)
    return [empty if value is None else value for value in values], validity


def _fitting_value(field: Field, shape: tuple[int, ...]) -> Any:
    """A value that fits."""
    if shape:
        return [_fitting_value(field, shape[1:])] * max(shape[0], 0)
    return {DataType.STRING: "", DataType.BOOL: False}.get(field.type, 0)


def describe_length(count: int, depth: int) -> str:
    """For messages: a list that is too short or too long, and how many lists hold it."""
    return f"{count} elements" if depth == 1 else f"{count} elements in a list of depth {depth}"


def _parse_vectors(values: Sequence[Any], field: Field) -> Column:
    """Vectors of which some are written as objects."""
    plain = [_unwrap_dense(value) for value in values]
    if dict not in set(map(type, plain)):
        return _parse_lists(plain, field, field.shape)
    if len(field.shape) != 1 or field.type not in _NUMBERS:
        raise ValueError("a sparse vector is no value of this field")
    if field.type is not DataType.FLOAT64:
        return _parse_lists([_expand_sparse(value, field) for value in plain], field, field.shape)
    given, validity = _fill_nulls(plain, field, field.shape)
    parts = [_parse_sparse(value) for value in given]
    sizes = np.array([size for size, _, _ in parts], np.int64)
    wrong = sizes != field.shape[0] if field.shape[0] >= 0 else np.zeros(len(sizes), np.bool_)
    if wrong.any():
        raise _Misfit("WRONG_SHAPE", describe_length(int(sizes[wrong][0]), 1))
    offsets = np.concatenate(([0], np.cumsum([len(indices) for _, indices, _ in parts])))
    indices = np.concatenate([indices for _, indices, _ in parts]).astype(np.int32)
    stored = _parse_scalars(
        [cell for _, _, cells in parts for cell in cells], replace(field, shape=())
    )
    assert isinstance(stored, Dense), "vectors are of numbers"
    return make_sparse(sizes, offsets, indices, stored, validity)


def _unwrap_dense(value: Any) -> Any:
    """A vector that stores all its elements is a dense one, however it is written."""
    if type(value) is not dict:
        return value
    if value["type"] in vector_json.DENSE:
        return value["values"]
    size, indices, cells = _parse_sparse(value)
    return list(cells) if len(indices) == size else value


def _expand_sparse(value: Any, field: Field) -> Any:
    """A sparse vector as a list, where the field tells how long it is."""
    if type(value) is not dict:
        return value
    size, indices, _ = _parse_sparse(value)
    if size != field.shape[0]:
        raise _Misfit("WRONG_SHAPE", describe_length(size, 1))
    listed = [0] * size
    for index, cell in zip(indices.tolist(), value["values"], strict=True):
        listed[index] = cell
    return listed


def _parse_sparse(value: Any) -> tuple[int, Array, Sequence[Any]]:
    """Size, indices and elements of a vector; those of an object are numbers."""
    size, indices, cells = vector_json.parse_vector(value)
    if type(value) is dict:  # elements of a list may be null, where the field says so
        _parse_numbers(cells, DataType.FLOAT64)
    return size, indices, cells


def wrong_value(reason: str, got: str, field: Field) -> Failure:
    """The failure of a row whose value does not fit a field."""
    return Failure(
        reason, f"column '{field.name}': got {got}, want {describe_field(field)}", field.name
    )


def describe_field(field: Field) -> str:
    """A field's type in words, for messages."""
    kind = {DataType.STRING: "a string", DataType.BOOL: "true or false"}.get(field.type)
    if field.shape:
        sizes = " x ".join("any number of" if size < 0 else str(size) for size in field.shape)
        return f"an array of {sizes} {field.type.value}"
    return kind or f"a number ({field.type.value})"


def _shorten(value: Any) -> str:
    try:
        text = orjson.dumps(value, default=str).decode()
    except TypeError:  # orjson reads deeper than it writes
        return "a value that is nested too deeply"
    return text if len(text) <= 40 else text[:37] + "..."
