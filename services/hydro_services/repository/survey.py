"""Where models are below the root, and what tells that one has changed: names and stamps only.

No file is opened here, so that a survey is cheap enough to be made after every change.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from hydro_runtimes import files, formats
from hydro_runtimes.errors import InvalidModel, ModelError
from hydro_services.repository import catalogue
from hydro_services.repository.catalogue import Key, Stamp


@dataclass(frozen=True, slots=True)
class Sighting:
    """A folder that looks like a model."""

    folder: Path
    stamps: tuple[tuple[str, Stamp], ...]
    """Of files and of what links lead to, by path relative to the folder, sorted."""
    problem: str = ""
    """Why it cannot be a model, whatever is in its files; the stamps are those until there."""
    skipped: frozenset[str] = frozenset()
    """Folders in it that are versions of their own."""
    changed_ns: int = field(default=0, compare=False)
    """When anything in it last changed in any way (the newest ctime), since the epoch."""
    folders: frozenset[str] = field(default=frozenset(), compare=False)
    """The real paths of the folders that it is made of."""

    @property
    def since_ns(self) -> int:
        """The oldest change of any of its files, since the epoch."""
        return min((stamp.ctime_ns for _, stamp in self.stamps), default=0)

    @property
    def size_bytes(self) -> int:
        """Of all its files."""
        return sum(stamp.size_bytes for _, stamp in self.stamps)


@dataclass(frozen=True, slots=True)
class Survey:
    """All that is below a root."""

    sightings: Mapping[Key, Sighting]
    unreadable: Set[str]
    """The frameworks whose folders cannot be read: what is in them is not known."""
    folders: frozenset[str]
    """The real paths of all folders in which a change may concern a model."""


def survey(root: Path) -> Survey:
    """All folders `<root>/<framework>/<model>[/<version>]` that look like models.

    Raises:
        OSError: the root cannot be read, which is not to be taken for a root without models.
    """
    with os.scandir(root):
        pass
    return _Surveyor(root).survey()


class _Surveyor:
    """Makes one survey."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._boundary = os.path.realpath(root)
        self._unreadable: set[Key] = set()
        self._folders: set[str] = set()
        self._listed: dict[Key, list[os.DirEntry[str]]] = {}

    def survey(self) -> Survey:
        sightings = dict(self._sightings())
        folders = self._folders.union(*(each.folders for each in sightings.values()))
        unreadable = {key[0] for key in self._unreadable if len(key) == 1}
        return Survey(sightings, unreadable, frozenset(folders))

    def _sightings(self) -> Iterator[tuple[Key, Sighting]]:
        for framework in self._below(()):
            for model in self._below((framework,)):
                yield from self._versions((framework, model))

    def _versions(self, key: Key) -> Iterator[tuple[Key, Sighting]]:
        """The model's folder itself if it looks like a model, and its folders that do."""
        if self._is_outside(key):
            yield key, self._sight(key)
            return
        is_flat = self._is_marked(key)
        versions = [name for name in self._below(key) if self._is_version(key, name, is_flat)]
        if len(versions) == 1 and not catalogue.is_version(versions[0]):
            is_flat, versions = True, []  # the folder around a model
        if is_flat:
            yield key, self._sight(key, frozenset(versions))
        for name in versions:
            yield (*key, name), self._sight((*key, name))

    def _is_version(self, key: Key, name: str, is_flat: bool) -> bool:
        """Beside a model's files, other folders are a part of the model, whatever is in them."""
        below = (*key, name)
        if is_flat and (not catalogue.is_version(name) or self._is_outside(below)):
            return False
        if self._is_outside(below) or self._is_marked(below):
            return True
        return catalogue.is_version(name) and any(
            self._is_marked((*below, inner)) for inner in self._below(below)
        )

    def _sight(self, key: Key, skip: frozenset[str] = frozenset()) -> Sighting:
        return sight(self._root, self._root.joinpath(*key), skip)

    def _below(self, key: Key) -> list[str]:
        """The names of the folders in a folder."""
        return [entry.name for entry in self._entries(key) if _is_folder(entry)]

    def _is_marked(self, key: Key) -> bool:
        """Whether a folder looks like a model, or cannot be looked at."""
        names = [entry.name for entry in self._entries(key)]
        is_unknown = key in self._unreadable or len(names) > files.MAX_ENTRIES
        return is_unknown or formats.is_marked(names)

    def _is_outside(self, key: Key) -> bool:
        return not files.is_within(self._real(key), self._boundary)

    def _real(self, key: Key) -> str:
        return os.path.realpath(self._root.joinpath(*key))

    def _entries(self, key: Key) -> list[os.DirEntry[str]]:
        """What counts in a folder, by name; nothing if it is gone."""
        if key not in self._listed:
            self._listed[key] = self._list(key)
        return self._listed[key]

    def _list(self, key: Key) -> list[os.DirEntry[str]]:
        try:
            found = files.entries(self._root.joinpath(*key))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError:
            self._unreadable.add(key)
            return []
        if not self._is_outside(key):
            self._folders.add(self._real(key))
        return found


def sight(root: Path, folder: Path, skip: frozenset[str] = frozenset()) -> Sighting:
    """Everything in a folder that counts as part of a model, as it is now.

    Of a folder that a link leads to outside of the root, nothing is looked at.

    Args:
        root: what links may not leave.
        folder: of the model.
        skip: names of folders in it that are versions of their own.
    """
    stamps: dict[str, Stamp] = {}
    folders: set[str] = set()
    changed_ns, problem = _changed_ns(folder), ""
    try:
        real = os.path.realpath(folder)
        if not files.is_within(real, os.path.realpath(root)):
            message = "the folder is a link that leads out of the models; copy the model here"
            raise InvalidModel(folder, message)
        folders.add(real)
        for entry in files.walk(folder, root, skip):
            changed_ns = max(changed_ns, entry.status.st_ctime_ns)
            if entry.is_folder:
                folders.add(os.path.realpath(folder / entry.path))
                continue
            stamps[entry.path] = stamp(entry.status)
            if entry.is_link:  # the file that it leads to may change where it is
                folders.add(os.path.dirname(os.path.realpath(folder / entry.path)))
    except InvalidModel as error:
        problem = within(folder, error)
    seen = tuple(sorted(stamps.items()))
    return Sighting(folder, seen, problem, skip, changed_ns, frozenset(folders))


def stamp(status: os.stat_result) -> Stamp:
    """The stamp of a file of this status."""
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return Stamp(status.st_size, times[0], status.st_ino, status.st_dev, times[1])


def within(folder: Path, error: ModelError) -> str:
    """What an error says of a model, without telling where models are kept."""
    path = Path(error.path)
    for base in (folder, Path(os.path.realpath(folder))):
        if path != base and path.is_relative_to(base):
            return f"{path.relative_to(base).as_posix()}: {error.message}"
    return error.message


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as links in a circle
        return False


def _changed_ns(folder: Path) -> int:
    try:
        return folder.lstat().st_ctime_ns
    except OSError:
        return 0
