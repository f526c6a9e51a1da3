"""A format that stands in the table of formats is served, with nothing else changed for it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import toy_format

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro.repository.v1 import repository_service_pb2_grpc as pb_grpc
from hydro_envoy.address import ANY_PORT, Address
from hydro_runtimes import model_formats
from hydro_runtimes.columns import Columns, Dense
from hydro_runtimes.errors import InvalidModel, UntrustedModel
from hydro_runtimes.files import digest_folder
from hydro_runtimes.load import load
from hydro_services import errors, rpc
from hydro_services.repository import tracking
from hydro_services.repository.feed import CatalogueFeed
from hydro_services.repository.folder import FolderSource
from hydro_services.repository.servicer import SERVICE, RepositoryServicer
from hydro_services.repository.watcher import SourceWatcher
from hydro_services.runtime import process
from hydro_services.runtime.fetch import Cache
from hydro_services.runtime.host import ModelId
from hydro_services.up import layout


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_formats, "FORMATS", (*model_formats.FORMATS, toy_format.FORMAT))
    monkeypatch.setattr(tracking, "SETTLE_S", 0.0)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name, text in {"thrice": "3", "broken": "three"}.items():
        folder = tmp_path / "models" / "toy" / name
        folder.mkdir(parents=True)
        (folder / "factor.toy").write_text(text)
    return tmp_path / "models"


@contextlib.asynccontextmanager
async def repository(root: Path) -> AsyncIterator[Address]:
    source, feed = FolderSource(root), CatalogueFeed()
    await SourceWatcher(source, feed).refresh()
    add = pb_grpc.add_RepositoryServiceServicer_to_server
    async with rpc.serve(
        ANY_PORT, lambda s: add(RepositoryServicer(feed, source), s), (SERVICE,), grace_s=0
    ) as served:
        yield served.address


async def test_the_repository_lists_its_models(models: Path) -> None:
    async with repository(models) as address, rpc.open_channel(address) as channel:
        stub = pb_grpc.RepositoryServiceStub(channel)
        listed = {
            model.model: model for model in (await stub.ListModels(pb.ListModelsRequest())).models
        }
        request = pb.DownloadFileRequest(model="thrice", version="1", path="factor.toy")
        bodies = [body async for body in stub.DownloadFile(request)]
    assert listed["thrice"].format == "toy"
    assert [field.name for field in listed["thrice"].signature.inputs] == ["x"]
    assert "want a number" in listed["broken"].error.message
    assert (bodies[0].content_type, bodies[0].data) == ("text/x-toy", b"3")


async def test_a_runtime_of_its_service_loads_and_evaluates_them(
    models: Path, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache")
    id = ModelId("thrice", "1", digest_folder(models / "toy" / "thrice"))
    async with repository(models) as address:
        folder = await cache.fetch(id, address)
    config = process.Config("serving-toy")
    evaluator = process.build_loader(config, process.served_formats(config))(folder)
    answer = evaluator.evaluate(Columns({"x": Dense(np.array([1.0, 2.0]))}))
    assert answer.outputs["y"].values.tolist() == [3.0, 6.0]  # type: ignore[union-attr]


def test_a_runtime_of_another_service_does_not(models: Path) -> None:
    config = process.Config("serving-scikit")
    loader = process.build_loader(config, process.served_formats(config))
    with pytest.raises(errors.ModelRefused, match="format is toy, serving-scikit serves skops"):
        loader(models / "toy" / "thrice")


def test_hydro_up_starts_its_service_where_it_can_run() -> None:
    services, notes = layout.choose_runtimes((), lambda module: module != "numpy")
    assert "serving-toy" not in [service.name for service, _ in services]
    assert notes == [
        "serving-toy needs numpy, which is not installed; pip install 'hydro-serving[toy]'"
    ]
    ((service, count),), _ = layout.choose_runtimes([("serving-toy", 2)], lambda module: True)
    assert (service.name, count) == ("serving-toy", 2)
    assert "numpy.linalg" in layout.preloaded_modules()


def test_what_runs_code_is_not_loaded_before_it_is_trusted(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its loader does."""
    code = dataclasses.replace(toy_format.FORMAT, runs_code=True)
    monkeypatch.setattr(model_formats, "FORMATS", (code,))
    folder = models / "toy" / "thrice"
    with pytest.raises(UntrustedModel, match=r"'factor\.toy' runs code when it is loaded"):
        load(folder)
    assert load(folder, {digest_folder(folder)})


def test_a_folder_without_a_model_is_told_of_all_formats(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidModel, match=r"found nothing; want a saved Spark .*, or one file of \*\.toy"
    ):
        model_formats.detect_format(tmp_path)
