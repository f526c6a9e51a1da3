"""The repository over HTTP, through a real Envoy: the original's URLs, and tricks with paths."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S
from ports import free_port

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro.repository.v1 import repository_service_pb2_grpc as pb_grpc
from hydro.serving.v1 import prediction_service_pb2
from hydro_envoy.address import ANY_PORT, Address
from hydro_envoy.mesh import ApiListener, Backend, Gateway, Mesh
from hydro_envoy.proxy.bootstrap import Bootstrap
from hydro_envoy.proxy.find_envoy import find_envoy
from hydro_envoy.proxy.process import Envoy
from hydro_envoy.resources.builder import Builder
from hydro_envoy.resources.descriptors import descriptor_set
from hydro_envoy.xds import load_reports
from hydro_envoy.xds import server as ads
from hydro_envoy.xds.hub import Hub
from hydro_services import rpc
from hydro_services.repository.feed import CatalogueFeed
from hydro_services.repository.folder import FolderSource
from hydro_services.repository.servicer import SERVICE, RepositoryServicer
from hydro_services.repository.tracking import SETTLE_S
from hydro_services.repository.watcher import SourceWatcher

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore:Using `@model_validator`"),  # envoy-data-plane, on import
]

HOST = "127.0.0.1"
SECRET = "only for the owner of the machine"
METADATA = {
    "model": "adder",
    "inputs": [{"name": "x", "type": "float64"}],
    "outputs": [{"name": "y", "type": "float64", "shape": [3]}],
}
TRICKS = [
    "/download/adder/../../../secret.txt",
    "/download/adder/../secret.txt",
    "/download/adder/data/../../../../secret.txt",
    "/download/adder/%2e%2e/%2e%2e/%2e%2e/secret.txt",
    "/download/adder/%2E%2E/secret.txt",
    "/download/adder/..%2f..%2f..%2fsecret.txt",
    "/download/adder/..%2F..%2F..%2Fsecret.txt",
    "/download/adder/..%5c..%5csecret.txt",
    "/download/adder/..\\..\\secret.txt",
    "/download/adder/%252e%252e/%252e%252e/secret.txt",
    "/download/adder//etc/passwd",
    "/download/adder/%2fetc%2fpasswd",
    "/download/adder/metadata.json%00.txt",
    "/download/..%2f..%2fsecret.txt",
    "/download/%2e%2e/%2e%2e/secret.txt",
    "/metadata/..%2fadder",
    "/files/%2e%2e",
    "//etc/passwd",
]
LARGE = os.urandom((24 << 20) + 5)


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Web:
    """The API listener, asked for a path exactly as it is spelled."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def get(self, path: str) -> Answer:
        return await asyncio.to_thread(self._get, path)

    def _get(self, path: str) -> Answer:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.putrequest("GET", path)
            connection.endheaders()
            response = connection.getresponse()
            kind = response.headers.get("content-type", "")
            return Answer(response.status, kind, response.read())


def save_models(root: Path) -> None:
    folder = root / "scikit" / "adder"
    (folder / "data").mkdir(parents=True)
    (folder / "model.py").write_text("def load(folder): ...\n")
    (folder / "metadata.json").write_text(json.dumps(METADATA))
    (folder / "two words.txt").write_text("a text\n")
    (folder / "data" / "part-0.parquet").write_bytes(b"PAR1 PAR1")
    (folder / "data" / "_SUCCESS").touch()
    (folder / "data" / "large.bin").write_bytes(LARGE)
    (root.parent / "secret.txt").write_text(SECRET)
    broken = root / "scikit" / "broken"
    broken.mkdir()
    (broken / "metadata.json").write_text("{")


@contextlib.asynccontextmanager
async def repository(root: Path) -> AsyncIterator[Address]:
    source, feed = FolderSource(root), CatalogueFeed()
    watcher = SourceWatcher(source, feed)
    await asyncio.sleep(SETTLE_S)  # the models are new: they are taken for whole after this
    await watcher.refresh()
    add = pb_grpc.add_RepositoryServiceServicer_to_server
    async with rpc.serve(
        ANY_PORT,
        lambda server: add(RepositoryServicer(feed, source), server),
        (SERVICE,),
        grace_s=0,
    ) as served:
        yield served.address


