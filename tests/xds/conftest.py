from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from grpc import aio

from hydro_envoy.resources.builder import Builder
from hydro_envoy.xds.hub import Hub
from hydro_envoy.xds.server import KEEPALIVE, add_ads


@dataclass
class ControlPlane:
    """A hub behind a real grpc.aio server."""

    hub: Hub
    builder: Builder
    port: int


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    hub, builder, server = Hub(), Builder(), aio.server(options=KEEPALIVE)
    add_ads(server, hub)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield ControlPlane(hub, builder, port)
    hub.close()
    await server.stop(None)
