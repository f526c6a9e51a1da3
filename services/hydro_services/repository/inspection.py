"""One model folder, read: its format, signature and files, or why it is refused."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from hydro_runtimes import files, formats, load
from hydro_runtimes.errors import InvalidModel, ModelError
from hydro_services.repository import catalogue, survey
from hydro_services.repository.catalogue import FLAT, File, Key, ModelVersion, Stamp
from hydro_services.repository.survey import Sighting

logger = logging.getLogger(__name__)

_LASTING = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT})
"""What is so until something in the folder changes; other failures of the system may pass."""


class _Changed(Exception):
    """A file is not the one that was seen."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a folder."""

    version: ModelVersion
    is_passing: bool = False
    """It is refused for a reason that may pass without a change of the folder."""


def unread(key: Key, sighting: Sighting) -> ModelVersion:
    """A version of which only the place is known."""
    framework, model, number = (_text(part) for part in (*key, FLAT)[:3])
    is_flat = len(key) == 2
    return ModelVersion(
        framework,
        model,
        number,
        sighting.folder,
        is_flat=is_flat,
        is_reading=True,
        since_ns=sighting.since_ns,
    )


def inspect(root: Path, key: Key, sighting: Sighting) -> Inspection | None:
    """Reads and hashes a model, running none of its code; None if it changed meanwhile.

    What is wrong with a model is told by the version's `refused`.
    """
    version, is_passing = replace(unread(key, sighting), is_reading=False), False
    try:
        _check_place(key, sighting)
        version = _read(root, version, sighting)
    except _Changed:
        return None
    except Exception as error:
        version = replace(version, refused=_text(_reason(error, version)))
        is_passing = _is_passing(error)
    return Inspection(version, is_passing) if _sees(root, key, sighting) else None


def _sees(root: Path, key: Key, sighting: Sighting) -> bool:
    return survey.sight(root, sighting.folder, sighting.skipped) == sighting


def _read(root: Path, version: ModelVersion, sighting: Sighting) -> ModelVersion:
    folder = version.folder
    format = formats.detect(folder).name
    listed = [_file(root, folder, path, stamp) for path, stamp in sighting.stamps]
    signature, parts = load.describe(folder)
    digest = files.digest_of(files.File(f.path, f.stamp.size_bytes, f.sha256) for f in listed)
    return replace(
        version, format=format, signature=signature, parts=parts, digest=digest, files=tuple(listed)
    )


def _file(root: Path, folder: Path, path: str, seen: Stamp) -> File:
    """A file, hashed, with the stamp by which a download tells that it is still the same.

    Raises:
        InvalidModel: it is incomplete, or its path cannot be sent in a list, an URL or a message.
    """
    if not path.isprintable() or "\\" in path:
        want = "want printable characters and no backslash"
        raise InvalidModel(folder, f"got the file name {path!r}, {want}; rename the file")
    try:
        sha256, status = files.sha256(folder / path, root)
    except FileNotFoundError as error:
        raise _Changed from error
    except OSError as error:
        raise InvalidModel(folder / path, f"cannot be read: {error.strerror}") from error
    if survey.stamp(status) != seen:
        raise _Changed
    format = formats.by_suffix(path)
    if format and format.check_file:
        _check_whole(folder / path, format.check_file)
    return File(path, sha256, seen)


def _check_whole(path: Path, check: Callable[[BinaryIO], None]) -> None:
    try:
        with files.open_regular(path) as stream:
            check(stream)
    except ValueError as error:
        raise InvalidModel(path, f"cannot be read: {error}; copy the whole file") from error


def _check_place(key: Key, sighting: Sighting) -> None:
    """Checks the names of a model, and what can be told without reading it.

    Raises:
        InvalidModel: a name cannot be a model's or a version's; the sighting has a problem.
    """
    if not catalogue.is_name(key[1]):
        want = "want up to 128 letters, digits, '-', '_' and '.', the first one no '-' or '.'"
        raise InvalidModel(
            sighting.folder, f"got the model name {key[1]!r}, {want}; rename the folder"
        )
    if len(key) > 2 and not catalogue.is_version(key[2]):
        want = "want a number such as 1, 2, v3 or 1.0.2; the latest version is the highest"
        raise InvalidModel(
            sighting.folder, f"got the version {key[2]!r}, {want}; rename the folder"
        )
    if sighting.problem:
        raise InvalidModel(sighting.folder, sighting.problem)


def _reason(error: Exception, version: ModelVersion) -> str:
    """Why a model is refused, without telling where models are kept."""
    if isinstance(error, ModelError):
        return survey.within(version.folder, error)
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}; look at the folder's permissions"
    # What the reader of a format did not foresee must not end the service of all other models.
    logger.error("model cannot be read", extra={"model": version.model}, exc_info=error)
    return f"cannot be read: {type(error).__name__}: {error}"


def _is_passing(error: Exception) -> bool:
    cause = error.__cause__ if isinstance(error, ModelError) else error
    return isinstance(cause, OSError | MemoryError) and getattr(cause, "errno", 0) not in _LASTING


def _text(name: str) -> str:
    """What may hold names from the file system, as text that can be sent."""
    return name.encode("utf-8", "backslashreplace").decode()
