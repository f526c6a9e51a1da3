"""The repository over sources of models: the folder, and one in memory, with the same answers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import pickle
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol, TypeAlias

import fault_store
import grpc
import grpc.aio
import numpy as np
import pytest
from fault_store import FaultStore
from memory_source import MemorySource
from patience import PATIENCE_S
from sklearn.linear_model import LinearRegression

import hydro_models
from hydro.repository.v1 import repository_service_pb2 as pb
from hydro.repository.v1 import repository_service_pb2_grpc as pb_grpc
from hydro_envoy.address import ANY_PORT, Address
from hydro_runtimes.columns import Columns, Dense
from hydro_runtimes.load import load
from hydro_services import errors, rpc
from hydro_services.repository import download, tracking, watcher
from hydro_services.repository.catalogue import ModelVersion
from hydro_services.repository.feed import CatalogueFeed
from hydro_services.repository.folder import FolderSource
from hydro_services.repository.inspection import inspect
from hydro_services.repository.servicer import SERVICE, RepositoryServicer
from hydro_services.repository.source import FileChanged, ModelSource
from hydro_services.repository.stores.store_source import StoreSource
from hydro_services.repository.watcher import SourceWatcher
from hydro_services.runtime.fetch import Cache
from hydro_services.runtime.host import ModelId

Stub: TypeAlias = "pb_grpc.RepositoryServiceAsyncStub"
PARITY = Path(__file__).resolve().parents[1] / "parity" / "fixtures" / "layouts"
METADATA = json.dumps(
    {
        "inputs": [{"name": "x", "type": "float64"}],
        "outputs": [{"name": "prediction", "type": "float64"}],
    }
).encode()
LARGE = bytes(range(256)) * 10_000


class Writable(Protocol):
    """A source with the way to change what it has."""

    @property
    def source(self) -> ModelSource: ...

    def put(self, name: str, data: bytes) -> None: ...
    def delete(self, name: str) -> None: ...


class InMemory:
    def __init__(self, root: Path) -> None:
        self.source = MemorySource()
        self.put, self.delete = self.source.put, self.source.delete


class OnDisk:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = FolderSource(root)

    def put(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(".new").write_bytes(data)
        path.with_name(".new").replace(path)

    def delete(self, name: str) -> None:
        (self.root / name).unlink()


class InStore:
    def __init__(self, root: Path) -> None:
        store = FaultStore()
        self.source = StoreSource(store, ("store", "p"), root / "copies", 1 << 30)
        self.put, self.delete = store.put, store.delete


@pytest.fixture(params=[OnDisk, InMemory, InStore])
def models(request: pytest.FixtureRequest, tmp_path: Path) -> Writable:
    root = tmp_path / "models"
    root.mkdir()
    kind: Callable[[Path], Writable] = request.param
    return kind(root)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "SETTLE_S", 0.1)
    monkeypatch.setattr(watcher, "RELIST_S", 0.1)
    monkeypatch.setattr(fault_store, "PIECE_BYTES", 1 << 20)


def put_estimator(models: Writable, folder: str, tmp_path: Path) -> None:
    x = np.array([[0.0], [1.0]])
    hydro_models.save(LinearRegression().fit(x, [0.0, 2.0]), tmp_path / "saved", x, inputs=["x"])
    for path in (tmp_path / "saved").iterdir():
        models.put(f"{folder}/{path.name}", path.read_bytes())


@contextlib.asynccontextmanager
async def serving(models: Writable) -> AsyncIterator[tuple[Address, Stub]]:
    feed = CatalogueFeed()
    task = asyncio.create_task(SourceWatcher(models.source, feed).run())
    add = pb_grpc.add_RepositoryServiceServicer_to_server
    servicer = RepositoryServicer(feed, models.source)
    async with (
        rpc.serve(ANY_PORT, lambda s: add(servicer, s), (SERVICE,), grace_s=0) as served,
        rpc.open_channel(served.address) as channel,
    ):
        try:
            yield served.address, pb_grpc.RepositoryServiceStub(channel)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def listed(stub: Stub, condition: Callable[[dict[str, pb.ModelVersion]], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        async for response in stub.Watch(pb.WatchRequest()):
            found = {f"{m.model}:{m.version}": m for m in (*response.models, *response.others)}
            if condition(found):
                return


def version_of(source: ModelSource) -> ModelVersion:
    """The model scikit/m as it is now."""
    key = ("scikit", "m")
    inspection = inspect(source, key, source.list_files(key, frozenset()))
    assert inspection
    return inspection.version


def is_published(found: dict[str, pb.ModelVersion], name: str) -> bool:
    return name in found and bool(found[name].digest) and not found[name].reading


async def test_a_model_is_listed_inspected_downloaded_and_evaluated(
    models: Writable, tmp_path: Path
) -> None:
    put_estimator(models, "scikit/double/2", tmp_path)
    async with serving(models) as (address, stub):
        await listed(stub, lambda found: is_published(found, "double:2"))
        model = (await stub.GetModel(pb.GetModelRequest(model="double"))).model
        assert (model.format, model.signature.inputs[0].name) == ("skops", "x")
        folder = await Cache(tmp_path / "cache").fetch(
            ModelId("double", "2", model.digest), address
        )
    answer = load(folder).evaluate(Columns({"x": Dense(np.array([3.0]))}))
    assert answer.outputs["prediction"].values.tolist() == pytest.approx([6.0])  # type: ignore[union-attr]


async def test_a_spark_model_is_described_from_its_saved_stages(models: Writable) -> None:
    folder = PARITY / "sparkr_glm"
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            models.put(f"spark/glm/{path.relative_to(folder).as_posix()}", path.read_bytes())
    async with serving(models) as (_, stub):
        await listed(stub, lambda found: is_published(found, "glm:1"))
        model = (await stub.GetModel(pb.GetModelRequest(model="glm"))).model
    assert model.format == "spark"
    assert model.stages


async def test_files_come_in_pieces_from_any_offset(models: Writable) -> None:
    models.put("scikit/m/metadata.json", METADATA)
    models.put("scikit/m/model.pkl", pickle.dumps(1))
    models.put("scikit/m/data/large.bin", LARGE)
    async with serving(models) as (_, stub):
        await listed(stub, lambda found: is_published(found, "m:1"))
        model = (await stub.GetModel(pb.GetModelRequest(model="m"))).model
        hashes = {file.path: file.sha256 for file in model.files}
        assert hashes["data/large.bin"] == hashlib.sha256(LARGE).hexdigest()
        for offset in (0, 1, 1 << 20, len(LARGE)):
            request = pb.DownloadRequest(model="m", path="data/large.bin", offset_bytes=offset)
            pieces = [response.chunk async for response in stub.Download(request)]
            assert b"".join(pieces) == LARGE[offset:]
            assert max(map(len, pieces), default=0) <= download.CHUNK_BYTES


async def test_what_changed_is_never_sent_and_is_published_anew(models: Writable) -> None:
    models.put("scikit/m/metadata.json", METADATA)
    models.put("scikit/m/model.pkl", LARGE + b"1")
    async with serving(models) as (_, stub):
        await listed(stub, lambda found: is_published(found, "m:1"))
        old = (await stub.GetModel(pb.GetModelRequest(model="m"))).model.digest
        # Not over the wire: the server may be ahead of the client by any number of pieces.
        pieces = download.read_file(models.source, version_of(models.source), "model.pkl")
        assert await anext(pieces) == LARGE[: 1 << 20]
        models.put("scikit/m/model.pkl", LARGE + b"2")
        if isinstance(models, InStore):  # its copy is the old file, and stays for who reads it
            assert b"".join([piece async for piece in pieces]) == LARGE[1 << 20 :] + b"1"
            await listed(stub, lambda found: found["m:1"].digest not in ("", old))
        else:
            with pytest.raises(errors.Aborted):
                await anext(pieces)
        call = stub.Download(pb.DownloadRequest(model="m", digest=old, path="model.pkl"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
        assert isinstance(errors.from_rpc(caught.value), errors.Aborted)
        await listed(stub, lambda found: is_published(found, "m:1") and found["m:1"].digest != old)
        models.delete("scikit/m/model.pkl")
        models.delete("scikit/m/metadata.json")
        await listed(stub, lambda found: not found)


async def test_a_model_that_is_not_whole_is_refused_without_a_word_of_where_it_is(
    models: Writable, tmp_path: Path
) -> None:
    put_estimator(models, "scikit/double", tmp_path)
    models.put("scikit/double/model.skops", b"PK\3\4 half of it")
    models.put("scikit/none/metadata.json", b"{")
    async with serving(models) as (_, stub):
        await listed(
            stub,
            lambda found: len(found) == 2 and all(m.HasField("error") for m in found.values()),
        )
        response = await stub.ListModels(pb.ListModelsRequest())
    messages = {model.model: model.error.message for model in response.models}
    assert "model.skops: cannot be read: File is not a zip file" in messages["double"]
    assert "no model here: found metadata.json" in messages["none"]
    for message in messages.values():
        assert str(tmp_path) not in message
        assert tempfile.gettempdir() not in message


async def test_names_and_versions_follow_the_same_rules(models: Writable) -> None:
    for folder in ("a/m", "a/m/2", "a/n/1", "a/n/01", "b/o/latest", "b/o/v3"):
        models.put(f"{folder}/metadata.json", METADATA)
        models.put(f"{folder}/model.pkl", b"1")
    async with serving(models) as (_, stub):
        await listed(
            stub, lambda found: len(found) >= 6 and not any(m.reading for m in found.values())
        )
        response = await stub.ListModels(pb.ListModelsRequest())
    told = {f"{m.model}:{m.version}": m.error.message for m in response.models}
    assert sorted(told) == ["m:1", "m:2", "n:01", "n:1", "o:latest", "o:v3"]
    assert "a version of it in" in told["m:1"]
    assert "want a number such as" in told["o:latest"]
    assert told["o:v3"] == ""
    assert [name for name in ("n:1", "n:01") if "the same version" in told[name]] == ["n:01"]


async def test_a_store_that_is_away_leaves_what_was_published() -> None:
    models = InMemory(Path())
    models.put("scikit/m/metadata.json", METADATA)
    models.put("scikit/m/model.pkl", b"1")
    async with serving(models) as (_, stub):
        await listed(stub, lambda found: is_published(found, "m:1"))
        models.source.is_away = True
        for _ in range(2):  # the second shows that the first has been dealt with
            assert await asyncio.to_thread(models.source.refused.acquire, True, 30)
        assert (await stub.GetModel(pb.GetModelRequest(model="m"))).model.digest
        models.source.is_away = False
        models.put("scikit/n/metadata.json", METADATA)
        models.put("scikit/n/model.pkl", b"1")
        await listed(stub, lambda found: is_published(found, "n:1"))


@pytest.mark.parametrize("models", [OnDisk, InMemory], indirect=True)
def test_a_file_is_read_at_its_stamp_or_not_at_all(models: Writable) -> None:
    models.put("a/m/model.pkl", LARGE)
    key = ("a", "m")
    ((path, stamp),) = models.source.list_files(key, frozenset()).stamps
    assert stamp.size_bytes == len(LARGE)
    with models.source.open_file(key, path, stamp) as stream:
        assert stream.read(3) == LARGE[:3]
        stream.seek(-2, 2)
        assert stream.read(10) == LARGE[-2:]
        assert stream.tell() == len(LARGE)
        models.put("a/m/model.pkl", LARGE)
        stream.seek(0)
        # A folder's file that was replaced is still there for who has it open.
        if isinstance(models, InMemory):
            with pytest.raises(FileChanged):
                stream.read(3)
    with pytest.raises(FileChanged):
        models.source.open_file(key, path, stamp)


def test_a_file_of_a_folder_that_is_written_in_place_is_not_read_on(tmp_path: Path) -> None:
    models = OnDisk(tmp_path)
    models.put("a/m/model.pkl", LARGE)
    ((path, stamp),) = models.source.list_files(("a", "m")).stamps
    with models.source.open_file(("a", "m"), path, stamp) as stream:
        assert stream.read(3) == LARGE[:3]
        with (tmp_path / "a/m/model.pkl").open("r+b") as file:
            file.write(b"other")
        with pytest.raises(FileChanged):
            stream.read(3)


def test_a_path_that_leads_out_of_a_copy_is_refused() -> None:
    models = InMemory(Path())
    for path in ("../../escaped", "/escaped"):
        models.put(f"a/m/{path}", b"x")
        files = models.source.list_files(("a", "m"), frozenset())
        assert [name for name, _ in files.stamps] == [path]
        inspection = inspect(models.source, ("a", "m"), files)
        assert inspection
        assert "want one within the model" in inspection.version.refused
        assert models.source.opened == 0
        models.delete(f"a/m/{path}")
