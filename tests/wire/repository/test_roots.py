"""Several roots of models: one catalogue, and names that are unique across all."""

from __future__ import annotations

import shutil
from pathlib import Path

from repository_server import Stub, download, refusal, save, serving, watch_until

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro_services.repository.roots import Root


async def file_text(stub: Stub, model: str) -> bytes:
    return b"".join(await download(stub, pb.DownloadRequest(model=model, path="model.py")))


async def test_models_of_all_roots_are_served_from_their_own(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    save(here / "python/m", "def load(folder): return 1\n")
    save(there / "python/n", "def load(folder): return 2\n")
    async with serving(here, others=[Root.parse(str(there))]) as stub:
        await watch_until(stub, lambda models: set(models) == {"m:1", "n:1"})
        assert await file_text(stub, "m") == b"def load(folder): return 1\n"
        assert await file_text(stub, "n") == b"def load(folder): return 2\n"
        save(there / "python/o")
        await watch_until(stub, lambda models: set(models) == {"m:1", "n:1", "o:1"})


async def test_who_is_published_has_the_name_across_roots_and_restarts(tmp_path: Path) -> None:
    here, there, data = tmp_path / "here", tmp_path / "there", tmp_path / "data"
    data.mkdir()
    save(there / "python/m", "def load(folder): return 'older'\n")
    save(here / "python/m", "def load(folder): return 'published'\n")
    async with serving(here, data) as stub:
        digest = (await watch_until(stub, lambda models: "m:1" in models))["m:1"]
    # The other root is named first by now, and its model is the older one.
    for first, second in ((here, there), (here, there), (there, here)):
        async with serving(first, data, [Root.parse(str(second))]) as stub:
            error = await refusal(stub, "m", "unique across")
            assert str(here / "python/m") in error.message
            assert str(there / "python/m") in error.message
            models = await watch_until(stub, lambda models: "m:1" in models)
            assert models["m:1"] == digest
            assert b"published" in await file_text(stub, "m")
    async with serving(there, data, [Root.parse(str(here))]) as stub:
        shutil.rmtree(here / "python/m")
        await watch_until(stub, lambda models: models.get("m:1") not in (None, digest))
        assert b"older" in await file_text(stub, "m")
