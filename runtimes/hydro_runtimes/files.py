"""The files of a model folder and its digest: what is listed, downloaded and trusted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from hydro_runtimes.errors import InvalidModel

_MAX_FILES = 100_000


@dataclass(frozen=True, slots=True)
class File:
    """A regular file of a model folder."""

    path: str
    """Relative to the folder, with "/" between its parts."""
    size_bytes: int
    sha256: str
    """In hexadecimal, lower case."""


def files(folder: Path) -> tuple[File, ...]:
    """All files of a model, sorted by path.

    Names that begin with "." and folders named `__pycache__` do not count.

    Raises:
        InvalidModel: it is no folder, cannot be read, has a symbolic link that leads out of it,
            or holds an absurd number of files.
    """
    root = folder.resolve()
    if not root.is_dir():
        raise InvalidModel(folder, "no such folder: want the folder of a saved model")
    try:
        found = [_file(root, path) for path in islice(_walk(root), _MAX_FILES + 1)]
    except OSError as error:
        raise InvalidModel(folder, f"cannot be read: {error.strerror}") from error
    if len(found) > _MAX_FILES:
        raise InvalidModel(folder, f"more than {_MAX_FILES} files in one model")
    return tuple(sorted(found, key=lambda file: file.path))


def digest(folder: Path) -> str:
    """SHA-256, in hexadecimal, of a line `<sha256>  <path>` for each file, sorted by path.

    Raises:
        InvalidModel: as `files`.
    """
    return digest_of(files(folder))


def read(folder: Path, file: File) -> bytes:
    """The bytes of a listed file, as they were when it was listed.

    Raises:
        InvalidModel: it cannot be read, or has other bytes by now.
    """
    try:
        data = (folder / file.path).read_bytes()
    except OSError as error:
        raise InvalidModel(folder, f"'{file.path}' cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise InvalidModel(folder, f"'{file.path}' was changed after its digest was checked")
    return data


def digest_of(listed: Iterable[File]) -> str:
    """The digest of a model whose files are these, sorted by path."""
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in listed)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _walk(root: Path) -> Iterator[Path]:
    folders = [root]
    while folders:
        for entry in list(os.scandir(folders.pop())):
            if entry.name.startswith(".") or entry.name == "__pycache__":
                continue
            path = Path(entry.path)
            if entry.is_symlink():
                _check_link(root, path)
            if entry.is_dir():
                folders.append(path)
            elif entry.is_file():
                yield path


def _check_link(root: Path, path: Path) -> None:
    """A link may lead to a file of the same folder; one to a folder could make a circle."""
    target = path.resolve()
    if not target.is_relative_to(root) or target.is_dir():
        name = path.relative_to(root).as_posix()
        raise InvalidModel(root, f"link '{name}' leads out of the model: want plain files")


def _file(root: Path, path: Path) -> File:
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return File(path.relative_to(root).as_posix(), path.stat().st_size, sha256)
