"""What the repository tells of its models and sends of their files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from google.protobuf import json_format
from repository_server import (
    HOSTILE,
    METADATA,
    SECRET,
    Registry,
    Stub,
    digest,
    download,
    failure,
    running,
    save,
    sha256,
    watch_until,
)

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro_services import errors
from hydro_services.repository import process
from hydro_services.repository.roots import Root


async def test_the_process_registers_and_leaves(root: Path) -> None:
    registry = Registry()
    async with running(root, registry):
        endpoint = registry.endpoint.result()
        assert (endpoint.service, endpoint.instance) == ("repository", "repository-1")
        assert endpoint.incarnation
        assert not registry.left
    assert registry.left == ["repository-1"]


async def test_a_missing_root_is_refused_with_its_name(tmp_path: Path) -> None:
    config = process.Config((Root.parse(str(tmp_path / "none")),), "repository-1")
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


async def test_folders_without_models_are_ignored(stub: Stub, root: Path) -> None:
    (root / "scikit" / "training").mkdir()
    (root / "scikit" / "training" / "train.py").touch()
    (root / "scikit" / "README.md").touch()
    save(root / "scikit" / ".hidden")
    save(root / "scikit" / "last")
    await watch_until(stub, lambda models: "last:1" in models)
    listed = (await stub.ListModels(pb.ListModelsRequest())).models
    assert [version.model for version in listed] == ["adder", "last"]
