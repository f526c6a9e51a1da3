"""Locality-sensitive hashing of vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, Column, DataType, Dense, Ragged, Sparse
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import ColumnInfo, vector_info
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import fail_nulls, read_matrix
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.trees import chunks

_HASH_PRIME = 2038074743
"""MinHashLSH.HASH_PRIME."""


@dataclass(frozen=True)
class BucketedRandomProjectionLSHModel:
    """The bucket of each random projection: floor(R x / bucketLength), as vectors of one element.

    Source: org.apache.spark.ml.feature.BucketedRandomProjectionLSHModel, 4.3.0.
    """

    input: InputColumn
    output: str
    directions: Array
    """float64, (tables, size)."""
    length: float

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> BucketedRandomProjectionLSHModel:
        source, output = InputColumn(saved.uid, saved.text("inputCol")), saved.text("outputCol")
        directions = saved.table().matrix("randUnitVectors")
        schema.require(saved, source.name, vector_info(directions.shape[1]))
        schema.add_column(output, _hashes_info(len(directions)))
        return cls(source, output, directions, saved.number("bucketLength"))

    def transform(self, batch: Batch) -> Batch:
        batch, values = read_matrix(batch, self.input, self.directions.shape[1])
        found = np.floor(values @ self.directions.T / self.length)
        return batch.with_columns({self.output: Dense(found[:, :, None])})


@dataclass(frozen=True)
class MinHashLSHModel:
    """The least of ((1 + i) * a + b) % prime over the non-zero indices i, for each pair (a, b).

    Source: org.apache.spark.ml.feature.MinHashLSHModel, 4.3.0.
    """

    input: InputColumn
    output: str
    first: Array
    second: Array

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> MinHashLSHModel:
        source, output = InputColumn(saved.uid, saved.text("inputCol")), saved.text("outputCol")
        _, coefficients = saved.table().lists("randCoefficients")
        if len(coefficients) % 2 or not len(coefficients):
            raise saved.invalid("randCoefficients are not pairs")
        schema.require(saved, source.name, vector_info(None))
        schema.add_column(output, _hashes_info(len(coefficients) // 2))
        return cls(source, output, coefficients[::2], coefficients[1::2])

    def transform(self, batch: Batch) -> Batch:
        batch = fail_nulls(batch, self.input)
        offsets, _ = _nonzero_elements(batch.columns[self.input.name])
        empty = np.flatnonzero(np.diff(offsets) == 0).tolist()
        failure = self.input.invalid_row("got a vector of zeros, want one element that is not 0")
        batch = batch.without_rows(dict.fromkeys(empty, failure))
        offsets, indices = _nonzero_elements(batch.columns[self.input.name])
        least = np.zeros((batch.rows, len(self.first)))
        for start, end in chunks.chunk_bounds(offsets * len(self.first)):
            ends = offsets[start : end + 1]
            index = indices[ends[0] : ends[-1]]
            hashed = ((1 + index)[:, None] * self.first + self.second) % _HASH_PRIME
            least[start:end] = np.minimum.reduceat(hashed, ends[:-1] - ends[0], axis=0)
        return batch.with_columns({self.output: Dense(least[:, :, None])})


def _hashes_info(tables: int) -> ColumnInfo:
    """A list of as many vectors of one element as there are hash tables."""
    return ColumnInfo(DataType.FLOAT64, (tables, 1))


def _nonzero_elements(column: Column) -> tuple[Array, Array]:
    """Offsets (rows + 1,) and indices of the elements that are not 0; both int64."""
    if isinstance(column, Ragged):
        assert isinstance(column.elements, Dense)
        kept = column.elements.values != 0
        place = np.arange(len(kept)) - np.repeat(column.offsets[:-1], np.diff(column.offsets))
        return np.concatenate(([0], np.cumsum(kept)))[column.offsets], place[kept]
    if isinstance(column, Dense):
        rows, indices = np.nonzero(column.values)
        return np.searchsorted(rows, np.arange(column.rows + 1)), indices
    assert isinstance(column, Sparse)
    kept = column.values != 0
    ends = np.concatenate(([0], np.cumsum(kept)))[column.offsets]
    return ends, column.indices[kept].astype(np.int64)
