"""A column of sparse vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hydro_runtimes.columns.arrays import Dense
from hydro_runtimes.columns.row_selection import select_spans, take_validity
from hydro_runtimes.columns.types import DataType, Rows, Validity

MAX_DENSE_BYTES = 64 << 20
"""Of sparse vectors that are made dense at once: a few bytes can state any size."""
MAX_DENSE_SIZE = 1 << 20
"""Elements of one of them: writing out more in an answer would hold up other calls."""


class DenseTooLarge(ValueError):
    """Sparse vectors that would take too much memory as dense ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """A vector in every row, of which only some elements are stored (CSR).

    A row that stores all its elements, zeros too, is a dense vector among sparse ones; only such a
    row may have null elements.
    """

    size: int
    """Of every vector; of the largest where they differ."""
    offsets: npt.NDArray[np.int64]
    """int64, (rows + 1,)."""
    indices: npt.NDArray[np.int32]
    """int32, ascending within a row."""
    values: npt.NDArray[np.float64]
    """float64, parallel to indices."""
    validity: Validity = None
    sizes: npt.NDArray[np.int64] | None = None
    """int64, (rows,): the size of each row's vector; None where all are of `size`."""
    element_validity: Validity = None
    """bool, parallel to indices: False where an element is null; None where none is."""

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1

    @property
    def type(self) -> DataType:
        return DataType.FLOAT64

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size if self.sizes is None else -1,)

    def take(self, rows: Rows) -> Sparse:
        """Some of the rows."""
        offsets, chosen = select_spans(self.offsets, rows)
        size, sizes = self.size, None if self.sizes is None else self.sizes[rows]
        if sizes is not None:
            size = int(sizes.max(initial=0))
            # What is left may be of one size: then it is a matrix again, and models take it as
            # that.
            sizes = None if (sizes == size).all() else sizes
        validity, elements = (
            take_validity(self.validity, rows),
            take_validity(self.element_validity, chosen),
        )
        indices, values = self.indices[chosen], self.values[chosen]
        return Sparse(size, offsets, indices, values, validity, sizes, elements)

    @property
    def dense_bytes(self) -> int:
        """Of the same vectors with every element stored."""
        return self.rows * self.size * 8

    def dense(self) -> Dense:
        """The same vectors with every element stored: float64, (rows, size).

        Raises:
            ValueError: they differ in size.
            DenseTooLarge: they would take too much memory; some of the rows may not.
        """
        if self.sizes is not None:
            raise ValueError("sparse vectors differ in size")
        got = f"{self.rows} sparse vectors of size {self.size} as dense"
        if self.size > MAX_DENSE_SIZE:
            raise DenseTooLarge(f"{got}, want at most {MAX_DENSE_SIZE} elements each")
        # A row of a few bytes may stand for a vector of any size.
        if self.dense_bytes > MAX_DENSE_BYTES:
            raise DenseTooLarge(f"{got}, want at most {MAX_DENSE_BYTES // 8} elements")
        values = np.zeros((self.rows, self.size))
        values[np.repeat(np.arange(self.rows), np.diff(self.offsets)), self.indices] = self.values
        return Dense(values, self.validity)
