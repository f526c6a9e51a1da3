"""How a change of a pipeline comes into force: what carries it out, and the one of a lone manager.

`cluster.consul_executor` does the same for managers that share a mesh.
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
from hydro_envoy.resources.builder import ingress_ref, listener_ref, pipeline_ref
from hydro_envoy.snapshot import Ref
from hydro_services import errors, rpc
from hydro_services.manager.domain import readiness, resolution, transitions
from hydro_services.manager.domain.leases import end_of_restored_lease
from hydro_services.manager.domain.state import (
    Endpoint,
    PendingPipeline,
    Spec,
    Stages,
    State,
    StoredPipeline,
    newest_spec,
)
from hydro_services.manager.engine.reconciler import Reconciler

ENTRANCE = (listener_ref("gateway"), listener_ref("pipes"), listener_ref("limited"))
"""Without its listeners an Envoy that has the pipeline is not reached."""
TURN_S = 10.0
"""How long a change of a pipeline waits for another one that is under way, before it takes over."""
REFUSED_S = 30.0
"""Until what an Envoy refused is given to it again, if nothing else has changed."""
NOTE_S = 0.3
"""How long Envoys may take before users are told that they are waited for."""


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

    def late_error(self, name: str, what: str, why: str) -> errors.NotInTime:
        """The error for something that did not happen by then."""
        message = f"pipeline {name!r} {what} after {self.limit_s:g} s: {why}"
        return errors.NotInTime(message, pipeline=name)


class RolloutExecutor(Protocol):
    """Stores what users ask for and carries it out, whether they wait for it or not."""

    async def wait_until_known(self) -> None:
        """Waits, at the start, until the state has what other managers have written."""

    async def refresh(self, name: str) -> None:
        """Waits until the state of a pipeline is at least as new as what others have written.

        Raises:
            errors.Unavailable: that cannot be told now.
        """

    async def want(self, spec: Spec, etag: str, deadline: Deadline) -> None:
        """Makes a pipeline pending; it stays so even if this process is killed.

        Raises:
            errors.Aborted: the etag is not the present one, or somebody else changes it.
            errors.Unavailable: it could not be stored.
        """

    async def give_up(self, spec: Spec, error: errors.HydroError) -> None:
        """Goes back to what was there before, unless something else is wanted by now."""

    async def wait_until_seen(self) -> State:
        """The state, once all managers show what has been done."""

    async def delete(self, name: str, deadline: Deadline) -> None:
        """Deletes a pipeline; answers when no new request reaches it.

        Raises:
            errors.NotFound: there is none of that name.
            errors.NotInTime: it is deleted, but Envoy has not taken that in time.
            errors.Unavailable: it could not be stored, or it cannot be told whether it is there.
        """


class Rollout(NamedTuple):
    """A manager's state and what carries out its changes."""

    reconciler: Reconciler
    executor: RolloutExecutor
    register: Callable[[rpc.RunningServer], AbstractAsyncContextManager[None]]
    """For as long as other parts are to find this manager."""
    run: Callable[[], Awaitable[None]]
    """Ends only by an error."""


@contextlib.asynccontextmanager
async def start_local(
    make: Callable[[State], Reconciler],
    pipelines: Iterable[StoredPipeline],
    endpoints: Iterable[tuple[Endpoint, frozenset[str]]],
    lease_s: float,
    pending: Iterable[Spec] = (),
) -> AsyncIterator[Rollout]:
    """Starts with what survived the last time; this manager is the only one."""
    expires = end_of_restored_lease(asyncio.get_running_loop().time(), lease_s)
    reconciler = make(transitions.restore_state(pipelines, endpoints, expires, pending))
    executor = LocalExecutor(reconciler)
    yield Rollout(reconciler, executor, lambda _: contextlib.nullcontext(), executor.run)


