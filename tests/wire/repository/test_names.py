"""Names and versions of models: which are refused, and who keeps one that two folders want."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from repository_server import Stub, failure, refusal, save, serving, watch_until

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro_services import errors


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
