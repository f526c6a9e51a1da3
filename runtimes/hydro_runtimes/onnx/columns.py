"""The columns of an ONNX model, and what its inputs and outputs are as columns. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import orjson

from hydro_runtimes import python_values
from hydro_runtimes.columns import Array, Columns, DataType
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Field
from hydro_runtimes.onnx.graph import Graph, Map, Tensor, ValueInfo
from hydro_runtimes.onnx.graph import Sequence as SequenceType


class _Element(NamedTuple):
    """A type of elements."""

    type: DataType
    dtype: np.dtype[Any]
    """What onnxruntime takes."""


_ELEMENTS = {
    1: _Element(DataType.FLOAT32, np.dtype(np.float32)),
    2: _Element(DataType.INT32, np.dtype(np.uint8)),
    3: _Element(DataType.INT32, np.dtype(np.int8)),
    4: _Element(DataType.INT32, np.dtype(np.uint16)),
    5: _Element(DataType.INT32, np.dtype(np.int16)),
    6: _Element(DataType.INT32, np.dtype(np.int32)),
    7: _Element(DataType.INT64, np.dtype(np.int64)),
    8: _Element(DataType.STRING, np.dtype(object)),
    9: _Element(DataType.BOOL, np.dtype(np.bool_)),
    10: _Element(DataType.FLOAT32, np.dtype(np.float16)),
    11: _Element(DataType.FLOAT64, np.dtype(np.float64)),
    12: _Element(DataType.INT64, np.dtype(np.uint32)),
    13: _Element(DataType.INT64, np.dtype(np.uint64)),
}
"""By TensorProto.DataType."""
_TEXT, _INT64 = 8, 7


@dataclass(frozen=True, slots=True)
class Feed:
    """An input of the graph, of one column or of several that make a row of it."""

    name: str
    fields: tuple[Field, ...]
    dtype: np.dtype[Any]
    row: tuple[int, ...]
    """The shape of a row; -1 for a size that varies."""
    is_map: bool = False
    """It takes one row at a time: a JSON object."""
    has_int_keys: bool = False

    def make(self, columns: Columns) -> Any:
        """What the graph is given for rows of one shape; of a map, the only row.

        Raises:
            ValueError: a value is out of the range of the graph's type.
        """
        if self.is_map:
            return self._make_map(columns)
        if len(self.fields) == 1:
            return self._cast(self._values(columns, self.fields[0]))
        parts = [self._cast(self._values(columns, each), ()) for each in self.fields]
        return np.column_stack(parts)

    def _values(self, columns: Columns, each: Field) -> Array:
        plain = python_values.to_plain(columns[each.name], each.shape)
        if isinstance(plain, np.ndarray) and plain.dtype != object:
            return plain
        if each.type is DataType.STRING:
            return np.array(plain, object)
        return np.array([_with_nan(value) for value in plain], each.type.dtype)

    def _cast(self, values: Array, row: tuple[int, ...] | None = None) -> Array:
        if self.dtype.kind in "iu" and values.dtype != self.dtype and values.size:
            limits = np.iinfo(self.dtype)
            if values.min() < limits.min or values.max() > limits.max:
                raise ValueError(f"input '{self.name}' takes {limits.min} to {limits.max}")
        with np.errstate(over="ignore"):
            values = values.astype(self.dtype, copy=False)
        is_scalar = row is None and values.ndim == 1 and self.row == (1,)
        return values.reshape(-1, 1) if is_scalar else values

    def _make_map(self, columns: Columns) -> Any:
        (text,) = python_values.to_plain(columns[self.fields[0].name], ())
        value = orjson.loads(text)
        if not isinstance(value, dict) or not all(
            isinstance(each, int | float) for each in value.values()
        ):
            raise ValueError(f"input '{self.name}' is {text[:60]}, want an object of numbers")
        return {int(key) if self.has_int_keys else key: float(each) for key, each in value.items()}


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """An output of the graph as a column."""

    name: str
    """Of the graph."""
    field: Field
    labels: tuple[str | int, ...] = ()
    axis: int = 0
    """Of a tensor: the axis of the rows."""

    def rows(self, value: Any, count: int) -> Any:
        """The answers of the rows: an array or a list of this many.

        Raises:
            ValueError: it has not one for each row.
        """
        if isinstance(value, np.ndarray):
            value = np.moveaxis(value, self.axis, 0) if value.ndim > self.axis else value
            return self._checked(value, count)
        value = list(value)
        if value and isinstance(value[0], np.ndarray):
            # Of several targets: a tensor each, whose first axis is that of the rows.
            parts = [self._checked(each, count) for each in value]
            value = [[each[row] for each in parts] for row in range(count)]
        if self.labels:
            return self._checked(self._vectors(value), count)
        return self._checked(value, count)

    def column_values(self, rows: Any) -> Any:
        """Rows, ready to be a column of the field."""
        if self.field.type is DataType.JSON:
            return [_to_json_text(row) for row in rows]
        if self.field.type is DataType.STRING:
            return rows.tolist() if isinstance(rows, np.ndarray) else list(map(_listed, rows))
        return rows

    def _vectors(self, maps: list[Any]) -> Array:
        size = len(self.labels)
        flat = chain.from_iterable(map(each.__getitem__, self.labels) for each in maps)
        return np.fromiter(flat, self.field.type.dtype, len(maps) * size).reshape(-1, size)

    def _checked(self, value: Any, count: int) -> Any:
        got = len(value) if getattr(value, "ndim", 1) else 1
        if got != count or not getattr(value, "ndim", 1):
            raise ValueError(f"output '{self.name}' has {got} values for {count} rows")
        return value


def feeds_of(where: object, graph: Graph, stated: Sequence[Field]) -> tuple[Feed, ...]:
    """The inputs; `stated` are those of metadata.json, () where it states none.

    Raises:
        InvalidModel: an input has no rows or is of a type that is not supported, or the stated ones
            are not those of the graph.
    """
    own = tuple(_feed(where, value) for value in graph.inputs)
    given = {each.name: each for each in stated}
    if not given:
        return own
    if given.keys() == {each.name for each in own}:
        return tuple(_with_stated(where, feed, given[feed.name]) for feed in own)
    size = sum(each.shape[0] if each.shape else 1 for each in stated)
    if len(own) == 1 and len(own[0].row) == 1 and own[0].row[0] in (-1, size):
        is_float = own[0].dtype.kind == "f"
        return (replace(own[0], fields=tuple(replace(each, nullable=is_float) for each in stated)),)
    want = ", ".join(f"{each.name} {list(each.row)}" for each in own)
    raise InvalidModel(where, f"metadata.json has the inputs {', '.join(given)}, want {want}")


def answers_of(where: object, graph: Graph) -> tuple[OutputColumn, ...]:
    """The outputs.

    Raises:
        InvalidModel: one is of a type that is not supported.
    """
    return tuple(_answer(where, value, graph.labels.get(value.name, ())) for value in graph.outputs)


def _feed(where: object, value: ValueInfo) -> Feed:
    type = value.type
    if isinstance(type, Map):
        fields = (Field(value.name, DataType.JSON),)
        has_int_keys = type.key == _INT64
        return Feed(value.name, fields, np.dtype(object), (), True, has_int_keys)
    if not isinstance(type, Tensor) or type.type not in _ELEMENTS:
        raise InvalidModel(where, f"input '{value.name}' is of a type that is not supported")
    if not type.shape or type.shape[0] not in (-1, 1):
        got = "of no stated shape" if type.shape is None else f"of shape {list(type.shape)}"
        want = "a first axis that varies: that of the rows; export it with dynamic axes"
        raise InvalidModel(where, f"input '{value.name}' is {got}, want {want}")
    element, row = _ELEMENTS[type.type], type.shape[1:]
    shape = () if row == (1,) else row
    is_float = element.dtype.kind == "f"
    fields = (Field(value.name, element.type, shape, nullable=is_float),)
    return Feed(value.name, fields, element.dtype, row)


def _with_stated(where: object, feed: Feed, stated: Field) -> Feed:
    (own,) = feed.fields
    is_text = stated.type.dtype.hasobject
    if is_text != own.type.dtype.hasobject or not (
        own.fits(stated.shape) or stated.fits(own.shape)
    ):
        got, want = stated.type.value, f"{own.type.value} of shape {list(own.shape)}"
        raise InvalidModel(where, f"metadata.json has '{own.name}' of type {got}, want {want}")
    return replace(feed, fields=(replace(own, type=stated.type, shape=stated.shape),))


def _answer(where: object, value: ValueInfo, labels: tuple[str | int, ...]) -> OutputColumn:
    type = value.type
    if isinstance(type, Tensor) and type.type in _ELEMENTS:
        kind = _ELEMENTS[type.type].type
        if not type.shape:
            return OutputColumn(value.name, Field(value.name, DataType.JSON))
        varying = [at for at, size in enumerate(type.shape) if size == -1]
        axis = varying[0] if varying and type.shape[0] != -1 else 0
        row = type.shape[:axis] + type.shape[axis + 1 :]
        # Converters write 1 where a model with several targets gives more.
        shape = tuple(-1 if size == 1 else size for size in row)
        return OutputColumn(value.name, Field(value.name, kind, shape), axis=axis)
    if isinstance(type, SequenceType) and isinstance(type.of, Map) and labels:
        inner = type.of.value
        kind = DataType.FLOAT32
        if isinstance(inner, Tensor) and inner.type in _ELEMENTS:
            kind = _ELEMENTS[inner.type].type
        names = tuple(map(str, labels))
        field = Field(value.name, kind, (len(labels),), elements=names)
        return OutputColumn(value.name, field, labels)
    if isinstance(type, Tensor | SequenceType | Map):
        return OutputColumn(value.name, Field(value.name, DataType.JSON))
    raise InvalidModel(where, f"output '{value.name}' is of a type that is not supported")


def _with_nan(value: Any) -> Any:
    return np.nan if value is None else value


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _to_json_text(value: Any) -> str:
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(value, option=options, default=_listed).decode()