class LocalExecutor:
    """Carries out the changes of a manager that is the only one, in its own state and store."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    async def wait_until_known(self) -> None:
        """Nobody else writes."""

    async def refresh(self, name: str) -> None:
        """Nobody else writes."""

    async def want(self, spec: Spec, etag: str, deadline: Deadline) -> None:
        event = partial(_want_pipeline, spec=spec, etag=etag)
        # On disk before it is answered: what a user was told is pending survives a kill.
        await self._reconciler.apply(event, durable=True)

    async def give_up(self, spec: Spec, error: errors.HydroError) -> None:
        await self._reconciler.apply(partial(transitions.give_up_pending, spec=spec))

    async def wait_until_seen(self) -> State:
        await self._reconciler.note_lagging()
        return self._reconciler.state

    async def delete(self, name: str, deadline: Deadline) -> None:
        await self._reconciler.apply(partial(_delete_pipeline, name=name), durable=True)
        try:
            refs = (pipeline_ref(name),)
            await self._reconciler.hub.wait_applied(refs, timeout_s=deadline.left_s)
        except Nacked as error:
            raise refusal_error(name, error) from error
        except NotApplied as error:
            raise deadline.late_error(
                name, "is deleted but may still be reached", str(error)
            ) from error

    async def run(self) -> None:
        """Keeps the pipelines that Envoys have taken, until cancelled."""
        followed: dict[str, PendingPipeline] = {}
        last: State | None = None
        async with asyncio.TaskGroup() as tasks:
            while True:
                last = await self._reconciler.until(partial(_has_other_pending, last), None)
                published = {name: t for name, t in last.pending.items() if t.published}
                for name, pending in published.items():
                    # By identity: applied again, even with the same content, it is another one to
                    # be followed.
                    if followed.get(name) is not pending:
                        tasks.create_task(self._follow_pending(pending))
                followed = published

    async def _follow_pending(self, pending: PendingPipeline) -> None:
        """Waits until Envoys serve a pending pipeline, or refuse it, or another takes its place."""
        name, since = pending.spec.name, self._reconciler.clock()
        hub = self._reconciler.hub
        while self._reconciler.state.pending.get(name) is pending:
            refs = needed_resources(pending, self._reconciler.state)
            try:
                # Envoys that are late are not waited for, but named: first note which are.
                if hub.is_applied(refs, since):
                    await self._reconciler.note_lagging()
                    await self._reconciler.apply(
                        partial(transitions.keep_if_served, pending=pending), durable=True
                    )
                    return
                if self._reconciler.clock() >= since + NOTE_S:
                    await self._set_awaited(name, hub.describe_wait(refs))
            except Nacked as error:
                return await self._try_again(pending, refusal_error(name, error))
            except errors.Unavailable as error:  # it could not be stored
                await self._set_awaited(name, error.message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(NOTE_S):  # time alone may change who is waited for
                    await hub.wait_changed()

    async def _try_again(self, pending: PendingPipeline, error: errors.EnvoyRefused) -> None:
        """An Envoy has refused it; later it may take it, for example when a port is free."""
        # Each event checks the identity of the pending pipeline: if another has taken its place
        # meanwhile, nothing happens.
        denied = partial(transitions.deny_pending, pending=pending, error=error)
        failed = (await self._reconciler.apply(denied)).pending.get(pending.spec.name)
        await asyncio.sleep(REFUSED_S)
        if failed:
            self._reconciler.post(partial(transitions.retry_pending, pending=failed))

    async def _set_awaited(self, name: str, text: str) -> None:
        known = self._reconciler.state.awaited
        if known.get(name) != text:
            await self._reconciler.apply(
                partial(transitions.set_awaited, texts={**known, name: text})
            )


def _has_other_pending(last: State | None, current: State) -> bool:
    return last is None or current.pending is not last.pending


def _want_pipeline(current: State, spec: Spec, etag: str) -> State:
    pending = current.pending.get(spec.name)
    check_etag(newest_spec(current.pipelines.get(spec.name), pending), spec.name, etag)
    # The same is on its way to Envoys already: starting over would take it back from them first.
    if pending and pending.published and pending.spec == spec:
        return current
    return transitions.start_pending(
        current, resolution.resolve_pending(PendingPipeline(spec), current)
    )


def _delete_pipeline(current: State, name: str) -> State:
    if name not in current.pipelines and name not in current.pending:
        raise no_such_pipeline(name)
    return transitions.delete_pipeline(current, name)


def needed_resources(pending: PendingPipeline, present: State) -> tuple[Ref, ...]:
    """What Envoys need to serve a pipeline; the sidecars of its processes, to let rows in."""
    services = {stage.service for stage in pending.stages}
    ingresses = (
        ingress_ref(f"{each.service}/{each.instance}")
        for each in present.endpoints.values()
        if each.sidecar and each.service in services
    )
    return (*ENTRANCE, pipeline_ref(pending.spec.name), *ingresses)


def check_etag(newest: Spec | None, name: str, etag: str) -> None:
    """Refuses with `errors.Aborted` when the etag is not that of what was asked for last."""
    current = newest.etag if newest else ""
    if etag and etag != current:
        is_now = f"has the etag {current!r} now" if current else "is not there"
        raise errors.Aborted(f"pipeline {name!r} {is_now}, want {etag[:80]!r}; read it again")


def no_such_pipeline(name: str) -> errors.NotFound:
    return errors.NotFound(f"there is no pipeline {name[:80]!r}", pipeline=name[:80])


def refusal_error(name: str, error: Nacked) -> errors.EnvoyRefused:
    """What an Envoy said against a pipeline."""
    return errors.EnvoyRefused(f"pipeline {name!r}: {error}", pipeline=name)


def find_permanent_load_failure(stages: Stages, current: State) -> errors.ModelRefused | None:
    """Why stages cannot be loaded; see `readiness.find_permanent_load_failure`."""
    return readiness.find_permanent_load_failure(
        stages, current, readiness.ready_endpoints(current)
    )


def missing_loads(stages: Stages, current: State) -> tuple[str, ...]:
    """What is still to happen before stages can serve; see `readiness.missing_loads`."""
    return readiness.missing_loads(stages, current, readiness.ready_endpoints(current))
