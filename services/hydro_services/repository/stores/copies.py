"""Copies of objects on this machine: each is downloaded once, goes on after a cut, and is bounded.

A name stands for one content: it is made of an object's path and stamp.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from dataclasses import astuple
from pathlib import Path

from hydro_services.repository.source import FileChanged, NotFetched, Stamp
from hydro_services.security.private_files import make_private_folder

UNUSED_S = 600.0
"""How long a copy stays that no model has any more: for downloads of it that are under way."""


@functools.lru_cache(maxsize=1 << 17)  # each name is needed at each poll
def copy_name(path: str, stamp: Stamp) -> str:
    """The name of the copy of an object of this path and stamp."""
    return hashlib.sha256(json.dumps([path, astuple(stamp)]).encode()).hexdigest()


class Copies:
    """A folder of copies; used by several threads."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """`limit_bytes`: what all copies may take together, whole and not."""
        self._whole, self._parts, self._links = (
            folder / name for name in ("whole", "parts", "links")
        )
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._in_use: dict[str, int] = {}
        """How many bytes are still to come, of those that are being fetched."""
        self._unused_since: dict[str, float] = {}
        shutil.rmtree(self._links, ignore_errors=True)  # of a run that was killed
        for made in (folder, self._whole, self._parts, self._links):
            make_private_folder(made)

    def path(self, name: str) -> Path:
        """Where the copy is, if it is whole."""
        return self._whole / name

    @property
    def size_bytes(self) -> int:
        """What all copies take, whole and not."""
        return sum(_sizes(self._whole).values()) + sum(_sizes(self._parts).values())

    def fetch(
        self,
        sizes_bytes: Mapping[str, int],
        keep: Callable[[], Set[str]],
        download: Callable[[str, Path], None],
    ) -> None:
        """Makes copies whole that are not.

        Args:
            sizes_bytes: of the objects, by the names of their copies.
            keep: the names of other copies that have to stay.
            download: as `ModelStore.download`, of the object with this name.

        Raises:
            NotFetched: there is no room.
            FileChanged, Exception: as `download`.
        """
        missing = {
            name: size for name, size in sizes_bytes.items() if not self.path(name).is_file()
        }
        with self._reserve(missing, keep, sizes_bytes.keys()):
            for name, size in missing.items():
                self._fetch_one(name, size, download)

    def _fetch_one(self, name: str, size_bytes: int, download: Callable[[str, Path], None]) -> None:
        part = self._parts / name
        try:
            with part.open("ab"):
                pass
            if part.stat().st_size > size_bytes:
                os.truncate(part, 0)
            download(name, part)
            if part.stat().st_size != size_bytes:
                raise FileChanged
        except FileChanged:
            part.unlink(missing_ok=True)
            raise
        with self._lock:
            os.replace(part, self.path(name))
            self._in_use[name] = 0

    @contextlib.contextmanager
    def link_folder(self, names: Mapping[str, str]) -> Iterator[Path]:
        """A folder with these copies, by path; gone when the context ends."""
        with tempfile.TemporaryDirectory(dir=self._links) as made:
            for path, name in names.items():
                target = Path(made) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(self.path(name), target)
                except FileNotFoundError as error:
                    raise FileChanged from error
            yield Path(made)

    def sweep(self, used: Set[str], wanted: Set[str], unused_s: float = UNUSED_S) -> None:
        """Removes what has been of no use for a while.

        Args:
            used: names of copies that models have.
            wanted: names of objects that the store has: what is there of them may be completed.
            unused_s: how long others stay.
        """
        with self._lock:
            self._sweep(used, wanted, unused_s)

    def _sweep(self, used: Set[str], wanted: Set[str], unused_s: float) -> None:
        now = time.monotonic()
        unused = [
            *(self._whole / name for name in _sizes(self._whole) if name not in used),
            *(self._parts / name for name in _sizes(self._parts) if name not in wanted),
        ]
        self._unused_since = {path.name: self._unused_since.get(path.name, now) for path in unused}
        for path in unused:
            if path.name not in self._in_use and now - self._unused_since[path.name] >= unused_s:
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _reserve(
        self, missing: Mapping[str, int], keep: Callable[[], Set[str]], names: Collection[str]
    ) -> Iterator[None]:
        """Room for copies, as long as they are fetched; what is of no use gives way."""
        with self._lock:
            if not self._has_room(missing):
                self._sweep({*keep(), *names}, set(missing), 0)
            if not self._has_room(missing):
                raise NotFetched(self._no_room(missing))
            # Also those that are whole: a sweep for another model must leave them.
            self._in_use |= {name: missing.get(name, 0) for name in names}
        try:
            yield
        finally:
            with self._lock:
                for name in names:
                    self._in_use.pop(name, None)

    def _has_room(self, missing: Mapping[str, int]) -> bool:
        coming = {**self._in_use, **missing}
        there = _sizes(self._parts)
        to_come = sum(max(0, size - there.get(name, 0)) for name, size in coming.items())
        return self.size_bytes + to_come <= self._limit_bytes

    def _no_room(self, missing: Mapping[str, int]) -> str:
        return (
            f"its copy takes {sum(missing.values())} more bytes, and copies of this store may take"
            f" {self._limit_bytes} in all, of which {self.size_bytes} are taken; allow more by"
            " --store-bytes, or remove models from the store"
        )


def _sizes(folder: Path) -> dict[str, int]:
    """Of each file, in bytes."""
    sizes = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # it has become whole
                sizes[entry.name] = entry.stat().st_size
    return sizes
