from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator

import grpc
import grpc.aio
import pytest
from patience import PATIENCE_S

from hydro.manager.v1 import manager_service_pb2 as manager_pb
from hydro.manager.v1 import registry_service_pb2 as pb
from hydro.manager.v1 import registry_service_pb2_grpc as pb_grpc
from hydro_envoy.address import ANY_PORT, Address
from hydro_services import registration, rpc

ENDPOINT = manager_pb.Endpoint(
    service="serving-scikit", instance="one", address="127.0.0.1:1", incarnation="a"
)


class Registry(pb_grpc.RegistryServiceServicer):
    def __init__(self) -> None:
        self.changed = asyncio.Condition()
        self.calls: list[str] = []

    async def RegisterEndpoint(
        self, request: pb.RegisterEndpointRequest, context: object
    ) -> pb.RegisterEndpointResponse:
        assert request.endpoint == ENDPOINT
        await self.note("register")
        response = pb.RegisterEndpointResponse()
        response.lease.FromMilliseconds(60)
        return response

    async def DeregisterEndpoint(
        self, request: pb.DeregisterEndpointRequest, context: object
    ) -> pb.DeregisterEndpointResponse:
        assert request.incarnation == ENDPOINT.incarnation
        await self.note("deregister")
        return pb.DeregisterEndpointResponse()

    async def note(self, call: str) -> None:
        async with self.changed:
            self.calls.append(call)
            self.changed.notify_all()

    async def seen(self, call: str, times: int) -> None:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(lambda: self.calls.count(call) >= times)


@contextlib.asynccontextmanager
async def serve(
    registry: Registry, address: Address = ANY_PORT
) -> AsyncIterator[rpc.RunningServer]:
    def register(server: grpc.aio.Server) -> None:
        pb_grpc.add_RegistryServiceServicer_to_server(registry, server)

    async with rpc.serve(address, register, (), grace_s=0.1) as served:
        yield served


async def test_lease_is_renewed_until_the_context_ends_and_then_given_up() -> None:
    registry = Registry()
    async with serve(registry) as served:
        async with registration.keep_registered(served.address, ENDPOINT):
            await registry.seen("register", 3)
        assert registry.calls[-1] == "deregister"


async def test_restarted_manager_gets_the_endpoint_again() -> None:
    async with contextlib.AsyncExitStack() as stack:
        first = Registry()
        async with serve(first) as served:
            address = served.address
            await stack.enter_async_context(registration.keep_registered(address, ENDPOINT))
            await first.seen("register", 1)
        second = Registry()
        async with serve(second, address):
            await second.seen("register", 2)
            await stack.aclose()
        assert second.calls[-1] == "deregister"


async def test_absent_manager_is_told_once_and_stops_nobody() -> None:
    async with serve(Registry()) as served:
        address = served.address
    registry = Registry()
    with told() as messages:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(registration.keep_registered(address, ENDPOINT))
            assert await messages.get() == "not registered, retrying"
            async with serve(registry, address):
                await registry.seen("register", 2)
                await stack.aclose()
        assert await messages.get() == "registered"
        assert messages.empty()


@contextlib.contextmanager
def told() -> Iterator[asyncio.Queue[str]]:
    """What the module logs."""
    messages: asyncio.Queue[str] = asyncio.Queue()
    handler = logging.Handler()
    handler.emit = lambda record: messages.put_nowait(record.getMessage())  # type: ignore[method-assign]
    level = registration.logger.level
    registration.logger.addHandler(handler)
    registration.logger.setLevel(logging.INFO)
    try:
        yield messages
    finally:
        registration.logger.removeHandler(handler)
        registration.logger.setLevel(level)


async def test_error_of_the_body_comes_through_as_it_is() -> None:
    registry = Registry()
    async with serve(registry) as served:
        with pytest.raises(KeyError):
            async with registration.keep_registered(served.address, ENDPOINT):
                raise KeyError("mine")
        assert registry.calls[-1] == "deregister"
