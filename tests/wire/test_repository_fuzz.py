"""Random trees of models that change while they are watched: nothing stops the watcher."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from patience import PATIENCE_S

from hydro_services import errors
from hydro_services.repository import download, tracking, watcher
from hydro_services.repository.catalogue import Catalogue, ModelVersion
from hydro_services.repository.feed import CatalogueFeed
from hydro_services.repository.folder import FolderSource
from hydro_services.repository.watcher import SourceWatcher

METADATA = (
    b'{"inputs": [{"name": "x", "type": "string"}], "outputs": [{"name": "y", "type": "string"}]}'
)
MAX_FOLDERS, MAX_BYTES = 1000, 1 << 20
"""Of what these trees are made of, far fewer."""
SECRET = b"outside of the root"

PLACES = st.builds(
    os.path.join,
    st.sampled_from([b"a", b"b"]),
    st.sampled_from([b"m", b"n", b"\xff", "ü".encode()]),
    st.sampled_from([b"", b"", b"1", b"v1", b"2", b"latest"]),
)
NAMES = st.sampled_from(
    [b"model.py", b"metadata.json", b"x", b"2", b"d", b"\xfe", b"..data", b"e\xcc\x81", b"a\nb"]
)
BELOW = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: b"/".join(names))
PATHS = st.builds(os.path.join, PLACES, BELOW)
TARGETS = st.sampled_from(
    [b".", b"..", b"x", b"d", b"..data", b"../../b/m", b"nothing", b"/etc/hostname", b"OUTSIDE"]
)


class Trees(RuleBasedStateMachine):
    """What people, deploys and attackers do below a root."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()

    @initialize()
    def start(self) -> None:
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.outside, self.root = folder / "outside", folder / "models"
        self.outside.mkdir()
        (self.outside / "model.py").write_bytes(SECRET)
        self.root.mkdir()
        self.count = 0
        self.canary = self.root / "z" / "canary"
        self.canary.mkdir(parents=True)
        (self.canary / "metadata.json").write_bytes(METADATA)
        (self.canary / "model.py").write_text("# 0")
        for name, value in (("SETTLE_S", 0.05), ("RETRY_S", 0.2)):
            self.stack.enter_context(mock.patch.object(tracking, name, value))
        self.stack.enter_context(mock.patch.object(watcher, "RELIST_S", 0.3))
        self.feed = CatalogueFeed()
        self.watched = self.stack.enter_context(watching(self.root, self.feed))

    def teardown(self) -> None:
        self.stack.close()

    def at(self, path: bytes) -> bytes:
        full = os.path.join(os.fsencode(self.root), path)
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(full), exist_ok=True)
        return full

    @rule(place=PLACES)
    def save(self, place: bytes) -> None:
        for name, content in ((b"metadata.json", METADATA), (b"model.py", b"# a model")):
            self.write(os.path.join(place, name), content)

    @rule(path=PATHS, content=st.sampled_from([b"", b"1", b"{}", METADATA]))
    def write(self, path: bytes, content: bytes) -> None:
        with contextlib.suppress(OSError):
            opened = os.open(self.at(path), os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK)
            try:
                is_ours = stat.S_ISREG(os.fstat(opened).st_mode)
                real = os.readlink(f"/proc/self/fd/{opened}")
                if is_ours and real.startswith(str(self.root)):
                    os.ftruncate(opened, 0)
                    os.write(opened, content)
            finally:
                os.close(opened)

    @rule(path=PATHS)
    def pipe(self, path: bytes) -> None:
        with contextlib.suppress(OSError):
            os.mkfifo(self.at(path))

    @rule(path=PATHS)
    def listen(self, path: bytes) -> None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as made:
            made.bind(self.at(path))

    @rule(path=PATHS)
    def sparse(self, path: bytes) -> None:
        with contextlib.suppress(OSError):
            opened = os.open(self.at(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.ftruncate(opened, 1 << 42)
            os.close(opened)

    @rule(path=st.one_of(PLACES, PATHS), end=TARGETS)
    def link(self, path: bytes, end: bytes) -> None:
        end = end.replace(b"OUTSIDE", os.fsencode(self.outside))
        full = self.at(path.rstrip(b"/"))
        with contextlib.suppress(OSError):
            os.symlink(end, full + b".new")
            os.rename(full + b".new", full)
        with contextlib.suppress(OSError):
            os.unlink(full + b".new")

    @rule(path=st.one_of(PLACES, PATHS), other=st.one_of(PLACES, PATHS))
    def rename(self, path: bytes, other: bytes) -> None:
        with contextlib.suppress(OSError):
            os.rename(self.at(path.rstrip(b"/")), self.at(other.rstrip(b"/")))

    @rule(path=st.one_of(PLACES, PATHS))
    def remove(self, path: bytes) -> None:
        full = self.at(path.rstrip(b"/"))
        with contextlib.suppress(OSError):
            os.unlink(full)
        if os.path.isdir(full) and not os.path.islink(full):
            shutil.rmtree(full, ignore_errors=True)

    @rule()
    def look(self) -> None:
        """All is as it should be once it has been quiet for a while."""
        self.count += 1
        (self.canary / "model.py").write_text(f"# {self.count}")
        deadline = time.monotonic() + PATIENCE_S
        while wrong := self.wrong(self.feed.catalogue):
            assert self.watched.is_alive(), "the watcher has died"
            assert time.monotonic() < deadline, wrong
            time.sleep(0.05)

    def wrong(self, found: Catalogue) -> str:
        """What is not as it should be, if anything."""
        if (canary := found.models.get("canary", ())) and canary[0].digest != content(self.canary):
            return "the canary is not republished"
        for version in found.versions:
            if version.is_reading:
                return f"{version.path} is being read"
            if version.is_published and version.digest != content(self.root.joinpath(*version.key)):
                return f"{version.path} is published with another content"
            if version.is_published and not is_downloaded(self.root, version):
                return f"{version.path} is not downloaded as it is published"
            if not version.is_published and not version.refused:
                return f"{version.path} is neither published nor refused"
        listed = {self.root.joinpath(*version.key) for version in found.versions}
        missed = [
            str(folder)
            for folder in looks_like_models(self.root)
            if folder not in listed
            # A single folder that is no version belongs to the model around it.
            and (is_version_of(folder) or folder.parent not in listed)
        ]
        return f"not listed: {missed}" if missed else ""

    @invariant()
    def lives(self) -> None:
        assert not hasattr(self, "watched") or self.watched.is_alive()


@contextlib.contextmanager
def watching(root: Path, feed: CatalogueFeed) -> Iterator[threading.Thread]:
    """A watcher in a thread of its own."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(SourceWatcher(FolderSource(root), feed).run())

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(PATIENCE_S)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        assert not thread.is_alive(), "the watcher hangs"


def content(folder: Path) -> str:
    """The digest of a folder's files, made in another way than the repository makes it.

    Or what is odd in it, which is not published, or not for long.
    """
    try:
        return _content(folder)
    except OSError as error:
        return f"cannot be read: {error}"


def _content(folder: Path) -> str:
    lines: list[tuple[str, bytes]] = []
    walked = 0
    is_flat = any((folder / name).exists() for name in ("model.py", "metadata.json"))
    for parent, folders, names in os.walk(folder, followlinks=True):
        if (walked := walked + 1) > MAX_FOLDERS:
            return "links in a circle"
        folders[:] = [name for name in folders if not name.startswith(".")]
        if is_flat and Path(parent) == folder:
            folders[:] = [name for name in folders if not is_version_of(folder / name)]
        for name in names:
            if not name.startswith("."):
                path = Path(parent, name)
                status = path.stat()
                if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
                    return f"no file, or none to be read: {path}"
                if SECRET in (data := path.read_bytes()):
                    return f"leaks: {path}"
                lines.append((path.relative_to(folder).as_posix(), data))
    text = "".join(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(lines))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def is_version_of(folder: Path) -> bool:
    is_named = re.fullmatch(r"v?[0-9][A-Za-z0-9_.-]{0,63}", folder.name) is not None
    return is_named and any(os.path.lexists(folder / n) for n in ("model.py", "metadata.json"))


def is_downloaded(root: Path, version: ModelVersion) -> bool:
    async def fetched(path: str) -> str:
        pieces = [piece async for piece in download.read_file(FolderSource(root), version, path)]
        return hashlib.sha256(b"".join(pieces)).hexdigest()

    async def all_fetched() -> bool:
        return all([await fetched(file.path) == file.sha256 for file in version.files])

    try:
        return asyncio.run(all_fetched())
    except errors.Aborted:
        return False


def looks_like_models(root: Path) -> Iterator[Path]:
    for folder in [*root.glob("*/*"), *root.glob("*/*/*")]:
        is_hidden = any(part.startswith(".") for part in folder.relative_to(root).parts)
        if not is_hidden and folder.is_dir() and (folder / "model.py").is_file():
            names = folder.relative_to(root).parts
            if len(names) == 2 or not is_flat_model(folder.parent) or is_version_of(folder):
                yield folder


def is_flat_model(folder: Path) -> bool:
    return any(os.path.lexists(folder / name) for name in ("model.py", "metadata.json"))


Trees.TestCase.settings = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "15")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestTrees = pytest.mark.filterwarnings("default")(Trees.TestCase)
