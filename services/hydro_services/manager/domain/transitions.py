"""What happens to pipelines, and what is known of models, Envoys and other managers.

Pure transitions of the state, which know neither gRPC nor Envoy; see also `endpoint_transitions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from hydro_envoy.mesh import ApiKey
from hydro_services.errors import HydroError
from hydro_services.manager.domain import readiness
from hydro_services.manager.domain.endpoint_transitions import register_endpoint
from hydro_services.manager.domain.state import (
    Endpoint,
    Model,
    Pipeline,
    Spec,
    State,
    Trial,
    drop_keys,
)


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


def replace_catalogue(
    state: State,
    catalogue: tuple[Model, ...],
    unpublished: Mapping[tuple[str, str], HydroError] = MappingProxyType({}),
) -> State:
    """The repository has listed its models; what has not changed stays the same object."""
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


def set_awaited(state: State, texts: Mapping[str, str]) -> State:
    """This is what pending pipelines wait for beside what the state tells."""
    known = {name: text for name, text in texts.items() if name in state.trials}
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


def set_lagging(state: State, envoys: Mapping[str, tuple[str, ...]]) -> State:
    """These Envoys are late with pipelines."""
    return state if state.lagging == envoys else replace(state, lagging=envoys)


def set_lagging_elsewhere(state: State, envoys: Mapping[str, tuple[str, ...]]) -> State:
    """These Envoys of other managers are."""
    return state if state.lagging_elsewhere == envoys else replace(state, lagging_elsewhere=envoys)


def confirm_publication(state: State) -> State:
    """All Envoys that keep up have all that is published."""
    return replace(state, applied=True, refusals={})


def note_publication(state: State) -> State:
    """Something was published that Envoy does not have yet."""
    return replace(state, applied=False)


def set_refusals(state: State, refusals: Mapping[str, HydroError]) -> State:
    """Envoy did not take some of what was published."""
    return replace(state, applied=False, refusals=refusals)
