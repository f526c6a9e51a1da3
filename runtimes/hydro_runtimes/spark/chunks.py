"""Chunks of a large batch, small enough for the processor's cache, by all processors at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

from hydro_runtimes.columns import Dense
from hydro_runtimes.spark.vectors import Vectors

T = TypeVar("T")

_PROCESSORS = len(os.sched_getaffinity(0))
_POOL = ThreadPoolExecutor(_PROCESSORS, "chunks")
"""Its threads start with the first large batch; numpy lets go of the interpreter's lock."""


def of(function: Callable[[Vectors], T], column: Vectors, most: int) -> list[T]:
    """What a pure function makes of the chunks of a column, each of at most so many rows."""
    if column.rows <= most:
        return [function(column)]
    count = -(-column.rows // most)
    workers = min(count, _PROCESSORS)
    count = -(-count // workers) * workers  # so that none works while the others have done
    bounds = [column.rows * part // count for part in range(count + 1)]
    return list(_POOL.map(lambda part: function(_part(column, part)), pairwise(bounds)))


def _part(column: Vectors, bounds: tuple[int, int]) -> Vectors:
    start, end = bounds
    if isinstance(column, Dense):
        return Dense(column.values[start:end])
    return column.take(slice(start, end))
