"""One model, read: its format, signature and files, or why it is refused."""

from __future__ import annotations

import errno
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO

from hydro_runtimes import files, load, model_formats
from hydro_runtimes.errors import InvalidModel, ModelError
from hydro_services import model_names
from hydro_services.repository import catalogue
from hydro_services.repository.catalogue import ModelVersion, PublishedFile
from hydro_services.repository.source import (
    FileChanged,
    Key,
    ModelFiles,
    ModelSource,
    NotFetched,
    Stamp,
    relative_message,
)

logger = logging.getLogger(__name__)

_PIECE_BYTES = 1 << 20
_LASTING = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT})
"""What is so until something in the folder changes; other failures of the system may pass."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a model was found to be."""

    version: ModelVersion
    is_passing: bool = False
    """It is refused for a reason that may pass without a change of its files."""
    is_fetched: bool = True
    """Its files were there to be looked at; otherwise what was published before stays."""


def unread_version(key: Key, model: ModelFiles) -> ModelVersion:
    """A version of which only the place is known."""
    return ModelVersion(key, is_reading=True, since_ns=model.since_ns)


def inspect(source: ModelSource, key: Key, model: ModelFiles) -> Inspection | None:
    """Reads and hashes a model, running none of its code; None if it changed meanwhile.

    What is wrong with a model is told by the version's `refused`.
    """
    version, is_passing = replace(unread_version(key, model), is_reading=False), False
    try:
        _check_place(key, model)
        version = _read_version(source, version, model)
    except FileChanged:
        return None
    except NotFetched as error:
        return Inspection(replace(version, refused=str(error)), is_passing=True, is_fetched=False)
    except Exception as error:
        version = replace(version, refused=catalogue.as_text(_reason(error, version)))
        is_passing = _is_passing(error)
    # A folder is read in place: what was read is one content only if all is still as it was.
    if source.list_files(key, model.skipped) != model:
        return None
    return Inspection(version, is_passing)


def _read_version(source: ModelSource, version: ModelVersion, model: ModelFiles) -> ModelVersion:
    for path, _ in model.stamps:
        _check_path(path)  # before it becomes a path of this machine, in a copy
    with source.local_copy(version.key, model) as folder:
        try:
            listed = [_read_file(source, version.key, *file) for file in model.stamps]
            format = model_formats.detect_format(folder).name
            description = load.describe(folder)
        except ModelError as error:
            raise InvalidModel("", relative_message(folder, error)) from error
    digest = files.digest_of_files(files.File(f.path, f.stamp.size_bytes, f.sha256) for f in listed)
    return replace(
        version,
        format=format,
        signature=description.signature,
        parts=description.parts,
        fitted=description.fitted,
        digest=digest,
        files=tuple(listed),
    )


def _read_file(source: ModelSource, key: Key, path: str, stamp: Stamp) -> PublishedFile:
    """A file, hashed, with the stamp by which a download tells that it is still the same.

    Raises:
        InvalidModel: it is not whole.
        FileChanged: it is another by now.
    """
    try:
        with source.open_file(key, path, stamp) as stream:
            sha256 = _hash(stream, stamp.size_bytes)
            format = model_formats.by_suffix(path)
            if format and format.check_file:
                _check_whole(path, stream, format.check_file)
    except FileNotFoundError as error:
        raise FileChanged from error
    except OSError as error:
        raise InvalidModel("", f"{path}: cannot be read: {error.strerror}") from error
    return PublishedFile(path, sha256, stamp)


def _hash(stream: BinaryIO, size_bytes: int) -> str:
    """SHA-256, in hexadecimal, of what is read."""
    sha256, left = hashlib.sha256(), size_bytes
    # A file that grows as quickly as it is read must not be read forever.
    while left > 0 and (piece := stream.read(min(left, _PIECE_BYTES))):
        sha256.update(piece)
        left -= len(piece)
    if left:
        raise FileChanged
    return sha256.hexdigest()


def _check_whole(path: str, stream: BinaryIO, check: Callable[[BinaryIO], None]) -> None:
    try:
        stream.seek(0)
        check(stream)
    except ValueError as error:
        raise InvalidModel("", f"{path}: cannot be read: {error}; copy the whole file") from error


def _check_path(path: str) -> None:
    """Checks that it can be sent in a list, an URL or a message, and stays within the model.

    Raises:
        InvalidModel: it cannot, or does not.
    """
    if not path.isprintable() or "\\" in path:
        want = "want printable characters and no backslash"
        raise InvalidModel("", f"got the file name {path!r}, {want}; rename the file")
    if {"", ".", ".."} & set(path.split("/")):
        raise InvalidModel("", f"got the file name {path!r}, want one within the model")


def _check_place(key: Key, model: ModelFiles) -> None:
    """Checks the names of a model, and what can be told without reading it.

    Raises:
        InvalidModel: a name cannot be a model's or a version's; the files have a problem.
    """
    if not catalogue.is_name(key[1]):
        want = f"want {model_names.NAME_RULE}; rename the folder"
        raise InvalidModel("", f"got the model name {key[1]!r}, {want}")
    if len(key) > 2 and not catalogue.is_version(key[2]):
        want = "want a number such as 1, 2, v3 or 1.0.2; the latest version is the highest"
        raise InvalidModel("", f"got the version {key[2]!r}, {want}; rename the folder")
    if model.problem:
        raise InvalidModel("", model.problem)


def _reason(error: Exception, version: ModelVersion) -> str:
    """Why a model is refused."""
    if isinstance(error, ModelError):
        return error.message
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}; look at the folder's permissions"
    # What the reader of a format did not foresee must not end the service of all other models.
    logger.error("model cannot be read", extra={"path": version.path}, exc_info=error)
    return f"cannot be read: {type(error).__name__}: {error}"


def _is_passing(error: BaseException | None) -> bool:
    while isinstance(error, ModelError):
        error = error.__cause__
    return isinstance(error, OSError | MemoryError) and getattr(error, "errno", 0) not in _LASTING
