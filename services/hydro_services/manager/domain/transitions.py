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


def restore_state(
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
        state = register_endpoint(state, endpoint, expires)
        state = replace(state, loaded={**state.loaded, endpoint.id: loaded})
    return state


def register_endpoint(state: State, endpoint: Endpoint, expires: float | None) -> State:
    """A new endpoint, a renewal, or a process that took the place of another.

    Without an end of its lease it stays until it is said to be gone.
    """
    id, old = endpoint.id, state.endpoints.get(endpoint.id)
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


def expire_leases(state: State, now: float) -> State:
    """Without the endpoints whose lease has ended."""
    for id in [id for id, end in state.leases.items() if end <= now]:
        state = remove_endpoint(state, id)
    return state


def apply_discovery(
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
            state = remove_endpoint(state, id)
        elif id not in state.leases:
            state = replace(state, leases={**state.leases, id: end})
    for endpoint in found.values():
        state = register_endpoint(state, endpoint, None)
    return state


def replace_catalogue(
    state: State,
    catalogue: tuple[Model, ...],
    unpublished: Mapping[tuple[str, str], HydroError] = MappingProxyType({}),
) -> State:
    """The repository has told what there is; what is as it was stays the same object."""
    if catalogue == state.catalogue:
        catalogue = state.catalogue
    if _message_texts(unpublished) == _message_texts(state.unpublished):
        unpublished = state.unpublished
    return replace(state, catalogue=catalogue, unpublished=unpublished)


def _message_texts(found: Mapping[tuple[str, str], HydroError]) -> dict[tuple[str, str], str]:
    return {key: error.message for key, error in found.items()}


def replace_api_keys(state: State, api_keys: tuple[ApiKey, ...]) -> State:
    """There are other API keys."""
    return replace(state, api_keys=api_keys)


def start_trial(state: State, trial: Trial) -> State:
    """Somebody asks for a pipeline: its models that could not be loaded are tried afresh."""
    wanted = {(stage.service, stage.model.key) for stage in trial.stages}
    failures = {
        s: f for s, f in state.failures.items() if (s.endpoint.service, s.key) not in wanted
    }
    return replace(state, trials={**state.trials, trial.spec.name: trial}, failures=failures)


def apply_records(
    state: State, pipelines: Mapping[str, Pipeline], trials: Mapping[str, Trial]
) -> State:
    """The managers that share the mesh keep these pipelines, and try these.

    What only a trial demands is asked for, though it was loaded once: another manager may have
    had it unloaded since.
    """
    new = [t for name, t in trials.items() if not _is_same_trial(t, state.trials.get(name))]
    for trial in new:
        state = start_trial(state, trial)
    kept = {name: _keep_if_same(p, state.pipelines.get(name)) for name, p in pipelines.items()}
    refusals = drop_keys(state.refusals, state.refusals.keys() - (kept.keys() | trials.keys()))
    awaited = drop_keys(state.awaited, state.awaited.keys() - trials.keys())
    state = replace(state, pipelines=kept, trials=trials, refusals=refusals, awaited=awaited)
    return _forget_loaded(state, readiness.models_by_service(trial.stages for trial in new))


def _is_same_trial(trial: Trial, other: Trial | None) -> bool:
    return other is not None and (trial.spec, trial.stages) == (other.spec, other.stages)


def _keep_if_same(pipeline: Pipeline, old: Pipeline | None) -> Pipeline:
    """With what we know of it, if it is the same."""
    is_same = old and (old.spec, old.stages) == (pipeline.spec, pipeline.stages)
    return old if old and is_same else pipeline


def _forget_loaded(state: State, models: Mapping[str, Mapping[str, Model]]) -> State:
    """Without knowledge that endpoints have these models, where nothing served demands them."""
    served = readiness.models_by_service(readiness.published_stages(state).values())
    idle = {s: found.keys() - served.get(s, {}).keys() for s, found in models.items()}
    loaded = {id: keys - idle.get(id.service, set()) for id, keys in state.loaded.items()}
    return state if loaded == state.loaded else replace(state, loaded=loaded)


def set_agreement(state: State, agree: bool) -> State:
    """All managers demand the same models, or no longer do."""
    return state if state.agreed == agree else replace(state, agreed=agree)


def hold_publication(state: State) -> State:
    """Nothing is to be published until what is to be loaded has been asked for."""
    return replace(state, is_warm=False)


def allow_publication(state: State) -> State:
    """It may be published."""
    return state if state.is_warm else replace(state, is_warm=True)


def withdraw_trial(state: State, name: str) -> State:
    """The pipeline that was asked for is not to be; the one that was there before stays."""
    return replace(
        state,
        trials=drop_keys(state.trials, [name]),
        refusals=drop_keys(state.refusals, [name]),
        awaited=drop_keys(state.awaited, [name]),
    )


def give_up_trial(state: State, spec: Spec) -> State:
    """As `withdrawn`, unless something else is asked for by now."""
    trial = state.trials.get(spec.name)
    return withdraw_trial(state, spec.name) if trial and trial.spec == spec else state


def deny_trial(state: State, trial: Trial, error: HydroError) -> State:
    """Envoy does not take what was published of a trial."""
    if state.trials.get(trial.spec.name) is not trial:
        return state
    failed = replace(trial, published=False, error=error)
    awaited = drop_keys(state.awaited, [trial.spec.name])
    return replace(state, trials={**state.trials, trial.spec.name: failed}, awaited=awaited)


def retry_trial(state: State, trial: Trial) -> State:
    """What Envoy refused of a trial is to be published once more, unless something has changed."""
    if state.trials.get(trial.spec.name) is not trial:
        return state
    return replace(state, trials={**state.trials, trial.spec.name: replace(trial, error=None)})


def set_awaited(state: State, found: Mapping[str, str]) -> State:
    """This is what pending pipelines wait for beside what the state tells."""
    known = {name: text for name, text in found.items() if name in state.trials}
    return state if state.awaited == known else replace(state, awaited=known)


def keep_served_trial(state: State, trial: Trial) -> State:
    """Envoys have a trial: it is kept, unless something else is asked for by now."""
    name = trial.spec.name
    return keep_trial(state, name) if state.trials.get(name) is trial else state


def keep_trial(state: State, name: str) -> State:
    """The pipeline that was asked for serves."""
    trial = state.trials[name]
    pipelines = {**state.pipelines, name: Pipeline(trial.spec, trial.stages)}
    return replace(withdraw_trial(state, name), pipelines=pipelines)


def delete_pipeline(state: State, name: str) -> State:
    """Without the pipeline."""
    return replace(withdraw_trial(state, name), pipelines=drop_keys(state.pipelines, [name]))


def start_call(state: State, slot: Slot, *, unload: bool) -> State:
    """A call is under way. What is being unloaded counts as gone from its start."""
    state = replace(state, calls=state.calls | {slot})
    return _set_loaded(state, slot, loaded=False) if unload else state


def finish_load(state: State, slot: Slot, incarnation: str) -> State:
    """The endpoint has the model."""
    if not _is_current(state, slot, incarnation):
        return state
    state = replace(state, failures=drop_keys(state.failures, [slot]))
    return _set_loaded(_end_call(state, slot), slot, loaded=True)


def fail_load(state: State, slot: Slot, incarnation: str, failure: LoadFailure) -> State:
    """The endpoint does not have the model."""
    if not _is_current(state, slot, incarnation):
        return state
    return replace(_end_call(state, slot), failures={**state.failures, slot: failure})


def finish_unload(state: State, slot: Slot, incarnation: str) -> State:
    """The endpoint was told that nobody demands the model."""
    return _end_call(state, slot) if _is_current(state, slot, incarnation) else state


def set_lagging(state: State, found: Mapping[str, tuple[str, ...]]) -> State:
    """These Envoys are late with pipelines."""
    return state if state.lagging == found else replace(state, lagging=found)


def set_lagging_elsewhere(state: State, found: Mapping[str, tuple[str, ...]]) -> State:
    """These Envoys of other managers are."""
    return state if state.lagging_elsewhere == found else replace(state, lagging_elsewhere=found)


def confirm_publication(state: State) -> State:
    """All Envoys that keep up have all that is published."""
    return replace(state, applied=True, refusals={})


def note_publication(state: State) -> State:
    """Something was published that Envoy does not have yet."""
    return replace(state, applied=False)


def set_refusals(state: State, refusals: Mapping[str, HydroError]) -> State:
    """Envoy did not take some of what was published."""
    return replace(state, applied=False, refusals=refusals)


def _update_formats(state: State, service: str) -> State:
    of_service = [e for e in state.endpoints.values() if e.service == service]
    formats = frozenset(format for endpoint in of_service for format in endpoint.formats)
    if service == REPOSITORY or state.services.get(service) == formats:
        return state
    return replace(state, services={**state.services, service: formats})


def _is_current(state: State, slot: Slot, incarnation: str) -> bool:
    endpoint = state.endpoints.get(slot.endpoint)
    return endpoint is not None and endpoint.incarnation == incarnation


def _end_call(state: State, slot: Slot) -> State:
    return replace(state, calls=state.calls - {slot})


def _set_loaded(state: State, slot: Slot, *, loaded: bool) -> State:
    present = state.loaded[slot.endpoint]
    keys = present | {slot.key} if loaded else present - {slot.key}
    idle = drop_keys(state.idle, [slot])
    return replace(state, loaded={**state.loaded, slot.endpoint: keys}, idle=idle)


def drop_keys(mapping: Mapping[K, V], keys: Iterable[K]) -> Mapping[K, V]:
    gone = set(keys)
    return {k: v for k, v in mapping.items() if k not in gone} if gone & mapping.keys() else mapping
