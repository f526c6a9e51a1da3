"""Vectors to vectors of products and sums of their elements."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import comb

import numpy as np

from hydro_runtimes.columns import Array, Dense, Sparse
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import vector_info
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import (
    Vectors,
    dense_values,
    fail_nulls,
    map_each_size,
    read_matrix,
    vector_sizes,
)
from hydro_runtimes.spark.format import model_size
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class PolynomialExpansion:
    """All products of up to `degree` elements, without the constant: x, x*x, y, x*y, y*y.

    Source: org.apache.spark.ml.feature.PolynomialExpansion, 4.3.0.
    """

    input: InputColumn
    output: str
    degree: int

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> PolynomialExpansion:
        source, output = InputColumn(saved.uid, saved.text("inputCol")), saved.text("outputCol")
        size = schema.require(saved, source.name, vector_info(None)).size
        degree = saved.integer("degree", 2)
        if not 1 <= degree <= 100:
            raise saved.invalid(f"param 'degree' is {degree}, want 1 to 100")
        # All products of up to `degree` of `size` elements; the constant, 1, is not among them.
        made = None if size is None else comb(size + degree, degree) - 1
        if made is not None and (reason := model_size.size_problem(made)) is not None:
            raise saved.invalid(f"column '{output}' {reason}")
        schema.add_column(output, vector_info(made))
        return cls(source, output, degree)

    def transform(self, batch: Batch) -> Batch:
        batch = fail_nulls(batch, self.input)
        return batch.with_columns(
            {self.output: map_each_size(self.input, batch.columns[self.input.name], self._expand)}
        )

    def _expand(self, column: Vectors) -> Vectors:
        values = dense_values(column)
        terms: list[Array] = []
        expand = partial(_append_products, values.T, _unstored_elements(column).T, terms)
        expand(values.shape[1] - 1, self.degree, np.ones(len(values)))
        if len(terms) == 1:
            return Dense(np.zeros((len(values), 0)))
        # The first one is the constant.
        return Dense(np.stack(terms[1:], axis=1))


@dataclass(frozen=True)
class DCT:
    """The orthonormal discrete cosine transform II of each vector, or its inverse.

    Source: org.apache.spark.ml.feature.DCT, 4.3.0.
    """

    input: InputColumn
    output: str
    inverse: bool

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> DCT:
        source, output = InputColumn(saved.uid, saved.text("inputCol")), saved.text("outputCol")
        schema.add_column(
            output, vector_info(schema.require(saved, source.name, vector_info(None)).size)
        )
        return cls(source, output, saved.flag("inverse", False))

    def transform(self, batch: Batch) -> Batch:
        batch = fail_nulls(batch, self.input)
        empty = np.flatnonzero(vector_sizes(batch.columns[self.input.name]) == 0).tolist()
        batch = batch.without_rows(
            dict.fromkeys(empty, self.input.invalid_row("got an empty vector"))
        )
        column = map_each_size(self.input, batch.columns[self.input.name], self._transform_vectors)
        return batch.with_columns({self.output: column})

    def _transform_vectors(self, column: Vectors) -> Vectors:
        values = dense_values(column)
        if not values.size:
            return Dense(values)
        return Dense(_inverse_dct(values) if self.inverse else _dct(values))


@dataclass(frozen=True)
class PCAModel:
    """Each vector times the principal components; nothing is subtracted.

    Source: org.apache.spark.ml.feature.PCAModel, 4.3.0.
    """

    input: InputColumn
    output: str
    components: Array
    """float64, (size, k)."""

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> PCAModel:
        source, output = InputColumn(saved.uid, saved.text("inputCol")), saved.text("outputCol")
        components = saved.table().matrix("pc")
        schema.require(saved, source.name, vector_info(len(components)))
        schema.add_column(output, vector_info(components.shape[1]))
        return cls(source, output, components)

    def transform(self, batch: Batch) -> Batch:
        batch, values = read_matrix(batch, self.input, len(self.components))
        return batch.with_columns({self.output: Dense(values @ self.components)})


def _unstored_elements(column: Vectors) -> Array:
    """The elements that a sparse vector does not store: bool, (rows, size)."""
    if isinstance(column, Dense):
        return np.zeros(column.values.shape, dtype=bool)
    ones = np.ones_like(column.values)
    stored_at = Sparse(column.size, column.offsets, column.indices, ones).dense().values
    return np.asarray(stored_at == 0)


def _append_products(
    values: Array, absent: Array, terms: list[Array], last: int, degree: int, product: Array
) -> None:
    """Appends the products of the elements up to `last` in Spark's order.

    A product that is 0, or an element that is not stored, gives 0 even if NaN or infinity follows:
    PolynomialExpansion.expandSparse and expandDense skip them.
    """
    if degree == 0 or last < 0:
        terms.append(product)
        return
    for power in range(degree + 1):
        _append_products(values, absent, terms, last - 1, degree - power, product)
        product = np.where((product == 0) | absent[last], 0.0, product * values[last])


def _dct(values: Array) -> Array:
    """The DCT-II by one Fourier transform of the even elements, then the odd ones backwards.

    Source: J. Makhoul, A fast cosine transform in one and two dimensions, 1980.
    """
    size = values.shape[1]
    mixed = np.concatenate((values[:, ::2], values[:, 1::2][:, ::-1]), axis=1)
    # A quarter of a sample: the points of the cosine transform lie between those of Fourier's.
    turn = np.exp(-0.5j * np.pi * np.arange(size) / size)
    made = (np.fft.fft(mixed, axis=1) * turn).real * np.sqrt(2.0 / size)
    made[:, 0] /= np.sqrt(2.0)
    return np.asarray(made)


def _inverse_dct(values: Array) -> Array:
    size = values.shape[1]
    scaled = values * np.sqrt(size / 2.0)
    scaled[:, 0] *= np.sqrt(2.0)
    back = np.concatenate((np.zeros((len(values), 1)), scaled[:, :0:-1]), axis=1)
    turn = np.exp(0.5j * np.pi * np.arange(size) / size)
    mixed = np.fft.ifft((scaled - 1j * back) * turn, axis=1).real
    made = np.empty_like(values)
    half = (size + 1) // 2
    made[:, ::2] = mixed[:, :half]
    made[:, 1::2] = mixed[:, half:][:, ::-1]
    return made
