"""Some of the rows of a column: what `Dense.take` and the like have in common."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hydro_runtimes.columns.types import Array, Rows, Validity


def take_validity(validity: Validity, rows: Rows) -> Validity:
    return None if validity is None else validity[rows]


def row_indices(rows: Rows, count: int = 0) -> Array:
    if isinstance(rows, slice):
        return np.arange(count)[rows]
    return np.flatnonzero(rows) if rows.dtype == np.bool_ else rows


def select_spans(offsets: npt.NDArray[np.int64], rows: Rows) -> tuple[npt.NDArray[np.int64], Array]:
    """The offsets of the chosen rows, and the indices of their elements."""
    indices = row_indices(rows, len(offsets) - 1)
    starts, lengths = offsets[:-1][indices], np.diff(offsets)[indices]
    taken = np.concatenate(([0], np.cumsum(lengths)))
    shift = np.repeat(starts - taken[:-1], lengths)
    return taken, np.arange(taken[-1]) + shift


def match_rows(present: Array, rows: Array) -> tuple[Array, Array]:
    """The rows that are in both (ascending): their places in `present` and in `rows`."""
    at = np.searchsorted(present, rows)
    have = np.flatnonzero(present[np.minimum(at, len(present) - 1)] == rows)
    return at[have], have
