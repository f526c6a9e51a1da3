"""Columns of numbers, of tensors, and of lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from hydro_runtimes.columns.row_selection import select_spans, take_validity
from hydro_runtimes.columns.strings import Strings
from hydro_runtimes.columns.types import TYPE_OF_DTYPE, Array, DataType, Rows, Validity


@dataclass(slots=True, eq=False)
class Dense:
    """A number, a boolean or a tensor of fixed shape in every row.

    Never changed; not frozen, because that doubles what one costs and each stage makes some.
    """

    values: Array
    """(rows, *shape), of one of the numeric dtypes of `DataType`."""
    validity: Validity = None

    @property
    def rows(self) -> int:
        return len(self.values)

    @property
    def type(self) -> DataType:
        return TYPE_OF_DTYPE[self.values.dtype]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape[1:]

    def take(self, rows: Rows) -> Dense:
        """Some of the rows."""
        return Dense(self.values[rows], take_validity(self.validity, rows))


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """A list in every row, of any length."""

    offsets: npt.NDArray[np.int64]
    """int64, (rows + 1,): row i has the elements offsets[i] to offsets[i + 1] (without)."""
    elements: Lists
    """One row an element; its validity tells which elements are null."""
    validity: Validity = None

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1

    @property
    def type(self) -> DataType:
        return self.elements.type

    @property
    def shape(self) -> tuple[int, ...]:
        return (-1, *self.elements.shape)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Of each row's list: int64, (rows,)."""
        return np.diff(self.offsets)

    def take(self, rows: Rows) -> Ragged:
        """Some of the rows."""
        offsets, chosen = select_spans(self.offsets, rows)
        return Ragged(offsets, self.elements.take(chosen), take_validity(self.validity, rows))


Lists: TypeAlias = Dense | Strings | Ragged
"""Scalars, tensors, and lists of them: all but `Sparse`."""
