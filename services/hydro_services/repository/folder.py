"""A folder of models as a source: `<root>/<framework>/<model>[/<version>]`."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, cast

import watchfiles

from hydro_runtimes import files, model_formats
from hydro_runtimes.errors import InvalidModel
from hydro_services import errors
from hydro_services.repository.source import (
    FileChanged,
    Key,
    Listing,
    ModelFiles,
    Stamp,
    relative_message,
)
from hydro_services.repository.versions import find_models

DEBOUNCE_MS = 1000
"""How long changes that follow one another are gathered: the most a busy folder delays others."""


class FolderSource:
    """Models below a folder. Links may lead anywhere within it; see `source.ModelSource`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list_models(self) -> Listing:
        """As `ModelSource.list_models`.

        Raises:
            errors.FailedPrecondition: the root cannot be read.
        """
        try:
            os.scandir(self.root).close()
        except OSError as error:
            message = f"models folder {str(self.root)!r}: {error.strerror}; make it or name another"
            raise errors.FailedPrecondition(message) from error
        tree = _FolderTree(self.root)
        models = {key: self.list_files(key, skipped) for key, skipped in find_models(tree)}
        places = tree.places.union(*(model.places for model in models.values()))
        unreadable = {key[0] for key in tree.unreadable if len(key) == 1}
        return Listing(models, unreadable, frozenset(places))

    def list_files(self, key: Key, skipped: frozenset[str] = frozenset()) -> ModelFiles:
        """As `ModelSource.list_files`. Of a folder outside of the root, nothing is looked at."""
        folder = self.root.joinpath(*key)
        stamps: dict[str, Stamp] = {}
        places: set[str] = set()
        inner_ns = 0
        problem, top = "", _status(folder)
        try:
            # The real path, so that a link counts by where it leads, however many there are on the
            # way.
            real = os.path.realpath(folder)
            if not files.is_within(real, os.path.realpath(self.root)):
                message = "the folder is a link that leads out of the models; copy the model here"
                raise InvalidModel(folder, message)
            places.add(real)
            for entry in files.walk_folder(folder, self.root, skipped):
                inner_ns = max(inner_ns, entry.status.st_ctime_ns)
                # Folders are listened to, not files: a file that is replaced is another one.
                if entry.is_folder:
                    places.add(os.path.realpath(folder / entry.path))
                    continue
                stamps[entry.path] = make_stamp(entry.status)
                if entry.is_link:  # the file that it leads to may change where it is
                    places.add(os.path.dirname(os.path.realpath(folder / entry.path)))
        except InvalidModel as error:
            problem = relative_message(folder, error)
        in_order = tuple(sorted(stamps.items()))
        changed_ns = max(inner_ns, top.st_ctime_ns if top else 0)
        # A rename changes the folder's ctime alone, a new entry in it its mtime as well.
        is_moved = top is not None and top.st_ctime_ns > max(top.st_mtime_ns, inner_ns)
        # `is_moved`: what was put there by one rename is complete already, and need not settle.
        return ModelFiles(in_order, problem, skipped, changed_ns, frozenset(places), is_moved)

    def open_file(self, key: Key, path: str, stamp: Stamp) -> BinaryIO:
        """As `ModelSource.open_file`.

        The file is known by its inode, size and times, before and after each piece that is read:
        what a link leads to, or another file that has taken its place, is never given out.
        """
        descriptor = files.open_descriptor(self.root.joinpath(*key, path), self.root)
        return cast(BinaryIO, _StampedFile(descriptor, stamp))

    def local_copy(self, key: Key, model: ModelFiles) -> AbstractContextManager[Path]:
        """The model's folder itself."""
        return contextlib.nullcontext(self.root.joinpath(*key))

    def changes(self, places: frozenset[str], stop: asyncio.Event) -> AsyncIterator[object]:
        """As `ModelSource.changes`; places are the real paths of folders."""
        # A folder whose name is not text cannot be listened to: it is listed every so often.
        named = (place for place in places if os.fsencode(place).decode(errors="ignore") == place)
        return watchfiles.awatch(
            *sorted(named),
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            stop_event=stop,
            recursive=False,  # else it would follow links out of the root
            ignore_permission_denied=True,
        )


def make_stamp(status: os.stat_result) -> Stamp:
    """The stamp of a file of this status: ctime tells of changes that keep the time of content."""
    # Device and inode: another file of the same size and times is still another one.
    identity = (status.st_dev, status.st_ino, status.st_mtime_ns)
    return Stamp(status.st_size, status.st_ctime_ns, identity)


class _StampedFile(io.RawIOBase):
    """An open file, readable as long as it is the one of a stamp."""

    def __init__(self, descriptor: int, stamp: Stamp) -> None:
        self._file = io.FileIO(descriptor)
        self._stamp = stamp
        try:
            self._check()
        except BaseException:
            self._file.close()
            raise

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes | None:
        # After it as well: what was written in place meanwhile may be what was read.
        self._check()
        data = self._file.read(size)
        self._check()
        return data

    def close(self) -> None:
        self._file.close()
        super().close()

    def _check(self) -> None:
        if make_stamp(os.fstat(self._file.fileno())) != self._stamp:
            raise FileChanged


class _FolderTree:
    """The folders below a root, each read once; see `versions.Tree`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._boundary = os.path.realpath(root)
        self._entries: dict[Key, list[os.DirEntry[str]]] = {}
        self.unreadable: set[Key] = set()
        self.places: set[str] = set()
        """The real paths of the folders that were read."""

    def folders(self, key: Key) -> list[str]:
        return [entry.name for entry in self._read(key) if _is_folder(entry)]

    def is_marked(self, key: Key) -> bool:
        names = [entry.name for entry in self._read(key)]
        is_unknown = key in self.unreadable or len(names) > files.MAX_ENTRIES
        return is_unknown or model_formats.is_marked(names)

    def is_outside(self, key: Key) -> bool:
        return not files.is_within(self._real_path(key), self._boundary)

    def _real_path(self, key: Key) -> str:
        return os.path.realpath(self._root.joinpath(*key))

    def _read(self, key: Key) -> list[os.DirEntry[str]]:
        """What counts in a folder, by name; nothing if it is gone."""
        if key not in self._entries:
            self._entries[key] = self._read_folder(key)
        return self._entries[key]

    def _read_folder(self, key: Key) -> list[os.DirEntry[str]]:
        try:
            entries = files.list_entries(self._root.joinpath(*key))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError:
            self.unreadable.add(key)
            return []
        if not self.is_outside(key):
            self.places.add(self._real_path(key))
        return entries


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as links in a circle
        return False


def _status(folder: Path) -> os.stat_result | None:
    try:
        return folder.lstat()
    except OSError:
        return None
