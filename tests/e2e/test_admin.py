"""The admin key under the real Envoy: who may change the mesh, and what no API listener offers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from control_mesh import HttpAnswer, request
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc
from patience import PATIENCE_S
from ports import free_port

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import manager_service_pb2_grpc as pb_grpc
from hydro.manager.v1 import registry_service_pb2 as registry_pb
from hydro.manager.v1 import registry_service_pb2_grpc as registry_grpc
from hydro.repository.v1 import repository_service_pb2 as repository_pb
from hydro.repository.v1 import repository_service_pb2_grpc as repository_grpc
from hydro_envoy.address import Address
from hydro_envoy.proxy.bootstrap import Bootstrap
from hydro_envoy.proxy.find_envoy import find_envoy
from hydro_envoy.proxy.process import Envoy
from hydro_services import client
from hydro_services.cli import main as cli
from hydro_services.manager import process
from hydro_services.security import credential, keys

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

HOST = "127.0.0.1"
ADMIN = keys.make_admin_key()
SHOWN = client.bearer_metadata(ADMIN)
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED


class ApiListeners:
    """A manager, and an Envoy that offers it and a repository that is not there."""

    def __init__(self, folder: Path, admin_key: str) -> None:
        self.folder, self.stack = folder, AsyncExitStack()
        self.config = process.Config(
            folder / "manager",
            listen=Address(HOST, free_port()),
            gateway=Address(HOST, free_port()),
            manager_api=Address(HOST, free_port()),
            repository_api=Address(HOST, free_port()),
            admin_key=admin_key,
        )

    async def __aenter__(self) -> ApiListeners:
        await self.stack.enter_async_context(process.serve(self.config))
        token = credential.read_token(self.config.data / credential.TOKEN_FILE)
        wanted = Bootstrap("admin", "gateway", self.config.listen, token=token)
        envoy = Envoy(await find_envoy(), wanted, self.folder / "envoy", drain_s=0.1)
        self.envoy = await self.stack.enter_async_context(envoy)
        await envoy.ready(timeout_s=60)
        self.manager = await self.channel(self.config.manager_api)
        self.repository = await self.channel(self.config.repository_api)
        return self

    async def channel(self, address: Address) -> aio.Channel:
        return await self.stack.enter_async_context(aio.insecure_channel(str(address)))

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()

    async def get(self, path: str, **sent: str) -> HttpAnswer:
        return await request(f"http://{self.config.manager_api}{path}", b"", "GET", sent)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def apis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiListeners]:
    async with ApiListeners(tmp_path_factory.mktemp("admin"), ADMIN) as running:
        yield running


async def code(call: Any) -> grpc.StatusCode:
    try:
        await call
    except aio.AioRpcError as error:
        found: grpc.StatusCode = error.code()
        return found
    return grpc.StatusCode.OK


async def services(channel: aio.Channel, metadata: client.Metadata = ()) -> grpc.StatusCode:
    stub = pb_grpc.ManagerServiceStub(channel)
    return await code(
        stub.ListServices(pb.ListServicesRequest(), metadata=metadata, timeout=PATIENCE_S)
    )


async def models(channel: aio.Channel, metadata: client.Metadata = ()) -> grpc.StatusCode:
    stub = repository_grpc.RepositoryServiceStub(channel)
    call = stub.ListModels(repository_pb.ListModelsRequest(), metadata=metadata, timeout=PATIENCE_S)
    return await code(call)


async def test_without_an_admin_key_any_program_of_this_machine_changes_the_mesh(
    tmp_path: Path,
) -> None:
    async with ApiListeners(tmp_path, "") as apis:
        assert await services(apis.manager) is grpc.StatusCode.OK
        assert (await apis.get("/api/v1/services")).status == 200
        await web_pages_are_kept_away(apis)


async def web_pages_are_kept_away(apis: ApiListeners) -> None:
    port = apis.config.manager_api.port
    for host in (f"localhost:{port}", f"127.8.8.8:{port}", f"[::1]:{port}"):
        origin = f"http://{host}"
        assert (await apis.get("/api/v1/services", host=host, origin=origin)).status == 200
    ports = (apis.config.manager_api, apis.config.repository_api, apis.config.gateway)
    pipeline = b'{"name":"p","chain":["serving-scikit/iris"]}'
    for address in ports:
        path = f"http://{address}/api/v1/pipelines"
        for sent, what in (
            ({"host": f"evil.example:{port}"}, "the host is 'evil.example"),
            ({"origin": "http://evil.example"}, "pages of 'http://evil.example'"),
            ({"origin": "null"}, "pages of 'null'"),
        ):
            plain = {"content-type": "text/plain", **sent}
            answer = await request(path, pipeline, "POST", plain)
            told = json.loads(answer.body)
            assert (answer.status, told["code"]) == (403, 7)
            assert what in told["message"]
            assert "hydro keys admin" in told["message"]
    assert json.loads((await apis.get("/api/v1/pipelines")).body) == {"pipelines": []}
    rebound = (("grpc.default_authority", "evil.example"),)
    async with aio.insecure_channel(str(apis.config.manager_api), rebound) as channel:
        assert await services(channel) is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ready", 200),
        ("GET", "/stats?filter=x", 200),
        ("GET", "/config_dump", 403),
        ("GET", "/config_dump?include_eds", 403),
        ("GET", "/stats/../config_dump", 403),
        ("POST", "/quitquitquit", 403),
        ("POST", "/logging?level=trace", 403),
        ("POST", "/runtime_modify?a=b", 403),
        ("POST", "/drain_listeners", 403),
        ("POST", "/drain_listeners?graceful&skip_exit", 403),
        ("POST", "/drain_listeners?", 403),
        ("POST", "/healthcheck/fail", 403),
    ],
)
async def test_the_port_of_envoys_own_api_tells_no_secrets_and_ends_nothing(
    apis: ApiListeners, method: str, path: str, status: int
) -> None:
    answer = await request(f"http://{apis.envoy.admin}{path}", b"", method, {})
    assert answer.status == status


async def test_with_one_any_name_will_do(apis: ApiListeners) -> None:
    shown = dict(SHOWN) | {"host": "mesh.example", "origin": "http://console.example"}
    assert (await apis.get("/api/v1/services", **shown)).status == 200


async def test_with_one_only_who_has_it_does(apis: ApiListeners) -> None:
    wants = "want the mesh's admin key in the header authorization: Bearer"
    for wrong in ((), client.bearer_metadata(keys.make_admin_key())):
        assert await services(apis.manager, wrong) is UNAUTHENTICATED
        assert await models(apis.repository, wrong) is UNAUTHENTICATED
        headers = {name: str(value) for name, value in wrong}
        for path in ("/api/v1/services", "/api/v1/pipelines", "/no/such/path"):
            answer = await apis.get(path, **headers)
            assert (answer.status, answer.content_type) == (401, "application/json")
            assert answer.json["code"] == 16
            assert answer.json["message"].endswith(wants)
            assert answer.headers["www-authenticate"] == 'Bearer realm="hydro admin"'
    assert await services(apis.manager, SHOWN) is grpc.StatusCode.OK
    answer = await apis.get("/api/v1/services", authorization=f"Bearer {ADMIN}")
    assert (answer.status, answer.json) == (200, {"services": []})
    absent = await models(apis.repository, SHOWN)
    assert absent is grpc.StatusCode.UNAVAILABLE, "let through, but there is no repository"


async def test_nobody_gets_in_by_another_header_or_path(apis: ApiListeners) -> None:
    forged = (("x-hydro-caller", "admin"),)
    assert await services(apis.manager, forged) is UNAUTHENTICATED
    for path in (
        "/grpc.health.v1.Health/../api/v1/services",
        "/grpc.health.v1.Health/..%2f..%2fapi/v1/services",
        "//api/v1/services",
        "/hydro.manager.v1.ManagerService/ListServices",
    ):
        assert (await apis.get(path)).status in (400, 401), path
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(apis.manager)  # type: ignore[arg-type]
    # Nothing is written: what gRPC's client says of a write after a refusal is a matter of luck.
    assert await code(stub.ServerReflectionInfo(timeout=PATIENCE_S).read()) is UNAUTHENTICATED


async def test_health_may_be_asked_by_anyone(apis: ApiListeners) -> None:
    stub: Any = health_pb2_grpc.HealthStub(apis.manager)
    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("metadata", [(), SHOWN], ids=["anyone", "admin"])
async def test_no_api_listener_offers_what_is_for_the_mesh_alone(
    apis: ApiListeners, metadata: client.Metadata
) -> None:
    want = UNIMPLEMENTED if metadata else UNAUTHENTICATED
    gateway = await apis.channel(apis.config.gateway)
    for channel in (apis.manager, apis.repository, gateway):
        want_here = UNIMPLEMENTED if channel is gateway else want
        registry = registry_grpc.RegistryServiceStub(channel)
        request_ = registry_pb.RegisterEndpointRequest()
        call = registry.RegisterEndpoint(request_, metadata=metadata, timeout=PATIENCE_S)
        assert await code(call) is want_here
        ads = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
        stream = ads.DeltaAggregatedResources(metadata=metadata, timeout=PATIENCE_S)
        if channel is gateway:  # which waits for a message, to read the pipeline's name
            await stream.write(discovery_pb2.DeltaDiscoveryRequest())
        assert await code(stream.read()) is want_here
    for channel in (apis.repository, gateway):
        want_here = UNIMPLEMENTED if channel is gateway else want
        assert await services(channel, metadata) is want_here


async def test_commands_send_the_key_and_tell_when_it_is_wrong(
    apis: ApiListeners, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(*words: str) -> int:
        return await asyncio.to_thread(
            cli.main, [*words, "--manager", str(apis.config.manager_api)]
        )

    monkeypatch.delenv("HYDRO_ADMIN_KEY", raising=False)
    assert await run("pipelines", "list") == 1
    assert capsys.readouterr().err.startswith("error: want the mesh's admin key")
    monkeypatch.setenv("HYDRO_ADMIN_KEY", keys.make_admin_key())
    assert await run("services", "list") == 1
    assert capsys.readouterr().err.startswith("error: this is not the admin key; want")
    monkeypatch.setenv("HYDRO_ADMIN_KEY", ADMIN)
    assert await run("pipelines", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
