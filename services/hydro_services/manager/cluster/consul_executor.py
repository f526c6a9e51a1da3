"""Rollouts of managers that share a mesh: pipelines in Consul's KV store, written by check-and-set.

A change is made in steps, each a new record: a pending pipeline, whose models all managers
have loaded; the same one published, which all managers give their Envoys; the pipeline, which is
kept. Its owner takes the next step when every manager that Consul sees alive has reported the last
one. So a pipeline serves at every Envoy before its caller is answered, and no manager has a model
unloaded while another sends rows to it. If the owner dies, another manager goes on: see
`maintenance`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from hydro_services import errors
from hydro_services.manager.cluster import records
from hydro_services.manager.cluster.coordination import Coordination
from hydro_services.manager.cluster.records import Record
from hydro_services.manager.domain import resolution, transitions
from hydro_services.manager.domain.state import PendingPipeline, Spec, State, newest_spec
from hydro_services.manager.rollout.executor import TURN_S, Deadline, check_etag, no_such_pipeline

SEEN_S = 5.0
"""How long a change that is made may wait for the other managers to show it."""


class ConsulExecutor:
    """Carries out changes through the records that all managers follow."""

    def __init__(self, coordination: Coordination) -> None:
        self._coordination = coordination

    async def wait_until_known(self) -> None:
        await self._coordination.wait_until_known()

    async def refresh(self, name: str) -> None:
        await self._coordination.refresh(name)

    async def want(self, spec: Spec, etag: str, deadline: Deadline) -> None:
        def next_record(present: Record) -> Record:
            # In here, not before: the etag is checked against the very record that the write
            # replaces.
            check_etag(newest_spec(present.pipeline, present.pending), spec.name, etag)
            # The same wish twice, such as a client that tries again: both wait for one change.
            if _is_on_its_way(present, spec) and self._coordination.is_owner_alive(present.owner):
                return present
            pending = resolution.resolve_pending(
                PendingPipeline(spec), self._coordination.reconciler.state
            )
            return Record(present.pipeline, pending, owner=self._coordination.owner)

        def is_turn(present: Record) -> bool:
            return not present.is_changing or _is_on_its_way(present, spec) or _is_stuck(present)

        await self._begin_change(spec.name, next_record, is_turn, deadline)

    async def _begin_change(
        self,
        name: str,
        next_record: Callable[[Record], Record],
        is_turn: Callable[[Record], bool],
        deadline: Deadline,
    ) -> None:
        """Begins a change when no other is under way, or when that one takes too long."""
        # Half of the time that is left at most: the other half is for the change itself.
        end = self._coordination.reconciler.clock() + min(TURN_S, deadline.left_s / 2)
        while True:
            with contextlib.suppress(TimeoutError):
                await self._coordination.until(
                    lambda: is_turn(self._coordination.record(name)), end
                )
            present = self._coordination.record(name)
            if present.deleting:
                manager = f"manager {present.owner.partition(' ')[0]!r}"
                way_out = "try again when that is done"
                raise errors.Aborted(f"{manager} is deleting pipeline {name!r}; {way_out}")
            # Another manager may write in between: then the write fails, and this starts over with
            # what is there now.
            following = next_record(present)
            if following is present or await self._coordination.write(name, following):
                return

    async def give_up(self, spec: Spec, error: errors.HydroError) -> None:
        """First tells all managers why: callers may wait there, too."""
        while _is_pending_of(record := self._coordination.record(spec.name), spec):
            # Two steps, so that whoever waits for the same pipeline at another manager hears why it
            # fails before the record of it is gone.
            if not _is_stuck(record):
                await self._coordination.write(spec.name, records.fail_pending(record, error))
                continue
            await self._wait_until_seen()
            present = self._coordination.record(spec.name)
            if present is record and await self._coordination.write(
                spec.name, records.end_change(record)
            ):
                return

    async def wait_until_seen(self) -> State:
        await self._coordination.reconciler.note_lagging()
        late = records.lagging_envoys(self._coordination.other_reports())
        await self._coordination.reconciler.apply(
            partial(transitions.set_lagging_elsewhere, envoys=late)
        )
        await self._wait_until_seen()
        return self._coordination.reconciler.state

    async def _wait_until_seen(self) -> None:
        """Waits until the other managers have the same records, but not long for a slow one."""
        seen = self._coordination.seen

        def is_seen() -> bool:
            return all(report.seen >= seen for report in self._coordination.reports().values())

        with contextlib.suppress(TimeoutError):
            await self._coordination.until(is_seen, self._coordination.reconciler.clock() + SEEN_S)

    async def delete(self, name: str, deadline: Deadline) -> None:
        def next_record(present: Record) -> Record:
            if newest_spec(present.pipeline, present.pending) is None:
                raise no_such_pipeline(name)
            return Record(deleting=True, owner=self._coordination.owner)

        def is_turn(present: Record) -> bool:
            return not present.is_changing or _is_stuck(present)

        # While this is counted, `maintenance.end_abandoned_changes` leaves the deletion to us.
        self._coordination.active[name] += 1
        try:
            if name not in self._coordination.records:
                await self.refresh(name)
            await self._begin_change(name, next_record, is_turn, deadline)
            await self._wait_until_gone(name, deadline)
        finally:
            self._coordination.active[name] -= 1
            self._coordination.notify()
        await self._coordination.until(lambda: name not in self._coordination.records, deadline.end)
        await self.wait_until_seen()

    async def _wait_until_gone(self, name: str, deadline: Deadline) -> None:
        """Waits until no Envoy has the pipeline that is being deleted."""

        def is_gone() -> bool:
            self._check_ours(name)
            if error := self.find_failure(name):
                raise error
            return self.is_applied(name)

        try:
            await self._coordination.until(is_gone, deadline.end)
        except TimeoutError:
            what = "is deleted but may still be reached"
            raise deadline.late_error(name, what, self.missing_envoys(name)) from None

    def _check_ours(self, name: str) -> None:
        present = self._coordination.record(name)
        if not present.deleting or present.owner != self._coordination.owner:
            reason = "another manager has ended the change, as if this one were dead"
            raise errors.Aborted(f"pipeline {name!r} is not changed: {reason}; try again")

    # ---- what managers have reported of the present record of a pipeline

    def find_failure(self, name: str) -> errors.HydroError | None:
        """Why a manager cannot do what the record says."""
        return records.find_failure(
            self._coordination.reports(), name, self._coordination.index(name)
        )

    def managers_behind(self, what: str, name: str) -> list[str]:
        """The managers that have not `loaded` or `applied` it."""
        reached = {m: getattr(report, what) for m, report in self._coordination.reports().items()}
        return records.managers_behind(reached, name, self._coordination.index(name))

    def is_applied(self, name: str) -> bool:
        """All Envoys have taken the change, those of a manager that has gone included."""
        has_gateway = any(report.has_gateway for report in self._coordination.reports().values())
        return (
            not self.managers_behind("applied", name)
            and has_gateway
            and not self._coordination.orphans()
        )

    def missing_envoys(self, name: str) -> str:
        """Whose Envoys are waited for, as a text for users."""
        if late := self.managers_behind("applied", name):
            return "waits for the Envoys of " + ", ".join(f"manager {each!r}" for each in late)
        if orphans := self._coordination.orphans():
            return f"the manager of {', '.join(sorted(orphans))} is gone"
        return "there is no gateway connected to any manager"


def _is_pending_of(record: Record, spec: Spec) -> bool:
    return record.pending is not None and record.pending.asked and record.pending.spec == spec


def _is_on_its_way(record: Record, spec: Spec) -> bool:
    """The same change is under way already, and nothing stands against it."""
    return _is_pending_of(record, spec) and (record.pending is None or record.pending.error is None)


def _is_stuck(record: Record) -> bool:
    """The change waits for a model, or has failed: it will not be done in a moment."""
    return record.pending is not None and record.pending.error is not None
