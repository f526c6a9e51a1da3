"""Where models come from: the protocol of a source, and what a source tells.

A source has the files of models, each by the model's key and the file's path: `folder` has those of
a folder, `stores` those of stores of objects and of registries of models.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Hashable, Mapping, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from hydro_runtimes.errors import ModelError

Key: TypeAlias = tuple[str, ...]
"""The folders from the root to a version: framework, model and, unless it is flat, version."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells, without reading it, that a file is the one that was read before."""

    size_bytes: int
    changed_ns: int
    """When it last changed in any way, since the epoch."""
    identity: tuple[Hashable, ...]
    """What differs where another file has taken its place: of a folder's file its inode, of an
    object its generation."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of what looks like a model, as they are at one moment; none was opened."""

    stamps: tuple[tuple[str, Stamp], ...]
    """By path relative to the model, with `/` between its parts, sorted."""
    problem: str = ""
    """Why it cannot be a model, whatever is in its files; the stamps are those until there."""
    skipped: frozenset[str] = frozenset()
    """Folders in it that are versions of their own."""
    changed_ns: int = field(default=0, compare=False)
    """When anything in it last changed in any way, since the epoch."""
    places: frozenset[str] = field(default=frozenset(), compare=False)
    """Where a change concerns it, in the source's own terms."""
    is_moved: bool = field(default=False, compare=False)
    """It was put in its place as a whole: nothing in it has changed since, or just before."""

    @property
    def since_ns(self) -> int:
        """The oldest change of any of its files, since the epoch."""
        return min((stamp.changed_ns for _, stamp in self.stamps), default=0)

    @property
    def size_bytes(self) -> int:
        """Of all its files."""
        return sum(stamp.size_bytes for _, stamp in self.stamps)


@dataclass(frozen=True, slots=True)
class Listing:
    """All that a source has at one moment."""

    models: Mapping[Key, ModelFiles]
    unreadable: Set[str] = frozenset()
    """The frameworks whose folders cannot be read: what is in them is not known."""
    places: frozenset[str] = frozenset()
    """Where a change may concern a model, in the source's own terms; for `ModelSource.changes`."""
    answered_ns: int = 0
    """When the source told this, since the epoch, if it was in an earlier run; 0: now."""


class FileChanged(Exception):
    """A file is not the one of the stamp any more."""


class NotFetched(Exception):
    """Files cannot be had now, for a reason that says nothing of them: what is published stays."""


class ModelSource(Protocol):
    """Where models come from. All but `changes` may wait, and is called in any thread."""

    def list_models(self) -> Listing:
        """Everything that looks like a model (see `versions.find_models`), with stamps.

        No file is opened, so that this is cheap enough to be done after every change.

        Raises:
            errors.HydroError: the source cannot be listed, which is not a source without models.
        """
        ...

    def list_files(self, key: Key, skipped: frozenset[str]) -> ModelFiles:
        """The files of one model again, without the folders in it that are versions."""
        ...

    def open_file(self, key: Key, path: str, stamp: Stamp) -> BinaryIO:
        """The content of a file; it can be sought in, and is never that of another stamp.

        What is not on this machine is there once `local_copy` has been asked for it.

        Raises:
            FileChanged: the file is another by now; reading raises it as well.
            InvalidModel: what is there now cannot be a model's file.
            OSError: it cannot be read.
        """
        ...

    def local_copy(self, key: Key, model: ModelFiles) -> AbstractContextManager[Path]:
        """A folder of this machine that has the model's files, as long as the context is open.

        Raises:
            FileChanged: it has other files by now.
            NotFetched: the source does not give them, or there is no room for them.
        """
        ...

    def changes(self, places: frozenset[str], stop: asyncio.Event) -> AsyncIterator[object]:
        """Yields after each change there, until `stop` is set.

        A source that cannot tell waits for `stop`: models are listed every so often in any case.

        Raises:
            Exception: it cannot tell now; it is asked again later.
        """
        ...


def relative_message(folder: Path, error: ModelError) -> str:
    """What an error says of a model, without telling where models are kept."""
    path = Path(error.path)
    for base in (folder, Path(os.path.realpath(folder))):
        if path != base and path.is_relative_to(base):
            return f"{path.relative_to(base).as_posix()}: {error.message}"
    return error.message
