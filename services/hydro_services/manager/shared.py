"""The ledger of managers that share a mesh: pipelines in Consul's KV store, by check-and-set.

A change goes in steps, each a new record: a trial, which all managers load; the trial published,
which all managers give their Envoys; the pipeline kept. The owner takes a step when every manager
that Consul sees alive has reported the one before, so that a pipeline which is answered for serves
at every Envoy, and a model is not unloaded by one manager while another sends rows to it. What a
dead owner leaves, any other clears away.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from hydro_services import errors
from hydro_services.manager import events, records
from hydro_services.manager.board import Board
from hydro_services.manager.ledger import Deadline, absent, check_etag, lacking
from hydro_services.manager.records import Record
from hydro_services.manager.state import Stages, State, Trial

SEEN_S = 5.0
"""How long a change that is made may wait for the other managers to show it."""


class Shared:
    """The ledger by what is on the board."""

    def __init__(self, board: Board) -> None:
        self._board = board

    async def begin(self, trial: Trial, etag: str, deadline: Deadline) -> None:
        def wanted(present: Record) -> Record:
            check_etag(present.pipeline, trial.spec.name, etag)
            return Record(present.pipeline, trial, owner=self._board.owner)

        await self._start(trial.spec.name, wanted, deadline)

    async def _start(
        self, name: str, wanted: Callable[[Record], Record], deadline: Deadline
    ) -> None:
        """Begins a change as soon as no other is under way."""
        self._board.active[name] += 1
        try:
            while not await self._try(name, wanted, deadline):
                pass
        except BaseException:
            self.withdraw(name)
            raise

    async def _try(self, name: str, wanted: Callable[[Record], Record], deadline: Deadline) -> bool:
        with contextlib.suppress(TimeoutError):
            await self._board.until(lambda: not self._board.record(name).is_changing, deadline.end)
        present = self._board.record(name)
        if present.is_changing:
            manager = present.owner.partition(" ")[0]
            way_out = "try again when that is done"
            raise errors.Aborted(f"manager {manager!r} is changing pipeline {name!r}; {way_out}")
        return await self._board.write(name, wanted(present))

    async def published(self, name: str, stages: Stages, deadline: Deadline) -> None:
        try:
            await self.reached("loaded", name, deadline)
        except TimeoutError:
            missing = [
                *lacking(stages, self._board.reconciler.state),
                *self._behind("loaded", name),
            ]
            raise deadline.late(name, "does not serve", "; ".join(missing)) from None
        await self.step(name, records.shown)

    async def applied(self, name: str, deadline: Deadline) -> None:
        await self._at_all_envoys(name, deadline, "does not serve")

    async def _at_all_envoys(self, name: str, deadline: Deadline, what: str) -> None:
        try:
            await self.reached("applied", name, deadline, self._has_all_envoys)
        except TimeoutError:
            missing = self._behind("applied", name) or [self._absent_envoys()]
            raise deadline.late(name, what, "; ".join(missing)) from None
        found = records.lagging(self._board.reports().values())
        event = partial(events.lagging_elsewhere, found=found)
        await self._board.reconciler.apply(event)

    async def keep(self, name: str) -> State:
        await self.step(name, records.kept)
        await self._shown()
        self.withdraw(name)
        return self._board.reconciler.state

    def withdraw(self, name: str) -> None:
        self._board.active[name] -= 1
        self._board.notify()

    async def delete(self, name: str, deadline: Deadline) -> None:
        def wanted(present: Record) -> Record:
            if present.pipeline is None:
                raise absent(name)
            return Record(deleting=True, owner=self._board.owner)

        await self._start(name, wanted, deadline)
        try:
            await self._at_all_envoys(name, deadline, "is deleted but may still be reached")
        finally:
            self.withdraw(name)
        await self._board.until(lambda: name not in self._board.records, deadline.end)
        await self._shown()

    async def reached(
        self, what: str, name: str, deadline: Deadline, more: Callable[[], bool] = lambda: True
    ) -> None:
        """Waits until all managers have reported it. Raises TimeoutError, or what one failed on."""

        def is_reached() -> bool:
            self._check_ours(name)
            if error := records.failure(self._board.reports(), name, self._board.index(name)):
                raise error
            return not self._behind(what, name) and more()

        await self._board.until(is_reached, deadline.end)

    def _behind(self, what: str, name: str) -> list[str]:
        reached = {m: getattr(report, what) for m, report in self._board.reports().items()}
        late = records.behind(reached, name, self._board.index(name))
        return [f"manager {manager!r} has not {what} it" for manager in late]

    def _has_all_envoys(self) -> bool:
        return self._has_gateway() and not self._board.orphans()

    def _absent_envoys(self) -> str:
        if orphans := self._board.orphans():
            return f"the manager of {', '.join(sorted(orphans))} is gone"
        return "no gateway connected to any manager"

    def _has_gateway(self) -> bool:
        return any(report.has_gateway for report in self._board.reports().values())

    def _check_ours(self, name: str) -> None:
        present = self._board.record(name)
        if not present.is_changing or present.owner != self._board.owner:
            reason = "another manager has ended the change, as if this one were dead"
            raise errors.Aborted(f"pipeline {name!r} is not changed: {reason}; try again")

    async def step(self, name: str, step: Callable[[Record], Record]) -> None:
        """Writes the next record of a change that is ours."""
        while True:
            self._check_ours(name)
            if await self._board.write(name, step(self._board.record(name))):
                return

    async def _shown(self) -> None:
        """Waits for the other managers to have what is done; one that is slow is not waited for."""
        seen = self._board.seen

        def is_seen() -> bool:
            return all(report.seen >= seen for report in self._board.reports().values())

        with contextlib.suppress(TimeoutError):
            await self._board.until(is_seen, self._board.reconciler.clock() + SEEN_S)
