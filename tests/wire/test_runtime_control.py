"""A runtime's control port: models as the manager asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import resource
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from data_port import (
    OPTIONS,
    Plus,
)
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2
from patience import PATIENCE_S

from hydro.manager.v1 import registry_service_pb2 as registry_pb
from hydro.manager.v1 import registry_service_pb2_grpc as registry_grpc
from hydro.repository.v1 import repository_service_pb2 as repository_pb
from hydro.repository.v1 import repository_service_pb2_grpc as repository_grpc
from hydro.runtime.v1 import runtime_service_pb2 as runtime_pb
from hydro.runtime.v1 import runtime_service_pb2_grpc as runtime_grpc
from hydro_envoy.address import ANY_PORT, Address
from hydro_runtimes import files
from hydro_runtimes.evaluator import Evaluator
from hydro_services import errors, rpc
from hydro_services.manager.domain import conversion
from hydro_services.runtime import data_port, process
from hydro_services.runtime.control import RuntimeServicer
from hydro_services.runtime.fetch import Cache
from hydro_services.runtime.host import Host


class Repository(repository_grpc.RepositoryServiceServicer):
    """One model of two files, which a test may spoil."""

    def __init__(self) -> None:
        self.content: Mapping[str, bytes] = {"a.bin": b"a" * 100_000, "sub/b.bin": b"b" * 10}
        self.sent: dict[str, bytes] = {}
        """In place of what is listed."""
        self.downloads: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def version(self) -> repository_pb.ModelVersion:
        listed = [
            files.File(path, len(content), hashlib.sha256(content).hexdigest())
            for path, content in sorted(self.content.items())
        ]
        return repository_pb.ModelVersion(
            model="m",
            version="1",
            digest=files.digest_of_files(listed),
            files=[
                repository_pb.File(path=f.path, size_bytes=f.size_bytes, sha256=f.sha256)
                for f in listed
            ],
        )

    async def GetModel(
        self, request: repository_pb.GetModelRequest, context: Any
    ) -> repository_pb.GetModelResponse:
        if request.model != "m":
            raise errors.NotFound(f"no model {request.model}")
        return repository_pb.GetModelResponse(model=self.version)

    async def Download(
        self, request: repository_pb.DownloadRequest, context: Any
    ) -> AsyncIterator[repository_pb.DownloadResponse]:
        self.downloads.append(request.path)
        await self.gate.wait()
        content = self.sent.get(request.path, self.content[request.path])
        for at in range(0, len(content), 30_000):
            yield repository_pb.DownloadResponse(chunk=content[at : at + 30_000])


class Control:
    """A runtime's control port with a repository beside it."""

    def __init__(self, cache: Path, repository: Repository, stub: Any, address: str) -> None:
        self.cache, self.repository, self.stub, self.address = cache, repository, stub, address
        self.loaded: list[Path] = []
        self.on_load: Callable[[Path], None] = lambda folder: None

    def load_folder(self, folder: Path) -> Evaluator:
        self.loaded.append(folder)
        self.on_load(folder)
        return Plus()

    def request(self, **changes: str) -> runtime_pb.LoadModelRequest:
        version = self.repository.version
        fields = {"model": "m", "version": "1", "digest": version.digest}
        return runtime_pb.LoadModelRequest(**{**fields, "repository": self.address, **changes})

    async def load(self, **changes: str) -> runtime_pb.LoadedModel:
        answer: runtime_pb.LoadModelResponse
        answer = await self.stub.LoadModel(self.request(**changes), timeout=PATIENCE_S)
        return answer.model

    async def models(self) -> list[runtime_pb.LoadedModel]:
        return list((await self.stub.ListModels(runtime_pb.ListModelsRequest())).models)

    def leftovers(self) -> list[Path]:
        return list(self.cache.glob("partial-*"))


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    repository = Repository()  # type: ignore[abstract]  # what a runtime does not ask for

    def offer(server: grpc.aio.Server) -> None:
        repository_grpc.add_RepositoryServiceServicer_to_server(repository, server)

    async with contextlib.AsyncExitStack() as stack:
        beside = await stack.enter_async_context(rpc.serve(ANY_PORT, offer, (), grace_s=0.1))
        target = Control(tmp_path / "cache", repository, None, str(beside.address))
        host = Host(Cache(target.cache).fetch, target.load_folder)

        def manage(server: grpc.aio.Server) -> None:
            runtime_grpc.add_RuntimeServiceServicer_to_server(RuntimeServicer(host), server)

        served = await stack.enter_async_context(rpc.serve(ANY_PORT, manage, (), grace_s=0.1))
        channel = await stack.enter_async_context(rpc.open_channel(served.address))
        target.stub = runtime_grpc.RuntimeServiceStub(channel)
        yield target


