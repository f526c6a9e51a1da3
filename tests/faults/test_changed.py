"""What users change while requests are under way: models and pipelines."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

import pytest
from counted_load import STAGES
from harness import CHAIN, PIPELINE, DisturbedMesh, Scene, now, until_true

pytestmark = pytest.mark.e2e


async def test_a_model_is_replaced(scene: Scene) -> None:
    async with scene.under_load("hot swap of a model") as disturbed:
        disturbed.load.prefixes.add(">")
        start = await replace(scene, ">")
        await answered_by(disturbed, ">")
        disturbed.report.healed_s = now() - start
        await replace(scene, "")
        await answered_by(disturbed, "")
    assert disturbed.report.failures() == {}


async def test_a_disk_that_is_full_keeps_the_old_version(scene: Scene) -> None:
    filler = scene.mesh.folder / "data" / "cache" / "filler"
    url = f"{scene.mesh.urls['manager']}/api/v1/pipelines/{PIPELINE}"

    async def is_told() -> bool:
        told = (await scene.clients.http.get(url)).json()
        return "No space left" in told.get("error", {}).get("message", "")

    async with scene.under_load("disk full in the cache, then room again") as disturbed:
        await asyncio.to_thread(fill, filler)
        await replace(scene, "?")
        await until_true(is_told, "the pipeline tells that the disk is full")
        told = (await scene.clients.http.get(url)).json()
        assert told["state"] == "PIPELINE_STATE_READY"
        await disturbed.load.more(5)
        disturbed.load.prefixes.add("?")
        start = now()
        filler.unlink()
        await answered_by(disturbed, "?")
        disturbed.report.healed_s = now() - start
        await replace(scene, "")
        await answered_by(disturbed, "")
    assert disturbed.report.failures() == {}


def fill(file: Path) -> None:
    """Takes all room there is; without a disk of its own for the cache there is none to take."""
    if not os.path.ismount(file.parent):
        pytest.skip("only root can mount a small disk for the cache")
    with file.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(b"\0" * 4096)


async def replace(scene: Scene, prefix: str) -> float:
    """Puts another folder in the place of the first model's, trusted beforehand; when it began."""
    folder, beside = scene.mesh.models / "scikit" / STAGES[0], scene.mesh.folder
    new, old = beside / "new", beside / "old"
    shutil.copytree(folder, new)
    (new / "prefix.txt").write_text(prefix)
    await asyncio.to_thread(scene.mesh.trust, new)
    start = now()
    folder.rename(old)  # with a moment in which there is no such model
    new.rename(folder)
    shutil.rmtree(old)
    return start


async def answered_by(disturbed: DisturbedMesh, prefix: str) -> None:
    async def is_so() -> bool:
        return set(disturbed.load.latest) == {prefix}

    await until_true(is_so, f"all requests are answered by the model {prefix!r}")


async def test_a_pipeline_is_replaced(scene: Scene) -> None:
    async with scene.under_load("a pipeline is replaced, 6 times") as disturbed:
        for chain in (CHAIN[::-1], CHAIN) * 3:
            response = await scene.clients.create(PIPELINE, *chain)
            assert response.status_code == 200, response.text
            await disturbed.load.more(3)
    assert disturbed.report.failures() == {}


async def test_a_pipeline_gets_other_weights(scene: Scene) -> None:
    url = f"{scene.mesh.urls['manager']}/api/v1/pipelines/{PIPELINE}"
    async with scene.under_load("a pipeline gets other weights, 5 times") as disturbed:
        for weight in (0, 50, 100, 10, 0):
            variant = {"name": "turned", "chain": CHAIN[::-1], "weight": weight}
            body = {"chain": CHAIN, "traffic": {"variants": [variant]}}
            response = await scene.clients.http.put(url, json=body)
            assert response.status_code == 200, response.text
            await disturbed.load.more(3)
        response = await scene.clients.http.put(url, json={"chain": CHAIN})
        assert response.status_code == 200, response.text
    assert disturbed.report.failures() == {}


async def test_a_pipeline_is_deleted_and_created_again(scene: Scene) -> None:
    async with scene.under_load("a pipeline is deleted and created again") as disturbed:
        tallies = disturbed.report.tallies
        assert (await scene.clients.delete(PIPELINE)).status_code == 200

        async def is_gone() -> bool:
            return bool(tallies["http"].errors["HTTP 404"] and tallies["grpc"].errors["NOT_FOUND"])

        await until_true(is_gone, "requests are refused")
        start = now()
        assert (await scene.clients.create(PIPELINE, *CHAIN)).status_code == 200
        disturbed.report.healed_s = now() - start
        while_gone = sum(tallies[kind].errors.total() for kind in ("http", "grpc"))
        under_way = [len(tallies[kind].waiting) for kind in ("http", "grpc")]
    errors = tallies["http"].errors + tallies["grpc"].errors
    assert {"HTTP 404", "NOT_FOUND"} <= errors.keys()
    assert errors.keys() <= {"HTTP 404", "NOT_FOUND", "HTTP 503", "UNAVAILABLE"}  # it is pending
    assert errors.total() - while_gone <= sum(under_way)  # none that was sent afterwards
    assert all(tally.lost == 0 and not tally.wrong for tally in tallies.values())
    assert not tallies["stream"].errors  # they keep their chain
