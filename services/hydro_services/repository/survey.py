"""Where models are below the root, and what tells that one has changed: names and stamps only.

No file is read here, so that a survey is cheap enough to be made after every change.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hydro_services.repository import catalogue
from hydro_services.repository.catalogue import Key, Stamp

logger = logging.getLogger(__name__)

_MARKERS = frozenset({"metadata", "metadata.json", "model.py"})
_SUFFIXES = (".skops", ".pkl", ".pickle", ".joblib")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A folder that looks like a model."""

    folder: Path
    stamps: tuple[tuple[str, Stamp], ...]
    """By path relative to the folder, sorted; links are not followed."""
    changed_ns: int = field(compare=False)
    """When anything in it last changed in any way (the newest ctime), since the epoch."""


def survey(root: Path) -> dict[Key, Sighting]:
    """All folders `<root>/<framework>/<model>[/<version>]` that look like models.

    Raises:
        OSError: the root cannot be read, which is not to be taken for a root without models.
    """
    with os.scandir(root):
        pass
    sightings: dict[Key, Sighting] = {}
    for framework in _folders(root):
        for model in _folders(framework):
            for version, folder in _versions(model):
                sightings[(framework.name, model.name, version)] = sight(root, folder)
    return sightings


def sight(root: Path, folder: Path) -> Sighting:
    """Everything in a folder that counts as part of a model, as it is now.

    Of a folder that a link leads to outside of the root, nothing is looked at.
    """
    stamps: dict[str, Stamp] = {}
    changed_ns = _changed_ns(folder)
    pending = [folder] if is_within(root, folder) else []
    while pending:
        for entry in _entries(pending.pop()):
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:  # gone meanwhile, or not ours to see, which reading it will tell
                continue
            changed_ns = max(changed_ns, status.st_ctime_ns)
            if stat.S_ISDIR(status.st_mode):
                pending.append(Path(entry))
            else:
                stamps[os.path.relpath(entry.path, folder)] = stamp(status)
    return Sighting(folder, tuple(sorted(stamps.items())), changed_ns)


def stamp(status: os.stat_result) -> Stamp:
    """The stamp of a file of this status."""
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


def is_within(root: Path, folder: Path) -> bool:
    """Whether a folder is below the root, all links followed."""
    return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(root))


def _versions(model: Path) -> Iterator[tuple[str, Path]]:
    """The folder itself as version "1" if it looks like a model, else its version folders."""
    if _is_marked(model):
        yield "1", model
        return
    for folder in _folders(model):
        if catalogue.is_version(folder.name) and _is_marked(folder):
            yield folder.name, folder


def _folders(parent: Path) -> list[Path]:
    return [Path(entry) for entry in _entries(parent) if os.path.isdir(entry)]


def _is_marked(folder: Path) -> bool:
    names = [entry.name for entry in _entries(folder)]
    return any(name in _MARKERS or name.endswith(_SUFFIXES) for name in names)


def _changed_ns(folder: Path) -> int:
    try:
        return folder.lstat().st_ctime_ns
    except OSError:
        return 0


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What counts in a folder (as hydro_runtimes.files has it), by name; nothing if it is gone."""
    try:
        with os.scandir(folder) as entries:
            found = [e for e in entries if not e.name.startswith(".") and e.name != "__pycache__"]
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        extra = {"folder": str(folder), "error": error.strerror}
        logger.warning("folder cannot be read, its models are missing", extra=extra)
        return []
