"""Which models pipelines are to have: what a chain means now, what is newer, what may take over.

Pure. What Envoy is to do follows in `mesh_plan`, the calls to runtimes in `call_plan`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hydro_services.errors import HydroError, Unavailable
from hydro_services.manager.domain import chain, column_check, compatibility
from hydro_services.manager.domain.readiness import (
    missing_loads,
    models_by_service,
    ready_endpoints,
)
from hydro_services.manager.domain.references import Chain, errors_of_variant
from hydro_services.manager.domain.state import (
    Model,
    PendingPipeline,
    ResolvedStage,
    Spec,
    Stages,
    State,
    StoredPipeline,
)


def resolve_spec(spec: Spec, state: State) -> Stages:
    """The stages of all chains of a pipeline by what is there now.

    Raises:
        InvalidArgument, ModelRefused, Unavailable: see `chain.resolve_chain` and
            `column_check.check_columns`.
    """
    if state.catalogue is None:
        raise Unavailable("nothing is known of the models: no repository has told of them yet")
    if not state.services:
        raise Unavailable("nothing is known of the services: no runtime has registered yet")
    stages: list[ResolvedStage] = []
    problems: list[HydroError] = []
    for variant, references in spec.chains.items():
        try:
            with errors_of_variant(variant):
                stages += _resolve_chain(references, state)
        except HydroError as error:
            problems.append(error)
    if problems:
        raise chain.gravest_error(problems)
    return tuple(stages)


def _resolve_chain(references: Chain, state: State) -> Stages:
    catalogue = state.catalogue or ()
    stages = chain.resolve_chain(references, state.services, catalogue, state.unpublished)
    column_check.check_columns(stages)
    return stages


def resolve_pending(pending: PendingPipeline, state: State) -> PendingPipeline:
    """A pending pipeline with its models as they are there now; the same object once published.

    A service that nobody has heard of since this manager started may be about to register again.
    """
    # Once Envoys have it, other models would be another change. And without a catalogue, as when
    # this manager has just started, nothing is known that could be better than what it had.
    if pending.published or (pending.stages and state.catalogue is None):
        return pending
    try:
        if absent := chain.absent_services(pending.spec.references, state.services):
            # Its models were found before: a process that registers again soon must not cost it
            # that.
            if pending.stages:
                return pending
            raise Unavailable(f"no process of service {absent[0]!r} is there", service=absent[0])
        stages = resolve_spec(pending.spec, state)
    except HydroError as error:
        is_known = pending.error is not None and pending.error.message == error.message
        is_same = is_known and not pending.stages
        return pending if is_same else replace(pending, stages=(), error=error)
    # The same object where nothing has changed: others recognize it by its identity.
    is_same = _model_keys(stages) == _model_keys(pending.stages)
    return pending if is_same else replace(pending, stages=stages, error=None)


def stale_pending(before: State, after: State) -> list[str]:
    """The pending pipelines that what happened since may concern: see `resolve_pending`."""
    waiting = {name: t for name, t in after.pending.items() if not t.published}
    # Parts of a state that have not changed are the same objects, so comparing them costs nothing.
    if before.services is not after.services or before.catalogue is None:
        return list(waiting)
    if not waiting or not (models := _changed_models(before, after)):
        return []
    return [
        name
        for name, pending in waiting.items()
        if not models.isdisjoint(each.model for each in pending.spec.references)
    ]


def resolve_all_pending(state: State, names: Iterable[str]) -> State:
    """With these pending pipelines by what is there now."""
    pending_pipelines = {name: resolve_pending(state.pending[name], state) for name in names}
    if all(pending is state.pending[name] for name, pending in pending_pipelines.items()):
        return state
    return replace(state, pending={**state.pending, **pending_pipelines})


def stale_pipelines(before: State, after: State) -> list[str]:
    """The pipelines that what happened since may concern: see `retarget_pipelines`."""
    if before.services is not after.services or before.catalogue is None:
        return list(after.pipelines)
    models = _changed_models(before, after)
    return [
        name
        for name, pipeline in after.pipelines.items()
        if pipeline is not before.pipelines.get(name)
        or not models.isdisjoint(stage.model.name for stage in pipeline.stages)
    ]


def _changed_models(before: State, after: State) -> set[str]:
    """Those of which versions came, went or changed, or are refused or read now or before."""
    models = _changed_names(before.catalogue or (), after.catalogue or ())
    if before.unpublished is not after.unpublished:
        models |= {name for name, _ in before.unpublished.keys() | after.unpublished.keys()}
    return models


def _changed_names(before: Iterable[Model], after: Iterable[Model]) -> set[str]:
    """The models of which versions came, went or changed."""
    if before is after:
        return set()
    found, wanted = ({(model.name, model.key) for model in models} for models in (before, after))
    return {name for name, _ in found ^ wanted}


def retarget_pipelines(state: State, names: Iterable[str]) -> State:
    """Compares pipelines with the catalogue: what is newer becomes their target."""
    if state.catalogue is None:
        return state
    pipelines = {name: _retarget_pipeline(state.pipelines[name], state) for name in names}
    return replace(state, pipelines={**state.pipelines, **pipelines}) if pipelines else state


def _retarget_pipeline(pipeline: StoredPipeline, state: State) -> StoredPipeline:
    if chain.absent_services(pipeline.spec.references, state.services):
        return pipeline
    try:
        stages = resolve_spec(pipeline.spec, state)
        # Against what clients send and read today, not only stage against stage.
        compatibility.check_compatible(pipeline.spec, pipeline.stages, stages)
    except HydroError as error:
        return replace(pipeline, target=None, error=error)
    target = None if _model_keys(stages) == _model_keys(pipeline.stages) else stages
    return replace(pipeline, target=target, error=None)


def promote_loaded(state: State) -> State:
    """Switches the pipelines whose new models are loaded wherever traffic goes."""
    # Once for all: which endpoints take traffic depends on what is published before this step.
    ready = ready_endpoints(state)
    pending_pipelines = {
        name: replace(t, published=True)
        for name, t in state.pending.items()
        if t.stages and not (t.published or t.error) and not missing_loads(t.stages, state, ready)
    }
    pipelines = {
        name: replace(p, stages=p.target, target=None)
        for name, p in state.pipelines.items()
        if p.target and not missing_loads(p.target, state, ready)
    }
    if not pending_pipelines and not pipelines:
        return state
    return replace(
        state,
        pending={**state.pending, **pending_pipelines},
        pipelines={**state.pipelines, **pipelines},
    )


def assume_loaded(state: State) -> State:
    """As it will be when all that is demanded is loaded wherever traffic goes."""
    demanded = demanded_models(state)
    loaded = {
        endpoint.id: state.loaded[endpoint.id] | demanded.get(service, {}).keys()
        for service, endpoints in ready_endpoints(state).items()
        for endpoint in endpoints
    }
    return promote_loaded(replace(state, loaded={**state.loaded, **loaded}))


def demanded_models(state: State) -> dict[str, dict[str, Model]]:
    """The models that each service should have, by key: what serves, and what is to serve."""
    wanted = [p.stages for p in state.pipelines.values()]
    wanted += [p.target for p in state.pipelines.values() if p.target]
    return models_by_service([*wanted, *(t.stages for t in state.pending.values())])


def _model_keys(stages: Stages) -> list[tuple[str, str]]:
    return [(stage.service, stage.model.key) for stage in stages]
