"""The repository as a process, and models to save in its folder."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import grpc.aio
import pyarrow
from google.protobuf import duration_pb2
from patience import PATIENCE_S
from pyarrow import parquet

from hydro.manager.v1 import manager_service_pb2 as manager_pb
from hydro.manager.v1 import registry_service_pb2 as registry_pb
from hydro.manager.v1 import registry_service_pb2_grpc as registry_grpc
from hydro.repository.v1 import repository_service_pb2 as pb
from hydro.repository.v1 import repository_service_pb2_grpc as pb_grpc
from hydro_envoy.address import ANY_PORT, Address
from hydro_services import errors, rpc
from hydro_services.repository import process
from hydro_services.repository.roots import Root

Stub: TypeAlias = "pb_grpc.RepositoryServiceAsyncStub"


METADATA = {
    "inputs": [{"name": "x", "type": "float64"}],
    "outputs": [{"name": "y", "type": "float64", "shape": [3]}],
}
SECRET = "only for the owner of the machine"
HOSTILE = [
    "../secret.txt",
    "../../../secret.txt",
    "./metadata.json",
    "x/../metadata.json",
    "%2e%2e/secret.txt",
    "..%2fsecret.txt",
    "..\\secret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "metadata.json\0.txt",
    "metadata.json/",
    "",
    ".",
    "METADATA.JSON",
]


class Registry(registry_grpc.RegistryServiceServicer):
    """A manager that takes note of who registers."""

    def __init__(self) -> None:
        self.endpoint: asyncio.Future[manager_pb.Endpoint] = asyncio.Future()
        self.left: list[str] = []

    async def RegisterEndpoint(
        self, request: registry_pb.RegisterEndpointRequest, context: Any
    ) -> registry_pb.RegisterEndpointResponse:
        if not self.endpoint.done():
            self.endpoint.set_result(request.endpoint)
        return registry_pb.RegisterEndpointResponse(lease=duration_pb2.Duration(seconds=60))

    async def DeregisterEndpoint(
        self, request: registry_pb.DeregisterEndpointRequest, context: Any
    ) -> registry_pb.DeregisterEndpointResponse:
        self.left.append(request.instance)
        return registry_pb.DeregisterEndpointResponse()


@contextlib.asynccontextmanager
async def running(
    root: Path, registry: Registry, data: Path | None = None, others: Sequence[Root] = ()
) -> AsyncIterator[Address]:
    """The process, known to the registry; yields its address."""

    def register(server: grpc.aio.Server) -> None:
        registry_grpc.add_RegistryServiceServicer_to_server(registry, server)

    async with rpc.serve(ANY_PORT, register, (), grace_s=0) as manager:
        roots = (Root.parse(str(root)), *others)
        config = process.Config(roots, "repository-1", manager=manager.address, data=data)
        task = asyncio.create_task(process.run(config))
        try:
            async with asyncio.timeout(PATIENCE_S):
                endpoint = await registry.endpoint
            yield Address.parse(endpoint.address)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def save(folder: Path, code: str = "def load(folder): ...\n", **metadata: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(code)
    (folder / "metadata.json").write_text(json.dumps(METADATA | metadata))
    return folder


def save_skops(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text(json.dumps(METADATA))
    with zipfile.ZipFile(folder / "model.skops", "w") as archive:
        archive.writestr("schema.json", "{}" * 100)


def save_spark(folder: Path) -> None:
    """A StandardScalerModel of one feature, as Spark saves it."""
    params = {"inputCol": "x", "outputCol": "y", "withMean": True, "withStd": True}
    document = {
        "class": "org.apache.spark.ml.feature.StandardScalerModel",
        "timestamp": 0,
        "sparkVersion": "4.0.0",
        "uid": "scaler",
        "paramMap": params,
        "defaultParamMap": {},
    }
    (folder / "metadata").mkdir(parents=True)
    (folder / "metadata" / "part-0").write_text(json.dumps(document))
    (folder / "data").mkdir()
    vector = {"type": 1, "size": None, "indices": None, "values": [1.0]}
    table = pyarrow.Table.from_pylist([{"std": vector, "mean": vector}])
    parquet.write_table(table, folder / "data" / "part-0.parquet")


async def watch_until(stub: Stub, condition: Callable[[dict[str, str]], bool]) -> dict[str, str]:
    """The first published state (digest by "model:version") that meets the condition."""
    async with asyncio.timeout(PATIENCE_S):
        async for response in stub.Watch(pb.WatchRequest()):
            models = {f"{m.model}:{m.version}": m.digest for m in response.models}
            if condition(models):
                return models
    raise AssertionError("the stream ended")


async def refusal(stub: Stub, model: str, contains: str) -> errors.HydroError:
    """The refusal of a model, once it is listed with this text."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for version in (await stub.ListModels(pb.ListModelsRequest())).models:
                if version.model == model and contains in version.error.message:
                    return errors.from_status(version.error)
            await asyncio.sleep(0.02)


async def failure(call: Any) -> errors.HydroError:
    """What a call, unary or streaming, ends with."""
    try:
        await call if isinstance(call, grpc.aio.UnaryUnaryCall) else [r async for r in call]
    except grpc.aio.AioRpcError as error:
        return errors.from_rpc(error)
    raise AssertionError("the call did not fail")


async def download(stub: Stub, request: pb.DownloadRequest) -> list[bytes]:
    return [response.chunk async for response in stub.Download(request)]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest(files: Iterable[pb.File]) -> str:
    return sha256("".join(f"{f.sha256}  {f.path}\n" for f in files).encode())


@contextlib.asynccontextmanager
async def serving(
    root: Path, data: Path | None = None, others: Sequence[Root] = ()
) -> AsyncIterator[Stub]:
    async with (
        running(root, Registry(), data, others) as address,
        rpc.open_channel(address) as channel,
    ):
        yield pb_grpc.RepositoryServiceStub(channel)
