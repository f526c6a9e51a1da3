"""Reports to the other managers of the mesh how far this one has come with their changes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from functools import partial

from hydro_envoy.errors import Nacked
from hydro_envoy.resources.builder import pipeline_ref
from hydro_services import errors
from hydro_services.manager.cluster import records
from hydro_services.manager.cluster.coordination import RETRY_S, Coordination
from hydro_services.manager.cluster.records import Report, VersionedRecord
from hydro_services.manager.domain import resolution, transitions
from hydro_services.manager.domain.state import State
from hydro_services.manager.rollout.executor import (
    find_permanent_load_failure,
    missing_loads,
    needed_resources,
    refusal_error,
)

LOOK_S = 0.5
MAX_LAGGING = 100
"""Most pipelines that a report names as late at Envoys: it has to fit into a value of Consul."""


class Reporter:
    """Keeps this manager's report up to date."""

    def __init__(self, coordination: Coordination) -> None:
        self._coordination = coordination
        self._reconciler = coordination.reconciler
        self._since: dict[str, tuple[int, float]] = {}
        """By pipeline: the index of the record that its Envoys are to take, and since when."""

    async def run(self) -> None:
        coordination = self._coordination
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_envoys())
            while True:
                changed = coordination.changed
                await self._update_report()
                await changed.wait()

    async def _update_report(self) -> None:
        """Writes the report if it has changed, and tells the state what all reports say."""
        coordination, report = self._coordination, self._build_report()
        body = report.to_json()
        if body != coordination.own_report.to_json():
            # Known here before Consul has it: this manager's own part of a step does not wait for
            # an echo.
            coordination.own_report = report
            coordination.notify()
        # While Consul is away others may demand models that this manager does not know of: nothing
        # is unloaded then.
        # Models are unloaded only when all managers demand the same: one that is behind may still
        # send rows to what the others have given up.
        agree = coordination.is_current and records.is_agreed(coordination.reports().values())
        if agree != self._reconciler.state.agreed:
            self._reconciler.post(partial(transitions.set_agreement, agree=agree))
        if (
            late := records.lagging_envoys(coordination.other_reports())
        ) != self._reconciler.state.lagging_elsewhere:
            self._reconciler.post(partial(transitions.set_lagging_elsewhere, envoys=late))
        # Compared with what Consul has, not with what was last sent: a report that was lost with
        # Consul's memory is written again.
        if body != coordination.written_report and coordination.is_current:
            try:
                await coordination.write_report(body)
            except errors.HydroError:
                await asyncio.sleep(RETRY_S)
                coordination.notify()

    def _build_report(self) -> Report:
        state, hub = self._reconciler.state, self._reconciler.hub
        loaded: dict[str, int] = {}
        applied: dict[str, int] = {}
        failed: dict[str, tuple[int, errors.HydroError]] = {}
        for name, versioned in self._coordination.records.items():
            reached = applied if _is_for_envoys(versioned) else loaded
            try:
                if versioned.record.is_changing and self._is_reached(name, versioned):
                    # The index, not "yes": a report about an older record must not count for the
                    # present one.
                    reached[name] = versioned.index
            except errors.HydroError as error:
                failed[name] = (versioned.index, error)
        return Report(
            self._coordination.own_report.incarnation,
            loaded,
            applied,
            failed,
            sorted({each.node.id for each in hub.nodes()} - {""}),
            hub.has_gateway,
            self._coordination.seen,
            _demand_digest(state) if state.applied else "",
            self._lagging_envoys(),
        )

    def _lagging_envoys(self) -> dict[str, list[str]]:
        late = self._reconciler.hub.lagging_nodes(
            list(map(pipeline_ref, self._coordination.records))
        )
        # Consul's values have at most 512 KiB, and a report also has every name that is loaded.
        few = sorted(late.items())[:MAX_LAGGING]
        return {ref.name: list(ids) for ref, ids in few}

    def _is_reached(self, name: str, versioned: VersionedRecord) -> bool:
        """What the record asks of this manager is done; raises why that cannot be."""
        state, pending = self._reconciler.state, versioned.record.pending
        if _is_for_envoys(versioned):
            refs = needed_resources(pending, state) if pending else (pipeline_ref(name),)
            try:
                return self._reconciler.hub.is_applied(refs, self._begun_at(name, versioned.index))
            except Nacked as error:
                raise refusal_error(name, error) from error
        assert pending
        if not missing_loads(pending.stages, state):
            return True
        if found := find_permanent_load_failure(pending.stages, state):
            raise found
        return False

    def _begun_at(self, name: str, index: int) -> float:
        """Since when Envoys are to take what the record of this index says."""
        if self._since.get(name, (0, 0.0))[0] != index:
            self._since[name] = (index, self._reconciler.clock())
        return self._since[name][1]

    async def _follow_envoys(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):  # time alone may change who is waited for
                    await self._reconciler.hub.wait_changed()
            self._since = {n: s for n, s in self._since.items() if n in self._coordination.records}
            self._coordination.notify()


def _is_for_envoys(versioned: VersionedRecord) -> bool:
    pending = versioned.record.pending
    return versioned.record.deleting or (pending is not None and pending.published)


def _demand_digest(state: State) -> str:
    demanded = sorted(
        (service, sorted(models)) for service, models in resolution.demanded_models(state).items()
    )
    return hashlib.sha256(json.dumps(demanded).encode()).hexdigest()[:16]
