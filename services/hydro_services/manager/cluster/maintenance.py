"""What managers that share a mesh do unasked: new models take over, abandoned changes end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from hydro_services import errors
from hydro_services.manager.cluster import records
from hydro_services.manager.cluster.coordination import RETRY_S, Coordination
from hydro_services.manager.cluster.records import Record
from hydro_services.manager.domain.state import PendingPipeline, Stages, State, StoredPipeline
from hydro_services.manager.rollout.executor import missing_loads

logger = logging.getLogger(__name__)

ABANDONED_S = 3.0
"""How long an owner may be out of sight before another goes on with its change."""
AGAIN_S = 30.0
"""Until a new version of a model that could not take over is tried again."""


async def end_abandoned_changes(coordination: Coordination) -> None:
    """Ends deletions that nobody carries out any more; takes over changes whose owner is gone."""
    since: dict[str, tuple[str, float]] = {}
    while True:
        now = coordination.reconciler.clock()
        for name, versioned in list(coordination.records.items()):
            record, owner = versioned.record, versioned.record.owner
            # Counted from the first look without an owner, and anew whenever there is one again:
            # one missed health check does not hand a change over.
            if not record.is_changing or _is_followed(coordination, name, record):
                since.pop(name, None)
                continue
            before, start = since.get(name, ("", now))
            since[name] = (owner, start if before == owner else now)
            # If it is this manager's own, its caller has gone: nobody is to be waited for.
            if owner == coordination.owner or now - since[name][1] >= ABANDONED_S:
                with contextlib.suppress(errors.HydroError):
                    # All managers may try at once: the check-and-set lets one of them win, and the
                    # others see it.
                    await coordination.write(name, _inherit_change(record, coordination.owner))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S):
                await coordination.changed.wait()


def _is_followed(coordination: Coordination, name: str, record: Record) -> bool:
    """Somebody carries out the change."""
    if record.pending:
        return coordination.is_owner_alive(record.owner)
    return coordination.is_alive(record.owner, name)


def _inherit_change(record: Record, heir: str) -> Record | None:
    """What becomes of a change whose owner is gone."""
    return replace(record, owner=heir) if record.pending else records.end_change(record)


class ModelSwaps:
    """New versions of models take over in the same steps as changes by users."""

    def __init__(self, coordination: Coordination) -> None:
        self._coordination = coordination
        self._tried: dict[str, tuple[Stages, float]] = {}
        """By pipeline: what was to take over, and until when it is not tried again."""

    async def run(self) -> None:
        """Until cancelled. Tells of all changes of the state, too."""
        last: State | None = None
        async with asyncio.TaskGroup() as tasks:
            while True:
                last = await self._coordination.reconciler.until(partial(_has_changed, last), None)
                # The state may be what a report or an owner waits for, whether a model is due or
                # not.
                self._coordination.notify()
                for name, pipeline in self._due_swaps(last):
                    tasks.create_task(self._begin_swap(name, pipeline))

    def _due_swaps(self, state: State) -> Iterator[tuple[str, StoredPipeline]]:
        """The pipelines whose new models are loaded wherever traffic goes."""
        now = self._coordination.reconciler.clock()
        for name, pipeline in state.pipelines.items():
            target = pipeline.target
            if not target or name in state.pending or missing_loads(target, state):
                continue
            tried, again_at = self._tried.get(name, ((), 0.0))
            if tried != target or again_at <= now:
                # Before it is begun: the state changes many times a second while models load.
                self._tried[name] = (target, now + AGAIN_S)
                yield name, pipeline

    async def _begin_swap(self, name: str, pipeline: StoredPipeline) -> None:
        """Has the target take over, unless another manager is about to; `Changes` follows it."""
        assert pipeline.target
        pending = PendingPipeline(pipeline.spec, pipeline.target, asked=False)
        present = self._coordination.record(name)
        # The record may be newer than the state that the swap was decided on: then it is decided
        # again.
        is_same = present.pipeline == StoredPipeline(pipeline.spec, pipeline.stages)
        try:
            if is_same and not present.is_changing:
                record = Record(present.pipeline, pending, owner=self._coordination.owner)
                if await self._coordination.write(name, record):
                    return
            self._tried.pop(name, None)
        except errors.HydroError as error:
            logger.warning(
                "new models do not take over", extra={"pipeline": name, "error": error.message}
            )


def _has_changed(last: State | None, current: State) -> bool:
    return current is not last
