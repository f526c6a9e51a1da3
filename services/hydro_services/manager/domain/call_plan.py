"""The calls to runtimes that follow from the state, and when to look again. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import TypeAlias

from hydro_envoy.address import Address
from hydro_services.manager.domain.readiness import (
    models_by_service,
    published_stages,
)
from hydro_services.manager.domain.resolution import demanded_models
from hydro_services.manager.domain.state import (
    REPOSITORY,
    Endpoint,
    Model,
    ModelPlacement,
    State,
)

LINGER_S = 10.0
"""How long a model stays loaded after the last pipeline that used it was switched or deleted."""


CALLS_PER_ENDPOINT = 4
"""Most models that an endpoint is asked to load at the same time."""


@dataclass(frozen=True, slots=True)
class Load:
    """An endpoint is to load a model."""

    endpoint: Endpoint
    model: Model
    repository: Address
    """Where to load it from."""

    @property
    def placement(self) -> ModelPlacement:
        return ModelPlacement(self.endpoint.id, self.model.key)


@dataclass(frozen=True, slots=True)
class Unload:
    """An endpoint need not keep a model any longer."""

    endpoint: Endpoint
    key: str

    @property
    def placement(self) -> ModelPlacement:
        return ModelPlacement(self.endpoint.id, self.key)


RuntimeCommand: TypeAlias = Load | Unload


def age_idle_models(state: State, now: float) -> State:
    """Notes since when each loaded model is of no use, and forgets failures that are.

    The time counts from when Envoy has what is published: until then it may send rows to it.
    """
    demanded = demanded_models(state)
    unused = (
        ModelPlacement(id, key)
        for id, keys in state.loaded.items()
        for key in keys - demanded.get(id.service, {}).keys()
    )
    # What is idle already keeps its time, even while a later publication is on its way to Envoys.
    idle = {s: state.idle.get(s, now) for s in unused if state.applied or s in state.idle}
    failures = {
        placement: failure
        for placement, failure in state.failures.items()
        if placement.key in demanded.get(placement.endpoint.service, {})
    }
    if idle == state.idle and len(failures) == len(state.failures):
        return state
    return replace(state, idle=idle, failures=failures)


def find_repository(state: State) -> Endpoint | None:
    """The repository to load from."""
    return next((e for id, e in sorted(state.endpoints.items()) if id.service == REPOSITORY), None)


def due_calls(state: State, now: float) -> tuple[RuntimeCommand, ...]:
    """The calls that runtimes are to get now."""
    demanded, source = demanded_models(state), find_repository(state)
    served = models_by_service(published_stages(state).values())
    due: list[RuntimeCommand] = []
    for id, endpoint in sorted(state.endpoints.items()):
        if source and id.service in demanded:
            # A restarted process first gets what serves, then what is pending.
            first = served.get(id.service, {}).keys()
            due += _due_loads(endpoint, demanded[id.service], first, source.address, state, now)
    return (*due, *_due_unloads(state, now))


def _due_loads(
    endpoint: Endpoint,
    wanted: Mapping[str, Model],
    first: Set[str],
    source: Address,
    state: State,
    now: float,
) -> list[Load]:
    """What an endpoint is to load now; what serves before what is pending."""
    # Few at a time: a runtime that starts with a hundred models has them one after the other, and
    # serves with those that it has.
    under_way = sum(placement.endpoint == endpoint.id for placement in state.calls)
    missing = wanted.keys() - state.loaded[endpoint.id]
    # In a fixed order, so that all processes of a service have the same models first.
    placements = (
        ModelPlacement(endpoint.id, k) for k in sorted(missing, key=lambda k: (k not in first, k))
    )
    due = [
        placement
        for placement in placements
        if placement not in state.calls and _retry_at(placement, state) <= now
    ]
    return [
        Load(endpoint, wanted[placement.key], source)
        for placement in due[: max(0, CALLS_PER_ENDPOINT - under_way)]
    ]


def _retry_at(placement: ModelPlacement, state: State) -> float:
    failure = state.failures.get(placement)
    return failure.retry_at if failure else 0.0


def is_all_asked_for(state: State) -> bool:
    """All that is demanded has been loaded, or failed to, wherever there is an endpoint."""
    demanded = demanded_models(state)
    return not any(
        key not in state.loaded[id] and ModelPlacement(id, key) not in state.failures
        for id in state.endpoints
        for key in demanded.get(id.service, ())
    )


def _due_unloads(state: State, now: float) -> list[Unload]:
    if not state.agreed:
        return []
    return [
        Unload(state.endpoints[placement.endpoint], placement.key)
        for placement, since in sorted(state.idle.items())
        if since + LINGER_S <= now and placement not in state.calls
    ]


def next_deadline(state: State) -> float | None:
    """When to look again though nothing happens."""
    retries = (
        failure.retry_at
        for placement, failure in state.failures.items()
        if placement not in state.calls
    )
    idle = state.idle.items() if state.agreed else ()
    unloads = (since + LINGER_S for placement, since in idle if placement not in state.calls)
    return min((*state.leases.values(), *retries, *unloads), default=None)
