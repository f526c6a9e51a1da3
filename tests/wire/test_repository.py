"""The repository's process over gRPC: a real server, real folders, real changes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import socket
import threading
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import grpc.aio
import pyarrow
import pytest
from google.protobuf import duration_pb2, json_format
from pyarrow import parquet

from hydro.manager.v1 import manager_service_pb2 as manager_pb
from hydro.manager.v1 import registry_service_pb2 as registry_pb
from hydro.manager.v1 import registry_service_pb2_grpc as registry_grpc
from hydro.repository.v1 import repository_service_pb2 as pb
from hydro.repository.v1 import repository_service_pb2_grpc as pb_grpc
from hydro_runtimes import load
from hydro_services import errors, rpc
from hydro_services.repository import process, settling
from hydro_services.repository.catalogue import Catalogue
from hydro_services.repository.feed import CatalogueFeed

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
async def running(root: Path, registry: Registry, data: Path | None = None) -> AsyncIterator[str]:
    """The process, known to the registry; yields its address."""

    def register(server: grpc.aio.Server) -> None:
        registry_grpc.add_RegistryServiceServicer_to_server(registry, server)

    async with rpc.serve("127.0.0.1:0", register, (), grace_s=0) as manager:
        config = process.Config(root, "repository-1", manager=manager.address, data=data)
        task = asyncio.create_task(process.run(config))
        try:
            async with asyncio.timeout(15):
                endpoint = await registry.endpoint
            yield endpoint.address
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "SETTLE_S", 0.2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text(SECRET)
    root = tmp_path / "models"
    root.mkdir()
    return root


@pytest.fixture
async def stub(root: Path) -> AsyncIterator[Stub]:
    save(root / "scikit" / "adder")
    async with running(root, Registry()) as address, rpc.channel(address) as channel:
        stub = pb_grpc.RepositoryServiceStub(channel)
        await watch_until(stub, lambda models: "adder:1" in models)
        yield stub


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
    async with asyncio.timeout(15):
        async for response in stub.Watch(pb.WatchRequest()):
            models = {f"{m.model}:{m.version}": m.digest for m in response.models}
            if condition(models):
                return models
    raise AssertionError("the stream ended")


async def refusal(stub: Stub, model: str, contains: str) -> errors.HydroError:
    """The refusal of a model, once it is listed with this text."""
    async with asyncio.timeout(15):
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


async def test_the_process_registers_and_leaves(root: Path) -> None:
    registry = Registry()
    async with running(root, registry):
        endpoint = registry.endpoint.result()
        assert (endpoint.service, endpoint.instance) == ("repository", "repository-1")
        assert endpoint.incarnation
        assert not registry.left
    assert registry.left == ["repository-1"]


async def test_a_missing_root_is_refused_with_its_name(tmp_path: Path) -> None:
    config = process.Config(tmp_path / "none", "repository-1")
    with pytest.raises(errors.FailedPrecondition, match="none"):
        await process.run(config)


async def test_a_version_has_signature_files_and_digest(stub: Stub, root: Path) -> None:
    model = (await stub.GetModel(pb.GetModelRequest(model="adder"))).model
    assert (model.model, model.version, model.format) == ("adder", "1", "python")
    assert [field.name for field in model.signature.inputs] == ["x"]
    assert model.signature.outputs[0].shape == [3]
    for file in model.files:
        data = (root / "scikit" / "adder" / file.path).read_bytes()
        assert (file.size_bytes, file.sha256) == (len(data), sha256(data))
    assert [file.path for file in model.files] == ["metadata.json", "model.py"]
    assert model.digest == digest(model.files)
    assert not model.HasField("error")
    listed = (await stub.ListModels(pb.ListModelsRequest())).models
    assert list(listed) == [model]


async def test_metadata_is_plain_json(stub: Stub) -> None:
    struct = await stub.GetMetadata(pb.GetMetadataRequest(model="adder"))
    document = json_format.MessageToDict(struct)
    assert document["model"] == "adder"
    assert (document["version"], document["format"]) == ("1", "python")
    assert document["inputs"] == METADATA["inputs"]
    assert document["outputs"] == METADATA["outputs"]
    assert {"path", "sizeBytes", "sha256"} == set(document["files"][0])


async def test_the_paths_of_files_are_listed(stub: Stub) -> None:
    response = await stub.ListFiles(pb.ListFilesRequest(model="adder"))
    assert list(response) == ["metadata.json", "model.py"]


async def test_an_unknown_model_is_not_found_and_the_known_are_named(stub: Stub) -> None:
    for call in (
        stub.GetModel(pb.GetModelRequest(model="nothing")),
        stub.GetMetadata(pb.GetMetadataRequest(model="nothing")),
        stub.ListFiles(pb.ListFilesRequest(model="nothing")),
        stub.DownloadFile(pb.DownloadFileRequest(model="nothing", path="metadata.json")),
        stub.Download(pb.DownloadRequest(model="nothing", path="metadata.json")),
    ):
        error = await failure(call)
        assert isinstance(error, errors.NotFound)
        assert "'nothing'" in error.message
        assert "adder" in error.message
    error = await failure(stub.GetModel(pb.GetModelRequest(model="adder", version="7")))
    assert isinstance(error, errors.NotFound)
    assert "'7'" in error.message


async def test_the_latest_version_is_the_highest_number(stub: Stub, root: Path) -> None:
    for version in ("2", "10", "v9"):
        save(root / "scikit" / "many" / version, code=f"# {version}\n")
    await watch_until(stub, lambda models: sum(m.startswith("many:") for m in models) == 3)
    latest = (await stub.GetModel(pb.GetModelRequest(model="many"))).model
    assert latest.version == "10"
    wanted = pb.DownloadRequest(model="many", version="v9", path="model.py")
    assert await download(stub, wanted) == [b"# v9\n"]
    shutil.rmtree(root / "scikit" / "many" / "10")
    await watch_until(stub, lambda models: "many:10" not in models)
    assert (await stub.GetModel(pb.GetModelRequest(model="many"))).model.version == "v9"


async def test_a_large_file_comes_in_chunks_and_resumes_anywhere(stub: Stub, root: Path) -> None:
    data = os.urandom((2 << 20) + 17)
    folder = root / "scikit" / "large"
    save(folder)
    (folder / "weights.bin").write_bytes(data)
    models = await watch_until(stub, lambda models: "large:1" in models)
    wanted = pb.DownloadRequest(
        model="large", version="1", digest=models["large:1"], path="weights.bin"
    )
    chunks = await download(stub, wanted)
    assert max(map(len, chunks)) <= 1 << 20
    assert b"".join(chunks) == data
    for offset in (1, 1 << 20, len(data) - 1, len(data)):
        wanted.offset_bytes = offset
        assert b"".join(await download(stub, wanted)) == data[offset:]
    for offset in (-1, len(data) + 1):
        wanted.offset_bytes = offset
        error = await failure(stub.Download(wanted))
        assert isinstance(error, errors.OutOfRange)
        assert error.metadata["size_bytes"] == str(len(data))


@pytest.mark.parametrize(
    ("path", "wanted", "data"),
    [
        ("metadata.json", "application/json", None),
        ("data/part-0.snappy.parquet", "application/vnd.apache.parquet", b"PAR1 PAR1"),
        ("weights.bin", "application/octet-stream", bytes((1 << 20) + 1)),
        ("data/_SUCCESS", "application/octet-stream", b""),
    ],
)
async def test_a_file_comes_with_its_content_type(
    stub: Stub, root: Path, path: str, wanted: str, data: bytes | None
) -> None:
    file = save(root / "scikit" / "typed") / path
    if data is not None:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
    await watch_until(stub, lambda models: "typed:1" in models)
    call = stub.DownloadFile(pb.DownloadFileRequest(model="typed", path=path))
    bodies = [body async for body in call]
    assert bodies[0].content_type == wanted
    assert b"".join(body.data for body in bodies) == file.read_bytes()


@pytest.mark.parametrize("path", HOSTILE, ids=repr)
async def test_a_path_that_is_not_listed_is_not_found(stub: Stub, path: str) -> None:
    for call in (
        stub.DownloadFile(pb.DownloadFileRequest(model="adder", path=path)),
        stub.Download(pb.DownloadRequest(model="adder", path=path)),
    ):
        error = await failure(call)
        assert isinstance(error, errors.NotFound)
        assert SECRET not in error.message


@pytest.mark.parametrize(
    "model", ["..", ".", "", "../models/adder", "scikit/adder", "a\0b"], ids=repr
)
async def test_a_hostile_model_name_is_not_found(stub: Stub, model: str) -> None:
    error = await failure(stub.DownloadFile(pb.DownloadFileRequest(model=model, path="x")))
    assert isinstance(error, errors.NotFound)


async def test_a_link_out_of_the_folder_refuses_the_model(stub: Stub, root: Path) -> None:
    folder = save(root / "scikit" / "leaky")
    (folder / "notes.txt").symlink_to(root.parent / "secret.txt")
    error = await refusal(stub, "leaky", "link")
    assert isinstance(error, errors.ModelRefused)
    call = stub.DownloadFile(pb.DownloadFileRequest(model="leaky", path="notes.txt"))
    assert isinstance(await failure(call), errors.ModelRefused)


async def test_a_link_with_an_odd_name_refuses_the_model_only(stub: Stub, root: Path) -> None:
    folder = save(root / "scikit" / "leaky")
    (folder / os.fsdecode(b"\xff")).symlink_to(root.parent / "secret.txt")
    await refusal(stub, "leaky", "\\udcff")


async def test_links_in_a_circle_are_no_harm(stub: Stub, root: Path) -> None:
    folder = save(root / "scikit" / "round")
    for link in (folder / "loop", root / "scikit" / "loop", root / "loop"):
        link.symlink_to(link)
    await refusal(stub, "round", "cannot be read")
    save(root / "scikit" / "later")
    await watch_until(stub, lambda models: "later:1" in models)


async def test_a_model_that_no_reader_foresaw_is_refused_alone(
    stub: Stub, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(load, "describe", fail)
    save(root / "scikit" / "strange")
    await refusal(stub, "strange", "RecursionError: too deep")
    monkeypatch.undo()
    assert (await stub.GetModel(pb.GetModelRequest(model="adder"))).model.digest


async def test_a_model_folder_that_is_a_link_out_is_refused(
    stub: Stub, root: Path, tmp_path: Path
) -> None:
    elsewhere = save(tmp_path / "elsewhere")
    (root / "scikit" / "linked").symlink_to(elsewhere)
    await refusal(stub, "linked", "leads out")


async def test_a_link_put_in_place_of_a_file_leaks_nothing(
    stub: Stub, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "SETTLE_S", 3600.0)
    for replace in (put_link, put_pipe, put_folder_link):
        folder = root / "scikit" / "adder"
        replace(folder, root.parent)
        for call in (
            stub.DownloadFile(pb.DownloadFileRequest(model="adder", path="model.py")),
            stub.Download(pb.DownloadRequest(model="adder", path="model.py")),
        ):
            assert isinstance(await failure(call), errors.Aborted)


def put_link(folder: Path, outside: Path) -> None:
    (folder / "model.py").unlink()
    (folder / "model.py").symlink_to(outside / "secret.txt")


def put_pipe(folder: Path, outside: Path) -> None:
    (folder / "model.py").unlink()
    os.mkfifo(folder / "model.py")


def put_folder_link(folder: Path, outside: Path) -> None:
    shutil.rmtree(folder)
    (outside / "model.py").write_text(SECRET)
    folder.symlink_to(outside)


async def test_a_new_model_is_published(stub: Stub, root: Path) -> None:
    save(root / "spark" / "later")
    models = await watch_until(stub, lambda models: "later:1" in models)
    assert sorted(models) == ["adder:1", "later:1"]


async def test_models_stay_while_the_root_is_away(stub: Stub, root: Path) -> None:
    away = Path(shutil.move(root, root.with_name("away")))
    error = await failure(stub.Download(pb.DownloadRequest(model="adder", path="model.py")))
    assert isinstance(error, errors.Aborted)
    save(away / "scikit" / "later")
    shutil.move(away, root)
    models = await watch_until(stub, lambda models: "later:1" in models)
    assert "adder:1" in models


async def test_a_removed_model_is_gone(stub: Stub, root: Path) -> None:
    shutil.rmtree(root / "scikit" / "adder")
    await watch_until(stub, lambda models: not models)
    error = await failure(stub.GetModel(pb.GetModelRequest(model="adder")))
    assert isinstance(error, errors.NotFound)


async def test_a_download_of_the_old_digest_is_aborted_after_a_change(
    stub: Stub, root: Path
) -> None:
    old = (await stub.GetModel(pb.GetModelRequest(model="adder"))).model.digest
    (root / "scikit" / "adder" / "model.py").write_text("# another one\n")
    wanted = pb.DownloadRequest(model="adder", version="1", digest=old, path="model.py")
    assert isinstance(await failure(stub.Download(wanted)), errors.Aborted)
    models = await watch_until(stub, lambda models: models["adder:1"] != old)
    assert isinstance(await failure(stub.Download(wanted)), errors.Aborted)
    wanted.digest = models["adder:1"]
    assert b"".join(await download(stub, wanted)) == b"# another one\n"


async def test_a_download_under_way_is_aborted_by_a_change(stub: Stub, root: Path) -> None:
    folder = save(root / "scikit" / "large")
    (folder / "weights.bin").write_bytes(bytes(64 << 20))
    await watch_until(stub, lambda models: "large:1" in models)
    call = stub.Download(pb.DownloadRequest(model="large", path="weights.bin"))
    await anext(aiter(call))
    with (folder / "weights.bin").open("ab") as stream:
        stream.write(b"more")
    assert isinstance(await failure(call), errors.Aborted)


async def test_a_model_that_is_being_copied_is_not_published(
    stub: Stub, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "SETTLE_S", 1.0)
    seen: list[set[str]] = []

    async def watch() -> None:
        async for response in stub.Watch(pb.WatchRequest()):
            seen.append({m.model for m in response.models})
            if {"copied", "done"} <= seen[-1]:
                return

    async with asyncio.timeout(15), asyncio.TaskGroup() as group:
        group.create_task(watch())
        folder = save(root / "scikit" / "copied")
        with (folder / "weights.bin").open("wb", buffering=0) as stream:
            for _ in range(20):
                stream.write(b"x" * 1000)
                await asyncio.sleep(0.05)
                assert all("copied" not in models for models in seen)
        save(root / "scikit" / "done")
    files = (await stub.GetModel(pb.GetModelRequest(model="copied"))).model.files
    assert {f.path: f.size_bytes for f in files}["weights.bin"] == 20_000


async def test_a_half_copied_model_is_refused_until_it_is_whole(stub: Stub, root: Path) -> None:
    folder = save(root / "scikit" / "half")
    whole = (folder / "metadata.json").read_bytes()
    (folder / "metadata.json").write_bytes(whole[:20])
    error = await refusal(stub, "half", "metadata.json")
    assert isinstance(error, errors.ModelRefused)
    assert str(root) not in error.message
    answer = await failure(stub.GetModel(pb.GetModelRequest(model="half")))
    assert isinstance(answer, errors.ModelRefused)
    assert answer.message == error.message
    (folder / "metadata.json").write_bytes(whole)
    await watch_until(stub, lambda models: "half:1" in models)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("skops/model.skops", "model.skops: cannot be read"),
        ("spark/data/part-0.parquet", "cannot be read as parquet"),
        ("spark/metadata/part-0", "metadata is not JSON"),
    ],
)
async def test_a_truncated_file_refuses_the_model_until_it_is_whole(
    stub: Stub, root: Path, file: str, reason: str
) -> None:
    save_skops(root / "any" / "skops")
    save_spark(root / "any" / "spark")
    path, name = root / "any" / file, file.split("/")[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    await refusal(stub, name, reason)
    path.write_bytes(whole)
    await watch_until(stub, lambda models: f"{name}:1" in models)
    model = (await stub.GetModel(pb.GetModelRequest(model=name))).model
    assert model.format == name
    assert model.signature.outputs[0].name == "y"
    assert [s.name for s in model.stages] == (["StandardScalerModel"] if name == "spark" else [])


async def test_a_refused_version_leaves_the_one_before_as_latest(stub: Stub, root: Path) -> None:
    save(root / "scikit" / "two" / "1")
    save(root / "scikit" / "two" / "2", inputs="nonsense")
    await refusal(stub, "two", "inputs")
    assert (await stub.GetModel(pb.GetModelRequest(model="two"))).model.version == "1"
    error = await failure(stub.GetModel(pb.GetModelRequest(model="two", version="2")))
    assert isinstance(error, errors.ModelRefused)


@pytest.mark.parametrize("framework", ["a", "spark"])
async def test_a_name_is_not_taken_over_by_another_framework(
    stub: Stub, root: Path, framework: str
) -> None:
    before = (await stub.GetModel(pb.GetModelRequest(model="adder"))).model
    save(root / framework / "adder", code="# not the adder\n")
    error = await refusal(stub, "adder", "unique")
    assert "'scikit/adder' stays" in error.message
    assert f"'{framework}/adder'" in error.message
    assert (await stub.GetModel(pb.GetModelRequest(model="adder"))).model == before
    shutil.rmtree(root / "scikit" / "adder")
    await watch_until(stub, lambda models: models.get("adder:1", before.digest) != before.digest)


async def test_a_name_stays_where_it_was_over_a_restart(root: Path, tmp_path: Path) -> None:
    mine = save(root / "scikit" / "adder")
    async with serving(root, tmp_path / "data") as stub:
        await watch_until(stub, lambda models: "adder:1" in models)
        save(root / "a" / "adder")
        await refusal(stub, "adder", "unique")
    for file in ("model.py", "metadata.json"):  # now its files are the newer ones
        shutil.copy(root / "a" / "adder" / file, mine / file)
    async with serving(root, tmp_path / "data") as stub:
        assert "'scikit/adder' stays" in (await refusal(stub, "adder", "unique")).message


async def test_without_a_memory_the_oldest_folder_has_a_name(root: Path) -> None:
    for framework in ("scikit", "a"):
        save(root / framework / "adder")
        await asyncio.sleep(0.02)  # the clock of the file system has a coarse grain
    for _ in range(2):
        async with serving(root) as stub:
            assert "'scikit/adder' stays" in (await refusal(stub, "adder", "unique")).message


@contextlib.asynccontextmanager
async def serving(root: Path, data: Path | None = None) -> AsyncIterator[Stub]:
    async with running(root, Registry(), data) as address, rpc.channel(address) as channel:
        yield pb_grpc.RepositoryServiceStub(channel)


async def test_a_version_beside_the_files_of_a_model_is_refused(stub: Stub, root: Path) -> None:
    before = (await stub.GetModel(pb.GetModelRequest(model="adder"))).model.digest
    save(root / "scikit" / "adder" / "2")
    error = await refusal(stub, "adder", "'scikit/adder/2'")
    assert "'scikit/adder'" in error.message
    assert (await stub.GetModel(pb.GetModelRequest(model="adder"))).model.digest == before


async def test_files_beside_the_versions_of_a_model_are_refused(stub: Stub, root: Path) -> None:
    save(root / "scikit" / "many" / "2")
    await watch_until(stub, lambda models: "many:2" in models)
    shutil.copytree(root / "scikit" / "adder", root / "scikit" / "many", dirs_exist_ok=True)
    await refusal(stub, "many", "'scikit/many/2'")
    assert (await stub.GetModel(pb.GetModelRequest(model="many"))).model.version == "2"


async def test_files_beside_versions_from_the_start_are_refused_both(root: Path) -> None:
    save(root / "scikit" / "many")
    save(root / "scikit" / "many" / "2")
    async with serving(root) as stub:
        await refusal(stub, "many", "neither is published")
        listed = (await stub.ListModels(pb.ListModelsRequest())).models
        assert [model.HasField("error") for model in listed] == [True, True]


async def test_versions_that_mean_the_same_are_refused_but_for_the_first(
    stub: Stub, root: Path
) -> None:
    save(root / "scikit" / "many" / "1")
    await watch_until(stub, lambda models: "many:1" in models)
    save(root / "scikit" / "many" / "01")
    save(root / "scikit" / "many" / "v1")
    save(root / "scikit" / "many" / "latest")
    await refusal(stub, "many", "want a number such as 1, 2, v3")
    await refusal(stub, "many", "'scikit/many/v1', which are the same version")
    await refusal(stub, "many", "'scikit/many/01', which are the same version")
    assert (await stub.GetModel(pb.GetModelRequest(model="many"))).model.version == "1"


@pytest.mark.parametrize("name", ["two words", "naïve", "-x", b"\xff\xfe"], ids=repr)
async def test_a_malformed_name_is_refused(stub: Stub, root: Path, name: str | bytes) -> None:
    folder = os.fsdecode(name)
    save(root / "scikit" / folder)
    shown = folder.encode("utf-8", "backslashreplace").decode()
    await refusal(stub, shown, "rename the folder")


async def test_a_file_name_that_cannot_be_sent_refuses_the_model(stub: Stub, root: Path) -> None:
    folder = save(root / "scikit" / "odd")
    (folder / "a\nb").touch()
    await refusal(stub, "odd", "rename the file")


async def test_folders_without_models_are_ignored(stub: Stub, root: Path) -> None:
    (root / "scikit" / "training").mkdir()
    (root / "scikit" / "training" / "train.py").touch()
    (root / "scikit" / "README.md").touch()
    save(root / "scikit" / ".hidden")
    save(root / "scikit" / "last")
    await watch_until(stub, lambda models: "last:1" in models)
    listed = (await stub.ListModels(pb.ListModelsRequest())).models
    assert [version.model for version in listed] == ["adder", "last"]


async def test_a_slow_watcher_gets_only_the_newest_state() -> None:
    feed = CatalogueFeed()
    changes = feed.changes()
    await anext(changes)
    for n in range(5):
        feed.publish(Catalogue({str(n): ()}))
    assert list((await anext(changes)).models) == ["4"]
    feed.close()
    with pytest.raises(StopAsyncIteration):
        await anext(changes)


async def test_watchers_are_told_when_the_repository_stops(root: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        address = await stack.enter_async_context(running(root, Registry()))
        async with rpc.channel(address) as channel:
            call = pb_grpc.RepositoryServiceStub(channel).Watch(pb.WatchRequest())
            await anext(aiter(call))
            ending = asyncio.create_task(failure(call))
            await stack.aclose()
            assert isinstance(await ending, errors.Unavailable)


# ---- links that change, and what is no file


def swap(link: Path, target: str) -> None:
    """Replaces a link at once, as Kubernetes and deploys do."""
    new = link.with_name(f"{link.name}_new")
    new.symlink_to(target)
    new.rename(link)


def config_map(root: Path) -> tuple[Path, Path]:
    """A folder as Kubernetes mounts a ConfigMap; the link that changes."""
    folder = root / "scikit" / "mapped"
    save(folder / "..one", code="# one\n")
    (folder / "..data").symlink_to("..one")
    for file in ("model.py", "metadata.json"):
        (folder / file).symlink_to(f"..data/{file}")
    save(folder / "..two", code="# two\n")
    return folder / "..data", Path("..two")


def mounted_root(root: Path) -> tuple[Path, Path]:
    """The root itself is the mount: the framework's folder is a link."""
    save(root / "..one" / "any" / "mapped", code="# one\n")
    (root / "..data").symlink_to("..one")
    (root / "any").symlink_to("..data/any")
    save(root / "..two" / "any" / "mapped", code="# two\n")
    return root / "..data", Path("..two")