def mesh(address: Address, port: int) -> Mesh:
    gateway = Gateway(
        HOST, free_port(), descriptor_set([prediction_service_pb2.DESCRIPTOR]), 1 << 20
    )
    found = descriptor_set([pb.DESCRIPTOR])
    listener = ApiListener("repository", HOST, port, "repository", (SERVICE,), found)
    backend = Backend("repository", (address,))
    return Mesh(gateway, api_listeners=(listener,), backends=(backend,))


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Web]:
    root = tmp_path / "models"
    root.mkdir()
    save_models(root)
    hub, builder, port = Hub(), Builder(), free_port()
    async with contextlib.AsyncExitStack() as stack:
        address = await stack.enter_async_context(repository(root))
        hub.publish(builder.build(mesh(address, port)))
        stack.callback(builder.close)
        control = rpc.serve(
            ANY_PORT,
            lambda s: ads.add_ads(s, hub),
            (),
            unwrapped=frozenset([ads.SERVICE, load_reports.SERVICE]),
            grace_s=0,
        )
        served = await stack.enter_async_context(control)
        stack.callback(hub.close)
        wanted = Bootstrap("e2e", "gateway", served.address)
        envoy = Envoy(await find_envoy(), wanted, tmp_path / "envoy", concurrency=1, drain_s=0.1)
        await stack.enter_async_context(envoy)
        await envoy.ready(timeout_s=20)
        await hub.wait_applied(timeout_s=10)
        yield Web(port)


async def test_the_original_urls_answer(web: Web) -> None:
    metadata = await web.get("/metadata/adder")
    assert (metadata.status, metadata.content_type) == (200, "application/json")
    assert metadata.json["inputs"] == METADATA["inputs"]
    assert metadata.json["outputs"] == METADATA["outputs"]
    assert metadata.json["version"] == "1"
    files = await web.get("/files/adder")
    assert (files.status, files.content_type) == (200, "application/json")
    assert files.json == [file["path"] for file in metadata.json["files"]]
    assert "data/part-0.parquet" in files.json
    for path, kind in {
        "metadata.json": "application/json",
        "model.py": "text/plain; charset=utf-8",
        "two%20words.txt": "text/plain; charset=utf-8",
        "data/part-0.parquet": "application/vnd.apache.parquet",
        "data/_SUCCESS": "application/octet-stream",
    }.items():
        file = await web.get(f"/download/adder/{path}")
        assert (file.status, file.content_type) == (200, kind), path
    assert (await web.get("/download/adder/metadata.json")).json == METADATA
    listed = await web.get("/models")
    assert [model["model"] for model in listed.json["models"]] == ["adder", "broken"]
    assert (await web.get("/models/adder")).json["model"]["format"] == "python"


async def test_a_large_file_comes_whole(web: Web) -> None:
    file = await web.get("/download/adder/data/large.bin")
    assert file.status == 200
    assert file.body == LARGE


async def test_what_is_not_there_is_404_with_json(web: Web) -> None:
    for path in (
        "/metadata/nothing",
        "/files/nothing",
        "/download/nothing/metadata.json",
        "/download/adder/nothing",
        "/models/nothing",
        "/metadata/adder?version=7",
    ):
        answer = await web.get(path)
        assert (answer.status, answer.content_type) == (404, "application/json"), path
        assert "nothing" in answer.json["message"] or "'7'" in answer.json["message"]


async def test_a_refused_model_is_400_with_the_reason(web: Web) -> None:
    answer = await web.get("/metadata/broken")
    assert (answer.status, answer.content_type) == (400, "application/json")
    assert "'broken'" in answer.json["message"]
    assert "no model here" in answer.json["message"]


async def test_a_trick_with_the_path_is_refused(web: Web) -> None:
    for path in TRICKS:
        answer = await web.get(path)
        assert answer.status in (400, 404), path
        assert answer.content_type == "application/json", path
        assert answer.json["message"], path
        assert SECRET.encode() not in answer.body
        assert b"root:" not in answer.body
