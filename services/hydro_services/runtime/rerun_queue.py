"""Rows that were begun in a process that ended: they are run again, once, in a fork.

They may be what ended the process. In a fork, each frame for itself, they end nothing else, and
nothing ends with them; what has ended that as well is not run any more. All that wait share a fork,
which takes some 50 ms to make and to end. The model goes on with other rows beside it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from hydro_runtimes.columns import Columns
from hydro_runtimes.evaluator import Evaluation, Failure
from hydro_services import logs
from hydro_services.runtime.fork import Fork, ForkDied
from hydro_services.runtime.rerun_outcomes import RerunOutcomes
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
                    each.settle(await worker.call(self._answer_ended, each, answer.reason))
                    self._crashed(answer.reason)
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

    def _in_child(self, inputs: Columns, request_id: str) -> Evaluation:
        # Looked up only now: the same rows may have ended the fork before this one.
        end = self._outcomes.outcome(self._outcomes.key(request_id, inputs))
        return _failed_again(inputs.rows, end) if end else self._evaluate(inputs, request_id)

    def _answer_ended(self, rerun: Rerun, reason: str) -> Evaluation:
        self._outcomes.add(self._outcomes.key(rerun.request_id, rerun.inputs), reason)
        return _failed_again(rerun.inputs.rows, reason)

    def _rerun_here(self, rerun: Rerun, evaluate: Evaluate) -> Evaluation:
        key = self._outcomes.key(rerun.request_id, rerun.inputs)
        if end := self._outcomes.outcome(key):
            return _failed_again(rerun.inputs.rows, end)
        with self._outcomes.under_way(key):
            return evaluate(rerun.inputs, rerun.request_id)


def _failed_again(rows: int, reason: str) -> Evaluation:
    message = (
        f"the model ended its process on these rows: {reason}; they were run again once, alone, "
        "and are not run any more"
    )
    return Evaluation({}, dict.fromkeys(range(rows), Failure("MODEL_FAILED", message)))
