"""Batches in, evaluations out: rows that wait while the model is busy are evaluated together.

The event loop's task owns the queue. An evaluation that is known to take less than a thread hop
costs is done on the loop, any other in the model's own thread; nothing ever waits for a batch to
fill. What was begun before, in a process that ended, has a queue of its own: see `rerun_queue`.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from hydro_runtimes.columns import Array, Columns
from hydro_runtimes.evaluator import Evaluation, Evaluator
from hydro_services import logs
from hydro_services.codecs.json_merging import merge_answers_as_json
from hydro_services.runtime.counts import Counts
from hydro_services.runtime.evaluation import evaluate
from hydro_services.runtime.evaluation_journal import EvaluationRecord
from hydro_services.runtime.rerun_outcomes import RerunOutcomes
from hydro_services.runtime.rerun_queue import RerunQueue

T = TypeVar("T")

MAX_ROWS = 4096
"""Rows that are evaluated together at most, except in a fork, which nobody else waits for."""
INLINE_S = 0.001
"""Seconds that an evaluation may hold the event loop; a hop to a thread and back costs 0.1 ms and
a switch of the interpreter lock up to 5 ms."""
LATE_S = 10 * INLINE_S
"""An evaluation on the loop that took longer was a mistake, and is followed by a ban."""
INLINE_BYTES = 64 << 10
"""Inputs of more bytes are never evaluated on the loop: other rows do not tell their cost."""
FIRST_BAN = 32
"""Evaluations that stay off the loop after the first mistake; each further one doubles them."""


@dataclass(slots=True)
class Job:
    """Inputs of one chunk of a call, and who waits for them."""

    inputs: Sequence[Columns]
    done: asyncio.Future[list[Evaluation]]
    size: int = 0
    """Bytes that the inputs came in."""
    request_id: str = ""
    """Of the call."""

    rows: int = field(init=False)
    """Of all inputs."""

    def __post_init__(self) -> None:
        self.rows = sum([columns.rows for columns in self.inputs])


@dataclass(slots=True)
class ExclusiveCall:
    """A call that is made in the model's thread while the model does nothing else."""

    call: Callable[[], Any]
    done: asyncio.Future[Any]
    rows: int = 0


