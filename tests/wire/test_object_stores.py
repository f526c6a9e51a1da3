"""Models in real stores of objects, as their own servers have them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import repository_server
import store_servers
from cut_proxy import CutProxy
from store_servers import ACCESS_KEY, REGION, SECRET_KEY
from watched_store import LIMIT_BYTES, published, saved_model, until, watching

from hydro.repository.v1 import repository_service_pb2 as repository_pb
from hydro_services import errors
from hydro_services.repository import tracking, watcher
from hydro_services.repository.roots import Root
from hydro_services.repository.source import FileChanged
from hydro_services.repository.stores import open_store, pieces
from hydro_services.repository.stores.fsspec_stores import FsspecStore, GoogleStore, S3Store
from hydro_services.repository.stores.store_source import StoreSource

pytestmark = [
    pytest.mark.filterwarnings("ignore:Sending a large body"),  # where models are put
    pytest.mark.usefixtures("libraries_log"),
]

BUCKET, PREFIX = "models", "team/a b"


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with store_servers.moto(tmp_path_factory.mktemp("moto")) as port:
        yield port


@pytest.fixture(scope="module")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with store_servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as port:
        yield port


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with store_servers.google(tmp_path_factory.mktemp("google")) as port:
        yield port


class Bucket:
    """An empty place in a store, behind a proxy that can cut it off."""

    def __init__(self, open_store: Callable[[str], FsspecStore], proxy: CutProxy, name: str):
        self.open, self.proxy, self.path = open_store, proxy, f"{BUCKET}/{PREFIX}/{name}"
        self.store = open_store(self.path)
        self.fs: Any = self.store._fs()

    def put(self, path: str, data: bytes) -> None:
        self.fs.pipe_file(f"{self.path}/{path}", data)

    def delete(self, path: str) -> None:
        self.fs.rm_file(f"{self.path}/{path}")


@pytest.fixture(params=["moto", "seaweedfs", "google"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    port: int = request.getfixturevalue(request.param)
    name = request.node.name.translate(str.maketrans("[]", "--"))
    with CutProxy(port).running() as proxy:
        if request.param == "google":
            # A store that is away is asked again for half a minute.
            monkeypatch.setattr("gcsfs.retry.min", lambda *_: 0.05, raising=False)
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{proxy.port}")
            bucket = Bucket(GoogleStore, proxy, name)
            with contextlib.suppress(Exception):  # it is there already
                bucket.fs.mkdir(BUCKET)
        else:
            store_servers.use_s3(monkeypatch, proxy.port)
            bucket = Bucket(S3Store, proxy, name)
            where = {"LocationConstraint": REGION}
            with contextlib.suppress(Exception):
                bucket.fs.call_s3("create_bucket", Bucket=BUCKET, CreateBucketConfiguration=where)
        yield bucket


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "SETTLE_S", 0.1)
    monkeypatch.setattr(tracking, "RETRY_S", 0.1)
    monkeypatch.setattr(watcher, "RELIST_S", 0.1)
    monkeypatch.setattr(pieces, "PIECE_BYTES", 1 << 20)


async def test_models_of_a_store_are_published_changed_and_removed(
    bucket: Bucket, tmp_path: Path
) -> None:
    files = saved_model(tmp_path / "saved", 2.0)
    for path, data in files.items():
        bucket.put(f"scikit/double/3/{path}", data)
    bucket.put("scikit/double/.hidden", b"x")
    async with watching(bucket.open(bucket.path), tmp_path / "copies") as (feed, source):
        await until(feed, lambda: "double:3" in published(feed))
        version = published(feed)["double:3"]
        assert version.format == "skops"
        assert {file.path for file in version.files} == set(files)
        for file in version.files:
            with source.open_file(version.key, file.path, file.stamp) as stream:
                assert stream.read() == files[file.path]
        for path, data in saved_model(tmp_path / "other", 3.0).items():
            bucket.put(f"scikit/double/3/{path}", data)
        await until(feed, lambda: published(feed)["double:3"].digest != version.digest)
        for path in files:
            bucket.delete(f"scikit/double/3/{path}")
        await until(feed, lambda: not feed.catalogue.versions)


async def test_a_store_that_dies_in_a_download_and_comes_back(
    bucket: Bucket, tmp_path: Path
) -> None:
    files = saved_model(tmp_path / "saved", 2.0)
    large = bytes(range(256)) * (5 << 12)  # 5 MiB
    for path, data in {**files, "data/large.bin": large}.items():
        bucket.put(f"scikit/m/{path}", data)
    sent_before = bucket.proxy.sent_bytes
    bucket.proxy.cut_after = 3 << 20
    async with watching(bucket.open(bucket.path), tmp_path / "copies") as (feed, source):
        await until(feed, lambda: bucket.proxy.is_away and feed.away[0] is not None)
        assert not published(feed)
        bucket.proxy.cut_after = None
        await until(feed, lambda: "m:1" in published(feed))
        await until(feed, lambda: feed.away[0] is None)
        # All of it once, at most two pieces again, and listings.
        whole = len(large) + sum(map(len, files.values()))
        assert bucket.proxy.sent_bytes - sent_before < whole + (2 << 20) + 500_000
        version = published(feed)["m:1"]
        bucket.proxy.cut_after = 0
        await until(feed, lambda: feed.away[0] is not None)
        with source.open_file(
            version.key, "data/large.bin", version.file("data/large.bin").stamp
        ) as stream:
            assert stream.read() == large
    async with watching(bucket.open(bucket.path), tmp_path / "copies") as (feed, source):
        await until(feed, lambda: "m:1" in published(feed))
        await until(feed, lambda: feed.away[0] is not None)
        assert published(feed)["m:1"].digest == version.digest


def test_an_object_that_is_replaced_while_it_is_read_is_not_mixed(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = b"old " * (1 << 20), b"new " * (1 << 20)
    bucket.put("large.bin", old)
    stamp = bucket.store.list_objects()["large.bin"]
    part = tmp_path / "part"
    part.touch()
    read = bucket.store._read_range

    def replace_meanwhile(*args: Any) -> bytes:
        piece = read(*args)
        if part.stat().st_size == 1 << 20:
            bucket.put("large.bin", new)
        return piece

    monkeypatch.setattr(bucket.store, "_read_range", replace_meanwhile)
    with pytest.raises(FileChanged):
        bucket.store.download("large.bin", stamp, part)
    bucket.delete("large.bin")
    with pytest.raises(FileChanged):
        bucket.store.download("large.bin", stamp, part)


async def test_a_slow_store_holds_up_nothing_else(bucket: Bucket, tmp_path: Path) -> None:
    bucket.proxy.hold()
    before = bucket.proxy.connections
    async with watching(bucket.open(bucket.path), tmp_path / "copies") as (feed, _):
        await until(feed, lambda: bucket.proxy.connections > before)
        await asyncio.gather(*(asyncio.to_thread(int) for _ in range(100)))


def test_what_is_not_there_is_told_apart_from_nothing(bucket: Bucket) -> None:
    assert bucket.open(f"{BUCKET}/none").list_objects() == {}
    with pytest.raises(Exception, match=r"bucket|Not Found|there is no"):
        bucket.open("no-such-bucket/p").list_objects()


def test_wrong_credentials_are_told_without_them(
    seaweedfs: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store_servers.use_s3(monkeypatch, seaweedfs)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret-of-anyone")
    source = StoreSource(S3Store(f"{BUCKET}/p"), ("s3", "p"), tmp_path, LIMIT_BYTES)
    with pytest.raises(errors.Unavailable, match="signature") as caught:
        source.list_models()
    assert "not-the-secret" not in caught.value.message
    assert ACCESS_KEY not in caught.value.message


def test_ten_thousand_objects_are_listed_by_pages_and_none_is_opened(
    moto: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with CutProxy(moto).running() as proxy:
        store_servers.use_s3(monkeypatch, proxy.port)
        store = S3Store(f"{BUCKET}/many")
        source = StoreSource(store, ("s3", "many"), tmp_path, LIMIT_BYTES)
        before = proxy.sent_bytes
        listing = source.list_models()
        assert len(listing.models) == 100
        assert sum(len(model.stamps) for model in listing.models.values()) == store_servers.MANY
        assert proxy.sent_bytes - before < 600 * store_servers.MANY


async def test_a_root_of_a_store_beside_a_folder(
    moto: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with CutProxy(moto).running() as proxy:
        store_servers.use_s3(monkeypatch, proxy.port)
        monkeypatch.setattr(open_store, "silence_libraries", lambda: None)
        place = f"{BUCKET}/beside a folder"
        bucket = S3Store(place)
        repository_server.save(tmp_path / "models/python/m")
        repository_server.save(tmp_path / "saved")
        for path in (tmp_path / "saved").iterdir():
            bucket._fs().pipe_file(f"{place}/python/n/{path.name}", path.read_bytes())
            bucket._fs().pipe_file(f"{place}/scikit/m/{path.name}", path.read_bytes())
        root = Root.parse(f"s3://{place}")
        folder = tmp_path / "models"
        async with repository_server.serving(folder, tmp_path / "data", [root]) as stub:
            await repository_server.watch_until(stub, lambda models: set(models) == {"m:1", "n:1"})
            error = await repository_server.refusal(stub, "m", "unique across")
            assert f"{folder}/python/m" in error.message
            assert f"s3://{place}/scikit/m" in error.message
            request = repository_pb.DownloadRequest(model="n", path="metadata.json")
            assert b"".join(await repository_server.download(stub, request)).startswith(b"{")
            proxy.cut_after = 0
            async with asyncio.timeout(60):
                while True:
                    listed = await stub.ListModels(repository_pb.ListModelsRequest())
                    if listed.roots[1].HasField("away_since"):
                        break
            assert [each.name for each in listed.roots] == [str(folder), f"s3://{place}"]
            assert not listed.roots[0].HasField("away_since")
            assert listed.roots[1].error
            told = {(m.model, m.root): bool(m.digest) for m in listed.models}
            assert told[("n", f"s3://{place}")]
    assert SECRET_KEY not in caplog.text
    assert "models not listed" in caplog.text
