"""The coefficients of linear models; a sparse vector or matrix stores only some of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, Dense, Sparse
from hydro_runtimes.spark.data.vectors import Vectors, multiply, row_ids
from hydro_runtimes.spark.format.parquet import Table


@dataclass(frozen=True)
class Weights:
    """What vectors are multiplied by. An element without a weight adds nothing, even if it is NaN.

    Source: org.apache.spark.ml.linalg.BLAS.{dot, gemv}, 4.3.0, which visit stored weights only.
    """

    size: int
    """The size of the vectors."""
    used: Array | None
    """int64: the elements that have a weight, ascending; None where all have."""
    values: Array
    """float64, (size or used, n), or (size or used,) for one weight for each element."""

    @classmethod
    def load(cls, table: Table, name: str, is_matrix: bool) -> Weights:
        """Reads a vector (size,) or a matrix (n, size) from the only row of a table.

        Raises:
            InvalidModel: there is none.
        """
        whole = table.matrix(name).T if is_matrix else table.vector(name)
        used = table.stored_elements(name)
        if used is None:
            return cls(len(whole), None, np.ascontiguousarray(whole))
        return cls(len(whole), used, whole[used])

    def multiply(self, column: Vectors) -> Array:
        """Each vector times the weights: float64, (rows, n) or (rows,)."""
        if self.used is None:
            return multiply(column, self.values)
        if isinstance(column, Sparse):
            return multiply(_used_elements(column, self.used), self.values)
        taken = column.values.take(self.used, axis=1)
        products = np.asarray(taken @ self.values)
        if products.ndim == 2 and not np.isfinite(products).all():
            self._mend_unstored(taken, products)
        return products

    def _mend_unstored(self, taken: Array, products: Array) -> None:
        """Mends products in which NaN met a weight that this one of the n does not store."""
        odd = np.flatnonzero(~np.isfinite(products).all(axis=1))
        for place, weights in enumerate(self.values.T):
            own = np.flatnonzero(weights)
            products[odd, place] = taken[odd][:, own] @ weights[own]


def _used_elements(column: Sparse, used: Array) -> Vectors:
    """The vectors of the used elements only, numbered from 0."""
    if not len(used):
        return Dense(np.zeros((column.rows, 0)))
    at = np.searchsorted(used, column.indices)
    at[at == len(used)] = 0
    hits = used[at] == column.indices
    ends = np.searchsorted(row_ids(column.offsets)[hits], np.arange(column.rows + 1))
    indices = at[hits].astype(np.int32)
    return Sparse(len(used), ends.astype(np.int64), indices, column.values[hits])
