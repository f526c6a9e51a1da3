"""Scalers: each element of a vector is shifted and multiplied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, Dense, Sparse
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import vector_info
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import (
    Vectors,
    fail_nulls,
    map_each_size,
    read_matrix,
    read_vectors,
    row_ids,
    row_maxima,
    row_sums,
)
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class _ShiftAndScale:
    """(x - shift) * scale, element by element; None where nothing is subtracted or multiplied."""

    input: InputColumn
    output: str
    size: int
    shift: Array | None
    """float64, (size,)."""
    scale: Array | None
    """float64, (size,)."""

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.input, self.size)
        return batch.with_columns({self.output: _shift_and_scale(column, self.shift, self.scale)})


class StandardScalerModel(_ShiftAndScale):
    """(x - mean) * (1 / std), in this order and in double, so that the last bit is Spark's.

    A tree behind the scaler compares the result with thresholds that lie on such values.

    Source: org.apache.spark.ml.feature.StandardScalerModel, 4.3.0.
    """

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> StandardScalerModel:
        source, output, table = *_input_and_output(saved), saved.table()
        mean, std = table.vector("mean"), table.vector("std")
        shift = mean if saved.flag("withMean", False) else None
        scale = _inverse_or_zero(std) if saved.flag("withStd", True) else None
        _declare_vectors(saved, schema, source, output, len(mean), len(std))
        return cls(source, output, len(mean), shift, scale)


class RobustScalerModel(_ShiftAndScale):
    """(x - median) * (1 / range); a range of 0 gives 0.

    Source: org.apache.spark.ml.feature.RobustScalerModel, 4.3.0.
    """

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> RobustScalerModel:
        source, output, table = *_input_and_output(saved), saved.table()
        median, spread = table.vector("median"), table.vector("range")
        shift = median if saved.flag("withCentering", False) else None
        scale = _inverse_or_zero(spread) if saved.flag("withScaling", True) else None
        _declare_vectors(saved, schema, source, output, len(median), len(spread))
        return cls(source, output, len(median), shift, scale)


class MaxAbsScalerModel(_ShiftAndScale):
    """x * (1 / largest absolute value); a largest of 0 counts as 1.

    Source: org.apache.spark.ml.feature.MaxAbsScalerModel, 4.3.0.
    """

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> MaxAbsScalerModel:
        source, output = _input_and_output(saved)
        largest = saved.table().vector("maxAbs")
        _declare_vectors(saved, schema, source, output, len(largest), len(largest))
        scale = 1.0 / np.where(largest == 0, 1.0, largest)
        return cls(source, output, len(largest), None, scale)


@dataclass(frozen=True)
class MinMaxScalerModel:
    """Maps the range seen in training to [min, max]; a constant element gives the middle.

    Source: org.apache.spark.ml.feature.MinMaxScalerModel, 4.3.0.
    """

    input: InputColumn
    output: str
    low: Array
    scale: Array
    """0 for a constant element."""
    least: float
    middle: float

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> MinMaxScalerModel:
        source, output, table = *_input_and_output(saved), saved.table()
        low, high = table.vector("originalMin"), table.vector("originalMax")
        _declare_vectors(saved, schema, source, output, len(low), len(high))
        least, most = saved.number("min", 0.0), saved.number("max", 1.0)
        spread = high - low
        scale = np.where(spread == 0, 0.0, (most - least) / np.where(spread == 0, 1.0, spread))
        return cls(source, output, low, scale, least, (least + most) / 2.0)

    def transform(self, batch: Batch) -> Batch:
        batch, values = read_matrix(batch, self.input, len(self.low))
        scaled = (values - self.low) * self.scale + self.least
        constant = np.where(np.isnan(values), values, self.middle)
        return batch.with_columns({self.output: Dense(np.where(self.scale == 0, constant, scaled))})


@dataclass(frozen=True)
class Normalizer:
    """Each vector divided by its p-norm; a vector of norm 0 stays.

    Source: org.apache.spark.ml.feature.Normalizer, 4.3.0.
    """

    input: InputColumn
    output: str
    p: float

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> Normalizer:
        source, output = _input_and_output(saved)
        known = schema.require(saved, source.name, vector_info(None))
        schema.add_column(output, vector_info(known.size))
        if not (p := saved.number("p", 2.0)) >= 1:
            raise saved.invalid(f"param 'p' is {p}, want 1 or more")
        return cls(source, output, p)

    def transform(self, batch: Batch) -> Batch:
        batch = fail_nulls(batch, self.input)
        column = map_each_size(self.input, batch.columns[self.input.name], self._normalize)
        return batch.with_columns({self.output: column})

    def _normalize(self, column: Vectors) -> Vectors:
        if isinstance(column, Sparse):
            norm = self._row_norms(column.values, column.offsets)[row_ids(column.offsets)]
            values = column.values / np.where(norm == 0, 1.0, norm)
            return Sparse(column.size, column.offsets, column.indices, values)
        rows, size = column.values.shape
        norm = self._row_norms(column.values.reshape(-1), np.arange(rows + 1) * size)
        return Dense(column.values / np.where(norm == 0, 1.0, norm)[:, None])

    def _row_norms(self, values: Array, offsets: Array) -> Array:
        size = np.abs(values)
        if np.isinf(self.p):
            return row_maxima(size, offsets)
        if self.p == 2:
            return np.sqrt(row_sums(size * size, offsets))
        if self.p == 1:
            return row_sums(size, offsets)
        return np.asarray(row_sums(size**self.p, offsets) ** (1.0 / self.p))


class ElementwiseProduct(_ShiftAndScale):
    """Each element times its weight; sparse vectors stay sparse.

    Source: org.apache.spark.ml.feature.ElementwiseProduct, 4.3.0.
    """

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> ElementwiseProduct:
        source, output = _input_and_output(saved)
        weights = saved.vector("scalingVec")
        _declare_vectors(saved, schema, source, output, len(weights), len(weights))
        return cls(source, output, len(weights), None, weights)


def _input_and_output(saved: Saved) -> tuple[InputColumn, str]:
    return InputColumn(saved.uid, saved.text("inputCol")), saved.text("outputCol")


def _declare_vectors(
    saved: Saved, schema: Schema, source: InputColumn, output: str, size: int, other: int
) -> None:
    if size != other:
        raise saved.invalid(f"saved vectors have {size} and {other} elements, want equal sizes")
    schema.require(saved, source.name, vector_info(size))
    schema.add_column(output, vector_info(size))


def _inverse_or_zero(std: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.where(std == 0, 0.0, 1.0 / std)


def _shift_and_scale(column: Vectors, shift: Array | None, scale: Array | None) -> Vectors:
    """(x - shift) * scale; sparse vectors stay sparse if nothing is subtracted."""
    if isinstance(column, Sparse) and shift is None:
        if scale is None:
            return column
        values = column.values * scale[column.indices]
        return Sparse(column.size, column.offsets, column.indices, values)
    values = column.dense().values if isinstance(column, Sparse) else column.values
    # [None] makes rows of shape (1, size), which numpy broadcasts faster than (size,).
    values = values if shift is None else values - shift[None]
    return Dense(values if scale is None else values * scale[None])
