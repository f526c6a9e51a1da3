"""Models that come, change and go while the repository serves, and who watches it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path

import pytest
from patience import PATIENCE_S
from repository_server import (
    Registry,
    Stub,
    download,
    failure,
    refusal,
    running,
    save,
    save_skops,
    save_spark,
    watch_until,
)

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro.repository.v1 import repository_service_pb2_grpc as pb_grpc
from hydro_services import errors, rpc
from hydro_services.repository import tracking
from hydro_services.repository.catalogue import Catalogue
from hydro_services.repository.feed import CatalogueFeed


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
    monkeypatch.setattr(tracking, "SETTLE_S", 1.0)
    seen: list[set[str]] = []

    async def watch() -> None:
        async for response in stub.Watch(pb.WatchRequest()):
            seen.append({m.model for m in response.models})
            if {"copied", "done"} <= seen[-1]:
                return

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        group.create_task(watch())
        clock = asyncio.get_running_loop().time
        folder = save(root / "scikit" / "copied")
        with (folder / "weights.bin").open("wb", buffering=0) as stream:
            quiet_s, last = 0.0, clock()
            for _ in range(20):
                stream.write(b"x" * 1000)
                quiet_s, last = max(quiet_s, clock() - last), clock()
                await asyncio.sleep(0.05)
                # On a slow machine the copy itself may pause for long enough to look whole.
                is_published = any("copied" in models for models in seen)
                assert not is_published or max(quiet_s, clock() - last) > tracking.SETTLE_S / 2
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
        async with rpc.open_channel(address) as channel:
            call = pb_grpc.RepositoryServiceStub(channel).Watch(pb.WatchRequest())
            await anext(aiter(call))
            ending = asyncio.create_task(failure(call))
            await stack.aclose()
            assert isinstance(await ending, errors.Unavailable)
