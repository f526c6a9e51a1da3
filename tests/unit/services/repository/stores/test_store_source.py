"""Whatever happens to a store: what is published is a state that a model had; in the end, all."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fault_store import PIECE_BYTES, FaultStore
from hypothesis import given, settings
from hypothesis import strategies as st

from hydro_services import errors
from hydro_services.repository import tracking
from hydro_services.repository.catalogue import ModelVersion
from hydro_services.repository.feed import CatalogueFeed
from hydro_services.repository.source import FileChanged
from hydro_services.repository.stores.store_source import StoreSource
from hydro_services.repository.watcher import SourceWatcher

METADATA = json.dumps(
    {"inputs": [{"name": "x", "type": "float64"}], "outputs": [{"name": "y", "type": "float64"}]}
).encode()
LIMIT_BYTES = 1 << 20
NAMES = ("m", "n")


def make_files(content: int) -> dict[str, bytes]:
    """Files of a model that say all of the same state, some of them of several pieces."""
    text = f"state {content}".encode()
    return {"metadata.json": METADATA, "model.pkl": text, f"data/{content % 3}.bin": text * 2}


class Repository:
    """A watcher of a store, which is listed when told to."""

    def __init__(self, store: FaultStore, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.source = StoreSource(store, ("s3", "prefix"), folder, limit_bytes)
        self.feed = CatalogueFeed()
        self.watcher = SourceWatcher(self.source, self.feed)

    async def poll(self) -> None:
        with contextlib.suppress(errors.Unavailable):
            await self.watcher.list_source()
        await self.watcher.wait_until_read(None)

    def read(self, version: ModelVersion) -> dict[str, bytes]:
        contents = {}
        for file in version.files:
            with self.source.open_file(version.key, file.path, file.stamp) as stream:
                contents[file.path] = stream.read()
        return contents

    @property
    def published(self) -> dict[str, dict[str, bytes]]:
        versions = self.feed.catalogue.published
        return {version.model: self.read(version) for version in versions}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "SETTLE_S", 1e-9)  # the next listing has to tell the same
    monkeypatch.setattr(tracking, "RETRY_S", 0.0)


CHANGES = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(NAMES), st.integers(0, 5)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.just(0)),
)
STEPS = st.one_of(
    CHANGES,
    st.tuples(st.just("poll"), st.just(""), st.just(0)),
    st.tuples(st.just("poll, changed meanwhile"), st.just(""), st.integers(1, 12)),
    st.tuples(st.just("poll, cut"), st.just(""), st.integers(1, 8)),
    st.tuples(st.just("away"), st.just(""), st.just(0)),
    st.tuples(st.just("back"), st.just(""), st.just(0)),
    st.tuples(st.just("restart"), st.just(""), st.just(0)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=14), st.lists(CHANGES, max_size=4))
def test_only_whole_states_are_published_and_all_of_them_in_the_end(
    steps: list[tuple[str, str, int]], meanwhile: list[tuple[str, str, int]]
) -> None:
    store, queue = FaultStore(), list(meanwhile)
    history: dict[str, list[dict[str, bytes]]] = {name: [] for name in NAMES}

    def change(kind: str, name: str, content: int) -> None:
        files = make_files(content) if kind == "put" else {}
        store.put_model(f"scikit/{name}", files)
        history[name].append(files)

    def change_after(count: int) -> Callable[[], None]:
        left = [count]

        def interrupt() -> None:
            left[0] -= 1
            if left[0] == 0 and queue:
                change(*queue.pop(0))

        return interrupt

    async def run(folder: Path) -> None:
        repository = Repository(store, folder)
        for kind, name, number in steps:
            if kind in ("put", "delete"):
                change(kind, name, number)
            elif kind == "away":
                store.is_away = True
            elif kind == "back":
                store.is_away, store.cut_after = False, None
            elif kind == "restart":
                before = repository.published
                repository = Repository(store, folder)
                await repository.poll()
                assert before.keys() <= repository.published.keys()
            else:
                store.interrupt = change_after(number if "meanwhile" in kind else 0)
                store.cut_after = number if "cut" in kind else None
                await repository.poll()
                store.interrupt = lambda: None
            for model, files in repository.published.items():
                assert files in history[model]
        store.is_away, store.cut_after = False, None
        for _ in range(4):
            await repository.poll()
        wanted = {name: states[-1] for name, states in history.items() if states and states[-1]}
        assert repository.published == wanted

    with TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


async def test_a_download_goes_on_after_a_cut_and_is_done_once(tmp_path: Path) -> None:
    store = FaultStore()
    large = bytes(range(100))
    store.put_model("scikit/m", {"metadata.json": METADATA, "model.pkl": large})
    repository = Repository(store, tmp_path)
    await repository.poll()
    store.cut_after = len(METADATA) // PIECE_BYTES + 10
    await repository.poll()
    assert store.is_away
    assert not repository.published
    store.is_away, store.cut_after = False, None
    for _ in range(3):
        await repository.poll()
    assert repository.published["m"]["model.pkl"] == large
    assert len(store.sent) == len(set(store.sent)), "nothing was sent twice"
    sent = len(store.sent)
    restarted = Repository(store, tmp_path)
    for _ in range(3):
        await restarted.poll()
    assert restarted.published == repository.published
    assert len(store.sent) == sent, "a restart fetches nothing"


async def test_a_store_that_is_away_leaves_its_models_also_after_a_restart(tmp_path: Path) -> None:
    store = FaultStore()
    store.put_model("scikit/m", make_files(1))
    repository = Repository(store, tmp_path)
    for _ in range(2):
        await repository.poll()
    store.is_away = True
    store.put_model("scikit/m", make_files(2))
    for current in (repository, Repository(store, tmp_path)):
        for _ in range(2):
            await current.poll()
        assert current.published == {"m": make_files(1)}
        away = current.feed.away[0]
        assert away
        assert away.error == "ConnectionError: the store does not answer"
        assert away.since_ns > 0
    store.is_away = False
    for _ in range(3):
        await current.poll()
    assert current.published == {"m": make_files(2)}
    assert current.feed.away == [None]


async def test_copies_stay_within_their_bound_and_what_was_published_stays(tmp_path: Path) -> None:
    store = FaultStore()
    store.put_model("scikit/m", {"metadata.json": METADATA, "model.pkl": bytes(1000)})
    repository = Repository(store, tmp_path, limit_bytes=2000)
    for _ in range(2):
        await repository.poll()
    store.put_model("scikit/n", {"metadata.json": METADATA, "model.pkl": bytes(900)})
    store.put_model("scikit/m", {"metadata.json": METADATA, "model.pkl": bytes(2000)})
    for _ in range(3):
        await repository.poll()
        assert repository.source.copies_bytes <= 2000
    assert repository.published["m"]["model.pkl"] == bytes(1000)
    refused = [version for version in repository.feed.catalogue.versions if version.refused]
    store.put_model("scikit/m", {"metadata.json": METADATA, "model.pkl": bytes(800)})
    store.put_model("scikit/n", {"metadata.json": METADATA, "model.pkl": bytes(700)})
    for _ in range(4):
        await repository.poll()
        assert repository.source.copies_bytes <= 2000
    for version in refused:
        assert "allow more by --store-bytes" in version.refused


async def test_a_root_that_is_a_model_has_the_name_of_its_last_folder(tmp_path: Path) -> None:
    store = FaultStore()
    store.put_model("model", make_files(1))
    store.objects = {path.removeprefix("model/"): o for path, o in store.objects.items()}
    repository = Repository(store, tmp_path)
    for _ in range(3):
        await repository.poll()
    assert repository.published == {"prefix": make_files(1)}


async def test_objects_that_cannot_be_files_are_refused(tmp_path: Path) -> None:
    store = FaultStore()
    for name, path in {
        "both": "model.pkl/part",
        "up": "../../../escaped",
        "dots": "data/../x",
        "empty": "data//x",
    }.items():
        store.put_model(f"a/{name}", {**make_files(1), path: b"x"})
    repository = Repository(store, tmp_path / "copies")
    for _ in range(3):
        await repository.poll()
    told = {version.model: version.refused for version in repository.feed.catalogue.versions}
    assert "is a file and a folder" in told["both"]
    assert {name for name, reason in told.items() if not reason} == {"up", "dots", "empty"}
    for files in repository.published.values():
        assert files == make_files(1), "names that lead elsewhere do not count"
    assert not await asyncio.to_thread(lambda: list(tmp_path.rglob("escaped")))


def test_a_copy_that_is_gone_is_told_as_a_change(tmp_path: Path) -> None:
    source = StoreSource(FaultStore(), ("s3", "p"), tmp_path, LIMIT_BYTES)
    store = FaultStore()
    store.put_model("a/m", {"x": b"1"})
    with pytest.raises(FileChanged):
        source.open_file(("a", "m"), "x", store.objects["a/m/x"][1])
