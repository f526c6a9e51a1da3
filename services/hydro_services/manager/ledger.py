"""Where pipelines are kept, and how a change of one comes into force: alone, on this machine.

`shared` does the same for managers that share a mesh.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

from hydro_envoy.errors import Nacked, NotApplied
from hydro_envoy.resources import edge_ref, ingress_ref, pipeline_ref
from hydro_envoy.snapshot import Ref
from hydro_services import errors, rpc
from hydro_services.manager import events, readiness
from hydro_services.manager.reconcile import Reconciler
from hydro_services.manager.state import Endpoint, Pipeline, Stages, State, Trial

ENTRANCE = (edge_ref("gateway"), edge_ref("pipes"), edge_ref("limited"))
"""Without its listeners an Envoy that has the pipeline is not reached."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when something has to happen."""

    end: float
    limit_s: float
    clock: Callable[[], float]

    @classmethod
    def after(cls, limit_s: float, clock: Callable[[], float]) -> Deadline:
        return cls(clock() + limit_s, limit_s, clock)

    @property
    def left_s(self) -> float:
        return max(0.0, self.end - self.clock())

    def late(self, name: str, what: str, why: str) -> errors.NotInTime:
        """It did not."""
        message = f"pipeline {name!r} {what} after {self.limit_s:g} s: {why}"
        return errors.NotInTime(message, pipeline=name)


class Ledger(Protocol):
    """The steps of a change, in this order. A trial that fails is to be withdrawn."""

    async def begin(self, trial: Trial, etag: str, deadline: Deadline) -> None:
        """Has a pipeline tried.

        Raises:
            errors.Aborted: the etag is not the present one, or somebody else changes it.
            errors.Unavailable: it could not be stored.
        """

    async def published(self, name: str, stages: Stages, deadline: Deadline) -> None:
        """Waits until its models are loaded wherever traffic goes, and Envoys may have it.

        Raises:
            errors.ModelRefused: a runtime cannot load one of its models.
            errors.NotInTime: the message says what was missing.
        """

    async def applied(self, name: str, deadline: Deadline) -> None:
        """Waits until every Envoy serves it that keeps up with changes.

        Raises:
            errors.EnvoyRefused: an Envoy did not take it.
            errors.NotInTime: the message says what was missing.
        """

    async def keep(self, name: str) -> State:
        """Has it kept. Raises `errors.Unavailable` where it could not be stored."""

    def withdraw(self, name: str) -> None:
        """Has what was there before serve again, soon."""

    async def delete(self, name: str, deadline: Deadline) -> None:
        """Deletes a pipeline; answers when no new request reaches it.

        Raises:
            errors.NotFound: there is none of that name.
            errors.NotInTime: it is deleted, but Envoy has not taken that in time.
            errors.Unavailable: it could not be stored.
        """


class Keeping(NamedTuple):
    """Where pipelines and endpoints are kept, and who acts on it."""

    reconciler: Reconciler
    ledger: Ledger
    registered: Callable[[rpc.Served], AbstractAsyncContextManager[None]]
    """For as long as others are to find this manager."""
    going_on: Callable[[], Awaitable[None]]
    """Ends only by an error."""


@contextlib.asynccontextmanager
async def alone(
    make: Callable[[State], Reconciler],
    pipelines: Iterable[Pipeline],
    endpoints: Iterable[tuple[Endpoint, frozenset[str]]],
    lease_s: float,
) -> AsyncIterator[Keeping]:
    """By this manager itself, which is the only one; with what survived the last time."""
    expires = asyncio.get_running_loop().time() + 2 * lease_s
    reconciler = make(events.restored(pipelines, endpoints, expires))
    yield Keeping(reconciler, Alone(reconciler), lambda _: contextlib.nullcontext(), rpc.forever)


@dataclass(frozen=True, slots=True)
class Alone:
    """The ledger of a manager that is the only one: its own state and store."""

    reconciler: Reconciler

    async def begin(self, trial: Trial, etag: str, deadline: Deadline) -> None:
        await self.reconciler.apply(partial(_begin, trial=trial, etag=etag))

    async def published(self, name: str, stages: Stages, deadline: Deadline) -> None:
        def is_decided(current: State) -> bool:
            return current.trials[name].published or bool(obstacle(stages, current))

        try:
            decided = await self.reconciler.until(is_decided, deadline.left_s)
        except TimeoutError:
            missing = "; ".join(lacking(stages, self.reconciler.state))
            raise deadline.late(name, "does not serve", missing) from None
        found = obstacle(stages, decided)
        if found and not decided.trials[name].published:
            raise found

    async def applied(self, name: str, deadline: Deadline) -> None:
        present = self.reconciler.state
        refs = needed(present.trials[name], present)
        await self._applied(name, refs, deadline, "does not serve")
        await self.reconciler.note_lagging()

    async def keep(self, name: str) -> State:
        return await self.reconciler.apply(partial(events.kept, name=name), durable=True)

    def withdraw(self, name: str) -> None:
        self.reconciler.post(partial(events.withdrawn, name=name))

    async def delete(self, name: str, deadline: Deadline) -> None:
        await self.reconciler.apply(partial(_delete, name=name), durable=True)
        what = "is deleted but may still be reached"
        await self._applied(name, (pipeline_ref(name),), deadline, what)

    async def _applied(
        self, name: str, refs: tuple[Ref, ...], deadline: Deadline, what: str
    ) -> None:
        try:
            await self.reconciler.hub.applied(refs, timeout_s=deadline.left_s)
        except Nacked as error:
            raise nacked(name, error) from error
        except NotApplied as error:
            raise deadline.late(name, what, str(error)) from error


def _begin(current: State, trial: Trial, etag: str) -> State:
    check_etag(current.pipelines.get(trial.spec.name), trial.spec.name, etag)
    return events.tried(current, trial)


def _delete(current: State, name: str) -> State:
    if name not in current.pipelines:
        raise absent(name)
    return events.deleted(current, name)


def needed(trial: Trial, present: State) -> tuple[Ref, ...]:
    """What Envoys need to serve a pipeline; the sidecars of its processes, to let rows in."""
    services = {stage.service for stage in trial.stages}
    ingresses = (
        ingress_ref(f"{each.service}/{each.instance}")
        for each in present.endpoints.values()
        if each.sidecar and each.service in services
    )
    return (*ENTRANCE, pipeline_ref(trial.spec.name), *ingresses)


def check_etag(present: Pipeline | None, name: str, etag: str) -> None:
    """Refuses with `errors.Aborted` when the etag is not that of the pipeline as it is now."""
    found = present.spec.etag if present else ""
    if etag and etag != found:
        is_now = f"has the etag {found!r} now" if found else "is not there"
        raise errors.Aborted(f"pipeline {name!r} {is_now}, want {etag[:80]!r}; read it again")


def absent(name: str) -> errors.NotFound:
    """There is no such pipeline."""
    return errors.NotFound(f"there is no pipeline {name[:80]!r}", pipeline=name[:80])


def nacked(name: str, error: Nacked) -> errors.EnvoyRefused:
    """What an Envoy said against a pipeline."""
    return errors.EnvoyRefused(f"pipeline {name!r}: {error}", pipeline=name)


def obstacle(stages: Stages, current: State) -> errors.ModelRefused | None:
    """Why stages cannot be loaded; see `readiness.obstacle`."""
    return readiness.obstacle(stages, current, readiness.ready(current))


def lacking(stages: Stages, current: State) -> tuple[str, ...]:
    """What is still to happen before stages can serve; see `readiness.lacking`."""
    return readiness.lacking(stages, current, readiness.ready(current))
