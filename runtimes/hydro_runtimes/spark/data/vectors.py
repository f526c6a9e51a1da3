"""Columns as the vectors and numbers that stages read; rows whose value does not fit fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from hydro_runtimes.columns import Array, Column, Dense, Ragged, Sparse
from hydro_runtimes.evaluator import Failure
from hydro_runtimes.spark.data.batch import Batch, InputColumn

Vectors: TypeAlias = Dense | Sparse
"""Vectors of one size: Dense is float64, (rows, size)."""


def read_numbers(batch: Batch, source: InputColumn) -> tuple[Batch, Array]:
    """A column of numbers as float64, (rows,); rows with null fail.

    Raises:
        WrongColumn: the column does not hold numbers.
    """
    batch = fail_nulls(batch, source)
    return batch, read_scalar(batch, source).values


def read_scalar(batch: Batch, source: InputColumn) -> Dense:
    """A column of numbers as float64, (rows,), with its nulls.

    Raises:
        WrongColumn: the column does not hold numbers.
    """
    column = batch.columns[source.name]
    if not isinstance(column, Dense) or column.values.ndim != 1:
        raise source.wrong_column(column, "a number")
    return _as_double(column)


def fail_nulls(batch: Batch, source: InputColumn) -> Batch:
    """The batch without the rows in which the column is null: they fail."""
    validity = batch.columns[source.name].validity
    if validity is None or validity.all():
        return batch
    failure = source.invalid_row("got null, want a value")
    return batch.without_rows(dict.fromkeys(np.flatnonzero(~validity).tolist(), failure))


def read_vectors(batch: Batch, source: InputColumn, size: int) -> tuple[Batch, Vectors]:
    """A column of vectors of this size; rows with null or another size fail.

    Raises:
        WrongColumn: the column does not hold vectors.
    """
    column = batch.columns[source.name]
    if isinstance(column, Dense) and column.validity is None and _is_double(column.values, size):
        return batch, column  # the common case, without a copy
    batch = fail_nulls(batch, source)
    column = batch.columns[source.name]
    if isinstance(column, Ragged):
        batch, column = _rows_of_size(batch, source, column, size)
    if isinstance(column, Dense) and column.values.ndim == 2:
        column = _as_double(column)
    elif not isinstance(column, Sparse):
        raise source.wrong_column(column, "a vector")
    if column.shape[0] == size or not column.rows:
        return batch, column
    failure = _size_failure(source, column.shape[0], size)
    batch = batch.without_rows(dict.fromkeys(range(batch.rows), failure))
    return batch, Dense(np.zeros((0, size)))


def read_matrix(batch: Batch, source: InputColumn, size: int) -> tuple[Batch, Array]:
    """As `read_vectors`, with every element stored: float64, (rows, size)."""
    batch, column = read_vectors(batch, source, size)
    return batch, dense_values(column)


def dense_values(column: Vectors) -> Array:
    """Every element of the vectors: float64, (rows, size)."""
    return (column.dense() if isinstance(column, Sparse) else column).values


def map_each_size(
    source: InputColumn, column: Column, function: Callable[[Vectors], Vectors]
) -> Column:
    """Applies a function of vectors of one size to a column whose sizes may vary.

    Raises:
        WrongColumn: the column does not hold vectors.
    """
    if isinstance(column, Dense):
        return function(_as_double(column))
    if isinstance(column, Sparse):
        return function(column)
    if not isinstance(column, Ragged):
        raise source.wrong_column(column, "a vector")
    parts: dict[int, list[float]] = {}
    sizes = np.diff(column.offsets)
    for size in np.unique(sizes).tolist():
        rows = np.flatnonzero(sizes == size)
        made = function(_rows_of(source, column, rows, size))
        values = (made.dense() if isinstance(made, Sparse) else made).values
        parts.update(zip(rows.tolist(), values.tolist(), strict=True))
    return ragged_vectors([parts[row] for row in range(column.rows)])


def ragged_vectors(rows: list[list[float]]) -> Column:
    """A column of vectors of any sizes; Dense if all have the same size."""
    sizes = {len(row) for row in rows}
    if len(sizes) == 1:
        return Dense(np.array(rows, dtype=np.float64))
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return Ragged(offsets, Dense(np.array([value for row in rows for value in row], np.float64)))


def vector_sizes(column: Column) -> Array:
    """The size of each row's vector: int64, (rows,)."""
    if isinstance(column, Ragged):
        return np.diff(column.offsets)
    return np.full(column.rows, column.shape[0])


def row_ids(offsets: Array) -> Array:
    """The row of each stored element: int64, (offsets[-1],)."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def multiply(column: Vectors, weights: Array) -> Array:
    """Each vector times a matrix (size, n) or a vector (size,): float64, (rows, n) or (rows,).

    Source: org.apache.spark.ml.linalg.BLAS.{dot, gemv}, 4.3.0.
    """
    if isinstance(column, Dense):
        return np.asarray(column.values @ weights)
    taken = weights[column.indices]
    if column.rows == 1:
        return np.asarray(column.values @ taken)[None]
    products = taken * (column.values if weights.ndim == 1 else column.values[:, None])
    return row_sums(products, column.offsets)


def row_sums(values: Array, offsets: Array) -> Array:
    """The sum of the stored elements of each row: float64, (rows, *values.shape[1:])."""
    sums = np.zeros((len(offsets) - 1, *values.shape[1:]))
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        sums[filled] = np.add.reduceat(values, offsets[filled], axis=0)
    return sums


def row_maxima(values: Array, offsets: Array) -> Array:
    """The largest stored element of each row: float64, (rows,); 0 if all are NaN."""
    maxima = np.zeros(len(offsets) - 1)
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        maxima[filled] = np.fmax.reduceat(values, offsets[filled])
    return np.fmax(maxima, 0.0)


def show_vector(values: Array) -> str:
    """A vector for a message, shortened if it is long."""
    shown = ",".join(repr(value) for value in values[:8].tolist())
    return f"[{shown}{',...' if len(values) > 8 else ''}]"


def _is_double(values: Array, size: int) -> bool:
    return values.ndim == 2 and values.shape[1] == size and values.dtype == np.float64


def _as_double(column: Dense) -> Dense:
    if column.values.dtype == np.float64:
        return column
    return Dense(column.values.astype(np.float64), column.validity)


def _rows_of_size(
    batch: Batch, source: InputColumn, column: Ragged, size: int
) -> tuple[Batch, Dense]:
    lengths = np.diff(column.offsets)
    bad = np.flatnonzero(lengths != size)
    failures: dict[int, Failure] = {
        row: _size_failure(source, int(lengths[row]), size) for row in bad.tolist()
    }
    good = np.flatnonzero(lengths == size)
    return batch.without_rows(failures), _rows_of(source, column, good, size)


def _rows_of(source: InputColumn, column: Ragged, rows: Array, size: int) -> Dense:
    if not isinstance(column.elements, Dense):
        raise source.wrong_column(column, "a vector")
    at = column.offsets[:-1][rows][:, None] + np.arange(size)
    return Dense(np.asarray(column.elements.values[at], dtype=np.float64))


def _size_failure(source: InputColumn, got: int, want: int) -> Failure:
    return source.invalid_row(f"got a vector of size {got}, want {want}")
