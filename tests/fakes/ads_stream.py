"""A fake Envoy on the wire: `EnvoyClient` with a grpc.aio stream to an ADS server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2
from envoy_client import EnvoyClient
from google.rpc import status_pb2
from grpc import aio

from hydro_envoy.resources.display import to_json
from hydro_envoy.snapshot import (
    MANAGER_CLUSTER,
    TYPE_BY_URL,
    Ref,
    Resource,
    ResourceType,
    make_resource,
)
from hydro_envoy.xds.messages import Request, Response
from hydro_envoy.xds.server import SERVICE


class AdsStream:
    """Keeps a client up to date until it is left. What breaks a rule is raised on leaving."""

    def __init__(self, port: int, client: EnvoyClient, *, node_id: str = "fake") -> None:
        self.client = client
        self._node_id = node_id
        # A connection of its own: one that a stream before had may just be ending.
        own = (("grpc.use_local_subchannel_pool", 1),)
        self._channel = aio.insecure_channel(f"127.0.0.1:{port}", own)
        self._pump: asyncio.Task[None] | None = None
        self._first = True

    async def __aenter__(self) -> AdsStream:
        name = "Delta" if self.client.incremental else "Stream"
        response = (
            discovery_pb2.DeltaDiscoveryResponse
            if self.client.incremental
            else discovery_pb2.DiscoveryResponse
        )
        method: aio.StreamStreamMultiCallable[Any, Any] = self._channel.stream_stream(
            f"/{SERVICE}/{name}AggregatedResources",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        self._call = method()
        self._pump = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._pump is not None
        self._call.cancel()
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)
        await self._channel.close()
        if not self._pump.cancelled() and (error := self._pump.exception()):
            raise error

    async def _run(self) -> None:
        try:
            for type_ in ResourceType:
                await self._send(self.client.start(type_))
            async for message in self._call:
                await self._send(self.client.answer(self._response(message)))
        except (aio.AioRpcError, asyncio.InvalidStateError):
            return  # the stream ended, by us or by the server

    async def _send(self, requests: Iterable[Request]) -> None:
        for request in requests:
            message = _delta(request) if self.client.incremental else _sotw(request)
            if self._first:
                message.node.id = self._node_id
                message.node.metadata.update({"role": "gateway"})
                self._first = False
            await self._call.write(message)

    def _response(self, message: Any) -> Response:
        type_ = TYPE_BY_URL[message.type_url]
        if self.client.incremental:
            found = [_resource(type_, r.resource) for r in message.resources]
            assert [(r.name, r.version) for r in message.resources] == [
                (r.name, r.version) for r in found
            ]
            removed = tuple(message.removed_resources)
            return Response(type_, message.nonce, "-", tuple(found), removed)
        found = [_resource(type_, body) for body in message.resources]
        return Response(type_, message.nonce, message.version_info, tuple(found))


def _resource(type_: ResourceType, body: Any) -> Resource:
    """The resource with its name and references as its content has them."""
    assert body.type_url == type_.url
    content = json.loads(to_json(make_resource(type_, "", body.value)))
    name = content["cluster_name" if type_ is ResourceType.ENDPOINTS else "name"]
    return make_resource(type_, name, body.value, _references(type_, content))


def _references(type_: ResourceType, content: dict[str, Any]) -> set[Ref]:
    if type_ is ResourceType.CLUSTER:
        is_eds = "eds_cluster_config" in content
        return {Ref(ResourceType.ENDPOINTS, content["name"])} if is_eds else set()
    if type_ is ResourceType.SCOPE:
        return {Ref(ResourceType.ROUTES, content["route_configuration_name"])}
    objects = [*_objects(content)] if type_ is not ResourceType.ENDPOINTS else []
    clusters = {o.get(key) for o in objects for key in ("cluster", "cluster_name")}
    filters = {o["name"] for o in objects if "config_discovery" in o}
    return {
        Ref(ResourceType.CLUSTER, name)
        for name in clusters - {MANAGER_CLUSTER}
        if isinstance(name, str)
    } | {Ref(ResourceType.FILTER, name) for name in filters}


def _objects(content: Any) -> Iterator[dict[str, Any]]:
    """All objects, however deep."""
    if isinstance(content, list):
        for each in content:
            yield from _objects(each)
    elif isinstance(content, dict):
        yield content
        for value in content.values():
            yield from _objects(value)


def _delta(request: Request) -> Any:
    message = discovery_pb2.DeltaDiscoveryRequest(
        type_url=request.type.url,
        response_nonce=request.nonce,
        resource_names_subscribe=request.subscribe,
        resource_names_unsubscribe=request.unsubscribe,
        initial_resource_versions=request.initial_versions,
    )
    return _with_error(message, request)


def _sotw(request: Request) -> Any:
    message = discovery_pb2.DiscoveryRequest(
        type_url=request.type.url, response_nonce=request.nonce, resource_names=request.names
    )
    return _with_error(message, request)


def _with_error(message: Any, request: Request) -> Any:
    if request.error is not None:
        message.error_detail.CopyFrom(status_pb2.Status(code=13, message=request.error))
    return message
