"""Carries out the changes that this manager owns, whether a caller still waits for them or not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from hydro_envoy.resources.builder import pipeline_ref
from hydro_services import errors
from hydro_services.errors import EnvoyRefused, HydroError
from hydro_services.manager.cluster import records
from hydro_services.manager.cluster.consul_executor import ConsulExecutor
from hydro_services.manager.cluster.coordination import RETRY_S, Coordination
from hydro_services.manager.cluster.records import Record
from hydro_services.manager.domain import resolution, transitions
from hydro_services.manager.domain.state import State
from hydro_services.manager.rollout.executor import NOTE_S, REFUSED_S, missing_loads

logger = logging.getLogger(__name__)


def next_record(
    record: Record,
    state: State,
    *,
    failure: HydroError | None,
    is_loaded: bool,
    is_applied: bool,
) -> Record | None:
    """What the owner of a change writes next; None: nothing yet. Pure.

    Args:
        record: the present one, with a pending pipeline.
        state: what the owner knows.
        failure: why a manager cannot do what the record says.
        is_loaded: all managers have reported that its models are loaded.
        is_applied: all managers have reported that their Envoys have it.
    """
    pending = record.pending
    assert pending
    # First of all: models may have changed since it was written, and whatever was loaded or taken
    # was of the old ones.
    if pending.asked and (now := resolution.resolve_pending(pending, state)) is not pending:
        return Record(record.pipeline, now, owner=record.owner)
    # Models are loaded and Envoys have been given it. From here on a failure can only come from an
    # Envoy, and is answered by taking the route away from all of them.
    if pending.published:
        if failure:  # an Envoy has refused it, so it is taken back from all
            return records.fail_pending(record, failure)
        return records.promote_pending(record) if is_applied else None
    # It waits for a model, or for the next try of what an Envoy refused: nothing to write now.
    if not pending.stages or isinstance(pending.error, EnvoyRefused):
        return None
    if failure:
        is_known = pending.error is not None and pending.error.message == failure.message
        # Written once: every write wakes all managers, and the same reason again would do so
        # without end.
        return None if is_known else records.fail_pending(record, failure)
    return records.publish_pending(record) if is_loaded else None


class Changes:
    """Carries out the changes that this manager owns; see `maintenance` for orphans."""

    def __init__(
        self, coordination: Coordination, executor: ConsulExecutor, limit_s: float
    ) -> None:
        """`limit_s`: how long a new version of a model may take to take over."""
        self._coordination = coordination
        self._executor = executor
        self._limit_s = limit_s
        self._followed: set[str] = set()
        self._since: dict[str, tuple[int, float]] = {}
        """By pipeline: the index of the record that is under way, and since when it is."""

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                # Taken before the look: what changes during it wakes this loop again.
                changed = self._coordination.changed
                for name in self._owned_changes() - self._followed:
                    # Before the task runs: the next turn of this loop would begin a second one.
                    self._followed.add(name)
                    tasks.create_task(self._follow(name))
                self._post_awaited()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S):
                        await changed.wait()

    def _owned_changes(self) -> set[str]:
        changing = ((n, versioned.record) for n, versioned in self._coordination.records.items())
        return {
            n
            for n, record in changing
            if record.pending and record.owner == self._coordination.owner
        }

    async def _follow(self, name: str) -> None:
        """Writes step after step until the change is done, or another manager owns it."""
        end = self._coordination.reconciler.clock() + self._limit_s
        try:
            while name in self._owned_changes():
                changed, wanted = self._coordination.changed, self._wanted_record(name, end)
                try:
                    # A write that another manager's write has overtaken is no error: the record is
                    # looked at again.
                    if wanted != self._coordination.record(name):
                        await self._coordination.write(name, wanted)
                        continue
                except errors.HydroError as error:  # the next look may go better
                    logger.warning(
                        "change does not go on, retrying",
                        extra={"pipeline": name, "error": error.message},
                    )
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S):
                        await changed.wait()
        finally:
            self._followed.discard(name)

    def _wanted_record(self, name: str, end: float) -> Record | None:
        """The record that should be in Consul now; None: it should be deleted."""
        record = self._coordination.record(name)
        assert record.pending
        # Without its error it is published again: what an Envoy refused may go now, such as a port
        # that is free again.
        if isinstance(record.pending.error, EnvoyRefused) and self._age_s(name) >= REFUSED_S:
            return replace(record, pending=replace(record.pending, error=None))
        failure = self._executor.find_failure(name)
        is_late = not record.pending.asked and self._coordination.reconciler.clock() >= end
        # Nobody has asked for it: a new version that does not come to serve is dropped, and the old
        # one serves on. What users ask for stays pending instead.
        if not record.pending.asked and (failure or is_late):
            reason = failure.message if failure else "not in time"
            logger.warning("new models do not take over", extra={"pipeline": name, "error": reason})
            return records.end_change(record)
        following = next_record(
            record,
            self._coordination.reconciler.state,
            failure=failure,
            is_loaded=not self._executor.managers_behind("loaded", name),
            is_applied=self._executor.is_applied(name),
        )
        return following or record

    def _age_s(self, name: str) -> float:
        """How long ago this manager first saw the record as it is now."""
        index, start = self._since.get(name, (0, 0.0))
        is_known = index == self._coordination.index(name)
        return self._coordination.reconciler.clock() - start if is_known else 0.0

    # ---- what users are told of it

    def _post_awaited(self) -> None:
        """Tells the state what pending pipelines wait for, where it cannot know that itself."""
        state, now = self._coordination.reconciler.state, self._coordination.reconciler.clock()
        pending_pipelines = {
            n: versioned
            for n, versioned in self._coordination.records.items()
            if versioned.record.pending
        }
        since = {n: self._since.get(n, (0, now)) for n in pending_pipelines}
        # By index, not by time in the record: clocks of machines differ, so each manager counts
        # from when it first saw the record.
        self._since = {
            n: since[n] if since[n][0] == versioned.index else (versioned.index, now)
            for n, versioned in pending_pipelines.items()
        }
        slow = {n for n, (_, start) in self._since.items() if now >= start + NOTE_S}
        texts = dict(self._describe_waiting(slow, state))
        if texts != state.awaited:
            self._coordination.reconciler.post(partial(transitions.set_awaited, texts=texts))

    def _describe_waiting(self, names: set[str], state: State) -> Iterator[tuple[str, str]]:
        for name in sorted(names & state.pending.keys()):
            pending = state.pending[name]
            if pending.published:
                yield name, self._describe_envoys(name)
            elif pending.stages and not missing_loads(pending.stages, state):
                late = ", ".join(self._executor.managers_behind("loaded", name)) or "their records"
                yield name, f"waits for other managers to see its models loaded: {late}"

    def _describe_envoys(self, name: str) -> str:
        if self._coordination.name in self._executor.managers_behind("applied", name):
            return self._coordination.reconciler.hub.describe_wait([pipeline_ref(name)])
        return self._executor.missing_envoys(name)
