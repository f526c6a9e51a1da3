"""Scalers: each element moved and multiplied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, Dense, Sparse
from hydro_runtimes.spark.data.batch import Batch, Where
from hydro_runtimes.spark.data.schema import Schema, vector
from hydro_runtimes.spark.data.vectors import (
    Vectors,
    each_size,
    matrix,
    present,
    row_ids,
    row_maxima,
    row_sums,
    vectors,
)
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class StandardScalerModel:
    """(x - mean) * (1 / std), in that order and in double: trees later test for equal values.

    Source: org.apache.spark.ml.feature.StandardScalerModel, 4.3.0.
    """

    input: Where
    output: str
    size: int
    shift: Array | None
    scale: Array | None

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> StandardScalerModel:
        where, output, table = *_columns(saved), saved.table()
        mean, std = table.vector("mean"), table.vector("std")
        shift = mean if saved.flag("withMean", False) else None
        scale = _inverse(std) if saved.flag("withStd", True) else None
        _declare(saved, schema, where, output, len(mean), len(std))
        return cls(where, output, len(mean), shift, scale)

    def transform(self, batch: Batch) -> Batch:
        batch, column = vectors(batch, self.input, self.size)
        return batch.plus({self.output: _scaled(column, self.shift, self.scale)})


@dataclass(frozen=True)
class RobustScalerModel:
    """(x - median) * (1 / range); a range of 0 gives 0.

    Source: org.apache.spark.ml.feature.RobustScalerModel, 4.3.0.
    """

    input: Where
    output: str
    size: int
    shift: Array | None
    scale: Array | None

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> RobustScalerModel:
        where, output, table = *_columns(saved), saved.table()
        median, spread = table.vector("median"), table.vector("range")
        shift = median if saved.flag("withCentering", False) else None
        scale = _inverse(spread) if saved.flag("withScaling", True) else None
        _declare(saved, schema, where, output, len(median), len(spread))
        return cls(where, output, len(median), shift, scale)

    def transform(self, batch: Batch) -> Batch:
        batch, column = vectors(batch, self.input, self.size)
        return batch.plus({self.output: _scaled(column, self.shift, self.scale)})


@dataclass(frozen=True)
class MaxAbsScalerModel:
    """x * (1 / largest absolute value); a largest of 0 counts as 1.

    Source: org.apache.spark.ml.feature.MaxAbsScalerModel, 4.3.0.
    """

    input: Where
    output: str
    scale: Array

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> MaxAbsScalerModel:
        where, output = _columns(saved)
        largest = saved.table().vector("maxAbs")
        _declare(saved, schema, where, output, len(largest), len(largest))
        return cls(where, output, 1.0 / np.where(largest == 0, 1.0, largest))

    def transform(self, batch: Batch) -> Batch:
        batch, column = vectors(batch, self.input, len(self.scale))
        return batch.plus({self.output: _scaled(column, None, self.scale)})


@dataclass(frozen=True)
class MinMaxScalerModel:
    """Moves the range seen in training to [min, max]; a constant element gives their middle.

    Source: org.apache.spark.ml.feature.MinMaxScalerModel, 4.3.0.
    """

    input: Where
    output: str
    low: Array
    scale: Array
    """0 for a constant element."""
    least: float
    middle: float

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> MinMaxScalerModel:
        where, output, table = *_columns(saved), saved.table()
        low, high = table.vector("originalMin"), table.vector("originalMax")
        _declare(saved, schema, where, output, len(low), len(high))
        least, most = saved.number("min", 0.0), saved.number("max", 1.0)
        spread = high - low
        scale = np.where(spread == 0, 0.0, (most - least) / np.where(spread == 0, 1.0, spread))
        return cls(where, output, low, scale, least, (least + most) / 2.0)

    def transform(self, batch: Batch) -> Batch:
        batch, values = matrix(batch, self.input, len(self.low))
        scaled = (values - self.low) * self.scale + self.least
        constant = np.where(np.isnan(values), values, self.middle)
        return batch.plus({self.output: Dense(np.where(self.scale == 0, constant, scaled))})


@dataclass(frozen=True)
class Normalizer:
    """Each vector over its p-norm; one of norm 0 stays.

    Source: org.apache.spark.ml.feature.Normalizer, 4.3.0.
    """

    input: Where
    output: str
    p: float

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> Normalizer:
        where, output = _columns(saved)
        known = schema.want(saved, where.column, vector(None))
        schema.add(output, vector(known.size))
        if not (p := saved.number("p", 2.0)) >= 1:
            raise saved.invalid(f"param 'p' is {p}, want 1 or more")
        return cls(where, output, p)

    def transform(self, batch: Batch) -> Batch:
        batch = present(batch, self.input)
        column = each_size(self.input, batch.columns[self.input.column], self._normalized)
        return batch.plus({self.output: column})

    def _normalized(self, column: Vectors) -> Vectors:
        if isinstance(column, Sparse):
            norm = self._norm(column.values, column.offsets)[row_ids(column.offsets)]
            values = column.values / np.where(norm == 0, 1.0, norm)
            return Sparse(column.size, column.offsets, column.indices, values)
        rows, size = column.values.shape
        norm = self._norm(column.values.reshape(-1), np.arange(rows + 1) * size)
        return Dense(column.values / np.where(norm == 0, 1.0, norm)[:, None])

    def _norm(self, values: Array, offsets: Array) -> Array:
        size = np.abs(values)
        if np.isinf(self.p):
            return row_maxima(size, offsets)
        if self.p == 2:
            return np.sqrt(row_sums(size * size, offsets))
        if self.p == 1:
            return row_sums(size, offsets)
        return np.asarray(row_sums(size**self.p, offsets) ** (1.0 / self.p))


@dataclass(frozen=True)
class ElementwiseProduct:
    """Each element times its weight; sparse vectors stay sparse.

    Source: org.apache.spark.ml.feature.ElementwiseProduct, 4.3.0.
    """

    input: Where
    output: str
    weights: Array

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> ElementwiseProduct:
        where, output = _columns(saved)
        weights = saved.vector("scalingVec")
        _declare(saved, schema, where, output, len(weights), len(weights))
        return cls(where, output, weights)

    def transform(self, batch: Batch) -> Batch:
        batch, column = vectors(batch, self.input, len(self.weights))
        return batch.plus({self.output: _scaled(column, None, self.weights)})


def _columns(saved: Saved) -> tuple[Where, str]:
    return Where(saved.uid, saved.text("inputCol")), saved.text("outputCol")


def _declare(
    saved: Saved, schema: Schema, where: Where, output: str, size: int, other: int
) -> None:
    if size != other:
        raise saved.invalid(f"saved vectors have {size} and {other} elements, want equal sizes")
    schema.want(saved, where.column, vector(size))
    schema.add(output, vector(size))


def _inverse(std: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.where(std == 0, 0.0, 1.0 / std)


def _scaled(column: Vectors, shift: Array | None, scale: Array | None) -> Vectors:
    """Sparse vectors stay sparse where nothing is subtracted."""
    if isinstance(column, Sparse) and shift is None:
        if scale is None:
            return column
        values = column.values * scale[column.indices]
        return Sparse(column.size, column.offsets, column.indices, values)
    values = column.dense().values if isinstance(column, Sparse) else column.values
    # As rows: numpy takes longer to see that a vector is one for every row.
    values = values if shift is None else values - shift[None]
    return Dense(values if scale is None else values * scale[None])