@contextlib.contextmanager
def fails(code: grpc.StatusCode, text: str) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield
    assert caught.value.code() is code
    assert text in str(caught.value.details())


async def test_model_is_fetched_once_loaded_listed_and_unloaded(control: Control) -> None:
    found = await control.load()
    assert found.state == runtime_pb.MODEL_STATE_LOADED
    assert [field.name for field in found.signature.inputs] == ["x"]
    folder = control.cache / control.repository.version.digest
    assert {p: (folder / p).read_bytes() for p in control.repository.content} == dict(
        control.repository.content
    )
    assert [m.key for m in await control.models()] == [found.key]
    await control.stub.UnloadModel(runtime_pb.UnloadModelRequest(key=found.key))
    assert await control.models() == []
    await control.load()
    assert len(control.repository.downloads) == 2
    assert len(control.loaded) == 2
    assert not control.leftovers()


async def test_two_loads_of_a_model_join(control: Control) -> None:
    control.repository.gate.clear()
    tasks = [asyncio.create_task(control.load()) for _ in range(3)]
    await until(lambda: control.repository.downloads)
    assert [m.state for m in await control.models()] == [runtime_pb.MODEL_STATE_LOADING]
    tasks[0].cancel()
    control.repository.gate.set()
    assert {(await task).state for task in tasks[1:]} == {runtime_pb.MODEL_STATE_LOADED}
    assert len(control.loaded) == 1


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110  # what is waited for is in another layer
            await asyncio.sleep(0.002)


async def test_model_unloaded_while_it_loads_does_not_come_back(control: Control) -> None:
    control.repository.gate.clear()
    task = asyncio.create_task(control.load())
    await until(lambda: control.repository.downloads)
    (entry,) = await control.models()
    await control.stub.UnloadModel(runtime_pb.UnloadModelRequest(key=entry.key))
    control.repository.gate.set()
    with fails(grpc.StatusCode.ABORTED, "was unloaded while it was loading"):
        await task
    assert await control.models() == []


@pytest.mark.parametrize(
    "sent", [b"a" * 99_999 + b"b", b"a" * 10, b"a" * 200_000], ids=["changed", "cut", "longer"]
)
async def test_corrupted_download_is_refused(control: Control, sent: bytes) -> None:
    control.repository.sent["a.bin"] = sent
    with fails(grpc.StatusCode.FAILED_PRECONDITION, "it was not loaded"):
        await control.load()
    (entry,) = await control.models()
    assert entry.state == runtime_pb.MODEL_STATE_FAILED
    assert status_pb2.Status.FromString(entry.error.SerializeToString()).message
    assert not control.loaded
    assert not control.leftovers()
    control.repository.sent.clear()
    assert (await control.load()).state == runtime_pb.MODEL_STATE_LOADED


@pytest.mark.parametrize("path", ["../out.bin", "/tmp/out.bin", "x/../../out.bin", "n\0ul"])
async def test_file_outside_of_the_models_folder_is_refused(control: Control, path: str) -> None:
    control.repository.content = {path: b"x"}
    with fails(grpc.StatusCode.FAILED_PRECONDITION, "leaves the model's folder"):
        await control.load()
    assert not control.repository.downloads


async def test_content_that_has_changed_is_told(control: Control) -> None:
    with fails(grpc.StatusCode.ABORTED, "it has changed, try again"):
        await control.load(digest="0" * 64)


@pytest.mark.parametrize("digest", ["../../etc", "0" * 63, "G" * 64])
async def test_digest_that_is_none_is_refused(control: Control, digest: str) -> None:
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "want SHA-256 in hex"):
        await control.load(digest=digest)


async def test_request_that_lacks_a_field_is_refused(control: Control) -> None:
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "lacks a field"):
        await control.load(repository="")


async def test_full_disk_is_told_with_the_way_out(control: Control) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with fails(grpc.StatusCode.UNAVAILABLE, "free some space"):
            await control.load()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not control.leftovers()
    assert (await control.load()).state == runtime_pb.MODEL_STATE_LOADED


async def test_spoiled_cache_is_fetched_again(control: Control) -> None:
    found = await control.load()
    (control.cache / control.repository.version.digest / "a.bin").write_bytes(b"spoiled")
    await control.stub.UnloadModel(runtime_pb.UnloadModelRequest(key=found.key))
    await control.load()
    path = control.cache / control.repository.version.digest / "a.bin"
    assert path.read_bytes() == control.repository.content["a.bin"]


async def test_repository_that_is_not_there_is_told(control: Control) -> None:
    with fails(grpc.StatusCode.UNAVAILABLE, ""):
        await control.load(repository="127.0.0.1:1")