class Batcher:
    """The queue before one model."""

    def __init__(
        self,
        evaluator: Evaluator,
        executor: Executor,
        clock: Callable[[], float] = time.perf_counter,
        record: EvaluationRecord | None = None,
        crashed: Callable[[str], None] = lambda reason: None,
        rerun_outcomes: RerunOutcomes | None = None,
    ) -> None:
        """Starts idle.

        Args:
            evaluator: the model.
            executor: the thread of the model, which nobody else waits for.
            clock: in seconds.
            record: where evaluations are noted.
            crashed: called on the loop with the reason when the model has ended a fork.
            rerun_outcomes: how the model's rows ended that were run again.
        """
        self.evaluator = evaluator
        self.counts = Counts()
        self._executor = executor
        self._clock = clock
        self._record = record or EvaluationRecord()
        rerun = partial(_evaluate_again, evaluator)
        self._reruns = RerunQueue(rerun, rerun_outcomes or RerunOutcomes(), crashed)
        self._queue: deque[Job | ExclusiveCall] = deque()
        self._cost = Cost()
        self._due = False
        self._busy: asyncio.Task[None] | None = None

    @property
    def waiting_rows(self) -> int:
        """Of the jobs that nobody has begun."""
        return sum(each.rows for each in self._queue) + self._reruns.waiting_rows

    async def evaluate(
        self, inputs: Sequence[Columns], *, size: int = 0, is_rerun: bool = False
    ) -> list[Evaluation]:
        """The answers, one an input, in order. Cancelling leaves the others' answers alone.

        Args:
            inputs: evaluated in the thread where they are large, whatever their rows have taken.
            size: of the inputs, in bytes.
            is_rerun: they were started before in a process that died; evaluates them in isolation.

        Raises:
            Exception: the thread has ended. What the model raises is in the answers.
        """
        # Rows that may have killed a process are evaluated in a fork, by turns with the others.
        if is_rerun:
            return await self._reruns.evaluate(inputs, self._call_exclusively, self._evaluate_one)
        if any([columns.rows > MAX_ROWS for columns in inputs]):
            return [await self._evaluate_pieces(columns, size) for columns in inputs]
        return await self._evaluate_batched(inputs, size)

    async def _evaluate_pieces(self, inputs: Columns, size: int) -> Evaluation:
        """The answer to a large frame; rows of other calls have their turn between its pieces."""
        loop = asyncio.get_running_loop()
        parts: list[tuple[Array, Evaluation]] = []
        for first in range(0, inputs.rows, MAX_ROWS):
            rows = slice(first, min(first + MAX_ROWS, inputs.rows))
            # In the thread: whoever takes some of the packed texts unpacks all of them.
            piece = await loop.run_in_executor(self._executor, inputs.take, rows)
            (answer,) = await self._evaluate_batched([piece], size)
            parts.append((np.arange(rows.start, rows.stop), answer))
        return await loop.run_in_executor(self._executor, merge_answers_as_json, parts, inputs.rows)

    async def _evaluate_batched(self, inputs: Sequence[Columns], size: int) -> list[Evaluation]:
        done: asyncio.Future[list[Evaluation]] = asyncio.get_running_loop().create_future()
        self._enqueue(Job(inputs, done, size, logs.REQUEST_ID.get()))
        return await done

    async def _call_exclusively(self, call: Callable[[], T]) -> T:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._enqueue(ExclusiveCall(call, done))
        return await done

    def _enqueue(self, what: Job | ExclusiveCall) -> None:
        self._queue.append(what)
        # At the end of this turn of the loop: all calls that became ready in it are one batch.
        # Otherwise whoever is at work calls `_start_next` when it is done, and takes this along.
        if not self._due and self._busy is None:
            self._due = True
            asyncio.get_running_loop().call_soon(self._start_next)

    def _start_next(self) -> None:
        """Starts what is due. Runs on the loop, after all that became ready in the same turn."""
        self._due = False
        while self._queue:
            if isinstance(first := self._queue[0], ExclusiveCall):
                self._queue.popleft()
                # Whoever sets `_busy` calls `_start_next` when it is done: nothing starts before.
                self._busy = asyncio.get_running_loop().create_task(self._run_exclusive(first))
                return
            jobs = self._take_jobs()
            # By bytes as well as by rows: a guess from many small rows says nothing of one large
            # row.
            large = any([job.size > INLINE_BYTES for job in jobs])
            if large or self._cost.guess_s(_count_rows(jobs)) > INLINE_S:
                self._busy = asyncio.get_running_loop().create_task(self._run_in_thread(jobs))
                return
            # Cheaper than the hop to the thread; the loop goes on with what else is queued.
            try:
                # Nothing else runs until this is done: hence the limits, and the ban after a wrong
                # guess.
                answers = self._evaluate(jobs, on_loop=True)
            except Exception as error:
                _fail(jobs, error)
            else:
                _settle(jobs, answers)

    def _take_jobs(self) -> list[Job]:
        jobs: list[Job] = []
        rows = 0
        while self._queue and isinstance(job := self._queue[0], Job):
            # A job is not split here: its answers belong to one call, in one piece. The first is
            # taken whatever its size, or it would never be.
            if jobs and rows + job.rows > MAX_ROWS:
                break
            self._queue.popleft()  # whoever has gone meanwhile is left out
            if not job.done.cancelled():
                jobs.append(job)
                rows += job.rows
        return jobs

    async def _run_in_thread(self, jobs: list[Job]) -> None:
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._executor, self._evaluate, jobs)
        except Exception as error:
            _fail(jobs, error)
        else:
            _settle(jobs, answers)
        # Cleared and started in one step of the loop: no call can come between them and start a
        # second.
        self._busy = None
        self._start_next()

    async def _run_exclusive(self, exclusive: ExclusiveCall) -> None:
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._executor, exclusive.call)
        except Exception as error:
            _fail([exclusive], error)
        else:
            if not exclusive.done.done():
                exclusive.done.set_result(answer)
        self._busy = None
        self._start_next()

    def _evaluate(self, jobs: Sequence[Job], on_loop: bool = False) -> list[Evaluation]:
        inputs = [columns for job in jobs for columns in job.inputs]
        return self._evaluate_measured(inputs, [job.request_id for job in jobs], on_loop=on_loop)

    def _evaluate_one(self, inputs: Columns, request_id: str) -> Evaluation:
        return self._evaluate_measured([inputs], [request_id], on_loop=False)[0]

    def _evaluate_measured(
        self, inputs: Sequence[Columns], request_ids: Sequence[str], *, on_loop: bool
    ) -> list[Evaluation]:
        start = self._clock()
        with self._record:
            answers = _evaluate_logged(self.evaluator, inputs, request_ids)
        rows, seconds = sum([columns.rows for columns in inputs]), self._clock() - start
        # Measured where it ran: in the thread the wait for the interpreter is included, so the
        # guess is on the careful side.
        self._cost.learn(rows, seconds, on_loop=on_loop)
        self.counts.seconds.add(seconds)
        self.counts.batch_rows.add(rows)
        return answers


def _count_rows(jobs: Sequence[Job]) -> int:
    return sum([job.rows for job in jobs])


def _evaluate_logged(
    evaluator: Evaluator, inputs: Sequence[Columns], request_ids: Sequence[str]
) -> list[Evaluation]:
    with logs.RequestIds(request_ids):
        return evaluate(evaluator, inputs)


def _evaluate_again(evaluator: Evaluator, inputs: Columns, request_id: str) -> Evaluation:
    return _evaluate_logged(evaluator, [inputs], [request_id])[0]


def _settle(jobs: Sequence[Job], answers: Sequence[Evaluation]) -> None:
    remaining = iter(answers)
    for job in jobs:
        mine = list(itertools.islice(remaining, len(job.inputs)))
        if not job.done.done():  # the call was cancelled while its rows were evaluated
            job.done.set_result(mine)


def _fail(jobs: Sequence[Job | ExclusiveCall], error: Exception) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_exception(error)


@dataclass(slots=True)
class Cost:
    """How long a model's evaluations took: a guess at how long the next one takes."""

    seconds_a_row: float = 1.0
    """A running maximum that fades, so that the first evaluations never hold the loop."""
    banned: int = 0
    """Evaluations that stay off the loop whatever the guess, since it has been wrong."""
    ban: int = FIRST_BAN

    def learn(self, rows: int, seconds: float, *, on_loop: bool) -> None:
        """Takes in one evaluation."""
        self.banned = max(self.banned - 1, 0)
        if on_loop and seconds > LATE_S:
            # Doubled, never reset: a model whose time varies is tried on the loop ever more seldom.
            self.banned, self.ban = self.ban, self.ban * 2
        if rows:
            measured = seconds / rows
            # Up at once, down by halves: one slow evaluation counts for several that follow.
            self.seconds_a_row = max(measured, 0.5 * self.seconds_a_row + 0.5 * measured)

    def guess_s(self, rows: int) -> float:
        """The guess, in seconds."""
        return float("inf") if self.banned else rows * self.seconds_a_row
