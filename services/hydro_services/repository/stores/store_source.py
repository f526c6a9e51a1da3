"""A store as a source of models: polled, downloaded once, and served from copies.

What is published is a state of a model that the store told twice the same, each of its files read
at the stamp that was told. While the store is away, and after a restart, the last such state stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from hydro_services import errors
from hydro_services.repository.source import (
    FileChanged,
    Key,
    Listing,
    ModelFiles,
    NotFetched,
    Stamp,
)
from hydro_services.repository.stores.copies import Copies, copy_name
from hydro_services.repository.stores.hide_secrets import hide_secrets
from hydro_services.repository.stores.object_tree import ObjectTree
from hydro_services.repository.stores.store import ModelStore
from hydro_services.repository.stores.whole_models import WholeModels
from hydro_services.repository.versions import find_models

_NOT_KNOWN_NS = 1 << 63
"""When a model changed last: in the future. An object's time does not tell whether the others are
there already, and clocks of stores differ: a model has settled when it is told the same again."""


class StoreSource:
    """Models of a store; see `source.ModelSource`."""

    def __init__(self, store: ModelStore, home: Key, folder: Path, limit_bytes: int) -> None:
        """Takes a store, and a folder of its own for the copies.

        Args:
            store: has the objects.
            home: the framework and name of the model, if the root itself is one.
            folder: for the copies, made if need be.
            limit_bytes: what the copies may take.
        """
        self._store = store
        self._home = home
        self._copies = Copies(folder, limit_bytes)
        self._whole = WholeModels(folder / "models")
        self._is_first = True
        self._around: Key = ()
        """The folders that keys have around a root that is a model."""
        self._listed: Mapping[Key, ModelFiles] = {}
        """As the store told last."""
        self._lock = threading.Lock()
        """Of what is whole."""

    @property
    def copies_bytes(self) -> int:
        """What the copies take."""
        return self._copies.size_bytes

    def list_models(self) -> Listing:
        """As `ModelSource.list_models`; the first time, models that were whole in an earlier run.

        Raises:
            errors.Unavailable: the store does not answer, or refuses to.
        """
        if self._is_first:
            self._is_first = False
            if listing := self._recall():
                return listing
        try:
            objects = self._store.list_objects()
        except Exception as error:
            raise errors.Unavailable(_reason(error)) from None  # its cause may tell secrets
        tree = ObjectTree(objects, self._home)
        self._around = tree.home
        listed = {
            key: tree.list_files(key, skipped, _NOT_KNOWN_NS) for key, skipped in find_models(tree)
        }
        self._listed = listed
        self._forget_others(listed)
        self._whole.touch_answered()
        return Listing(listed)

    def list_files(self, key: Key, skipped: frozenset[str]) -> ModelFiles:
        """As the store told last."""
        return self._listed.get(key, ModelFiles((), skipped=skipped))

    def open_file(self, key: Key, path: str, stamp: Stamp) -> BinaryIO:
        """As `ModelSource.open_file`: the copy, which never changes."""
        try:
            return self._copies.path(_name(key, path, stamp)).open("rb")
        except FileNotFoundError as error:
            raise FileChanged from error

    @contextlib.contextmanager
    def local_copy(self, key: Key, model: ModelFiles) -> Iterator[Path]:
        """As `ModelSource.local_copy`: links to copies, after those that lack are downloaded."""
        names = {path: _name(key, path, stamp) for path, stamp in model.stamps}
        objects = {names[path]: (path, stamp) for path, stamp in model.stamps}
        sizes = {name: stamp.size_bytes for name, (_, stamp) in objects.items()}

        def download(name: str, part: Path) -> None:
            path, stamp = objects[name]
            self._store.download(self._path(key, path), stamp, part)

        try:
            self._copies.fetch(sizes, self._used_names, download)
            with self._lock:
                self._whole.put(key, model)
        except (FileChanged, NotFetched):
            raise
        except Exception as error:
            raise NotFetched(f"cannot be fetched: {_reason(error)}") from None
        with self._copies.link_folder(names) as folder:
            yield folder

    async def changes(self, places: frozenset[str], stop: asyncio.Event) -> AsyncIterator[object]:
        """Tells of no change: models are listed every so often in any case."""
        await stop.wait()
        return
        yield

    def _recall(self) -> Listing | None:
        """The models of an earlier run whose copies are all here."""
        self._listed = {
            key: model
            for key, model in self._whole.models.items()
            if all(
                self._copies.path(_name(key, path, stamp)).is_file() for path, stamp in model.stamps
            )
        }
        answered_ns = self._whole.answered_ns
        return Listing(self._listed, answered_ns=answered_ns) if answered_ns else None

    def _forget_others(self, listed: Mapping[Key, ModelFiles]) -> None:
        """Models that are gone, and what is no file of any model."""
        with self._lock:
            for key in self._whole.models.keys() - listed.keys():
                self._whole.remove(key)
        self._copies.sweep(self._used_names(), _names(listed))

    def _used_names(self) -> set[str]:
        with self._lock:
            return _names(self._whole.models)

    def _path(self, key: Key, path: str) -> str:
        """Of an object below the root."""
        return "/".join((*key[len(self._around) :], path))


def _name(key: Key, path: str, stamp: Stamp) -> str:
    return copy_name("/".join((*key, path)), stamp)


def _names(models: Mapping[Key, ModelFiles]) -> set[str]:
    """Of the copies of all files."""
    return {
        _name(key, path, stamp) for key, model in models.items() for path, stamp in model.stamps
    }


def _reason(error: Exception) -> str:
    """What went wrong, for logs and clients."""
    text = " ".join(str(error).split())
    return hide_secrets(f"{type(error).__name__}: {text}" if text else type(error).__name__)
