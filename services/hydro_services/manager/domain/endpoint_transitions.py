"""What happens to endpoints and the models in them, as pure transitions of the state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hydro_services.manager.domain.state import (
    REPOSITORY,
    Endpoint,
    EndpointId,
    LoadFailure,
    ModelPlacement,
    State,
    drop_keys,
)


def register_endpoint(state: State, endpoint: Endpoint, expires: float | None) -> State:
    """A new endpoint, a renewal, or a process that took the place of another.

    Without an end of its lease it stays until it deregisters.
    """
    id, old = endpoint.id, state.endpoints.get(endpoint.id)
    # Another incarnation of the process: what the earlier one had loaded, or was loading, is gone.
    if old and old.incarnation != endpoint.incarnation:
        state = remove_endpoint(state, id)
    leases = drop_keys(state.leases, [id])
    state = replace(state, leases=leases if expires is None else {**leases, id: expires})
    if old == endpoint:
        return state
    endpoints = {**state.endpoints, id: endpoint}
    loaded = {id: frozenset[str](), **state.loaded}
    return _update_formats(replace(state, endpoints=endpoints, loaded=loaded), endpoint.service)


def remove_endpoint(state: State, id: EndpointId) -> State:
    """Without the endpoint, and without what was known of its models."""
    return replace(
        state,
        endpoints=drop_keys(state.endpoints, [id]),
        leases=drop_keys(state.leases, [id]),
        loaded=drop_keys(state.loaded, [id]),
        calls=frozenset(s for s in state.calls if s.endpoint != id),
        failures={s: f for s, f in state.failures.items() if s.endpoint != id},
        idle={s: t for s, t in state.idle.items() if s.endpoint != id},
    )


def deregister_endpoint(state: State, id: EndpointId, incarnation: str) -> State:
    """Without the endpoint, if it is still this incarnation."""
    present = state.endpoints.get(id)
    return remove_endpoint(state, id) if present and present.incarnation == incarnation else state


def apply_discovery(
    state: State,
    endpoints: Iterable[Endpoint],
    ill_until: Mapping[EndpointId, float],
    gone_at: float | None,
) -> State:
    """Consul has answered which endpoints are healthy; others are gone, or stay for a while.

    Args:
        state: the present one.
        endpoints: all whose checks pass.
        ill_until: until when those stay that Consul has, but thinks ill.
        gone_at: when all others are gone; None: now. Consul that has just come back may not have
            been told of all of them again.
    """
    healthy = {endpoint.id: endpoint for endpoint in endpoints}
    for id in state.endpoints.keys() - healthy.keys():
        end = ill_until.get(id, gone_at)
        if end is None:
            state = remove_endpoint(state, id)
        elif id not in state.leases:
            state = replace(state, leases={**state.leases, id: end})
    for endpoint in healthy.values():
        state = register_endpoint(state, endpoint, None)
    return state


def start_call(state: State, placement: ModelPlacement, *, unload: bool) -> State:
    """A call is under way. What is being unloaded counts as gone from its start."""
    state = replace(state, calls=state.calls | {placement})
    return _set_loaded(state, placement, loaded=False) if unload else state


def finish_load(state: State, placement: ModelPlacement, incarnation: str) -> State:
    """The endpoint has the model."""
    # The answer may be that of a process that has been replaced meanwhile.
    if not _is_current(state, placement, incarnation):
        return state
    state = replace(state, failures=drop_keys(state.failures, [placement]))
    return _set_loaded(_end_call(state, placement), placement, loaded=True)


def fail_load(
    state: State, placement: ModelPlacement, incarnation: str, failure: LoadFailure
) -> State:
    """The endpoint does not have the model."""
    if not _is_current(state, placement, incarnation):
        return state
    return replace(_end_call(state, placement), failures={**state.failures, placement: failure})


def finish_unload(state: State, placement: ModelPlacement, incarnation: str) -> State:
    """The endpoint has been asked to unload the model."""
    return _end_call(state, placement) if _is_current(state, placement, incarnation) else state


def _update_formats(state: State, service: str) -> State:
    of_service = [e for e in state.endpoints.values() if e.service == service]
    formats = frozenset(format for endpoint in of_service for format in endpoint.formats)
    if service == REPOSITORY or state.services.get(service) == formats:
        return state
    return replace(state, services={**state.services, service: formats})


def _is_current(state: State, placement: ModelPlacement, incarnation: str) -> bool:
    endpoint = state.endpoints.get(placement.endpoint)
    return endpoint is not None and endpoint.incarnation == incarnation


def _end_call(state: State, placement: ModelPlacement) -> State:
    return replace(state, calls=state.calls - {placement})


def _set_loaded(state: State, placement: ModelPlacement, *, loaded: bool) -> State:
    present = state.loaded[placement.endpoint]
    keys = present | {placement.key} if loaded else present - {placement.key}
    idle = drop_keys(state.idle, [placement])
    return replace(state, loaded={**state.loaded, placement.endpoint: keys}, idle=idle)
