"""Pipelines and services as users see them, with what they wait for. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from hydro.manager.v1 import manager_service_pb2 as manager_pb
from hydro.manager.v1 import pipeline_pb2 as pipeline_pb
from hydro_services import errors
from hydro_services.errors import HydroError, Unavailable
from hydro_services.manager.domain import readiness
from hydro_services.manager.domain.conversion import endpoint_message, pipeline_message
from hydro_services.manager.domain.state import (
    PendingPipeline,
    State,
    StoredPipeline,
)


def describe_pipelines(state: State, names: Iterable[str]) -> list[pipeline_pb.Pipeline]:
    """Pipelines that are kept or pending, as users see them."""
    ready = readiness.ready_endpoints(state)
    return [_describe_pipeline(name, state, ready) for name in names]


def _describe_pipeline(
    name: str, state: State, ready: readiness.ReadyEndpoints
) -> pipeline_pb.Pipeline:
    """What serves, with what is to take its place; or, where nothing does, that alone."""
    kept, pending = state.pipelines.get(name), state.pending.get(name)
    if kept is None:
        return _describe_pending(state.pending[name], state, ready)
    message = _describe_kept(kept, state, ready)
    if pending and pending.asked:
        message.pending.CopyFrom(_describe_pending(pending, state, ready))
        if message.state == pipeline_pb.PIPELINE_STATE_READY:
            message.error.CopyFrom(message.pending.error)
    return message


def _describe_pending(
    pending: PendingPipeline, state: State, ready: readiness.ReadyEndpoints
) -> pipeline_pb.Pipeline:
    message = pipeline_message(pending.spec, pending.stages)
    error = readiness.describe_blocker(pending, state, ready)
    is_passing = readiness.is_passing(error)
    message.state = (
        pipeline_pb.PIPELINE_STATE_PENDING if is_passing else pipeline_pb.PIPELINE_STATE_FAILED
    )
    message.error.CopyFrom(errors.to_status(error))
    return message


def _describe_kept(
    pipeline: StoredPipeline, state: State, ready: readiness.ReadyEndpoints
) -> pipeline_pb.Pipeline:
    message = pipeline_message(pipeline.spec, pipeline.stages)
    obstacle = readiness.find_permanent_load_failure(pipeline.stages, state, ready)
    lacking = readiness.missing_loads(pipeline.stages, state, ready)
    message.state = pipeline_pb.PIPELINE_STATE_READY
    if lacking:
        message.state = pipeline_pb.PIPELINE_STATE_PENDING
    if obstacle:
        message.state = pipeline_pb.PIPELINE_STATE_FAILED
    error = obstacle or _change_obstacle(pipeline, state, ready)
    if lacking:
        error = error or Unavailable("; ".join(lacking))
    if error:
        message.error.CopyFrom(errors.to_status(error))
    message.lagging.extend(_lagging_envoys(pipeline.spec.name, state))
    return message


def _lagging_envoys(name: str, state: State) -> list[str]:
    return sorted({*state.lagging.get(name, ()), *state.lagging_elsewhere.get(name, ())})


def _change_obstacle(
    pipeline: StoredPipeline, state: State, ready: readiness.ReadyEndpoints
) -> HydroError | None:
    """What keeps it from taking its newest change."""
    target = pipeline.target or ()
    return (
        readiness.find_permanent_load_failure(target, state, ready)
        or readiness.find_transient_load_failure(target, state, ready)
        or state.refusals.get(pipeline.spec.name)
        or pipeline.error
    )


def describe_services(state: State) -> list[manager_pb.Service]:
    """All services that are known, with the endpoints that have a lease."""
    by_service = readiness.ready_endpoints(state)
    ready = {endpoint.id for endpoints in by_service.values() for endpoint in endpoints}
    names = {*state.services, *(id.service for id in state.endpoints)}
    return [
        manager_pb.Service(
            name=name,
            endpoints=[
                endpoint_message(endpoint, ready=id in ready)
                for id, endpoint in sorted(state.endpoints.items())
                if id.service == name
            ],
        )
        for name in sorted(names)
    ]
