"""A store of objects with faults: it goes away, cuts downloads, and changes while it is read."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from hydro_services.repository.source import FileChanged, Stamp

PIECE_BYTES = 4


class FaultStore:
    """Objects by path, with a generation each; see `stores.store.ModelStore`."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, Stamp]] = {}
        self._generations = itertools.count(1)
        self.is_away = False
        self.cut_after: int | None = None
        """Pieces until the store dies in a download."""
        self.interrupt: Callable[[], None] = lambda: None
        """Called between the pages of a listing and the pieces of a download."""
        self.sent: list[tuple[str, int]] = []
        """The pieces that were sent: path and offset."""

    def put_model(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Replaces all files of a model in one moment."""
        for path in [path for path in self.objects if path.startswith(f"{folder}/")]:
            del self.objects[path]
        for path, data in files.items():
            stamp = Stamp(len(data), 0, (str(next(self._generations)),))
            self.objects[f"{folder}/{path}"] = (data, stamp)

    def put(self, path: str, data: bytes) -> None:
        stamp = Stamp(len(data), time.time_ns(), (str(next(self._generations)),))
        self.objects = {**self.objects, path: (data, stamp)}  # another thread may be listing

    def delete(self, path: str) -> None:
        self.objects = {other: each for other, each in self.objects.items() if other != path}

    def list_objects(self) -> Mapping[str, Stamp]:
        listed: dict[str, Stamp] = {}
        last = ""
        while page := self._page_after(last):
            if self.is_away:
                raise ConnectionError("the store does not answer")
            listed |= page
            last = max(page)
            self.interrupt()
        if self.is_away:
            raise ConnectionError("the store does not answer")
        return listed

    def _page_after(self, last: str) -> Mapping[str, Stamp]:
        following = sorted((p, o) for p, o in self.objects.items() if p > last)[:2]
        return {path: stamp for path, (_, stamp) in following}

    def download(self, path: str, stamp: Stamp, part: Path) -> None:
        with part.open("ab") as file:
            while True:
                at = file.tell()
                data, now = self.objects.get(path, (b"", None))
                if now != stamp:
                    raise FileChanged
                if self.is_away:
                    raise ConnectionError("the connection was cut")
                if at == stamp.size_bytes:
                    return
                self.sent.append((path, at))
                file.write(data[at : at + PIECE_BYTES])
                file.flush()
                if self.cut_after is not None:
                    self.cut_after -= 1
                    self.is_away = self.is_away or self.cut_after <= 0
                self.interrupt()
