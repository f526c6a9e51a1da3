"""Chunks of a large batch: small enough for the processor's cache, worked on by all processors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np

from hydro_runtimes.columns import Array, Dense
from hydro_runtimes.spark.data.vectors import Vectors

T = TypeVar("T")

CHUNK_NUMBERS = 1 << 16
"""Numbers that a stage computes with at a time: two arrays of 512 kB stay in the cache."""
_PROCESSORS = len(os.sched_getaffinity(0))
_POOL = ThreadPoolExecutor(_PROCESSORS, "chunks")
"""Its threads start with the first large batch; numpy releases the interpreter's lock."""


def map_chunks(function: Callable[[Vectors], T], column: Vectors, max_rows: int) -> list[T]:
    """The answers of a pure function for chunks of a column, each of at most `max_rows` rows."""
    if column.rows <= max_rows:
        return [function(column)]
    count = -(-column.rows // max_rows)
    workers = min(count, _PROCESSORS)
    count = -(-count // workers) * workers  # no one works on while the others are done
    bounds = [column.rows * part // count for part in range(count + 1)]
    return list(_POOL.map(lambda part: function(_rows_between(column, part)), pairwise(bounds)))


def chunk_bounds(ends: Array) -> Iterator[tuple[int, int]]:
    """The first row of each chunk, and the row after its last, where rows differ in their values.

    A chunk has at least one row, and at most CHUNK_NUMBERS values if it has more than one row.

    Args:
        ends: how many values there are before each row, and after the last: int64, (rows + 1,).
    """
    start, rows = 0, len(ends) - 1
    while start < rows:
        end = int(np.searchsorted(ends, ends[start] + CHUNK_NUMBERS, side="right")) - 1
        end = min(max(end, start + 1), rows)
        yield start, end
        start = end


def _rows_between(column: Vectors, bounds: tuple[int, int]) -> Vectors:
    start, end = bounds
    if isinstance(column, Dense):
        return Dense(column.values[start:end])
    return column.take(slice(start, end))
