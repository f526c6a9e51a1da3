"""The aggregated discovery service on grpc.aio: a thin pump between streams and the hub.

Messages are those of xds-protos (fast); the resources in them are bytes, packed long before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any as Message
from typing import TypeAlias

import grpc
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.any_pb2 import Any
from grpc import aio

from hydro_envoy.hub import Connection, Hub
from hydro_envoy.session import Request, Response
from hydro_envoy.snapshot import TYPE_BY_URL, Resource
from hydro_envoy.views import Node

logger = logging.getLogger(__name__)

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"


PEER = "x-forwarded-client-cert"
"""What a sidecar says of the certificate of who calls."""
Admit: TypeAlias = Callable[[Node, str], bool]
"""Whether an Envoy may get what is for a node; the second is what `PEER` has, or empty."""


def add_ads(server: aio.Server, hub: Hub, admit: Admit = lambda node, peer: True) -> None:
    """Registers both variants of ADS at a server that is not started yet.

    Streams last until Envoy or `hub.close()` ends them; close the hub before stopping the server.
    """
    methods = {
        "StreamAggregatedResources": _method(
            hub, admit, discovery_pb2.DiscoveryRequest, _sotw_request, _sotw_response
        ),
        "DeltaAggregatedResources": _method(
            hub, admit, discovery_pb2.DeltaDiscoveryRequest, _delta_request, _delta_response
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))


def _method(
    hub: Hub,
    admit: Admit,
    message: Message,
    read: Callable[[Message], Request],
    write: Callable[[Response], Message],
) -> grpc.RpcMethodHandler[Message, Message]:
    async def handle(requests: AsyncIterator[Message], context: Message) -> None:
        peer = str(dict(context.invocation_metadata() or ()).get(PEER, ""))
        connection = hub.connect(incremental=message is discovery_pb2.DeltaDiscoveryRequest)
        try:
            async with asyncio.TaskGroup() as tasks:
                receiving = tasks.create_task(
                    _receive(connection, requests, read, lambda node: admit(node, peer))
                )
                async for response in connection.responses():
                    await context.write(write(response))
        finally:
            connection.close()
        if refused := receiving.result():
            logger.warning("envoy refused", extra={"node_id": refused.id, "peer": peer})
            text = f"node {refused.id!r} is not who its certificate says"
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, text)

    return grpc.stream_stream_rpc_method_handler(
        handle,
        request_deserializer=message.FromString,
        response_serializer=lambda response: response.SerializeToString(),
    )


async def _receive(
    connection: Connection,
    requests: AsyncIterator[Message],
    read: Callable[[Message], Request],
    admit: Callable[[Node], bool],
) -> Node | None:
    """The node that is not admitted, if so."""
    try:
        async for message in requests:
            if message.type_url not in TYPE_BY_URL:  # of other types we have nothing
                continue
            node = _node(message)
            if not connection.is_known and not admit(node or Node("")):
                return node or Node("")
            connection.receive(read(message), node)
    finally:
        connection.close()
    return None


def _node(message: Message) -> Node | None:
    """The node of the first request; later ones may leave it out."""
    if not message.node.id:
        return None
    told = message.node.metadata.fields
    role, tls, metrics = (told[key].string_value for key in ("role", "tls", "metrics"))
    return Node(message.node.id, message.node.cluster, role, tls, metrics)


def _error(message: Message) -> str | None:
    return message.error_detail.message if message.HasField("error_detail") else None


def _sotw_request(message: Message) -> Request:
    return Request(
        TYPE_BY_URL[message.type_url],
        nonce=message.response_nonce,
        error=_error(message),
        names=tuple(message.resource_names),
    )


def _sotw_response(response: Response) -> Message:
    return discovery_pb2.DiscoveryResponse(
        version_info=response.version,
        resources=[_any(r) for r in response.resources],
        type_url=response.type.url,
        nonce=response.nonce,
    )


def _delta_request(message: Message) -> Request:
    return Request(
        TYPE_BY_URL[message.type_url],
        nonce=message.response_nonce,
        error=_error(message),
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial_versions=dict(message.initial_resource_versions),
    )


def _delta_response(response: Response) -> Message:
    return discovery_pb2.DeltaDiscoveryResponse(
        system_version_info=response.version,
        resources=[
            discovery_pb2.Resource(name=r.name, version=r.version, resource=_any(r))
            for r in response.resources
        ],
        removed_resources=response.removed,
        type_url=response.type.url,
        nonce=response.nonce,
    )


def _any(resource: Resource) -> Any:
    return Any(type_url=resource.type.url, value=resource.body)
