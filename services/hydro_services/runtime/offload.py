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
from hydro_services.runtime import row_errors
from hydro_services.runtime.stage import FrameInStage
from hydro_services.runtime.worker import Worker

T = TypeVar("T")
INLINE_BYTES = 16 << 10
"""Of what is read or written on the event loop: some milliseconds, whatever the content."""
RERUN_ROWS = 32 * MAX_ROWS
"""In a portion of what is run again: all of it shares a fork."""


@dataclass(frozen=True, slots=True)
class DecodableInput:
    """What has come and can be read."""

    frames: Iterator[FrameInStage | None]
    """Frames, each made when it is asked for; None: a step was taken and gave none yet."""
    size: int
    """Bytes to be read."""


class CodecThread:
    """The thread of a process that reads and writes what is large."""

    def __init__(self) -> None:
        self._worker = Worker("codecs")

    async def run(self, size: int, call: Callable[[], T]) -> T:
        """The outcome of a step over so many bytes."""
        # Below that a hop to the thread costs more than the step.
        if size <= INLINE_BYTES:
            return call()
        return await self._worker.call(call)

    async def read_portions(
        self, decodable: DecodableInput, *, is_rerun: bool
    ) -> AsyncIterator[tuple[list[FrameInStage], bool]]:
        """Frames in portions, each with whether it is the last; one at least.

        Args:
            decodable: what has come.
            is_rerun: it was started before in a process that died.
        """
        portions = mark_last(split_portions(decodable.frames, RERUN_ROWS if is_rerun else MAX_ROWS))
        is_quick, is_last = decodable.size <= INLINE_BYTES, False
        while not is_last:
            # Each portion of what is large is evaluated before the next one is read.
            # One step at a time: while a large input is read, small ones of other calls have their
            # turn in between, in this thread and on the loop.
            portion, is_last = (
                next(portions) if is_quick else await self._worker.call(next, portions)
            )
            if portion or is_last:
                yield portion, is_last


def mark_last(portions: Iterable[list[FrameInStage]]) -> Iterator[tuple[list[FrameInStage], bool]]:
    """Portions, each with whether it is the last, which alone may be without a frame."""
    waiting: list[FrameInStage] = []
    for portion in portions:
        if waiting or not portion:
            yield waiting if portion else [], False
        # One portion behind: only the one after it says whether it was the last.
        waiting = portion or waiting
    yield waiting, True


def split_portions(
    frames: Iterator[FrameInStage | None], most: int = MAX_ROWS
) -> Iterator[list[FrameInStage]]:
    """Frames in portions, an empty one for a step that completed none.

    A portion has so many rows, or fewer with large sparse vectors.
    """
    portion: list[FrameInStage] = []
    rows = step = dense_bytes = 0
    for frame in frames:
        if frame is None:
            yield []
            continue
        portion.append(frame)
        # Rows that have failed before are carried as well; an empty frame counts as one, or a
        # stream of empty frames would never make a portion.
        taken = max(frame.frame.table.rows + row_errors.count_rows(frame.frame.errors), 1)
        rows, step, dense_bytes = rows + taken, step + taken, dense_bytes + _dense_bytes(frame)
        if rows >= most or dense_bytes > MAX_DENSE_BYTES:
            yield portion
            portion, rows, step, dense_bytes = [], 0, 0, 0
        elif step >= MAX_ROWS:
            yield []
            step = 0
    if portion:
        yield portion


def _dense_bytes(frame: FrameInStage) -> int:
    """Of what a model may be given in the place of sparse vectors, of any size by a few bytes."""
    return sum(
        [column.dense_bytes for column in frame.inputs.values() if isinstance(column, Sparse)]
    )
