"""Reading and writing rows: on the event loop where it is quick, else in a thread, in small steps.

A step holds the interpreter for some milliseconds at most, and the steps of all calls take turns,
so that nobody waits for the whole of what another has sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hydro_runtimes.columns import Column, Dense, Ragged, Sparse, Strings
from hydro_runtimes.evaluator import Evaluation
from hydro_services.codecs.row_groups import MAX_ROWS
from hydro_services.runtime.stage import Work
from hydro_services.runtime.worker import Worker

T = TypeVar("T")
INLINE_BYTES = 16 << 10
"""Of what is read or written on the event loop: some milliseconds, whatever the content."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What has come and can be read."""

    work: Iterator[Work | None]
    """Frames, each made when it is asked for; None: a step was taken and gave none yet."""
    size: int
    """Bytes to be read."""


class Codecs:
    """The thread of a process that reads and writes what is large."""

    def __init__(self) -> None:
        self._worker = Worker("codecs")

    async def run(self, size: int, call: Callable[[], T]) -> T:
        """The outcome of a step over so many bytes."""
        if size <= INLINE_BYTES:
            return call()
        return await asyncio.get_running_loop().run_in_executor(self._worker, call)

    async def portions(self, arrival: Arrival) -> AsyncIterator[tuple[list[Work], bool]]:
        """Frames in portions of `MAX_ROWS` rows, each with whether it is the last; one at least."""
        found = portions(arrival.work)
        portion = await self._next(arrival.size, found) or []
        while True:
            following = await self._next(arrival.size, found)
            yield portion, following is None
            if following is None:
                return
            portion = following

    async def _next(self, size: int, found: Iterator[list[Work]]) -> list[Work] | None:
        while (portion := await self.run(size, lambda: next(found, None))) == []:
            pass
        return portion


def portions(work: Iterator[Work | None]) -> Iterator[list[Work]]:
    """Frames in portions of `MAX_ROWS` rows; an empty one for a step that gave no frame."""
    portion: list[Work] = []
    rows = 0
    for each in work:
        if each is None:
            yield []
            continue
        portion.append(each)
        rows += max(each.frame.table.rows + len(each.frame.errors), 1)
        if rows >= MAX_ROWS:
            yield portion
            portion, rows = [], 0
    if portion:
        yield portion


def size(evaluations: Sequence[Evaluation]) -> int:
    """About how many bytes models have answered."""
    return sum(_size(column) for each in evaluations for column in each.outputs.values())


def _size(column: Column) -> int:
    match column:
        case Dense():
            return column.values.nbytes
        case Strings():
            return len(column.packed)
        case Ragged():
            return column.offsets.nbytes + _size(column.elements)
        case Sparse():
            return column.offsets.nbytes + column.indices.nbytes + column.values.nbytes
