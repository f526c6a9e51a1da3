"""ManagerService and RegistryService: messages in, messages out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any

from google.protobuf import empty_pb2

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import manager_service_pb2_grpc as pb_grpc
from hydro.manager.v1 import pipeline_pb2
from hydro.manager.v1 import registry_service_pb2 as registry_pb
from hydro.manager.v1 import registry_service_pb2_grpc as registry_grpc
from hydro_envoy.address import Address
from hydro_envoy.errors import Nacked, NotApplied
from hydro_envoy.snapshot import ResourceChange
from hydro_envoy.xds.node_status import NodeStatus
from hydro_services import errors, pipeline_json
from hydro_services.consul.registry import Registry
from hydro_services.manager.api.peers import peer_identity
from hydro_services.manager.domain import (
    conversion,
    endpoint_transitions,
    pipeline_views,
    sidecars,
    state,
)
from hydro_services.manager.domain.state import EndpointId, State
from hydro_services.manager.engine.reconciler import Reconciler
from hydro_services.manager.rollout import executor
from hydro_services.manager.rollout.deployer import Deployer
from hydro_services.manager.telemetry import scrape_targets

MAX_CHANGE_S = 3600.0
"""How long a caller may wait for a pipeline to serve, whatever its deadline."""
LEAVE_S = 0.8
"""How long a process that leaves is kept waiting for Envoy."""


class ManagerServicer(pb_grpc.ManagerServiceServicer):
    """Keeps the pipelines."""

    def __init__(
        self, reconciler: Reconciler, deployer: Deployer, metrics: Address, home: str = ""
    ) -> None:
        """`metrics`: where the manager tells its own; `home`: as in GetStatusResponse."""
        self._home = home
        self._reconciler = reconciler
        self._deployer = deployer
        self._metrics = metrics

    async def CreatePipeline(
        self, request: pb.CreatePipelineRequest, context: Any
    ) -> pipeline_pb2.Pipeline:
        return await self._create(_requested_pipeline(request), context)

    async def UpdatePipeline(
        self, request: pb.UpdatePipelineRequest, context: Any
    ) -> pipeline_pb2.Pipeline:
        wanted = _requested_pipeline(request)
        if wanted.name not in ("", request.name):
            raise errors.InvalidArgument(
                f"name is {wanted.name[:80]!r}, want {request.name[:80]!r} as in the URL, or none"
            )
        wanted.name = request.name
        return await self._create(wanted, context)

    async def _known_state(self) -> State:
        await self._deployer.executor.wait_until_known()
        return self._reconciler.state

    async def _create(self, wanted: pipeline_pb2.Pipeline, context: Any) -> pipeline_pb2.Pipeline:
        spec = conversion.parse_spec(wanted)
        await self._known_state()
        left_s = context.time_remaining()
        # Answered a little earlier than the caller gives up: so it hears what was missing.
        limit_s = None if left_s is None else min(MAX_CHANGE_S, max(0.1, 0.95 * left_s))
        after = await self._deployer.create(spec, wanted.etag, limit_s)
        return pipeline_views.describe_pipelines(after, [spec.name])[0]

    async def GetPipeline(
        self, request: pb.GetPipelineRequest, context: Any
    ) -> pipeline_pb2.Pipeline:
        present = await self._known_state()
        if request.name not in present.names:
            await self._deployer.executor.refresh(request.name)
            present = self._reconciler.state
        if request.name not in present.names:
            raise executor.no_such_pipeline(request.name)
        return pipeline_views.describe_pipelines(present, [request.name])[0]

    async def ListPipelines(
        self, request: pb.ListPipelinesRequest, context: Any
    ) -> pb.ListPipelinesResponse:
        return pb.ListPipelinesResponse(pipelines=_describe_all(await self._known_state()))

    async def DeletePipeline(
        self, request: pb.DeletePipelineRequest, context: Any
    ) -> empty_pb2.Empty:
        await self._known_state()
        await self._deployer.delete(request.name)
        return empty_pb2.Empty()

    async def PlanPipeline(
        self, request: pb.PlanPipelineRequest, context: Any
    ) -> pb.PlanPipelineResponse:
        wanted = _requested_pipeline(request)
        await self._known_state()
        changes = await self._deployer.plan(conversion.parse_spec(wanted), wanted.etag)
        return await asyncio.to_thread(_plan_response, changes)

    async def WatchPipelines(
        self, request: pb.WatchPipelinesRequest, context: Any
    ) -> AsyncIterator[pb.WatchPipelinesResponse]:
        await self._known_state()
        last: State | None = None
        sent: list[pipeline_pb2.Pipeline] | None = None
        while True:
            # A state that has changed may still show the same: only what shows is sent.
            last = await self._reconciler.until(partial(_is_other, last), None)
            pipelines = _describe_all(last, request.name)
            if pipelines != sent:
                yield pb.WatchPipelinesResponse(pipelines=pipelines)
            sent = pipelines

    async def ListServices(
        self, request: pb.ListServicesRequest, context: Any
    ) -> pb.ListServicesResponse:
        return pb.ListServicesResponse(
            services=pipeline_views.describe_services(await self._known_state())
        )

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        return pb.GetStatusResponse(
            nodes=map(_node_message, self._reconciler.hub.nodes()),
            targets=scrape_targets.list_targets(self._reconciler, self._metrics),
            home=self._home,
        )


class RegistryServicer(registry_grpc.RegistryServiceServicer):
    """Takes in the processes of the mesh."""

    def __init__(self, reconciler: Reconciler, lease_s: float, registry: Registry | None) -> None:
        self._reconciler = reconciler
        self._lease_s = lease_s
        self._registry = registry
        """Where else to register; None: here."""

    async def RegisterEndpoint(
        self, request: registry_pb.RegisterEndpointRequest, context: Any
    ) -> registry_pb.RegisterEndpointResponse:
        if self._registry:
            way_out = f"start the part with --registry {self._registry}"
            raise errors.FailedPrecondition(f"this manager keeps no registry; {way_out}")
        endpoint = conversion.parse_endpoint(request.endpoint)
        has_sidecars = self._reconciler.has_sidecars
        sidecars.check_sidecar(endpoint, has_sidecars=has_sidecars)
        if has_sidecars:
            _check_own(context, "/".join(endpoint.id))
        expires = self._reconciler.clock() + self._lease_s
        event = partial(endpoint_transitions.register_endpoint, endpoint=endpoint, expires=expires)
        await self._reconciler.apply(event)
        response = registry_pb.RegisterEndpointResponse()
        response.lease.FromMilliseconds(round(self._lease_s * 1e3))
        return response

    async def DeregisterEndpoint(
        self, request: registry_pb.DeregisterEndpointRequest, context: Any
    ) -> registry_pb.DeregisterEndpointResponse:
        id = EndpointId(request.service, request.instance)
        if self._reconciler.has_sidecars:
            _check_own(context, "/".join(id))
        deregister = endpoint_transitions.deregister_endpoint
        event = partial(deregister, id=id, incarnation=request.incarnation)
        await self._reconciler.apply(event)
        if self._reconciler.hub.has_gateway:  # without one nothing reaches it
            await self._applied(id)
        return registry_pb.DeregisterEndpointResponse()

    async def _applied(self, id: EndpointId) -> None:
        try:
            await self._reconciler.hub.wait_applied(timeout_s=LEAVE_S)
        except Nacked:
            pass  # of something else: an endpoint that goes cannot be refused
        except NotApplied as error:
            raise errors.NotInTime(f"{'/'.join(id)} is taken out, but {error}") from error


def _requested_pipeline(
    request: pb.CreatePipelineRequest | pb.UpdatePipelineRequest | pb.PlanPipelineRequest,
) -> pipeline_pb2.Pipeline:
    has_json = request.HasField("body")
    return pipeline_json.parse_pipeline(request.body.data) if has_json else request.pipeline


def _check_own(context: Any, wanted: str) -> None:
    """Nobody registers for others."""
    if peer_identity(context) != wanted:
        shown = peer_identity(context) or "nobody"
        message = f"the sidecar is that of {shown}, want that of {wanted}; see hydro sidecar"
        raise errors.PermissionDenied(message)


def _is_other(last: State | None, current: State) -> bool:
    return last is None or not state.is_renewal(last, current)


def _describe_all(present: State, only: str = "") -> list[pipeline_pb2.Pipeline]:
    names = [name for name in present.names if only in ("", name)]
    return pipeline_views.describe_pipelines(present, names)


def _node_message(status: NodeStatus) -> pb.Node:
    refused = (pb.Refusal(type=r.type, name=r.name, message=r.message) for r in status.refused)
    node = status.node
    return pb.Node(
        id=node.id,
        role=node.role,
        lacking=len(status.lacking),
        refused=refused,
        lagging=status.is_lagging,
    )


def _plan_response(changes: Iterable[ResourceChange]) -> pb.PlanPipelineResponse:
    from hydro_envoy.resources.display import to_json  # takes a second, and only plans need it

    response = pb.PlanPipelineResponse()
    for change in changes:
        response.changes.add(
            type_url=change.type.url,
            name=change.name,
            action=change.action,
            before=to_json(change.before),
            after=to_json(change.after),
        )
    return response
