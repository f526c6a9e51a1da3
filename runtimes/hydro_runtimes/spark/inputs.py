"""The columns that come in, as the stages read them.

Where a saved pipeline does not tell the type of a column (an input of a VectorAssembler may be a
number, a boolean or a vector), its field is declared as JSON and any column is taken. One that
comes from JSON is given its type here, by the values of its rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import orjson

from hydro_runtimes.columns import Array, Column, Columns, DataType, Dense, Ragged, Sparse, Strings
from hydro_runtimes.evaluator import Failure, Field
from hydro_runtimes.spark import java, lists
from hydro_runtimes.spark.batch import Batch, Where
from hydro_runtimes.spark.schema import Reading

_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_MAX_VECTOR = 1 << 31


def accept(columns: Columns, fields: Sequence[Field], readings: Mapping[str, Reading]) -> Batch:
    """The inputs of the pipeline, those that are there; rows with no such value fail.

    Args:
        columns: what came in.
        fields: the inputs of the signature.
        readings: by name, how the stages read the columns that may be of any type.

    Raises:
        ValueError: the rows differ in type, so that the column has none.
    """
    taken: dict[str, Column] = {}
    failures: dict[int, Failure] = {}
    for field in fields:
        if field.name not in columns:
            continue
        column = columns[field.name]
        if isinstance(column, Strings) and column.type is DataType.JSON:
            where = Where("", field.name)
            column, bad = _typed(column, readings.get(field.name, Reading.ANY))
            failures |= {row: where.invalid(text) for row, text in bad.items()}
        taken[field.name] = column
    return Batch(taken, columns.rows).without(failures)


def _typed(column: Strings, reading: Reading) -> tuple[Column, dict[int, str]]:
    """The column of the JSON values, and the rows that have no place in it."""
    texts: Sequence[str] = column.values
    if column.validity is not None:
        pairs = zip(texts, column.validity.tolist(), strict=True)
        texts = [text if valid else "null" for text, valid in pairs]
    values = orjson.loads(f"[{','.join(texts)}]")
    if len(values) != column.rows:
        raise ValueError(f"got {len(values)} JSON values, want {column.rows}")
    if reading is Reading.LABEL:
        return _labels(values)
    if reading is Reading.NUMBERS:
        values = [_NUMBERS.get(v, v) if isinstance(v, str) else v for v in values]
    return _by_kind(values, reading)


def _labels(values: list[Any]) -> tuple[Column, dict[int, str]]:
    """The text of each scalar, as Spark casts it."""
    bad = {
        row: f"got {_name(value)}, want a text, a number or a boolean"
        for row, value in enumerate(values)
        if isinstance(value, list | dict)
    }
    texts = [None if row in bad else _text(value) for row, value in enumerate(values)]
    return Strings([text or "" for text in texts], _validity(texts)), bad


def _by_kind(values: list[Any], reading: Reading) -> tuple[Column, dict[int, str]]:
    kinds = {type(value) for value in values if value is not None}
    validity = _validity(values)
    if not kinds or kinds <= {bool, int, float}:
        return _numbers(values, kinds, validity), {}
    if kinds <= {list, dict}:
        return _vectors(values, validity)
    if reading is Reading.NUMBERS:
        bad = {
            row: f"got {_name(value)}, want a number, a boolean or a vector"
            for row, value in enumerate(values)
            if isinstance(value, str)
        }
        rest = [None if row in bad else value for row, value in enumerate(values)]
        column, worse = _by_kind(rest, Reading.ANY)
        return column, bad | worse
    if kinds <= {str, int, float} and {v for v in values if isinstance(v, str)} <= set(_NUMBERS):
        return _by_kind([_NUMBERS.get(v, v) if isinstance(v, str) else v for v in values], reading)
    if kinds == {str}:
        return Strings([value or "" for value in values], validity), {}
    raise ValueError(f"rows differ in type: {', '.join(sorted(kind.__name__ for kind in kinds))}")


def _numbers(values: list[Any], kinds: set[type], validity: Array | None) -> Dense:
    filled = [0 if value is None else value for value in values]
    if kinds == {bool}:
        return Dense(np.array(filled, dtype=np.bool_), validity)
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in filled):
        return Dense(np.array(filled, dtype=np.int64), validity)
    doubles = np.array(filled, dtype=np.float64)
    return Dense(doubles.astype(np.float32) if _are_floats(doubles) else doubles, validity)


def _are_floats(values: Array) -> bool:
    """Whether these doubles were in single precision: exact there, and long as doubles."""
    with np.errstate(over="ignore"):
        exact = values.astype(np.float32).astype(np.float64)
    same = (exact == values) | np.isnan(values)
    return bool(same.all()) and any(len(repr(value)) > 12 for value in values.tolist())


def _vectors(values: list[Any], validity: Array | None) -> tuple[Column, dict[int, str]]:
    """Lists of texts, or vectors: sparse where one is, of any sizes where they differ."""
    given = [value for value in values if isinstance(value, list)]
    if any(
        isinstance(element, str) and element not in _NUMBERS for one in given for element in one
    ):
        return _texts(values, validity)
    bad: dict[int, str] = {}
    rows: list[tuple[int, Sequence[int], list[float]]] = []
    for row, value in enumerate(values):
        try:
            rows.append(_vector(value))
        except (ValueError, TypeError, KeyError, OverflowError):
            bad[row] = f"got {orjson.dumps(value)[:80].decode(errors='replace')}, want a vector"
            rows.append((0, (), []))
    sizes = {size for row, (size, _, _) in enumerate(rows) if values[row] is not None} or {0}
    offsets = np.cumsum([0, *(len(stored) for _, _, stored in rows)], dtype=np.int64)
    flat = np.array([x for _, _, stored in rows for x in stored], dtype=np.float64)
    if len(sizes) == 1 and any(isinstance(value, dict) for value in values):
        indices = np.array([i for _, places, _ in rows for i in places], dtype=np.int32)
        return Sparse(sizes.pop(), offsets, indices, flat, validity), bad
    dense = [_dense(*row) for row in rows]
    if len(sizes) == 1:
        size = sizes.pop()
        matrix = np.array([one or [0.0] * size for one in dense], dtype=np.float64)
        return Dense(matrix.reshape(len(dense), size), validity), bad
    ends = np.cumsum([0, *map(len, dense)], dtype=np.int64)
    return Ragged(ends, Dense(np.array([x for one in dense for x in one])), validity), bad


def _vector(value: Any) -> tuple[int, Sequence[int], list[float]]:
    """Size, indices and elements of a vector as the parity set writes it, or of a plain list."""
    if value is None:
        return 0, (), []
    if isinstance(value, list) or value["type"] == "dense":
        elements = [_real(x) for x in (value if isinstance(value, list) else value["values"])]
        return len(elements), range(len(elements)), elements
    size, indices = value["size"], value["indices"]
    elements = [_real(element) for element in value["values"]]
    ascending = all(a < b for a, b in pairwise(indices))
    if not (type(size) is int and 0 <= size < _MAX_VECTOR and ascending) or (
        indices and not (indices[0] >= 0 and indices[-1] < size)
    ):
        raise ValueError("no sparse vector")
    if len(indices) != len(elements) or value["type"] != "sparse":
        raise ValueError("no sparse vector")
    return size, indices, elements


def _dense(size: int, indices: Sequence[int], elements: list[float]) -> list[float]:
    if len(elements) == size:
        return elements
    dense = [0.0] * size
    for index, element in zip(indices, elements, strict=True):
        dense[index] = element
    return dense


def _texts(values: list[Any], validity: Array | None) -> tuple[Column, dict[int, str]]:
    bad = {
        row: f"got {_name(value)}, want a list of texts"
        for row, value in enumerate(values)
        if value is not None
        and not (isinstance(value, list) and all(x is None or isinstance(x, str) for x in value))
    }
    column = lists.column([[] if v is None or r in bad else v for r, v in enumerate(values)])
    return Ragged(column.offsets, column.elements, validity), bad


def _real(value: Any) -> float:
    if isinstance(value, str):
        return _NUMBERS[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("no number")
    return float(value)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else java.decimal(repr(value))


def _validity(values: Sequence[Any]) -> Array | None:
    present = [value is not None for value in values]
    return None if all(present) else np.array(present, dtype=bool)


def _name(value: Any) -> str:
    names: dict[type, str] = {str: "a text", list: "a list", dict: "an object", bool: "a boolean"}
    return names.get(type(value), "a number")
