"""The ledger of managers that share a mesh: pipelines in Consul's KV store, by check-and-set.

A change goes in steps, each a new record: a trial, which all managers load; the trial published,
which all managers give their Envoys; the pipeline kept. The owner takes a step when every manager
that Consul sees alive has reported the one before, so that a pipeline which is answered for serves
at every Envoy, and a model is not unloaded by one manager while another sends rows to it. What a
dead owner leaves, another goes on with: see `changes`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from hydro_services import errors
from hydro_services.manager.cluster import records
from hydro_services.manager.cluster.coordination import Coordination
from hydro_services.manager.cluster.records import Record
from hydro_services.manager.domain import plan, transitions
from hydro_services.manager.domain.state import Spec, State, Trial, newest_spec
from hydro_services.manager.rollout.backend import TURN_S, Deadline, check_etag, no_such_pipeline

SEEN_S = 5.0
"""How long a change that is made may wait for the other managers to show it."""


class ConsulBackend:
    """The ledger by what is on the board."""

    def __init__(self, board: Coordination) -> None:
        self._board = board

    async def want(self, spec: Spec, etag: str, deadline: Deadline) -> None:
        def wanted(present: Record) -> Record:
            check_etag(newest_spec(present.pipeline, present.trial), spec.name, etag)
            if _is_on_its_way(present, spec) and self._board.is_owner_alive(present.owner):
                return present
            trial = plan.reconsider_trial(Trial(spec), self._board.reconciler.state)
            return Record(present.pipeline, trial, owner=self._board.owner)

        def is_turn(present: Record) -> bool:
            return not present.is_changing or _is_on_its_way(present, spec) or _is_stuck(present)

        await self._begin(spec.name, wanted, is_turn, deadline)

    async def _begin(
        self,
        name: str,
        wanted: Callable[[Record], Record],
        is_turn: Callable[[Record], bool],
        deadline: Deadline,
    ) -> None:
        """Begins a change when no other is under way, or the one that is takes long."""
        end = self._board.reconciler.clock() + min(TURN_S, deadline.left_s / 2)
        while True:
            with contextlib.suppress(TimeoutError):
                await self._board.until(lambda: is_turn(self._board.record(name)), end)
            present = self._board.record(name)
            if present.deleting:
                manager = f"manager {present.owner.partition(' ')[0]!r}"
                way_out = "try again when that is done"
                raise errors.Aborted(f"{manager} is deleting pipeline {name!r}; {way_out}")
            following = wanted(present)
            if following is present or await self._board.write(name, following):
                return

    async def give_up(self, spec: Spec, error: errors.HydroError) -> None:
        """First all managers are told why: somebody may wait there, too."""
        while _is_trial_of(record := self._board.record(spec.name), spec):
            if not _is_stuck(record):
                await self._board.write(spec.name, records.fail_trial(record, error))
                continue
            await self._seen()
            present = self._board.record(spec.name)
            if present is record and await self._board.write(spec.name, records.end_change(record)):
                return

    async def shown(self) -> State:
        await self._board.reconciler.note_lagging()
        found = records.lagging_envoys(self._board.others())
        await self._board.reconciler.apply(partial(transitions.set_lagging_elsewhere, found=found))
        await self._seen()
        return self._board.reconciler.state

    async def _seen(self) -> None:
        """Waits until the other managers have what this one has, but not for one that is slow."""
        seen = self._board.seen

        def is_seen() -> bool:
            return all(report.seen >= seen for report in self._board.reports().values())

        with contextlib.suppress(TimeoutError):
            await self._board.until(is_seen, self._board.reconciler.clock() + SEEN_S)

    async def delete(self, name: str, deadline: Deadline) -> None:
        def wanted(present: Record) -> Record:
            if newest_spec(present.pipeline, present.trial) is None:
                raise no_such_pipeline(name)
            return Record(deleting=True, owner=self._board.owner)

        def is_turn(present: Record) -> bool:
            return not present.is_changing or _is_stuck(present)

        self._board.active[name] += 1
        try:
            await self._begin(name, wanted, is_turn, deadline)
            await self._is_gone(name, deadline)
        finally:
            self._board.active[name] -= 1
            self._board.notify()
        await self._board.until(lambda: name not in self._board.records, deadline.end)
        await self.shown()

    async def _is_gone(self, name: str, deadline: Deadline) -> None:
        """Waits until no Envoy has a pipeline that is being deleted."""

        def is_gone() -> bool:
            self._check_ours(name)
            if error := self.failure(name):
                raise error
            return self.is_applied(name)

        try:
            await self._board.until(is_gone, deadline.end)
        except TimeoutError:
            what = "is deleted but may still be reached"
            raise deadline.late(name, what, self.missing_envoys(name)) from None

    def _check_ours(self, name: str) -> None:
        present = self._board.record(name)
        if not present.deleting or present.owner != self._board.owner:
            reason = "another manager has ended the change, as if this one were dead"
            raise errors.Aborted(f"pipeline {name!r} is not changed: {reason}; try again")

    # ---- what managers have reported of the present record of a pipeline

    def failure(self, name: str) -> errors.HydroError | None:
        """Why a manager cannot do what the record says."""
        return records.find_failure(self._board.reports(), name, self._board.index(name))

    def behind(self, what: str, name: str) -> list[str]:
        """The managers that have not `loaded` or `applied` it."""
        reached = {m: getattr(report, what) for m, report in self._board.reports().items()}
        return records.managers_behind(reached, name, self._board.index(name))

    def is_applied(self, name: str) -> bool:
        """All Envoys have it, or have it no more; those of a manager that has gone, too."""
        has_gateway = any(report.has_gateway for report in self._board.reports().values())
        return not self.behind("applied", name) and has_gateway and not self._board.orphans()

    def missing_envoys(self, name: str) -> str:
        """Whose Envoys are waited for, for people."""
        if late := self.behind("applied", name):
            return "waits for the Envoys of " + ", ".join(f"manager {each!r}" for each in late)
        if orphans := self._board.orphans():
            return f"the manager of {', '.join(sorted(orphans))} is gone"
        return "there is no gateway connected to any manager"


def _is_trial_of(record: Record, spec: Spec) -> bool:
    return record.trial is not None and record.trial.asked and record.trial.spec == spec


def _is_on_its_way(record: Record, spec: Spec) -> bool:
    """The same is wanted already, and nothing is known against it."""
    return _is_trial_of(record, spec) and (record.trial is None or record.trial.error is None)


def _is_stuck(record: Record) -> bool:
    """What is wanted waits for a model, or has failed: it is not about to be done."""
    return record.trial is not None and record.trial.error is not None