def deployed(root: Path) -> tuple[Path, Path]:
    """The model's folder is a link to a release."""
    for release, code in (("1", "# one\n"), ("2", "# two\n")):
        save(root / ".releases" / release, code=code)
    (root / "scikit" / "mapped").symlink_to("../.releases/1")
    return root / "scikit" / "mapped", Path("../.releases/2")


def current(root: Path) -> tuple[Path, Path]:
    """The files are links through `current`, which leads to a release."""
    folder = root / "scikit" / "mapped"
    for release, code in (("r1", "# one\n"), ("r2", "# two\n")):
        save(folder / ".releases" / release, code=code)
    (folder / ".current").symlink_to(".releases/r1")
    for file in ("model.py", "metadata.json"):
        (folder / file).symlink_to(f".current/{file}")
    return folder / ".current", Path(".releases/r2")


def version_link(root: Path) -> tuple[Path, Path]:
    folder = root / "scikit" / "mapped"
    for release, code in (("r1", "# one\n"), ("r2", "# two\n")):
        save(folder / ".releases" / release, code=code)
    (folder / "1").symlink_to(".releases/r1")
    return folder / "1", Path(".releases/r2")


@pytest.mark.parametrize("make", [config_map, mounted_root, deployed, current, version_link])
async def test_a_change_of_links_is_a_new_content(
    stub: Stub, root: Path, make: Callable[[Path], tuple[Path, Path]]
) -> None:
    link, target = make(root)
    before = (await watch_until(stub, lambda models: "mapped:1" in models))["mapped:1"]
    wanted = pb.DownloadRequest(model="mapped", path="model.py", digest=before)
    assert await download(stub, wanted) == [b"# one\n"]
    swap(link, str(target))
    models = await watch_until(stub, lambda models: models.get("mapped:1", before) != before)
    wanted.digest = models["mapped:1"]
    assert await download(stub, wanted) == [b"# two\n"]


