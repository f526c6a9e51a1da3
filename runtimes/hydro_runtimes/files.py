"""The files of a model folder and its digest: what is listed, downloaded and trusted."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

from hydro_runtimes.errors import InvalidModel

METADATA = "metadata.json"
"""States the columns of a model that cannot tell them itself; see `metadata`."""
MAX_ENTRIES = 100_000
"""Files and folders of a model."""
MAX_BYTES = 16 << 30
"""Of all files of a model."""
MAX_PATH_BYTES = 1024
_PIECE_BYTES = 1 << 20
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_Identity: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class File:
    """A regular file of a model folder."""

    path: str
    """Relative to the folder, with "/" between its parts."""
    size_bytes: int
    sha256: str
    """In hexadecimal, lower case."""


class FolderEntry(NamedTuple):
    """A regular file or a folder below a model's folder; of a link, what it leads to."""

    path: str
    """Relative to the folder, with "/" between its parts."""
    status: os.stat_result
    is_link: bool

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


def list_files(folder: Path, within: Path | None = None) -> tuple[File, ...]:
    """All files of a model, sorted by path.

    Args:
        folder: of the model.
        within: as for `walk_folder`.

    Raises:
        InvalidModel: as `walk_folder`, or a file cannot be read.
    """
    if not folder.is_dir():
        raise InvalidModel(folder, "no such folder: want the folder of a saved model")
    paths = [entry.path for entry in walk_folder(folder, within) if not entry.is_folder]
    return tuple(_hash_listed(folder, path, within or folder) for path in sorted(paths))


def digest_folder(folder: Path, within: Path | None = None) -> str:
    """SHA-256, in hexadecimal, of a line `<sha256>  <path>` for each file, sorted by path.

    Raises:
        InvalidModel: as `list_files`.
    """
    return digest_of_files(list_files(folder, within))


def read_listed(folder: Path, file: File) -> bytes:
    """The bytes of a listed file, if they are still those that were hashed.

    Raises:
        InvalidModel: it cannot be read, or has changed since it was listed.
    """
    try:
        data = (folder / file.path).read_bytes()
    except OSError as error:
        raise InvalidModel(folder, f"'{file.path}' cannot be read: {error.strerror}") from error
    # Read and hashed from the same bytes: what is hashed is what runs.
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise InvalidModel(folder, f"'{file.path}' was changed after its digest was checked")
    return data


def digest_of_files(listed: Iterable[File]) -> str:
    """The digest of a model whose files are these, sorted by path."""
    # As the command sha256sum writes it, so that a digest can be made by hand.
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in listed)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def walk_folder(
    folder: Path, within: Path | None = None, skip: Container[str] = ()
) -> Iterator[FolderEntry]:
    """All folders and regular files below a model's folder.

    Names that begin with "." and folders named `__pycache__` are left out, and what is removed
    meanwhile. No file is opened.

    Args:
        folder: of the model.
        within: the folder that links may not leave; None: the model's own.
        skip: names in the model's folder that are not a part of it.

    Raises:
        InvalidModel: a link leads out, to nothing or back to a folder that it is in; there is
            something other than files and folders, or too many; a folder cannot be read.
    """
    boundary = os.path.realpath(within or folder)
    # A list, not recursion: whoever fills the folder decides how deep it is.
    pending: list[tuple[str, tuple[_Identity, ...]]] = [("", (_identity(folder),))]
    count = size_bytes = 0
    while pending:
        parent, above = pending.pop()
        for listed in _list_below(folder, parent):
            if not parent and listed.name in skip:
                continue
            entry = _follow_entry(folder, parent + listed.name, listed.is_symlink(), boundary)
            if entry is None:
                continue
            if entry.is_folder:
                # Not by path: behind a link that leads back every path is new.
                identity = (entry.status.st_dev, entry.status.st_ino)
                if identity in above:
                    raise _invalid_link(folder, entry.path, "leads back to a folder that it is in")
                pending.append((f"{entry.path}/", (*above, identity)))
            else:
                size_bytes += entry.status.st_size
            count += 1
            _check_amount(folder, count, size_bytes)
            yield entry


