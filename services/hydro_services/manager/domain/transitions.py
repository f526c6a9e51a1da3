"""What happens to pipelines, and what is known of models, Envoys and other managers.

Pure transitions of the state, which know neither gRPC nor Envoy; see also `endpoint_transitions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from hydro_envoy.policy import ApiKey
from hydro_services.errors import HydroError
from hydro_services.manager.domain import readiness
from hydro_services.manager.domain.endpoint_transitions import register_endpoint
from hydro_services.manager.domain.state import (
    Endpoint,
    Model,
    PendingPipeline,
    Spec,
    State,
    StoredPipeline,
    drop_keys,
)


def restore_state(
    pipelines: Iterable[StoredPipeline],
    endpoints: Iterable[tuple[Endpoint, frozenset[str]]],
    expires: float | None,
    pending: Iterable[Spec] = (),
) -> State:
    """The state after a restart: all that was, with a last lease for each endpoint."""
    state = State(
        pipelines={p.spec.name: p for p in pipelines},
        pending={spec.name: PendingPipeline(spec) for spec in pending},
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
    # The same object where nothing has changed: what follows compares by identity, and a repository
    # lists its models again and again.
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


def start_pending(state: State, pending: PendingPipeline) -> State:
    """Somebody asks for a pipeline: its models that could not be loaded are tried afresh."""
    wanted = {(stage.service, stage.model.key) for stage in pending.stages}
    # Failures of earlier tries would refuse it at once; who asks again has perhaps mended
    # something.
    failures = {
        s: f for s, f in state.failures.items() if (s.endpoint.service, s.key) not in wanted
    }
    return replace(
        state,
        pending={**state.pending, pending.spec.name: pending},
        failures=failures,
    )


def apply_records(
    state: State,
    pipelines: Mapping[str, StoredPipeline],
    pending_pipelines: Mapping[str, PendingPipeline],
) -> State:
    """The managers that share the mesh keep these pipelines, and try these.

    What only a pending pipeline demands is asked for, though it was loaded once: another manager
    may have had it unloaded since.
    """
    new = [
        t
        for name, t in pending_pipelines.items()
        # A record comes back with each write, also of its owner or an error: only another wish
        # starts anew.
        if not _is_same_pending(t, state.pending.get(name))
    ]
    for pending in new:
        state = start_pending(state, pending)
    kept = {name: _keep_if_same(p, state.pipelines.get(name)) for name, p in pipelines.items()}
    refusals = drop_keys(
        state.refusals, state.refusals.keys() - (kept.keys() | pending_pipelines.keys())
    )
    awaited = drop_keys(state.awaited, state.awaited.keys() - pending_pipelines.keys())
    state = replace(
        state,
        pipelines=kept,
        pending=pending_pipelines,
        refusals=refusals,
        awaited=awaited,
    )
    return _forget_loaded(state, readiness.models_by_service(pending.stages for pending in new))


def _is_same_pending(pending: PendingPipeline, other: PendingPipeline | None) -> bool:
    return other is not None and (pending.spec, pending.stages) == (other.spec, other.stages)


def _keep_if_same(pipeline: StoredPipeline, old: StoredPipeline | None) -> StoredPipeline:
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


def withdraw_pending(state: State, name: str) -> State:
    """The pipeline that was asked for is not to be; the one that was there before stays."""
    return replace(
        state,
        pending=drop_keys(state.pending, [name]),
        refusals=drop_keys(state.refusals, [name]),
        awaited=drop_keys(state.awaited, [name]),
    )


def give_up_pending(state: State, spec: Spec) -> State:
    """As `withdraw_pending`, unless something else is asked for by now."""
    pending = state.pending.get(spec.name)
    return withdraw_pending(state, spec.name) if pending and pending.spec == spec else state


def deny_pending(state: State, pending: PendingPipeline, error: HydroError) -> State:
    """Envoy does not take what was published of a pending pipeline."""
    # By identity: what was refused may have been replaced while Envoy's answer was on its way.
    if state.pending.get(pending.spec.name) is not pending:
        return state
    failed = replace(pending, published=False, error=error)
    awaited = drop_keys(state.awaited, [pending.spec.name])
    return replace(
        state,
        pending={**state.pending, pending.spec.name: failed},
        awaited=awaited,
    )


def retry_pending(state: State, pending: PendingPipeline) -> State:
    """What Envoy refused is to be published once more, unless something has changed."""
    if state.pending.get(pending.spec.name) is not pending:
        return state
    return replace(
        state,
        pending={
            **state.pending,
            pending.spec.name: replace(pending, error=None),
        },
    )


def set_awaited(state: State, texts: Mapping[str, str]) -> State:
    """This is what pending pipelines wait for beside what the state tells."""
    known = {name: text for name, text in texts.items() if name in state.pending}
    return state if state.awaited == known else replace(state, awaited=known)


def keep_if_served(state: State, pending: PendingPipeline) -> State:
    """Envoys have a pending pipeline: it is kept, unless something else is asked for by now."""
    name = pending.spec.name
    return keep_pending(state, name) if state.pending.get(name) is pending else state


def keep_pending(state: State, name: str) -> State:
    """The pipeline that was asked for serves."""
    pending = state.pending[name]
    pipelines = {**state.pipelines, name: StoredPipeline(pending.spec, pending.stages)}
    return replace(withdraw_pending(state, name), pipelines=pipelines)


def delete_pipeline(state: State, name: str) -> State:
    """Without the pipeline."""
    return replace(withdraw_pending(state, name), pipelines=drop_keys(state.pipelines, [name]))


def set_lagging(state: State, envoys: Mapping[str, tuple[str, ...]]) -> State:
    """These Envoys are late with pipelines."""
    return state if state.lagging == envoys else replace(state, lagging=envoys)


def set_lagging_elsewhere(state: State, envoys: Mapping[str, tuple[str, ...]]) -> State:
    """These Envoys of other managers are."""
    return state if state.lagging_elsewhere == envoys else replace(state, lagging_elsewhere=envoys)


def confirm_publication(state: State) -> State:
    """All Envoys that keep up have all that is published."""
    # Refusals of what is published now; a pending pipeline has its own in its error.
    return replace(state, applied=True, refusals={})


def note_publication(state: State) -> State:
    """Something was published that Envoy does not have yet."""
    return replace(state, applied=False)


def set_refusals(state: State, refusals: Mapping[str, HydroError]) -> State:
    """Envoy did not take some of what was published."""
    return replace(state, applied=False, refusals=refusals)
