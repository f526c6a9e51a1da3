"""A source of models that is no folder: files by path in memory, with a generation each."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from hydro_runtimes import model_formats
from hydro_services import errors
from hydro_services.repository.source import FileChanged, Key, Listing, ModelFiles, Stamp
from hydro_services.repository.versions import find_models


class MemorySource:
    """As a store of objects: names with "/", bytes, and a number that rises with each write."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, Stamp]] = {}
        self._generations = itertools.count(1)
        self.is_away = False
        self.opened = 0
        self.refused = threading.Semaphore(0)

    def put(self, name: str, data: bytes) -> None:
        stamp = Stamp(len(data), time.time_ns(), (next(self._generations),))
        self._objects[name] = (data, stamp)

    def delete(self, name: str) -> None:
        del self._objects[name]

    def list_models(self) -> Listing:
        if self.is_away:
            self.refused.release()
            raise errors.Unavailable("the store does not answer")
        return Listing(
            {
                key: self.list_files(key, skipped)
                for key, skipped in find_models(_Tree(self._names()))
            }
        )

    def list_files(self, key: Key, skipped: frozenset[str]) -> ModelFiles:
        prefix = "/".join(key) + "/"
        stamps = {
            name.removeprefix(prefix): stamp
            for name, (_, stamp) in dict(self._objects).items()
            if name.startswith(prefix)
            and name.removeprefix(prefix).partition("/")[0] not in skipped
        }
        changed_ns = max((stamp.changed_ns for stamp in stamps.values()), default=0)
        return ModelFiles(tuple(sorted(stamps.items())), skipped=skipped, changed_ns=changed_ns)

    def open_file(self, key: Key, path: str, stamp: Stamp) -> BinaryIO:
        self.opened += 1
        return cast(BinaryIO, _Object(self, "/".join((*key, path)), stamp))

    @contextlib.contextmanager
    def local_copy(self, key: Key, model: ModelFiles) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="hydro-model-") as folder:
            for path, stamp in model.stamps:
                target = Path(folder) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self.read("/".join((*key, path)), stamp))
            yield Path(folder)

    async def changes(self, places: frozenset[str], stop: asyncio.Event) -> AsyncIterator[object]:
        await stop.wait()
        return
        yield  # it never tells: the repository lists it every so often

    def read(self, name: str, stamp: Stamp) -> bytes:
        data, now = self._objects.get(name, (b"", None))
        if now != stamp:
            raise FileChanged
        return data

    def _names(self) -> list[Key]:
        return [tuple(name.split("/")) for name in list(self._objects)]


class _Object(io.RawIOBase):
    def __init__(self, source: MemorySource, name: str, stamp: Stamp) -> None:
        self._source, self._name, self._stamp, self._at = source, name, stamp, 0
        source.read(name, stamp)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._stamp.size_bytes}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        piece = self._source.read(self._name, self._stamp)[self._at :][: len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


class _Tree:
    def __init__(self, names: list[Key]) -> None:
        self._names = names

    def _below(self, key: Key) -> list[Key]:
        return [name[len(key) :] for name in self._names if name[: len(key)] == key]

    def folders(self, key: Key) -> list[str]:
        return sorted({rest[0] for rest in self._below(key) if len(rest) > 1})

    def is_marked(self, key: Key) -> bool:
        return model_formats.is_marked({rest[0] for rest in self._below(key)})

    def is_outside(self, key: Key) -> bool:
        return False
