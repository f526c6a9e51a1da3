"""What others of the machine, who reach the mesh's loopback, get from its processes: nothing."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from clients import Clients
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as ext_proc
from patience import PATIENCE_S
from whole_mesh import WholeMesh

from hydro.manager.v1 import registry_service_pb2 as registry_pb
from hydro.manager.v1 import registry_service_pb2_grpc as registry
from hydro.repository.v1 import repository_service_pb2 as repository_pb
from hydro.repository.v1 import repository_service_pb2_grpc as repository
from hydro.runtime.v1 import runtime_service_pb2 as runtime_pb
from hydro.runtime.v1 import runtime_service_pb2_grpc as runtime
from hydro.serving.v1 import frame_pb2, prediction_service_pb2_grpc
from hydro_envoy.address import Address
from hydro_envoy.headers import MESH_TOKEN
from hydro_envoy.xds.credential import traffic_token
from hydro_services import rpc
from hydro_services.security import credential

pytestmark = pytest.mark.e2e

LISTENING = "0A"
Call = Callable[[grpc.aio.Channel, tuple[tuple[str, str], ...]], Awaitable[Any]]


def ports(mesh: WholeMesh) -> Iterator[int]:
    """Where processes of the mesh listen, but for Envoys, which know whom to let in."""
    listening = {}
    tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
    for line in (line for table in tables for line in table.splitlines()[1:]):
        fields = line.split()
        if fields[3] == LISTENING:
            listening[f"socket:[{fields[9]}]"] = int(fields[1].rpartition(":")[2], 16)
    for pid, name in mesh.processes().items():
        if name == "envoy":
            continue
        for file in Path(f"/proc/{pid}/fd").iterdir():
            if (port := listening.get(os.readlink(file))) is not None:
                yield port


def predict(channel: grpc.aio.Channel, shown: tuple[tuple[str, str], ...]) -> Awaitable[Any]:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return stub.Predict(frame_pb2.Frame(), metadata=shown, timeout=PATIENCE_S)


def process(channel: grpc.aio.Channel, shown: tuple[tuple[str, str], ...]) -> Awaitable[Any]:
    sent = iter([ext_proc_pb.ProcessingRequest()])
    stub = ext_proc.ExternalProcessorStub(channel)
    return stub.Process(sent, metadata=shown, timeout=PATIENCE_S).read()


def list_loaded(channel: grpc.aio.Channel, shown: tuple[tuple[str, str], ...]) -> Awaitable[Any]:
    stub = runtime.RuntimeServiceStub(channel)
    return stub.ListModels(runtime_pb.ListModelsRequest(), metadata=shown, timeout=PATIENCE_S)


def list_models(channel: grpc.aio.Channel, shown: tuple[tuple[str, str], ...]) -> Awaitable[Any]:
    stub = repository.RepositoryServiceStub(channel)
    return stub.ListModels(repository_pb.ListModelsRequest(), metadata=shown, timeout=PATIENCE_S)


def register(channel: grpc.aio.Channel, shown: tuple[tuple[str, str], ...]) -> Awaitable[Any]:
    stub = registry.RegistryServiceStub(channel)
    request = registry_pb.RegisterEndpointRequest()
    return stub.RegisterEndpoint(request, metadata=shown, timeout=PATIENCE_S)


CALLS: Mapping[str, Call] = {
    "rows at the end of a chain": predict,
    "rows in a chain": process,
    "a runtime's models": list_loaded,
    "the repository's models": list_models,
    "registration": register,
}


async def answers(mesh: WholeMesh, call: Call, shown: str) -> set[str]:
    """What the call is told at all ports, but that these do not know it."""
    found = set()
    for port in set(ports(mesh)):
        async with rpc.open_channel(Address("127.0.0.1", port)) as channel:
            try:
                await call(channel, ((MESH_TOKEN, shown),) if shown else ())
                found.add("OK")
            except grpc.aio.AioRpcError as error:
                found.add(error.code().name)
    # Ports of metrics speak HTTP/1.1 alone.
    return found - {"UNIMPLEMENTED", "UNAVAILABLE", "INTERNAL"}


@pytest.mark.parametrize("name", CALLS)
async def test_no_process_of_the_mesh_answers_who_has_no_token(clients: Clients, name: str) -> None:
    assert await answers(clients.mesh, CALLS[name], "") == {"UNAUTHENTICATED"}
    assert await answers(clients.mesh, CALLS[name], "guessed") == {"UNAUTHENTICATED"}


async def test_what_envoys_show_opens_no_more_than_they_need(clients: Clients) -> None:
    token = credential.read_token(clients.mesh.folder / "data" / "manager" / credential.TOKEN_FILE)
    shown = traffic_token(token)
    assert "UNAUTHENTICATED" not in await answers(clients.mesh, predict, shown)
    assert await answers(clients.mesh, list_models, shown) == {"OK"}
    assert await answers(clients.mesh, list_loaded, shown) == {"UNAUTHENTICATED"}
    assert await answers(clients.mesh, register, shown) == {"UNAUTHENTICATED"}
