"""Models in registries: Hugging Face's hub, registries of containers, and MLflow's."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import store_servers
from hub_server import HubServer
from watched_store import HOME, LIMIT_BYTES, published, saved_model, until, watching

from hydro_services import errors
from hydro_services.repository import tracking, watcher
from hydro_services.repository.stores import pieces
from hydro_services.repository.stores.hub_store import HubStore
from hydro_services.repository.stores.mlflow_store import MlflowStore
from hydro_services.repository.stores.oci_store import OciStore
from hydro_services.repository.stores.store_source import StoreSource

TOKEN = "hf_a-token-that-is-secret"

pytestmark = pytest.mark.usefixtures("libraries_log")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "SETTLE_S", 0.1)
    monkeypatch.setattr(tracking, "RETRY_S", 0.1)
    monkeypatch.setattr(watcher, "RELIST_S", 0.1)
    monkeypatch.setattr(pieces, "PIECE_BYTES", 1 << 16)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer(TOKEN).running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


async def test_a_hub_is_asked_for_commits_and_files_go_on_after_a_cut(
    hub: HubServer, tmp_path: Path
) -> None:
    files = saved_model(tmp_path / "saved", 2.0)
    large = {**files, "data/large.bin": bytes(range(256)) * 4000}
    hub.commit({"README.md": b"# Double", **large})
    hub.cut_after = 500_000
    async with watching(HubStore("team/double"), tmp_path / "copies") as (feed, source):
        await until(feed, lambda: hub.is_away and feed.away[0] is not None)
        assert not published(feed)
        reads = len([path for path in hub.requests if path.endswith("large.bin")])
        hub.cut_after = None
        await until(feed, lambda: "double:1" in published(feed))
        version = published(feed)["double:1"]
        assert {file.path for file in version.files} == {"README.md", *large}
        with source.open_file(
            version.key, "data/large.bin", version.file("data/large.bin").stamp
        ) as stream:
            assert stream.read() == large["data/large.bin"]
        again = len([path for path in hub.requests if path.endswith("large.bin")]) - reads
        assert again <= len(large["data/large.bin"]) // pieces.PIECE_BYTES + 2 - reads + 1
        hub.commit(saved_model(tmp_path / "other", 3.0))
        await until(feed, lambda: published(feed)["double:1"].digest != version.digest)
        before = len(hub.requests)
        await until(feed, lambda: len(hub.requests) >= before + 3)
        polls = {path for path in hub.requests[before:]}
        assert polls == {"/api/models/team/double"}, "a poll is one request"


async def test_a_revision_and_a_prefix_of_a_hub(hub: HubServer, tmp_path: Path) -> None:
    files = saved_model(tmp_path / "saved", 2.0)
    hub.commit({f"some/models/scikit/m/{path}": data for path, data in files.items()}, "v1.0")
    hub.commit({"other.txt": b"x"})
    async with watching(HubStore("team/double@v1.0/some/models"), tmp_path / "copies") as (feed, _):
        await until(feed, lambda: "m:1" in published(feed))


def test_a_wrong_token_is_not_told(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong-but-secret")
    source = StoreSource(HubStore("team/double"), HOME, tmp_path, LIMIT_BYTES)
    with pytest.raises(errors.Unavailable, match="401") as caught:
        source.list_models()
    assert "hf_wrong" not in caught.value.message


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with store_servers.registry(tmp_path_factory.mktemp("registry")) as port:
        yield port


def push(port: int, reference: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `oras push` does, in the folder with the files."""
    monkeypatch.chdir(folder)
    files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    client = importlib.import_module("oras.client").OrasClient(insecure=True)
    client.push(target=f"127.0.0.1:{port}/{reference}", files=files)


async def test_tags_of_an_artifact_are_versions(
    registry: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved_model(tmp_path / "one", 2.0)
    saved_model(tmp_path / "two", 3.0)
    (tmp_path / "two" / "large.bin").write_bytes(bytes(range(256)) * 1000)
    for tag, folder in (("1", "one"), ("latest", "one"), ("v2", "two")):
        push(registry, f"team/double:{tag}", tmp_path / folder, monkeypatch)
    place = f"127.0.0.1:{registry}/team/double"
    async with watching(OciStore(place), tmp_path / "all") as (feed, source):
        await until(feed, lambda: {"double:1", "double:v2"} <= set(published(feed)))
        assert set(published(feed)) == {"double:1", "double:v2"}
        version = published(feed)["double:v2"]
        with source.open_file(version.key, "large.bin", version.file("large.bin").stamp) as stream:
            assert stream.read() == bytes(range(256)) * 1000
        assert version.file("large.bin").stamp.identity == (
            f"sha256:{version.file('large.bin').sha256}",
        )
    async with watching(OciStore(f"{place}:latest"), tmp_path / "one copy") as (feed, _):
        await until(feed, lambda: "double:1" in published(feed))
        digest = published(feed)["double:1"].digest
        push(registry, "team/double:latest", tmp_path / "two", monkeypatch)
        await until(feed, lambda: published(feed)["double:1"].digest != digest)


def test_a_registry_without_the_repository_is_away(registry: int, tmp_path: Path) -> None:
    store = OciStore(f"127.0.0.1:{registry}/no/such")
    with pytest.raises(errors.Unavailable, match="404"):
        StoreSource(store, HOME, tmp_path, LIMIT_BYTES).list_models()


@pytest.fixture
def mlflow_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlruns")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for name in ("HTTP_REQUEST_MAX_RETRIES", "HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(f"MLFLOW_{name}", "1")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    return MlflowClient()


@pytest.mark.filterwarnings("ignore")  # MLflow's own
async def test_versions_stages_and_aliases_of_mlflow(mlflow_client: Any, tmp_path: Path) -> None:
    mlflow_client.create_registered_model("double")
    for number, slope in ((1, 2.0), (2, 3.0)):
        saved_model(tmp_path / f"saved{number}", slope)
        mlflow_client.create_model_version("double", source=str(tmp_path / f"saved{number}"))
    mlflow_client.transition_model_version_stage("double", "1", "Production")
    mlflow_client.set_registered_model_alias("double", "champion", "2")
    for place, versions in {
        "double": {"double:1", "double:2"},
        "double/2": {"double:2"},
        "double@champion": {"double:2"},
    }.items():
        folder = tmp_path / place.replace("/", "-")
        async with watching(MlflowStore(place), folder) as (feed, _):
            await until(feed, lambda: bool(published(feed)))
            await until(feed, lambda wanted=versions: set(published(feed)) == wanted)  # type: ignore[misc]
    async with watching(MlflowStore("double/Production"), tmp_path / "stage") as (feed, source):
        await until(feed, lambda: set(published(feed)) == {"double:1"})
        mlflow_client.transition_model_version_stage("double", "1", "Archived")
        mlflow_client.transition_model_version_stage("double", "2", "Production")
        await until(feed, lambda: set(published(feed)) == {"double:2"})
        version = published(feed)["double:2"]
        for file in version.files:
            with source.open_file(version.key, file.path, file.stamp) as stream:
                assert stream.read() == (tmp_path / "saved2" / file.path).read_bytes()