async def test_what_a_link_leads_to_is_downloaded_within_the_root(stub: Stub, root: Path) -> None:
    shared = save(root / ".shared")
    (shared / "words.txt").write_text("shared by all")
    folder = save(root / "scikit" / "linked")
    (folder / "data").symlink_to(shared)
    await watch_until(stub, lambda models: "linked:1" in models)
    wanted = pb.DownloadRequest(model="linked", path="data/words.txt")
    assert await download(stub, wanted) == [b"shared by all"]
    (shared / "words.txt").write_text("changed where it is")
    old = (await stub.GetModel(pb.GetModelRequest(model="linked"))).model.digest
    await watch_until(stub, lambda models: models.get("linked:1", old) != old)
    assert await download(stub, wanted) == [b"changed where it is"]


def odd_pipe(folder: Path) -> None:
    os.mkfifo(folder / "weights.bin")


def odd_metadata(folder: Path) -> None:
    (folder / "metadata.json").unlink()
    os.mkfifo(folder / "metadata.json")


def odd_socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(folder / "s"))


def odd_name(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff.bin")).touch()


def odd_folder(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff")).mkdir()
    (folder / os.fsdecode(b"\xff") / "x").touch()


def odd_deep(folder: Path) -> None:
    folder.joinpath(*["x" * 200] * 9).mkdir(parents=True)


def odd_sparse(folder: Path) -> None:
    with (folder / "weights.bin").open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (odd_pipe, "named pipe"),
        (odd_metadata, "named pipe"),
        (odd_socket, "socket"),
        (odd_name, "rename the file"),
        (odd_folder, "rename the file"),
        (odd_deep, "path of over"),
        (odd_sparse, "bytes in the files"),
    ],
)
async def test_what_is_odd_costs_its_own_model_alone(
    stub: Stub, root: Path, make: Callable[[Path], None], reason: str
) -> None:
    make(save(root / "scikit" / "odd"))
    assert isinstance(await refusal(stub, "odd", reason), errors.ModelRefused)
    save(root / "scikit" / "later")
    await watch_until(stub, lambda models: "later:1" in models)
    shutil.rmtree(root / "scikit" / "odd")
    save(root / "scikit" / "odd")
    await watch_until(stub, lambda models: "odd:1" in models)


async def test_a_model_that_is_read_for_long_holds_back_none(
    stub: Stub, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe, gate = load.describe, threading.Event()

    def slow(folder: Path) -> Any:
        if folder.name == "slow":
            assert gate.wait(30)
        return describe(folder)

    monkeypatch.setattr(load, "describe", slow)
    save(root / "scikit" / "slow")
    async for response in stub.Watch(pb.WatchRequest()):
        if [(m.model, m.reading) for m in response.others] == [("slow", True)]:
            break
    try:
        save(root / "scikit" / "later")
        models = await watch_until(stub, lambda models: "later:1" in models)
        assert "slow:1" not in models
        asked = stub.GetModel(pb.GetModelRequest(model="slow"))
        assert isinstance(await failure(asked), errors.Unavailable)
    finally:
        gate.set()
    await watch_until(stub, lambda models: "slow:1" in models)
