"""Which rows of a frame end their process: parts of it are evaluated in forks, one after the other.

The parts of n rows have sqrt(n) rows each; of one that ends its fork each row is evaluated alone.
So a row is found by two forks, and has been run in three, whatever the size of the frame. Pure.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.evaluator import Evaluation, Failure
from hydro_services.codecs.json_merging import merge_answers_as_json

MAX_FORKS = 16
"""For a frame: enough for seven rows, each of which takes a part and itself."""
LIMIT_S = 20.0
"""For a frame; forks that fall silent take some seconds each."""


class RowSearch:
    """What is known of the rows of a frame that has ended a fork."""

    def __init__(self, rows: int, reason: str) -> None:
        self._rows = rows
        self._reason = reason
        """How the last fork ended."""
        self._parts: list[tuple[Array, Evaluation]] = []
        self._ended: dict[int, Failure] = {}
        self._forks = 0
        self._waiting: deque[Array] = deque()
        if rows == 1:
            self._ended = fail_rows([0], reason)
        else:
            self._waiting.extend(_part(np.arange(rows), math.isqrt(rows)))

    def waiting(self) -> Sequence[Array]:
        """Places of rows that a fork is to evaluate together, in order; none: it is over."""
        return () if self._forks == MAX_FORKS else tuple(self._waiting)

    def answered(self, answer: Evaluation) -> None:
        """The first part that waits has been answered."""
        self._parts.append((self._waiting.popleft(), answer))

    def ended(self, reason: str) -> None:
        """The first part that waits has ended its fork."""
        rows, self._reason = self._waiting.popleft(), reason
        self._forks += 1
        if len(rows) == 1:
            self._ended |= fail_rows(rows, reason)
        else:
            self._waiting.extendleft(reversed(_part(rows, 1)))

    def failures(self) -> dict[int, Failure]:
        """Those of the rows that end a process, and of those that it is not known of."""
        rest = {
            row: failure
            for rows in self._waiting
            for row, failure in fail_rows(rows, self._reason).items()
        }
        return {**self._ended, **rest}

    def answer(self) -> Evaluation:
        """To all rows."""
        return merge_failed(self._parts, self.failures(), self._rows)


def _part(rows: Array, size: int) -> list[Array]:
    return [rows[at : at + size] for at in range(0, len(rows), size)]


def fail_rows(rows: Iterable[int], reason: str) -> dict[int, Failure]:
    """Failures of rows that have ended a process again."""
    message = (
        f"the model ended its process on these rows: {reason}; they were run again in a process of "
        "their own, which ended too, and are not run any more"
    )
    return dict.fromkeys(map(int, rows), Failure("MODEL_FAILED", message))


def merge_failed(
    parts: Sequence[tuple[Array, Evaluation]], failures: Mapping[int, Failure], rows: int
) -> Evaluation:
    """The answer to all rows, where `parts` are the answers to those that have not failed."""
    if not failures:
        return merge_answers_as_json(parts, rows)
    failed = np.array(sorted(failures))
    part = Evaluation({}, {i: failures[row] for i, row in enumerate(failed.tolist())})
    return merge_answers_as_json([*parts, (failed, part)], rows)