@pytest.mark.parametrize("raised", [RuntimeError("no way"), SystemExit(1)])
async def test_model_whose_own_code_fails_to_load_is_refused(
    control: Control, raised: BaseException
) -> None:
    def bad(folder: Path) -> None:
        raise raised

    control.on_load = bad
    with fails(grpc.StatusCode.FAILED_PRECONDITION, "own code failed to load"):
        await control.load()


async def test_load_that_hangs_holds_up_no_other(control: Control) -> None:
    gate, first = threading.Event(), control.repository.version.digest

    def hang(folder: Path) -> None:
        assert folder.name != first or gate.wait(30)

    control.on_load = hang
    stuck = asyncio.create_task(control.load())
    await until(lambda: control.loaded)
    control.repository.content = {"c.bin": b"c"}
    assert (await control.load()).state == runtime_pb.MODEL_STATE_LOADED
    gate.set()
    await stuck


# The whole process


class Registry(registry_grpc.RegistryServiceServicer):
    """A manager that looks at the runtime's health when it is told of its end."""

    def __init__(self) -> None:
        self.endpoint: Any = None
        self.at_end: list[int] = []

    async def RegisterEndpoint(
        self, request: registry_pb.RegisterEndpointRequest, context: Any
    ) -> registry_pb.RegisterEndpointResponse:
        self.endpoint = request.endpoint
        answer = registry_pb.RegisterEndpointResponse()
        answer.lease.FromSeconds(10)
        return answer

    async def DeregisterEndpoint(
        self, request: registry_pb.DeregisterEndpointRequest, context: Any
    ) -> registry_pb.DeregisterEndpointResponse:
        async with grpc.aio.insecure_channel(self.endpoint.traffic_address, OPTIONS) as channel:
            check: Any = channel.unary_unary(data_port.CHECK)
            answer = health_pb2.HealthCheckResponse.FromString(await check(b"", timeout=PATIENCE_S))
            self.at_end.append(answer.status)
        return registry_pb.DeregisterEndpointResponse()


async def test_runtime_that_ends_says_so_leaves_the_list_then_finishes_its_calls(
    tmp_path: Path,
) -> None:
    registry, ready = Registry(), asyncio.Event()

    def offer(server: grpc.aio.Server) -> None:
        registry_grpc.add_RegistryServiceServicer_to_server(registry, server)

    async with rpc.serve(ANY_PORT, offer, (), grace_s=0.1) as manager:
        config = process.Config(
            service="serving-customscikit", manager=manager.address, cache=tmp_path / "cache"
        )
        running = asyncio.create_task(process.run(config, lambda _: ready.set()))
        await asyncio.wait_for(ready.wait(), 20)
        await until(lambda: registry.endpoint)
        address = registry.endpoint.traffic_address
        async with grpc.aio.insecure_channel(address, OPTIONS) as channel:
            # A call under way, whose client takes its time to send the rest.
            call: Any = channel.stream_stream(data_port.CHECK)()
            await call.write(b"")
            running.cancel()
            await until(lambda: registry.at_end)
            assert registry.at_end == [2]
            assert not running.done()
            await call.done_writing()
            answer = health_pb2.HealthCheckResponse.FromString(await call.read())
            assert answer.status == 2
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 20)


@pytest.mark.parametrize(
    ("listen", "host"),
    [
        ("[::1]:0", "[::1]"),
        ("localhost:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.1"),
        ("[::]:0", "[::1]"),
    ],
)
async def test_a_runtime_registers_where_it_is_reached_by_no_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listen: str, host: str
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    registry = Registry()

    def offer(server: grpc.aio.Server) -> None:
        registry_grpc.add_RegistryServiceServicer_to_server(registry, server)

    async with rpc.serve(Address.parse(listen), offer, (), grace_s=0.1) as manager:
        config = process.Config(
            service="serving-customscikit",
            manager=manager.address,
            listen=Address.parse(listen),
            metrics=Address.parse(listen),
            cache=tmp_path / "cache",
        )
        running = asyncio.create_task(process.run(config))
        await until(lambda: registry.endpoint)
        found = conversion.parse_endpoint(registry.endpoint)
        assert str(found.traffic).startswith(f"{host}:")
        assert str(found.metrics).startswith(f"{host}:")
        async with rpc.open_channel(found.traffic) as channel:
            call: Any = channel.unary_unary(data_port.CHECK)
            answer = health_pb2.HealthCheckResponse.FromString(await call(b"", timeout=PATIENCE_S))
            assert answer.status == 1
        running.cancel()
        await asyncio.wait([running])
