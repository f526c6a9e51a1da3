"""What managers that share a mesh do unasked: new models take over, changes of the dead end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from functools import partial

from hydro_services import errors
from hydro_services.manager import records
from hydro_services.manager.board import RETRY_S, Board
from hydro_services.manager.ledger import Deadline, lacking
from hydro_services.manager.records import Record
from hydro_services.manager.shared import Shared
from hydro_services.manager.state import Pipeline, State, Trial

logger = logging.getLogger(__name__)

ABANDONED_S = 3.0
"""How long an owner may be out of sight before its change is ended by another."""
AGAIN_S = 30.0
"""Until a new version of a model that could not take over is tried again."""


async def clear_away(board: Board) -> None:
    """Ends the changes that nobody brings to their end."""
    since: dict[str, tuple[str, float]] = {}
    while True:
        now = board.reconciler.clock()
        for name, kept in list(board.records.items()):
            owner = kept.record.owner
            if not kept.record.is_changing or board.is_alive(owner, name):
                since.pop(name, None)
                continue
            before, start = since.get(name, ("", now))
            since[name] = (owner, start if before == owner else now)
            if owner == board.owner or now - since[name][1] >= ABANDONED_S:
                with contextlib.suppress(errors.HydroError):
                    await board.write(name, records.ended(kept.record))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S):
                await board.changed.wait()


class Swaps:
    """New versions of models take over by the same steps as what users change."""

    def __init__(self, board: Board, shared: Shared, limit_s: float) -> None:
        self._board = board
        self._shared = shared
        self._limit_s = limit_s
        self._tried: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled. Tells of all changes of the state, too."""
        last: State | None = None
        async with asyncio.TaskGroup() as tasks:
            while True:
                last = await self._board.reconciler.until(partial(_is_other, last), None)
                self._board.notify()
                for name, pipeline in self._due(last):
                    tasks.create_task(self._swap(name, pipeline))

    def _due(self, state: State) -> Iterator[tuple[str, Pipeline]]:
        """The pipelines whose new models are loaded wherever traffic goes."""
        now = self._board.reconciler.clock()
        for name, pipeline in state.pipelines.items():
            may_try = name not in state.trials and self._tried.get(name, 0.0) <= now
            if pipeline.target and may_try and not lacking(pipeline.target, state):
                self._tried[name] = now + AGAIN_S
                yield name, pipeline

    async def _swap(self, name: str, pipeline: Pipeline) -> None:
        """Has the target take over, unless another manager is about to."""
        assert pipeline.target
        deadline = Deadline.after(self._limit_s, self._board.reconciler.clock)
        trial = Trial(pipeline.spec, pipeline.target)
        present = self._board.record(name)
        if present.is_changing or present.pipeline != Pipeline(pipeline.spec, pipeline.stages):
            self._tried.pop(name, None)
            return
        self._board.active[name] += 1
        try:
            if await self._board.write(
                name, Record(present.pipeline, trial, owner=self._board.owner)
            ):
                await self._shared.published(name, trial.stages, deadline)
                await self._shared.reached("applied", name, deadline)
                await self._shared.step(name, records.kept)
            self._tried.pop(name, None)
        except (errors.HydroError, TimeoutError) as error:
            reason = str(error) or "not in time"
            logger.warning("new models do not take over", extra={"pipeline": name, "error": reason})
        finally:
            self._shared.withdraw(name)


def _is_other(last: State | None, current: State) -> bool:
    return current is not last
