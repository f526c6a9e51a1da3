"""Who has not the mesh's token registers nothing, gets no configuration and loads no model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from manager_mesh import Mesh
from patience import PATIENCE_S
from whole_mesh import environment, until_true

from hydro.manager.v1 import manager_service_pb2
from hydro.manager.v1 import registry_service_pb2 as registry_pb
from hydro.runtime.v1 import runtime_service_pb2 as runtime_pb
from hydro.runtime.v1 import runtime_service_pb2_grpc as runtime_grpc
from hydro_envoy.address import ANY_PORT
from hydro_envoy.headers import MESH_TOKEN
from hydro_envoy.snapshot import ResourceType
from hydro_services import errors, registration, rpc
from hydro_services.security import credential

SERVICE = "hydro.runtime.v1.RuntimeService"
NOBODY = 65534

SECOND_USER = """
import asyncio, json, os, sys
import grpc.aio
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from hydro.manager.v1 import registry_service_pb2 as pb, registry_service_pb2_grpc as registry
from hydro.manager.v1 import manager_service_pb2 as manager

async def code(call):
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return [error.code().name, error.details()]
    return ["OK", ""]

async def main(address, token_file):
    try:
        shown = open(token_file).read()
    except OSError as error:
        shown = type(error).__name__
    metadata = (("x-hydro-token", shown),)
    async with grpc.aio.insecure_channel(address) as channel:
        endpoint = manager.Endpoint(service="serving-scikit", instance="evil", formats=["skops"],
                                    incarnation="one", address="127.0.0.1:9")
        request = pb.RegisterEndpointRequest(endpoint=endpoint)
        stub = registry.RegistryServiceStub(channel)
        ads = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
        stream = ads.DeltaAggregatedResources(metadata=metadata)
        print(json.dumps([os.getuid(), shown,
                          await code(stub.RegisterEndpoint(request, metadata=metadata)),
                          await code(stream.read())]))

os.setgroups([])  # after the imports: where they lie may be for root alone
os.setgid({nobody})
os.setuid({nobody})
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    found = Mesh(tmp_path)
    async with found.stack:
        await found.start()
        yield found


def token_file(mesh: Mesh) -> Path:
    return mesh.config.data / credential.TOKEN_FILE


async def refusal(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED, raised.value
    return raised.value.details() or ""


async def calls(mesh: Mesh, metadata: credential.Metadata) -> list[str]:
    """What is said against each call that changes or shows the mesh, both variants of ADS too."""
    stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(mesh.channel)
    endpoint = mesh.scikit.endpoint
    return [
        await refusal(
            mesh.registry.RegisterEndpoint(
                registry_pb.RegisterEndpointRequest(endpoint=endpoint), metadata=metadata
            )
        ),
        await refusal(
            mesh.registry.DeregisterEndpoint(
                registry_pb.DeregisterEndpointRequest(service=endpoint.service), metadata=metadata
            )
        ),
        await refusal(stub.DeltaAggregatedResources(metadata=metadata).read()),
        await refusal(stub.StreamAggregatedResources(metadata=metadata).read()),
    ]


async def test_calls_without_the_token_are_refused_and_hear_where_it_is(mesh: Mesh) -> None:
    for metadata in ((), ((MESH_TOKEN, ""),), ((MESH_TOKEN, "x" * 43),)):
        for message in await calls(mesh, metadata):
            assert "--token-file or HYDRO_TOKEN_FILE" in message
    assert not (await mesh.manager.ListServices(registry_services())).services


def registry_services() -> Any:
    return manager_service_pb2.ListServicesRequest()


async def test_with_the_token_they_are_not(mesh: Mesh) -> None:
    await mesh.join(mesh.scikit)
    stub: Any = ads_pb2_grpc.AggregatedDiscoveryServiceStub(mesh.channel)
    call = stub.DeltaAggregatedResources(metadata=mesh.token)
    request = discovery_pb2.DeltaDiscoveryRequest(type_url=ResourceType.LISTENER.url)
    request.node.id = "gateway"
    await call.write(request)
    assert (await call.read()).resources
    call.cancel()


def test_the_token_is_for_its_owner_alone_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "manager" / "token"
    before = os.umask(0)
    try:
        made = credential.make_token(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(made) >= 43
    assert credential.make_token(path) == credential.read_token(path) == made
    assert [each.name for each in path.parent.iterdir()] == ["token"]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.hex()))
def test_nothing_but_the_token_opens(shown: str) -> None:
    token = "f" * 43
    for metadata in (
        [(MESH_TOKEN, shown)],
        [("authorization", token)],
        [(MESH_TOKEN, token), (MESH_TOKEN, "")],
    ):
        with pytest.raises(errors.Unauthenticated):
            credential.check_token(metadata, token)
    credential.check_token([(MESH_TOKEN, token)], token)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=40))
def test_a_file_is_a_token_or_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with contextlib.suppress(errors.FailedPrecondition):
        found = credential.read_token(path)
        assert found == content.decode().strip()
        assert found.isprintable()


async def test_a_runtime_takes_orders_from_who_has_the_token(tmp_path: Path) -> None:
    path = tmp_path / "token"

    class Servicer(runtime_grpc.RuntimeServiceServicer):
        async def ListModels(self, request: Any, context: Any) -> runtime_pb.ListModelsResponse:
            return runtime_pb.ListModelsResponse()

        LoadModel = UnloadModel = None  # type: ignore[assignment]

    def register(server: grpc.aio.Server) -> None:
        runtime_grpc.add_RuntimeServiceServicer_to_server(Servicer(), server)

    check = credential.make_check(path, SERVICE)
    async with (
        rpc.serve(ANY_PORT, register, (SERVICE,), check=check) as served,
        rpc.open_channel(served.address) as channel,
    ):
        stub = runtime_grpc.RuntimeServiceStub(channel)
        request = runtime_pb.ListModelsRequest()
        assert "there is no" in await refusal(stub.ListModels(request))
        token = credential.make_token(path)
        assert "want the mesh's token" in await refusal(stub.ListModels(request))
        wrong = ((MESH_TOKEN, token[::-1]),)
        assert "want the mesh's token" in await refusal(stub.ListModels(request, metadata=wrong))
        await stub.ListModels(request, metadata=credential.token_metadata(path))


async def test_a_part_registers_as_soon_as_its_token_is_there(mesh: Mesh, tmp_path: Path) -> None:
    path = tmp_path / "given"
    async with registration.keep_registered(mesh.address, endpoint(), path):
        await asyncio.sleep(0.3)
        assert not (await mesh.manager.ListServices(registry_services())).services
        path.write_bytes(token_file(mesh).read_bytes())

        async def is_registered() -> bool:
            return bool((await mesh.manager.ListServices(registry_services())).services)

        await until_true(is_registered, PATIENCE_S, "it is registered")


def endpoint() -> Any:
    return manager_service_pb2.Endpoint(
        service="serving-scikit",
        instance="one",
        formats=["skops"],
        incarnation="one",
        address="127.0.0.1:9",
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_another_user_of_the_machine_gets_nowhere(mesh: Mesh) -> None:
    command = [sys.executable, "-c", SECOND_USER.format(nobody=NOBODY), str(mesh.address)]
    done = await asyncio.to_thread(
        subprocess.run,
        [*command, str(token_file(mesh))],
        env=environment(),
        capture_output=True,
        timeout=PATIENCE_S,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    uid, shown, registered, streamed = json.loads(done.stdout)
    assert (uid, shown) == (NOBODY, "PermissionError")
    for code, message in (registered, streamed):
        assert code == "UNAUTHENTICATED"
        assert "HYDRO_TOKEN_FILE" in message
