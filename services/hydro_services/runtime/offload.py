"""Reading and writing rows: on the event loop where it is quick, else in a thread, in small steps.

A step holds the interpreter for some milliseconds at most, and the steps of all calls take turns,
so that nobody waits for the whole of what another has sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from hydro_runtimes.columns import MAX_DENSE_BYTES, Sparse
from hydro_services.codecs.row_groups import MAX_ROWS
from hydro_services.runtime.stage import Work
from hydro_services.runtime.worker import Worker

T = TypeVar("T")
INLINE_BYTES = 16 << 10
"""Of what is read or written on the event loop: some milliseconds, whatever the content."""
RERUN_ROWS = 32 * MAX_ROWS
"""In a portion of what is run again: all of it shares a fork."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What has come and can be read."""

    work: Iterator[Work | None]
    """Frames, each made when it is asked for; None: a step was taken and gave none yet."""
    size: int
    """Bytes to be read."""


class CodecThread:
    """The thread of a process that reads and writes what is large."""

    def __init__(self) -> None:
        self._worker = Worker("codecs")

    async def run(self, size: int, call: Callable[[], T]) -> T:
        """The outcome of a step over so many bytes."""
        if size <= INLINE_BYTES:
            return call()
        return await self._worker.call(call)

    async def read_portions(
        self, arrival: Arrival, *, apart: bool
    ) -> AsyncIterator[tuple[list[Work], bool]]:
        """Frames in portions, each with whether it is the last; one at least.

        Args:
            arrival: what has come.
            apart: it is run again.
        """
        portions = mark_last(split_portions(arrival.work, RERUN_ROWS if apart else MAX_ROWS))
        is_quick, is_last = arrival.size <= INLINE_BYTES, False
        while not is_last:
            # Each portion of what is large is evaluated before the next one is read.
            portion, is_last = (
                next(portions) if is_quick else await self._worker.call(next, portions)
            )
            if portion or is_last:
                yield portion, is_last


def mark_last(found: Iterable[list[Work]]) -> Iterator[tuple[list[Work], bool]]:
    """Portions, each with whether it is the last, which alone may be without a frame."""
    waiting: list[Work] = []
    for portion in found:
        if waiting or not portion:
            yield waiting if portion else [], False
        waiting = portion or waiting
    yield waiting, True


def split_portions(work: Iterator[Work | None], most: int = MAX_ROWS) -> Iterator[list[Work]]:
    """Frames in portions, an empty one for a step that completed none.

    A portion has so many rows, or fewer with large sparse vectors.
    """
    portion: list[Work] = []
    rows = step = dense_bytes = 0
    for each in work:
        if each is None:
            yield []
            continue
        portion.append(each)
        taken = max(each.frame.table.rows + len(each.frame.errors), 1)
        rows, step, dense_bytes = rows + taken, step + taken, dense_bytes + _dense_bytes(each)
        if rows >= most or dense_bytes > MAX_DENSE_BYTES:
            yield portion
            portion, rows, step, dense_bytes = [], 0, 0, 0
        elif step >= MAX_ROWS:
            yield []
            step = 0
    if portion:
        yield portion


def _dense_bytes(work: Work) -> int:
    """Of what a model may be given in the place of sparse vectors, of any size by a few bytes."""
    return sum([each.dense_bytes for each in work.inputs.values() if isinstance(each, Sparse)])