def list_entries(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder that count, by name; where there are too many, `MAX_ENTRIES` + 1.

    Raises:
        OSError: it cannot be read.
    """
    with os.scandir(folder) as scanned:
        # One more than may be is enough to know that there are too many.
        counting = (e for e in scanned if not e.name.startswith(".") and e.name != "__pycache__")
        return sorted(islice(counting, MAX_ENTRIES + 1), key=lambda entry: entry.name)


def open_regular(path: Path, within: Path | None = None) -> BinaryIO:
    """A regular file, opened for reading; it never waits, as opening a named pipe would.

    Args:
        path: of the file.
        within: the folder that has to hold the file, whatever links lead to now.

    Raises:
        InvalidModel: it is not a regular file, or not in that folder.
        OSError: it cannot be opened.
    """
    return os.fdopen(open_descriptor(path, within), "rb")


def open_descriptor(path: Path, within: Path | None = None) -> int:
    """As `open_regular`, as a descriptor that the caller closes."""
    # Without O_NONBLOCK, a named pipe put in the file's place would hold this thread forever.
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # Checked after it was opened: before, something else could be put in its place.
        mode = os.fstat(opened).st_mode
        if not stat.S_ISREG(mode):
            raise InvalidModel(path, f"is {_kind_name(mode)}, want a regular file")
        if within and not is_within(_real_path(opened, path), os.path.realpath(within)):
            raise InvalidModel(path, "a link leads out of the models, want one within them")
    except BaseException:
        os.close(opened)
        raise
    return opened


def hash_file(path: Path, within: Path | None = None) -> tuple[str, os.stat_result]:
    """SHA-256 of a file, in hexadecimal, and its status when reading began.

    Raises:
        InvalidModel, OSError: as `open_regular`.
    """
    with open_regular(path, within) as stream:
        status = os.fstat(stream.fileno())
        sha, left = hashlib.sha256(), status.st_size
        # A file that grows as quickly as it is read must not be read forever.
        while left > 0 and (piece := stream.read(min(left, _PIECE_BYTES))):
            sha.update(piece)
            left -= len(piece)
    return sha.hexdigest(), status


def is_within(path: str, boundary: str) -> bool:
    """Whether a path without links is that of a folder, or below it."""
    return path == boundary or path.startswith(boundary.rstrip("/") + "/")


def _hash_listed(folder: Path, path: str, within: Path) -> File:
    try:
        hashed, status = hash_file(folder / path, within)
    except OSError as error:
        raise InvalidModel(folder / path, f"cannot be read: {error.strerror}") from error
    return File(path, status.st_size, hashed)


def _identity(folder: Path) -> _Identity:
    try:
        status = os.stat(folder)
    except OSError as error:
        raise InvalidModel(folder, f"cannot be read: {error.strerror}") from error
    return status.st_dev, status.st_ino


def _list_below(folder: Path, parent: str) -> list[os.DirEntry[str]]:
    """The entries of a folder of the model; none if it was removed meanwhile."""
    try:
        return list_entries(folder / parent)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InvalidModel(folder / parent, f"cannot be read: {error.strerror}") from error


def _follow_entry(folder: Path, path: str, is_link: bool, boundary: str) -> FolderEntry | None:
    """A file or folder, with links followed; None if it was removed meanwhile."""
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise InvalidModel(folder, f"path of over {MAX_PATH_BYTES} bytes: {path[:80]!r}…")
    place = folder / path
    try:
        # The place first: nothing may be told of what is outside, not even whether it exists.
        if is_link and not is_within(os.path.realpath(place), boundary):
            raise _invalid_link(folder, path, "leads out of the models, want one within them")
        status = os.stat(place, follow_symlinks=is_link)
    except FileNotFoundError:
        if is_link and os.path.lexists(place):
            raise _invalid_link(folder, path, "leads to nothing") from None
        return None
    except OSError as error:
        raise InvalidModel(place, f"cannot be read: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
        raise InvalidModel(place, f"is {_kind_name(status.st_mode)}, want regular files")
    return FolderEntry(path, status, is_link)


def _check_amount(folder: Path, count: int, size_bytes: int) -> None:
    if count > MAX_ENTRIES:
        raise InvalidModel(folder, f"more than {MAX_ENTRIES} files and folders in one model")
    if size_bytes > MAX_BYTES:
        raise InvalidModel(folder, f"more than {MAX_BYTES} bytes in the files of one model")


def _real_path(opened: int, path: Path) -> str:
    """Where an open file is. The system knows, if a link of the path has changed meanwhile."""
    try:
        return os.readlink(f"/proc/self/fd/{opened}")
    except OSError:
        return os.path.realpath(path)


def _kind_name(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "not a file")


def _invalid_link(folder: Path, path: str, problem: str) -> InvalidModel:
    return InvalidModel(folder, f"link {path!r} {problem}")
