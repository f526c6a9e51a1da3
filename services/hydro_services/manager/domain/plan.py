"""What follows from the state: the mesh for Envoy, the calls to runtimes, the next look. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import TypeAlias

from hydro_envoy import mesh as envoy
from hydro_envoy.address import Address
from hydro_services.errors import HydroError, Unavailable
from hydro_services.manager.domain import chain, column_check, compatibility, policies, sidecars
from hydro_services.manager.domain.readiness import (
    Takers,
    find_hindrance,
    is_passing,
    missing_loads,
    models_by_service,
    published_specs,
    published_stages,
    ready_endpoints,
)
from hydro_services.manager.domain.references import Chain, errors_of_variant
from hydro_services.manager.domain.state import (
    REPOSITORY,
    Endpoint,
    Model,
    Pipeline,
    Slot,
    Spec,
    Stage,
    Stages,
    State,
    Trial,
)

LINGER_S = 10.0
"""How long a model stays loaded after the last pipeline that used it was switched or deleted."""
CALLS_PER_ENDPOINT = 4
"""So many models an endpoint is told to load at a time."""


@dataclass(frozen=True, slots=True)
class Load:
    """A model is to be loaded into an endpoint."""

    endpoint: Endpoint
    model: Model
    repository: Address
    """Where to load it from."""

    @property
    def slot(self) -> Slot:
        return Slot(self.endpoint.id, self.model.key)


@dataclass(frozen=True, slots=True)
class Unload:
    """A model is no longer to be kept by an endpoint."""

    endpoint: Endpoint
    key: str

    @property
    def slot(self) -> Slot:
        return Slot(self.endpoint.id, self.key)


Call: TypeAlias = Load | Unload


def resolve_spec(spec: Spec, state: State) -> Stages:
    """The stages of all chains of a pipeline by what is there now.

    Raises:
        InvalidArgument, ModelRefused, Unavailable: see `chain.resolve` and `column_check.check`.
    """
    if state.catalogue is None:
        raise Unavailable("nothing is known of the models: no repository has told of them yet")
    if not state.services:
        raise Unavailable("nothing is known of the services: no runtime has registered yet")
    found: list[Stage] = []
    problems: list[HydroError] = []
    for variant, references in spec.chains.items():
        try:
            with errors_of_variant(variant):
                found += _resolve_chain(references, state)
        except HydroError as error:
            problems.append(error)
    if problems:
        raise chain.gravest_error(problems)
    return tuple(found)


def _resolve_chain(references: Chain, state: State) -> Stages:
    catalogue = state.catalogue or ()
    stages = chain.resolve_chain(references, state.services, catalogue, state.unpublished)
    column_check.check_columns(stages)
    return stages


def reconsider_trial(trial: Trial, state: State) -> Trial:
    """A trial that is not published, with its models as they are there now; else the same object.

    A service that nobody has heard of since this manager started may be about to register again.
    """
    if trial.published or (trial.stages and state.catalogue is None):
        return trial
    try:
        if absent := chain.absent_services(trial.spec.references, state.services):
            if trial.stages:
                return trial
            raise Unavailable(f"no process of service {absent[0]!r} is there", service=absent[0])
        stages = resolve_spec(trial.spec, state)
    except HydroError as error:
        is_known = trial.error is not None and trial.error.message == error.message
        is_same = is_known and not trial.stages
        return trial if is_same else replace(trial, stages=(), error=error)
    is_same = _model_keys(stages) == _model_keys(trial.stages)
    return trial if is_same else replace(trial, stages=stages, error=None)


def stale_trials(before: State, after: State) -> list[str]:
    """The trials that what happened since may concern: see `reconsidered`."""
    waiting = {name: t for name, t in after.trials.items() if not t.published}
    if before.services is not after.services or before.catalogue is None:
        return list(waiting)
    if not waiting or not (models := _changed_models(before, after)):
        return []
    return [
        name
        for name, trial in waiting.items()
        if not models.isdisjoint(each.model for each in trial.spec.references)
    ]


def reconsider_trials(state: State, names: Iterable[str]) -> State:
    """With these trials by what is there now."""
    trials = {name: reconsider_trial(state.trials[name], state) for name in names}
    if all(trial is state.trials[name] for name, trial in trials.items()):
        return state
    return replace(state, trials={**state.trials, **trials})


def stale_pipelines(before: State, after: State) -> list[str]:
    """The pipelines that what happened since may concern: see `retargeted`."""
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


def _retarget_pipeline(pipeline: Pipeline, state: State) -> Pipeline:
    if chain.absent_services(pipeline.spec.references, state.services):
        return pipeline
    try:
        stages = resolve_spec(pipeline.spec, state)
        compatibility.check_compatible(pipeline.spec, pipeline.stages, stages)
    except HydroError as error:
        return replace(pipeline, target=None, error=error)
    target = None if _model_keys(stages) == _model_keys(pipeline.stages) else stages
    return replace(pipeline, target=target, error=None)


def switch_loaded(state: State) -> State:
    """Switches the pipelines whose new models are loaded wherever traffic goes."""
    takers = ready_endpoints(state)
    trials = {
        name: replace(t, published=True)
        for name, t in state.trials.items()
        if t.stages and not (t.published or t.error) and not missing_loads(t.stages, state, takers)
    }
    pipelines = {
        name: replace(p, stages=p.target, target=None)
        for name, p in state.pipelines.items()
        if p.target and not missing_loads(p.target, state, takers)
    }
    if not trials and not pipelines:
        return state
    return replace(
        state,
        trials={**state.trials, **trials},
        pipelines={**state.pipelines, **pipelines},
    )


def imagine_loaded(state: State) -> State:
    """As it will be when all that is demanded is loaded wherever traffic goes."""
    demanded = demanded_models(state)
    loaded = {
        endpoint.id: state.loaded[endpoint.id] | demanded.get(service, {}).keys()
        for service, endpoints in ready_endpoints(state).items()
        for endpoint in endpoints
    }
    return switch_loaded(replace(state, loaded={**state.loaded, **loaded}))


def age_idle_models(state: State, now: float) -> State:
    """Notes since when each loaded model is of no use, and forgets failures that are.

    The time counts from when Envoy has what is published: until then it may send rows to it.
    """
    demanded = demanded_models(state)
    unused = (
        Slot(id, key)
        for id, keys in state.loaded.items()
        for key in keys - demanded.get(id.service, {}).keys()
    )
    idle = {s: state.idle.get(s, now) for s in unused if state.applied or s in state.idle}
    failures = {
        slot: failure
        for slot, failure in state.failures.items()
        if slot.key in demanded.get(slot.endpoint.service, {})
    }
    if idle == state.idle and len(failures) == len(state.failures):
        return state
    return replace(state, idle=idle, failures=failures)


def demanded_models(state: State) -> dict[str, dict[str, Model]]:
    """The models that each service should have, by key: what serves, and what is to serve."""
    wanted = [p.stages for p in state.pipelines.values()]
    wanted += [p.target for p in state.pipelines.values() if p.target]
    return models_by_service([*wanted, *(t.stages for t in state.trials.values())])


def build_mesh(state: State, base: envoy.Mesh) -> envoy.Mesh:
    """What Envoy is to do: the base with its gateway and edges, and our backends and pipelines.

    A service stays a backend without endpoints, because live streams end with its cluster.
    """
    published, endpoints, wanted = (
        published_stages(state),
        ready_endpoints(state),
        published_specs(state),
    )
    names = {REPOSITORY, *state.services} | {s.service for p in published.values() for s in p}
    return replace(
        base,
        backends=tuple(_build_backend(name, endpoints.get(name, ())) for name in sorted(names)),
        pipelines=tuple(
            _build_pipeline(wanted[name], published[name], state.access)
            for name in sorted(published)
        ),
        api_keys=state.api_keys or (),
        sidecars=base.sidecars + _build_sidecars(state),
        pending=_pending_pipelines(state, endpoints),
    )


def _pending_pipelines(state: State, takers: Takers) -> tuple[envoy.Pending, ...]:
    """The pipelines of which nothing serves yet."""
    waiting = (t for _, t in sorted(state.trials.items()) if t.asked and not t.published)
    return tuple(
        envoy.Pending(t.spec.name, has_failed=not is_passing(find_hindrance(t, state, takers)))
        for t in waiting
        if t.spec.name not in state.pipelines
    )


def _build_backend(name: str, endpoints: Iterable[Endpoint]) -> envoy.Backend:
    found = sorted(e.sidecar or e.traffic for e in endpoints)
    return envoy.Backend(name, tuple(found))


def _build_sidecars(state: State) -> tuple[envoy.Sidecar, ...]:
    """Of all processes that have one, whether ready or not: the manager reaches them by it."""
    found = (each for _, each in sorted(state.endpoints.items()))
    return tuple(sidecars.endpoint_sidecar(e, e.sidecar) for e in found if e.sidecar)


def _build_pipeline(spec: Spec, stages: Stages, access: envoy.Access | None) -> envoy.Pipeline:
    by_stage = policies.stage_policies(spec.policy)
    chains = {
        variant: tuple(
            envoy.Stage(
                s.service,
                s.model.key,
                s.name,
                policies.own_stage_policy(by_stage, spec, variant, s.name),
            )
            for s in found
        )
        for variant, found in spec.split(stages).items()
    }
    traffic = policies.mesh_traffic(spec.traffic, chains)
    policy = policies.mesh_policy(spec.policy, access)
    return envoy.Pipeline(spec.name, chains[envoy.MAIN], policy, traffic)


def find_repository(state: State) -> Endpoint | None:
    """The repository to load from."""
    return next((e for id, e in sorted(state.endpoints.items()) if id.service == REPOSITORY), None)


def due_calls(state: State, now: float) -> tuple[Call, ...]:
    """What runtimes are to be told now."""
    demanded, source = demanded_models(state), find_repository(state)
    served = models_by_service(published_stages(state).values())
    due: list[Call] = []
    for id, endpoint in sorted(state.endpoints.items()):
        if source and id.service in demanded:
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
    under_way = sum(slot.endpoint == endpoint.id for slot in state.calls)
    missing = wanted.keys() - state.loaded[endpoint.id]
    slots = (Slot(endpoint.id, k) for k in sorted(missing, key=lambda k: (k not in first, k)))
    due = [slot for slot in slots if slot not in state.calls and _retry_at(slot, state) <= now]
    return [
        Load(endpoint, wanted[slot.key], source)
        for slot in due[: max(0, CALLS_PER_ENDPOINT - under_way)]
    ]


def _retry_at(slot: Slot, state: State) -> float:
    failure = state.failures.get(slot)
    return failure.retry_at if failure else 0.0


def is_all_asked_for(state: State) -> bool:
    """All that is demanded has been loaded, or failed to, wherever there is an endpoint."""
    demanded = demanded_models(state)
    return not any(
        key not in state.loaded[id] and Slot(id, key) not in state.failures
        for id in state.endpoints
        for key in demanded.get(id.service, ())
    )


def _due_unloads(state: State, now: float) -> list[Unload]:
    if not state.agreed:
        return []
    return [
        Unload(state.endpoints[slot.endpoint], slot.key)
        for slot, since in sorted(state.idle.items())
        if since + LINGER_S <= now and slot not in state.calls
    ]


def next_deadline(state: State) -> float | None:
    """When to look again though nothing happens."""
    retries = (
        failure.retry_at for slot, failure in state.failures.items() if slot not in state.calls
    )
    idle = state.idle.items() if state.agreed else ()
    unloads = (since + LINGER_S for slot, since in idle if slot not in state.calls)
    return min((*state.leases.values(), *retries, *unloads), default=None)


def _model_keys(stages: Stages) -> list[tuple[str, str]]:
    return [(stage.service, stage.model.key) for stage in stages]
