"""The aggregated discovery service on grpc.aio: a thin pump between streams and the hub.

Messages are those of xds-protos (fast); the resources in them are bytes, packed long before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any as Message
from typing import NamedTuple, TypeAlias

import grpc
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.any_pb2 import Any
from grpc import aio

from hydro_envoy.nodes import METADATA, Node
from hydro_envoy.snapshot import TYPE_BY_URL, Resource
from hydro_envoy.xds import credential, load_reports
from hydro_envoy.xds.hub import Hub
from hydro_envoy.xds.messages import Request, Response
from hydro_envoy.xds.stream import XdsStream

logger = logging.getLogger(__name__)

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"


KEEPALIVE = (
    ("grpc.keepalive_time_ms", 2_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # of gRPC's own PINGs: one at a time is under way
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
)
"""Options of the server: the connection of an Envoy that is frozen, or cut off, is closed within
7 s. One that is busy with a large change answers between two of its messages."""
MAX_NAMES = 200_000
"""A stream may ask for so many resources of a type by name: what it asks for is remembered."""

PEER = "x-forwarded-client-cert"
"""What a sidecar says of the certificate of who calls."""
Admit: TypeAlias = Callable[[Node, str], bool]
"""Whether an Envoy may get what is for a node; the second is what `PEER` has, or empty."""


def add_ads(
    server: aio.Server, hub: Hub, admit: Admit = lambda node, peer: True, token: str = ""
) -> None:
    """Registers both variants of ADS at a server that is not started yet.

    With a token, those who do not show it are UNAUTHENTICATED.

    Streams last until Envoy or `hub.close()` ends them; close the hub before stopping the server.
    """
    methods = {
        "StreamAggregatedResources": _method(
            hub, admit, token, discovery_pb2.DiscoveryRequest, _sotw_request, _sotw_response
        ),
        "DeltaAggregatedResources": _method(
            hub,
            admit,
            token,
            discovery_pb2.DeltaDiscoveryRequest,
            _delta_request,
            _delta_response,
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    load_reports.add_load_reports(server, hub, token)


def _method(
    hub: Hub,
    admit: Admit,
    token: str,
    message: Message,
    read: Callable[[Message], Request],
    write: Callable[[Response], Message],
) -> grpc.RpcMethodHandler[Message, Message]:
    async def handle(requests: AsyncIterator[Message], context: Message) -> None:
        metadata = tuple(context.invocation_metadata() or ())
        if token and not credential.has_token(metadata, token):
            logger.warning("stream of an envoy refused: it does not show the mesh's token")
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, credential.WANTED)
        peer = str(dict(metadata).get(PEER, ""))
        stream = hub.connect(incremental=message is discovery_pb2.DeltaDiscoveryRequest)
        try:
            async with asyncio.TaskGroup() as tasks:
                # Requests are read while responses are written: an Envoy that waits for us to read
                # before it reads would otherwise wait for ever.
                receiving = tasks.create_task(
                    _receive(stream, requests, read, lambda node: admit(node, peer))
                )
                async for response in stream.responses():
                    await context.write(write(response))
        finally:
            stream.close()
        # Only here, after both tasks: `abort` while the other task writes would end the call with
        # INTERNAL.
        if refused := receiving.result():
            extra = {"node_id": stream.node.id, "peer": peer, "error": refused.message}
            logger.warning("stream of an envoy refused", extra=extra)
            await context.abort(refused.code, refused.message)

    return grpc.stream_stream_rpc_method_handler(
        handle,
        request_deserializer=message.FromString,
        response_serializer=lambda response: response.SerializeToString(),
    )


class _Refusal(NamedTuple):
    """Why a stream is ended."""

    code: grpc.StatusCode
    message: str


async def _receive(
    stream: XdsStream,
    requests: AsyncIterator[Message],
    read: Callable[[Message], Request],
    admit: Callable[[Node], bool],
) -> _Refusal | None:
    try:
        async for message in requests:
            if message.type_url not in TYPE_BY_URL:  # of other types we have nothing
                continue
            node = _node(message) or Node("")
            # Before the hub knows it: a stranger with a good token never sees another Envoy's
            # resources.
            if not stream.is_known and not admit(node):
                text = f"node {node.id!r} is not who its certificate says"
                return _Refusal(grpc.StatusCode.PERMISSION_DENIED, text)
            request = read(message)
            stream.receive(request, node)
            if (names := stream.session.count_names(request.type)) > MAX_NAMES:
                text = f"asked for {names} resources of type {request.type.label} by name"
                limit = f"{text}, want at most {MAX_NAMES}"
                return _Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, limit)
    finally:
        # Envoy has gone, or is refused: this ends `responses`, and with it the call.
        stream.close()
    return None


def _node(message: Message) -> Node | None:
    """The node of the first request; later ones may leave it out."""
    if not message.node.id:
        return None
    fields = message.node.metadata.fields
    metadata = {name: fields[name].string_value for name in METADATA}
    return Node(message.node.id, message.node.cluster, **metadata)


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
