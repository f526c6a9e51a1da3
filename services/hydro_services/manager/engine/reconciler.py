"""The one task that owns the state: takes events, decides by `resolution`, carries that out.

Each turn takes all events that are queued, so that a burst of them costs one build and one write.
The order within a turn is fixed: stored, decided, published, stored, answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hydro_envoy.errors import Nacked, NotApplied, Refusal
from hydro_envoy.mesh import Mesh
from hydro_envoy.resources.builder import Builder, pipeline_ref
from hydro_envoy.snapshot import Snapshot
from hydro_envoy.xds.hub import Hub
from hydro_services import errors
from hydro_services.manager.domain import (
    call_outcomes,
    call_plan,
    endpoint_transitions,
    leases,
    mesh_plan,
    readiness,
    resolution,
    state,
    transitions,
)
from hydro_services.manager.domain.call_plan import RuntimeCommand, Unload
from hydro_services.manager.domain.sidecars import ProcessRoute
from hydro_services.manager.domain.state import State, Transition
from hydro_services.manager.engine import runtime_client, store

logger = logging.getLogger(__name__)

CONFIRM_S = 5.0
"""How long Envoy may take before what it lacks is looked at again."""
LAGGING_S = 0.5
"""How often it is looked which Envoys are late."""


@dataclass(frozen=True, slots=True, eq=False)
class _QueuedEvent:
    event: Transition
    durable: bool
    done: asyncio.Future[State]


class Reconciler:
    """Turns events into state, and state into configuration, calls and records."""

    def __init__(
        self,
        initial: State,
        base: Mesh,
        hub: Hub,
        builder: Builder,
        records: store.Store,
        clock: Callable[[], float],
        route: ProcessRoute,
        *,
        decides: bool = True,
    ) -> None:
        """Starts with what the store had.

        Args:
            initial: what was stored.
            base: the mesh without backends and pipelines.
            hub: takes snapshots to Envoys.
            builder: turns meshes into snapshots.
            records: takes what is to survive.
            clock: in seconds, never going back.
            route: by which processes are called.
            decides: this manager switches models by itself; False: the managers agree first.
        """
        self.state = initial
        """The present state. Changed only here, by events."""
        self.clock = clock
        self.hub = hub
        self._decides = decides
        self._base = base
        self._route = route
        self._builder = builder
        # The builder remembers pieces between builds and is not safe for two threads; the plan of a
        # change (`build`) may be asked for while a turn publishes.
        self._building = asyncio.Lock()
        self._store = records
        self._stored = initial
        self._decided = State()
        self._mesh: Mesh | None = None
        self._events: asyncio.Queue[_QueuedEvent] = asyncio.Queue()
        self._changed = asyncio.Condition()
        self._confirming: asyncio.Task[None] | None = None

    @property
    def has_sidecars(self) -> bool:
        """Whether processes are reached by sidecars, all or none."""
        return bool(self._base.sidecars)

    async def run(self) -> None:
        """Runs until cancelled. What was posted until now happens before anything is published."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_lagging())
            # What survived the last start, and what was posted before this task ran, is one turn:
            # Envoys are not given a mesh that lacks half of it.
            await self._handle_events(self._queued_events(), tasks)
            while True:
                await self._handle_events(await self._next_events(), tasks)

    def post(self, event: Transition) -> None:
        """Has an event happen soon."""
        self._enqueue(event, durable=False)

    async def apply(self, event: Transition, *, durable: bool = False) -> State:
        """Has an event happen, and answers when it is published.

        A durable event is on disk before it is published.

        Raises:
            errors.HydroError: the event refuses, or it is durable and could not be stored
                (`errors.Unavailable`); nothing has changed.
        """
        return await self._enqueue(event, durable=durable).done

    def _enqueue(self, event: Transition, *, durable: bool) -> _QueuedEvent:
        queued = _QueuedEvent(event, durable, asyncio.get_running_loop().create_future())
        # The queue has no limit: who posts never waits, so no event can be stuck behind the turn
        # that it would have to end. `apply` waits for the turn, which is the back pressure.
        self._events.put_nowait(queued)
        return queued

    async def until(self, predicate: Callable[[State], bool], timeout_s: float | None) -> State:
        """Waits for a state.

        Raises:
            TimeoutError: it did not come in time.
        """
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: predicate(self.state))
            return self.state

    async def build(self, wanted: State) -> Snapshot:
        """What would be published for a state."""
        return await self._build(mesh_plan.build_mesh(wanted, self._base))

    async def _build(self, mesh: Mesh) -> Snapshot:
        async with self._building:  # in a thread: a cold build takes a while
            return await asyncio.to_thread(self._builder.build, mesh)

    async def _next_events(self) -> list[_QueuedEvent]:
        """The events that are there, or none when it is time to look again."""
        # Of leases, retries and models that are to be unloaded: no timers of their own, which could
        # run between a decision and its publication.
        due = call_plan.next_deadline(self.state)
        delay = None if due is None else max(0.0, due - self.clock())
        try:
            async with asyncio.timeout(delay):
                first = await self._events.get()
        except TimeoutError:
            return []
        # All that came meanwhile: a restart of twenty runtimes is one build, not twenty.
        return [first, *self._queued_events()]

    def _queued_events(self) -> list[_QueuedEvent]:
        events: list[_QueuedEvent] = []
        while not self._events.empty():
            events.append(self._events.get_nowait())
        return events

    async def _handle_events(self, events: list[_QueuedEvent], tasks: asyncio.TaskGroup) -> None:
        current, refused = _apply_events(self.state, events)
        # Durable events are on disk before anything of them is published or answered. If the disk
        # fails, they did not happen: the others are applied anew to the state before them all.
        if failure := await self._save(current):
            refused |= {queued: failure for queued in events if queued.durable}
            others = [queued for queued in events if not queued.durable]
            current, _ = _apply_events(self.state, others)
        # Most events are renewals of leases, which change nothing that is decided. No events at all
        # means that a deadline has passed.
        is_first = self._mesh is None
        if is_first or not events or not state.is_renewal(self.state, current):
            current = await self._decide(current, tasks)
            await self._save(current)  # what was decided; a failure waits for the next turn
        # From here on others see it: whoever is answered finds this state or a later one.
        self.state = current
        async with self._changed:
            self._changed.notify_all()
        # Last: who is answered may look at the state at once, or act on what Envoy has.
        for queued in events:
            _answer_event(queued, refused.get(queued), current)

    async def _decide(self, current: State, tasks: asyncio.TaskGroup) -> State:
        # The order matters: without the endpoints that are gone it shows which models are loaded
        # wherever traffic goes, which decides what is switched, which decides what is published.
        now = self.clock()
        current = leases.expire_leases(current, now)
        current = resolution.retarget_pipelines(
            current, resolution.stale_pipelines(self._decided, current)
        )
        if self._decides:
            stale = resolution.stale_pending(self._decided, current)
            current = resolution.promote_loaded(resolution.resolve_all_pending(current, stale))
        if not current.is_warm and call_plan.is_all_asked_for(current):
            current = transitions.allow_publication(current)
        current = await self._publish(current, tasks)
        # Only now is it known which models Envoy may still send rows to.
        current = call_plan.age_idle_models(current, now)
        for call in call_plan.due_calls(current, now):
            # Marked before the task runs, so that the next turn does not make the same call again.
            is_unload = isinstance(call, Unload)
            current = endpoint_transitions.start_call(current, call.placement, unload=is_unload)
            tasks.create_task(self._call_runtime(call))
        self._decided = current
        return current

    async def _publish(self, current: State, tasks: asyncio.TaskGroup) -> State:
        mesh = mesh_plan.build_mesh(current, self._base)
        if mesh == self._mesh or not current.is_warm:
            return current
        # Only another mesh comes this far: equal ones give equal snapshots, and even a build from
        # the cache looks at every pipeline there is.
        self.hub.publish(await self._build(mesh))
        self._mesh = mesh
        # Who waits for the snapshot before this one would confirm what is not in force any more.
        if self._confirming:
            self._confirming.cancel()
        self._confirming = tasks.create_task(self._confirm())
        return transitions.note_publication(current)

    async def _save(self, current: State) -> errors.HydroError | None:
        """Writes what is not on disk yet; what fails is tried again with the next change."""
        statements = store.diff_statements(self._stored, current)
        try:
            if statements:
                await self._store.save(statements)
        except errors.Unavailable as error:
            logger.error("not stored", extra={"error": error.message})
            return error
        # After the write alone: a difference to what is not on disk would be lost for good.
        self._stored = current
        return None

    async def _confirm(self) -> None:
        """Waits until what is published is in force; what Envoys refuse becomes state."""
        while True:
            try:
                # In pieces of CONFIRM_S: an Envoy that comes later, or goes, changes who is waited
                # for.
                await self.hub.wait_applied(timeout_s=CONFIRM_S)
            except Nacked as error:
                self.post(
                    partial(transitions.set_refusals, refusals=self._refusals(error.refusals))
                )
                await asyncio.sleep(CONFIRM_S)
            except NotApplied:
                continue
            else:
                return self.post(transitions.confirm_publication)

    async def _follow_lagging(self) -> None:
        while True:
            await asyncio.sleep(LAGGING_S)
            await self.note_lagging()

    async def note_lagging(self) -> None:
        """Has the state tell which Envoys are late with which pipelines, as it is now."""
        published = readiness.published_stages(self.state)
        late = self.hub.lagging_nodes([pipeline_ref(name) for name in published])
        ids_by_pipeline = {ref.name: ids for ref, ids in late.items()}
        if ids_by_pipeline != self.state.lagging:
            await self.apply(partial(transitions.set_lagging, envoys=ids_by_pipeline))

    def _refusals(self, refusals: tuple[Refusal, ...]) -> dict[str, errors.HydroError]:
        """By the pipelines that need what was refused."""
        refused = {(refusal.type, refusal.name): refusal for refusal in refusals}
        by_pipeline: dict[str, errors.HydroError] = {}
        for name in readiness.published_stages(self.state):
            for ref in self.hub.snapshot.closure([pipeline_ref(name)]):
                if refusal := refused.get((ref.type.label, ref.name)):
                    by_pipeline[name] = errors.EnvoyRefused(refusal.message, node=refusal.node_id)
        return by_pipeline

    async def _call_runtime(self, call: RuntimeCommand) -> None:
        error: errors.HydroError | None = None
        try:
            await runtime_client.send_call(call, self._route)
        except errors.HydroError as refusal:
            error = refusal
            service, instance = call.placement.endpoint
            extra = {"service": service, "instance": instance, "model": call.placement.key}
            logger.warning("runtime refused a call", extra={**extra, "error": error.message})
        # Posted, not awaited: the turn that handles it may be waiting for a build.
        self.post(partial(call_outcomes.apply_outcome, call=call, error=error, now=self.clock()))


def _apply_events(
    current: State, events: list[_QueuedEvent]
) -> tuple[State, dict[_QueuedEvent, errors.HydroError]]:
    """The state after the events, and those that refused."""
    refused: dict[_QueuedEvent, errors.HydroError] = {}
    for queued in events:
        try:
            current = queued.event(current)
        except errors.HydroError as error:
            refused[queued] = error
    return current, refused


def _answer_event(queued: _QueuedEvent, error: errors.HydroError | None, current: State) -> None:
    if queued.done.done():  # who asked has been cancelled
        return
    if error:
        queued.done.set_exception(error)
    else:
        queued.done.set_result(current)
