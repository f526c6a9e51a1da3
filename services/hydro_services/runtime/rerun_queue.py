"""Rows that were begun in a process that ended: they are run again in a fork.

They may be what ended the process. In a fork, each frame for itself, they end nothing else, and
nothing ends with them. Of a frame that has ended that as well, parts are run in further forks,
until it is known which rows do so: these alone fail. All that wait share a fork, which takes some
50 ms to make and to end. The model goes on with other rows beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import numpy as np

from hydro_runtimes.columns import Array, Columns
from hydro_runtimes.evaluator import Evaluation, Failure
from hydro_services import logs
from hydro_services.runtime.fork import Fork, ForkDied
from hydro_services.runtime.rerun_outcomes import RerunOutcomes
from hydro_services.runtime.row_search import LIMIT_S, RowSearch, fail_rows, merge_failed
from hydro_services.runtime.worker import Worker

T = TypeVar("T")


@dataclass(slots=True)
class Rerun:
    """A frame, and who waits for its answer."""

    inputs: Columns
    request_id: str
    """Of the call."""
    answer: asyncio.Future[Evaluation]

    def is_wanted(self) -> bool:
        """Whether anybody still waits."""
        return not self.answer.done()

    def settle(self, answer: Evaluation) -> None:
        """Tells who waits, if anybody does."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        """As `settle`."""
        if not self.answer.done():
            self.answer.set_exception(error)


Evaluate = Callable[[Columns, str], Evaluation]
"""The answer to inputs of the request of that id."""


class Turn(Protocol):
    """Makes a call in the thread of the model, while the model does nothing else."""

    async def __call__(self, call: Callable[[], T]) -> T: ...


class RerunQueue:
    """Of one model. Used from the event loop only."""

    def __init__(
        self, evaluate: Evaluate, outcomes: RerunOutcomes, crashed: Callable[[str], None]
    ) -> None:
        """Starts idle.

        Args:
            evaluate: in a fork.
            outcomes: how rows ended that were run again.
            crashed: told when the model has ended a fork, and how.
        """
        self._evaluate = evaluate
        self._outcomes = outcomes
        self._crashed = crashed
        self._waiting: deque[Rerun] = deque()
        self._task: asyncio.Task[None] | None = None
        self._needs_threads = False
        """The model has waited in a fork, and would each time until that is found out."""

    @property
    def waiting_rows(self) -> int:
        """Of what no fork has."""
        return sum(each.inputs.rows for each in self._waiting)

    async def evaluate(
        self, inputs: Sequence[Columns], turn: Turn, evaluate_here: Evaluate
    ) -> list[Evaluation]:
        """The answers, one an input, in order. Cancelling leaves the others' answers alone.

        Args:
            inputs: one or more frames.
            turn: of the model.
            evaluate_here: in this process, for what cannot be evaluated in a fork.

        Raises:
            Exception: there can be no fork, or the thread is no more.
        """
        loop, request_id = asyncio.get_running_loop(), logs.REQUEST_ID.get()
        mine = [Rerun(columns, request_id, loop.create_future()) for columns in inputs]
        self._waiting += mine
        if self._task is None:
            self._task = loop.create_task(self._run(turn, evaluate_here))
        return await asyncio.gather(*[each.answer for each in mine])

    async def _run(self, turn: Turn, evaluate_here: Evaluate) -> None:
        worker = Worker("reruns")
        # One task takes all that wait, so there is one fork at a time; what comes meanwhile shares
        # the next one.
        while reruns := self._take_wanted():
            try:
                if self._needs_threads:
                    await self._run_here(reruns, turn, evaluate_here)
                else:
                    await self._run_in_fork(reruns, turn, evaluate_here, worker)
            except Exception as error:
                for each in reruns:
                    each.fail(error)
        self._task = None

    def _take_wanted(self) -> list[Rerun]:
        taken = [each for each in self._waiting if each.is_wanted()]
        self._waiting.clear()
        return taken

    async def _run_in_fork(
        self, reruns: Sequence[Rerun], turn: Turn, evaluate_here: Evaluate, worker: Worker
    ) -> None:
        """Those that the fork comes to; the rest waits for the next."""
        calls = [partial(self._in_child, each.inputs, each.request_id) for each in reruns]
        fork: Fork[Evaluation] = await turn(partial(Fork, calls))
        try:
            for number, each in enumerate(reruns):
                answer = await worker.call(fork.answer, each.is_wanted)
                if isinstance(answer, Evaluation):
                    each.settle(answer)
                    continue
                # The fork ends with this frame: those it has not come to are first in the next one.
                self._waiting.extendleft(reversed(reruns[number + 1 :]))
                if isinstance(answer, ForkDied):
                    self._crashed(answer.reason)
                    each.settle(await self._find_rows(each, answer.reason, turn, worker))
                else:
                    self._needs_threads |= answer.is_idle
                    await self._run_here([each], turn, evaluate_here)
                return
        finally:
            await worker.call(fork.close)

    async def _run_here(self, reruns: Sequence[Rerun], turn: Turn, evaluate_here: Evaluate) -> None:
        for each in reruns:
            if each.is_wanted():
                each.settle(await turn(partial(self._rerun_here, each, evaluate_here)))

    async def _find_rows(self, rerun: Rerun, reason: str, turn: Turn, worker: Worker) -> Evaluation:
        """The answer to a frame that has ended a fork: only the rows that end one fail."""
        key, rows = self._outcomes.key(rerun.request_id, rerun.inputs), rerun.inputs.rows
        await worker.call(self._outcomes.add, key, fail_rows(range(rows), reason))
        search, start = RowSearch(rows, reason), time.monotonic()
        while search.waiting() and rerun.is_wanted() and time.monotonic() - start < LIMIT_S:
            await self._run_parts(search, rerun, turn, worker)
        await worker.call(self._outcomes.add, key, search.failures())
        return await worker.call(search.answer)

    async def _run_parts(self, search: RowSearch, rerun: Rerun, turn: Turn, worker: Worker) -> None:
        """Those that a fork comes to."""
        parts = search.waiting()
        calls = [partial(self._evaluate_rows, rerun, rows) for rows in parts]
        fork: Fork[Evaluation] = await turn(partial(Fork, calls))
        try:
            for _ in parts:
                answer = await worker.call(fork.answer, rerun.is_wanted)
                if isinstance(answer, Evaluation):
                    search.answered(answer)
                    continue
                search.ended(answer.reason if isinstance(answer, ForkDied) else "no answer")
                return
        finally:
            await worker.call(fork.close)

    def _evaluate_rows(self, rerun: Rerun, rows: Array) -> Evaluation:
        return self._evaluate(rerun.inputs.take(rows), rerun.request_id)

    def _in_child(self, inputs: Columns, request_id: str) -> Evaluation:
        # Looked up only now: the same rows may have ended the fork before this one.
        ended = self._outcomes.outcome(self._outcomes.key(request_id, inputs))
        return _evaluate_others(ended, inputs, request_id, self._evaluate)

    def _rerun_here(self, rerun: Rerun, evaluate: Evaluate) -> Evaluation:
        key = self._outcomes.key(rerun.request_id, rerun.inputs)
        if ended := self._outcomes.outcome(key):
            return _evaluate_others(ended, rerun.inputs, rerun.request_id, evaluate)
        with self._outcomes.under_way(key, rerun.inputs.rows):
            return evaluate(rerun.inputs, rerun.request_id)


def _evaluate_others(
    ended: Mapping[int, Failure], inputs: Columns, request_id: str, evaluate: Evaluate
) -> Evaluation:
    """The answer to rows of which some have ended a process that ran them again."""
    if not ended:
        return evaluate(inputs, request_id)
    others = np.delete(np.arange(inputs.rows), sorted(ended))
    parts = [(others, evaluate(inputs.take(others), request_id))] if len(others) else []
    return merge_failed(parts, ended, inputs.rows)
