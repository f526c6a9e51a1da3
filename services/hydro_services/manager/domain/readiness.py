"""What serves, where traffic goes, and what a chain still lacks. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from hydro_services.errors import HydroError, ModelRefused, ModelSuspended, Unavailable
from hydro_services.manager.domain.state import (
    Endpoint,
    EndpointId,
    LoadFailure,
    Model,
    ModelPlacement,
    PendingPipeline,
    ResolvedStage,
    Spec,
    Stages,
    State,
)

MAX_NAMED = 3
"""Most processes that lack a model and are named; of more only their number is given."""

ReadyEndpoints: TypeAlias = Mapping[str, tuple[Endpoint, ...]]
"""The endpoints that take traffic, by service; see `ready_endpoints`."""


def published_stages(state: State) -> dict[str, Stages]:
    """What is published, by pipeline."""
    published = {name: t.stages for name, t in state.pending.items() if t.published}
    return {name: p.stages for name, p in state.pipelines.items()} | published


def published_specs(state: State) -> dict[str, Spec]:
    """What the users want of what is published, by pipeline."""
    published = {name: t.spec for name, t in state.pending.items() if t.published}
    return {name: p.spec for name, p in state.pipelines.items()} | published


def models_by_service(chains: Iterable[Stages]) -> dict[str, dict[str, Model]]:
    """The models of chains, by service and key."""
    models: defaultdict[str, dict[str, Model]] = defaultdict(dict)
    for stages in chains:
        for stage in stages:
            models[stage.service][stage.model.key] = stage.model
    return dict(models)


def ready_endpoints(state: State) -> ReadyEndpoints:
    """The endpoints that take traffic, by service, sorted by instance.

    An endpoint takes traffic when it has every model that its service serves. A model that no
    endpoint of the service can load keeps none out: only the pipelines that use it suffer.
    """
    required = models_by_service(published_stages(state).values())
    by_service: defaultdict[str, list[Endpoint]] = defaultdict(list)
    for _, endpoint in sorted(state.endpoints.items()):
        by_service[endpoint.service].append(endpoint)
    return {
        service: tuple(_select_ready(endpoints, required.get(service, {}).keys(), state))
        for service, endpoints in by_service.items()
    }


def _select_ready(
    endpoints: Iterable[Endpoint], required: Iterable[str], state: State
) -> Iterable[Endpoint]:
    ids = [endpoint.id for endpoint in endpoints]
    # What no process can load is asked of none: otherwise one broken model would take all others of
    # the service out of traffic.
    needed = {key for key in required if not _is_hopeless(key, ids, state)}
    return (endpoint for endpoint in endpoints if needed <= state.loaded[endpoint.id])


def _is_hopeless(key: str, ids: Iterable[EndpointId], state: State) -> bool:
    failures = [found for id in ids if (found := state.failures.get(ModelPlacement(id, key)))]
    # It ends processes: those that still have it are about to be without it, too.
    if any(isinstance(failure.error, ModelSuspended) for failure in failures):
        return True
    has_it = any(key in state.loaded[id] for id in ids)
    return not has_it and any(failure.final for failure in failures)


def find_permanent_load_failure(
    stages: Stages, state: State, ready: ReadyEndpoints
) -> ModelRefused | None:
    """Why stages cannot be loaded, as far as trying again will hardly help."""
    if not state.failures:
        return None
    for stage in stages:
        # Those that take traffic count; if there are none, any that has tried.
        for endpoint in ready.get(stage.service) or _endpoints_of(stage.service, state):
            failure = state.failures.get(ModelPlacement(endpoint.id, stage.model.key))
            if failure and failure.final:
                return _load_refusal(stage, endpoint, failure)
    return None


def _load_refusal(stage: ResolvedStage, endpoint: Endpoint, failure: LoadFailure) -> ModelRefused:
    place = f"{endpoint.service}/{endpoint.instance}"
    message = f"model {stage.model.key} cannot be loaded on {place}: {failure.error.message}"
    return ModelRefused(message, stage=stage.name, model=stage.model.name, endpoint=place)


def find_transient_load_failure(
    stages: Stages, state: State, ready: ReadyEndpoints
) -> Unavailable | None:
    """Why stages are not loaded yet, where that was tried in vain and will be tried again."""
    for stage in stages:
        for endpoint in ready.get(stage.service, ()):
            if failure := state.failures.get(ModelPlacement(endpoint.id, stage.model.key)):
                place = f"{endpoint.service}/{endpoint.instance}"
                message = f"model {stage.model.key} is not loaded on {place} yet"
                return Unavailable(f"{message}: {failure.error.message}", endpoint=place)
    return None


def missing_loads(stages: Stages, state: State, ready: ReadyEndpoints) -> tuple[str, ...]:
    """What is still to happen before stages can serve, as texts for users."""
    return tuple(
        dict.fromkeys(text for stage in stages for text in _missing_loads_of(stage, state, ready))
    )


def _missing_loads_of(stage: ResolvedStage, state: State, ready: ReadyEndpoints) -> list[str]:
    endpoints, key = ready.get(stage.service, ()), stage.model.key
    if not endpoints:
        return [f"service {stage.service!r} has no endpoint that is ready"]
    without = [i for i, e in enumerate(endpoints, 1) if key not in state.loaded[e.id]]
    texts = [
        f"stage {stage.name!r}: model {key} is not loaded on {'/'.join(endpoint.id)} yet, "
        f"process {i} of {len(endpoints)} ({_describe_load(place, state)})"
        for i, endpoint in ((i, endpoints[i - 1]) for i in without[:MAX_NAMED])
        for place in [ModelPlacement(endpoint.id, key)]
    ]
    more = len(without) - MAX_NAMED
    return [*texts, f"nor on {more} more processes of {stage.service!r}"] if more > 0 else texts


def _describe_load(placement: ModelPlacement, state: State) -> str:
    if failure := state.failures.get(placement):
        return failure.error.message
    return "it is being loaded" if placement in state.calls else "it is loaded when others are"


def describe_blocker(pending: PendingPipeline, state: State, ready: ReadyEndpoints) -> HydroError:
    """What a pipeline waits for, as `Unavailable`; or what it fails on until that is changed."""
    if pending.error:
        return pending.error
    if not pending.published and (
        found := find_permanent_load_failure(pending.stages, state, ready)
    ):
        return found
    return _next_event(pending, state, ready)


def is_passing(error: HydroError) -> bool:
    """Whether a blocker passes by itself: then the pipeline is PENDING, and has not FAILED."""
    return isinstance(error, Unavailable)


def _next_event(pending: PendingPipeline, state: State, ready: ReadyEndpoints) -> Unavailable:
    lacks = () if pending.published else missing_loads(pending.stages, state, ready)
    for stage in pending.stages if lacks else ():
        endpoints, key = ready.get(stage.service, ()), stage.model.key
        having = sum(key in state.loaded[endpoint.id] for endpoint in endpoints)
        if not endpoints or having < len(endpoints):
            facts = {"loaded": str(having), "processes": str(len(endpoints))}
            what = {"awaits": "load", "stage": stage.name, "model": stage.model.name}
            return Unavailable("; ".join(lacks), **what, **facts)
    if not pending.stages:
        return Unavailable("its models have not been looked for yet", awaits="read")
    whom = "envoys" if pending.published else "managers"
    usual = f"its models are loaded; waits for {whom.capitalize()} to take it"
    return Unavailable(state.awaited.get(pending.spec.name, usual), awaits=whom)


def _endpoints_of(service: str, state: State) -> Iterable[Endpoint]:
    return (endpoint for id, endpoint in sorted(state.endpoints.items()) if id.service == service)
