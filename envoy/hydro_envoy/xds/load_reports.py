"""The load reporting service on grpc.aio: asks Envoys about the draining clusters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from typing import Any as Message

import grpc
from envoy.service.load_stats.v3 import lrs_pb2
from grpc import aio

from hydro_envoy.xds import credential
from hydro_envoy.xds.hub import Hub
from hydro_envoy.xds.loads import PERIOD_S

SERVICE = "envoy.service.load_stats.v3.LoadReportingService"


def add_load_reports(server: aio.Server, hub: Hub, token: str = "") -> None:
    """Registers the service at a server that is not started yet; see `server.add_ads`."""

    async def handle(requests: AsyncIterator[Message], context: Message) -> None:
        if token and not credential.has_token(context.invocation_metadata() or (), token):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, credential.WANTED)
        tasks = [
            asyncio.create_task(_receive_reports(hub, requests)),
            asyncio.create_task(_request_reports(hub, context)),
            asyncio.create_task(hub.closing.wait()),
        ]
        try:
            # Whichever comes first: Envoy goes, writing to it fails, or this manager closes.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    method: grpc.RpcMethodHandler[Message, Message] = grpc.stream_stream_rpc_method_handler(
        handle,
        request_deserializer=lrs_pb2.LoadStatsRequest.FromString,
        response_serializer=lambda response: response.SerializeToString(),
    )
    handler = grpc.method_handlers_generic_handler(SERVICE, {"StreamLoadStats": method})
    server.add_generic_rpc_handlers((handler,))


async def _receive_reports(hub: Hub, requests: AsyncIterator[Message]) -> None:
    node_id = ""
    try:
        async for request in requests:
            node_id = request.node.id or node_id
            hub.report(node_id, _requests_by_cluster(request))
    finally:
        # From here on nothing is known of it: clusters are then kept for the whole time.
        hub.loads.forget(node_id)


async def _request_reports(hub: Hub, context: Message) -> None:
    """Tells an Envoy of which clusters to report, whenever these are others."""
    requested: Collection[str] | None = None
    while True:
        if (wanted := hub.draining_clusters()) != requested:
            response = lrs_pb2.LoadStatsResponse(clusters=sorted(wanted))
            response.load_reporting_interval.FromTimedelta(timedelta(seconds=PERIOD_S))
            await context.write(response)
            requested = wanted
        else:
            await hub.wait_changed()


def _requests_by_cluster(request: Message) -> dict[str, int]:
    return {
        each.cluster_name: sum(
            locality.total_requests_in_progress for locality in each.upstream_locality_stats
        )
        for each in request.cluster_stats
    }
