"""What happens, as pure transitions of the state. Knows neither gRPC nor Envoy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from hydro_envoy.mesh import ApiKey
from hydro_services.errors import HydroError
from hydro_services.manager.domain import readiness
from hydro_services.manager.domain.state import (
    REPOSITORY,
    Endpoint,
    EndpointId,
    LoadFailure,
    Model,
    Pipeline,
    Slot,
    Spec,
    State,
    Trial,
)

K = TypeVar("K")
V = TypeVar("V")


def restored(
    pipelines: Iterable[Pipeline],
    endpoints: Iterable[tuple[Endpoint, frozenset[str]]],
    expires: float | None,
    pending: Iterable[Spec] = (),
) -> State:
    """The state after a restart: all that was, with a last lease for each endpoint."""
    state = State(
        pipelines={p.spec.name: p for p in pipelines},
        trials={spec.name: Trial(spec) for spec in pending},
    )
    for endpoint, loaded in endpoints:
        state = registered(state, endpoint, expires)
        state = replace(state, loaded={**state.loaded, endpoint.id: loaded})
    return state


def registered(state: State, endpoint: Endpoint, expires: float | None) -> State:
    """A new endpoint, a renewal, or a process that took the place of another.

    Without an end of its lease it stays until it is said to be gone.
    """
    id, old = endpoint.id, state.endpoints.get(endpoint.id)
    if old and old.incarnation != endpoint.incarnation:
        state = removed(state, id)
    leases = _without(state.leases, [id])
    state = replace(state, leases=leases if expires is None else {**leases, id: expires})
    if old == endpoint:
        return state
    endpoints = {**state.endpoints, id: endpoint}
    loaded = {id: frozenset[str](), **state.loaded}
    return _with_formats(replace(state, endpoints=endpoints, loaded=loaded), endpoint.service)


def removed(state: State, id: EndpointId) -> State:
    """Without the endpoint, and without what was known of its models."""
    return replace(
        state,
        endpoints=_without(state.endpoints, [id]),
        leases=_without(state.leases, [id]),
        loaded=_without(state.loaded, [id]),
        calls=frozenset(s for s in state.calls if s.endpoint != id),
        failures={s: f for s, f in state.failures.items() if s.endpoint != id},
        idle={s: t for s, t in state.idle.items() if s.endpoint != id},
    )


def deregistered(state: State, id: EndpointId, incarnation: str) -> State:
    """Without the endpoint, if it is still this incarnation."""
    present = state.endpoints.get(id)
    return removed(state, id) if present and present.incarnation == incarnation else state


def expired(state: State, now: float) -> State:
    """Without the endpoints whose lease has ended."""
    for id in [id for id, end in state.leases.items() if end <= now]:
        state = removed(state, id)
    return state


def discovered(
    state: State,
    endpoints: Iterable[Endpoint],
    ill_until: Mapping[EndpointId, float],
    gone_at: float | None,
) -> State:
    """Consul has told which endpoints are well; the others are gone, or stay for a while.

    Args:
        state: the present one.
        endpoints: all whose checks pass.
        ill_until: until when those stay that Consul has, but thinks ill.
        gone_at: when all others are gone; None: now. Consul that has just come back may not have
            been told of all of them again.
    """
    found = {endpoint.id: endpoint for endpoint in endpoints}
    for id in state.endpoints.keys() - found.keys():
        end = ill_until.get(id, gone_at)
        if end is None:
            state = removed(state, id)
        elif id not in state.leases:
            state = replace(state, leases={**state.leases, id: end})
    for endpoint in found.values():
        state = registered(state, endpoint, None)
    return state


def catalogued(
    state: State,
    catalogue: tuple[Model, ...],
    unpublished: Mapping[tuple[str, str], HydroError] = MappingProxyType({}),
) -> State:
    """The repository has told what there is; what is as it was stays the same object."""
    if catalogue == state.catalogue:
        catalogue = state.catalogue
    if _texts(unpublished) == _texts(state.unpublished):
        unpublished = state.unpublished
    return replace(state, catalogue=catalogue, unpublished=unpublished)


def _texts(found: Mapping[tuple[str, str], HydroError]) -> dict[tuple[str, str], str]:
    return {key: error.message for key, error in found.items()}


def keyed(state: State, api_keys: tuple[ApiKey, ...]) -> State:
    """There are other API keys."""
    return replace(state, api_keys=api_keys)


def tried(state: State, trial: Trial) -> State:
    """Somebody asks for a pipeline: its models that could not be loaded are tried afresh."""
    wanted = {(stage.service, stage.model.key) for stage in trial.stages}
    failures = {
        s: f for s, f in state.failures.items() if (s.endpoint.service, s.key) not in wanted
    }
    return replace(state, trials={**state.trials, trial.spec.name: trial}, failures=failures)


def recorded(state: State, pipelines: Mapping[str, Pipeline], trials: Mapping[str, Trial]) -> State:
    """The managers that share the mesh keep these pipelines, and try these.

    What only a trial demands is asked for, though it was loaded once: another manager may have
    had it unloaded since.
    """
    new = [t for name, t in trials.items() if not _is_same(t, state.trials.get(name))]
    for trial in new:
        state = tried(state, trial)
    kept = {name: _known(p, state.pipelines.get(name)) for name, p in pipelines.items()}
    refusals = _without(state.refusals, state.refusals.keys() - (kept.keys() | trials.keys()))
    awaited = _without(state.awaited, state.awaited.keys() - trials.keys())
    state = replace(state, pipelines=kept, trials=trials, refusals=refusals, awaited=awaited)
    return _forgotten(state, readiness.models(trial.stages for trial in new))


def _is_same(trial: Trial, other: Trial | None) -> bool:
    return other is not None and (trial.spec, trial.stages) == (other.spec, other.stages)


def _known(pipeline: Pipeline, old: Pipeline | None) -> Pipeline:
    """With what we know of it, if it is the same."""
    is_same = old and (old.spec, old.stages) == (pipeline.spec, pipeline.stages)
    return old if old and is_same else pipeline


def _forgotten(state: State, models: Mapping[str, Mapping[str, Model]]) -> State:
    """Without knowledge that endpoints have these models, where nothing served demands them."""
    served = readiness.models(readiness.serving(state).values())
    idle = {s: found.keys() - served.get(s, {}).keys() for s, found in models.items()}
    loaded = {id: keys - idle.get(id.service, set()) for id, keys in state.loaded.items()}
    return state if loaded == state.loaded else replace(state, loaded=loaded)


def agreed(state: State, agree: bool) -> State:
    """All managers demand the same models, or no longer do."""
    return state if state.agreed == agree else replace(state, agreed=agree)


def cold(state: State) -> State:
    """Nothing is to be published until what is to be loaded has been asked for."""
    return replace(state, is_warm=False)


def warmed(state: State) -> State:
    """It may be published."""
    return state if state.is_warm else replace(state, is_warm=True)


def withdrawn(state: State, name: str) -> State:
    """The pipeline that was asked for is not to be; the one that was there before stays."""
    return replace(
        state,
        trials=_without(state.trials, [name]),
        refusals=_without(state.refusals, [name]),
        awaited=_without(state.awaited, [name]),
    )


def given_up(state: State, spec: Spec) -> State:
    """As `withdrawn`, unless something else is asked for by now."""
    trial = state.trials.get(spec.name)
    return withdrawn(state, spec.name) if trial and trial.spec == spec else state


def denied(state: State, trial: Trial, error: HydroError) -> State:
    """Envoy does not take what was published of a trial."""
    if state.trials.get(trial.spec.name) is not trial:
        return state
    failed = replace(trial, published=False, error=error)
    awaited = _without(state.awaited, [trial.spec.name])
    return replace(state, trials={**state.trials, trial.spec.name: failed}, awaited=awaited)


def retried(state: State, trial: Trial) -> State:
    """What Envoy refused of a trial is to be published once more, unless something has changed."""
    if state.trials.get(trial.spec.name) is not trial:
        return state
    return replace(state, trials={**state.trials, trial.spec.name: replace(trial, error=None)})


def awaited(state: State, found: Mapping[str, str]) -> State:
    """This is what pending pipelines wait for beside what the state tells."""
    known = {name: text for name, text in found.items() if name in state.trials}
    return state if state.awaited == known else replace(state, awaited=known)


def served(state: State, trial: Trial) -> State:
    """Envoys have a trial: it is kept, unless something else is asked for by now."""
    name = trial.spec.name
    return kept(state, name) if state.trials.get(name) is trial else state


def kept(state: State, name: str) -> State:
    """The pipeline that was asked for serves."""
    trial = state.trials[name]
    pipelines = {**state.pipelines, name: Pipeline(trial.spec, trial.stages)}
    return replace(withdrawn(state, name), pipelines=pipelines)


def deleted(state: State, name: str) -> State:
    """Without the pipeline."""
    return replace(withdrawn(state, name), pipelines=_without(state.pipelines, [name]))


def started(state: State, slot: Slot, *, unload: bool) -> State:
    """A call is under way. What is being unloaded counts as gone from its start."""
    state = replace(state, calls=state.calls | {slot})
    return _holding(state, slot, loaded=False) if unload else state


def load_succeeded(state: State, slot: Slot, incarnation: str) -> State:
    """The endpoint has the model."""
    if not _is_current(state, slot, incarnation):
        return state
    state = replace(state, failures=_without(state.failures, [slot]))
    return _holding(_finished(state, slot), slot, loaded=True)


def load_failed(state: State, slot: Slot, incarnation: str, failure: LoadFailure) -> State:
    """The endpoint does not have the model."""
    if not _is_current(state, slot, incarnation):
        return state
    return replace(_finished(state, slot), failures={**state.failures, slot: failure})


def unload_ended(state: State, slot: Slot, incarnation: str) -> State:
    """The endpoint was told that nobody demands the model."""
    return _finished(state, slot) if _is_current(state, slot, incarnation) else state


def lagging(state: State, found: Mapping[str, tuple[str, ...]]) -> State:
    """These Envoys are late with pipelines."""
    return state if state.lagging == found else replace(state, lagging=found)


def lagging_elsewhere(state: State, found: Mapping[str, tuple[str, ...]]) -> State:
    """These Envoys of other managers are."""
    return state if state.lagging_elsewhere == found else replace(state, lagging_elsewhere=found)


def confirmed(state: State) -> State:
    """All Envoys that keep up have all that is published."""
    return replace(state, applied=True, refusals={})


def published(state: State) -> State:
    """Something was published that Envoy does not have yet."""
    return replace(state, applied=False)


def refused(state: State, refusals: Mapping[str, HydroError]) -> State:
    """Envoy did not take some of what was published."""
    return replace(state, applied=False, refusals=refusals)


def _with_formats(state: State, service: str) -> State:
    of_service = [e for e in state.endpoints.values() if e.service == service]
    formats = frozenset(format for endpoint in of_service for format in endpoint.formats)
    if service == REPOSITORY or state.services.get(service) == formats:
        return state
    return replace(state, services={**state.services, service: formats})


def _is_current(state: State, slot: Slot, incarnation: str) -> bool:
    endpoint = state.endpoints.get(slot.endpoint)
    return endpoint is not None and endpoint.incarnation == incarnation


def _finished(state: State, slot: Slot) -> State:
    return replace(state, calls=state.calls - {slot})


def _holding(state: State, slot: Slot, *, loaded: bool) -> State:
    present = state.loaded[slot.endpoint]
    keys = present | {slot.key} if loaded else present - {slot.key}
    idle = _without(state.idle, [slot])
    return replace(state, loaded={**state.loaded, slot.endpoint: keys}, idle=idle)


def _without(mapping: Mapping[K, V], keys: Iterable[K]) -> Mapping[K, V]:
    gone = set(keys)
    return {k: v for k, v in mapping.items() if k not in gone} if gone & mapping.keys() else mapping
