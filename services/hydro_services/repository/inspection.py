"""One model folder, read: its format, signature and files, or why it is refused."""

from __future__ import annotations

import logging
import os
import zipfile
from dataclasses import replace
from pathlib import Path

from hydro_runtimes import files, load
from hydro_runtimes.errors import InvalidModel, ModelError
from hydro_services.repository import catalogue, survey
from hydro_services.repository.catalogue import File, Key, ModelVersion
from hydro_services.repository.survey import Sighting

logger = logging.getLogger(__name__)

_MAX_PATH_BYTES = 1024


def inspect(root: Path, key: Key, sighting: Sighting) -> ModelVersion | None:
    """Reads and hashes a model, running none of its code; None if it changed meanwhile.

    What is wrong with a model is told by the version's `refused`.
    """
    framework, model, number = map(_text, key)
    version = ModelVersion(framework, model, number, sighting.folder)
    try:
        _check_place(root, key, sighting.folder)
        version = _read(version)
    except Exception as error:
        version = replace(version, refused=_text(_reason(error, version)))
    return version if survey.sight(root, sighting.folder) == sighting else None


def _read(version: ModelVersion) -> ModelVersion:
    folder = version.folder
    format = load.detect(folder)
    signature, parts = load.described(folder)
    listed = files.files(folder)
    return replace(
        version,
        format=format,
        signature=signature,
        parts=parts,
        digest=files.digest_of(listed),
        files=tuple(_file(folder, file) for file in listed),
    )


def _file(folder: Path, file: files.File) -> File:
    """A listed file, with the stamp by which a download tells that it is still the same.

    Raises:
        InvalidModel: it is incomplete, or its path cannot be sent in a list, an URL or a message.
    """
    path = file.path
    if not path.isprintable() or "\\" in path or len(path.encode()) > _MAX_PATH_BYTES:
        want = f"want printable characters, no backslash, at most {_MAX_PATH_BYTES} bytes"
        raise InvalidModel(folder, f"got the file name {path!r}, {want}; rename the file")
    if path.endswith(".skops"):
        _check_zip(folder / path)
    return File(path, file.sha256, survey.stamp(os.stat(folder / path)))


def _check_zip(path: Path) -> None:
    """Checks that a skops file has its end, where a zip file has its directory.

    Raises:
        InvalidModel: it has not.
    """
    try:
        zipfile.ZipFile(path).close()
    except zipfile.BadZipFile as error:
        raise InvalidModel(path, f"cannot be read: {error}; copy the whole file") from error


def _check_place(root: Path, key: Key, folder: Path) -> None:
    """Checks name and place of a model.

    Raises:
        InvalidModel: the name cannot be a model's, or a link leads out of the root.
    """
    if not catalogue.is_name(key[1]):
        want = "want up to 128 letters, digits, '-', '_' and '.', the first one no '-' or '.'"
        raise InvalidModel(folder, f"got the model name {key[1]!r}, {want}; rename the folder")
    if not survey.is_within(root, folder):
        message = "the folder is a symbolic link that leads out of the models; copy the model here"
        raise InvalidModel(folder, message)


def _reason(error: Exception, version: ModelVersion) -> str:
    """Why a model is refused, without telling where models are kept."""
    if isinstance(error, ModelError):
        return _within(version.folder, error)
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}; look at the folder's permissions"
    # What the reader of a format did not foresee must not end the service of all other models.
    logger.error("model cannot be read", extra={"model": version.model}, exc_info=error)
    return f"cannot be read: {type(error).__name__}: {error}"


def _within(folder: Path, error: ModelError) -> str:
    """The message, after the part of the model that it is about."""
    path = Path(error.path)
    for base in (folder, Path(os.path.realpath(folder))):
        if path != base and path.is_relative_to(base):
            return f"{path.relative_to(base).as_posix()}: {error.message}"
    return error.message


def _text(name: str) -> str:
    """What may hold names from the file system, as text that can be sent."""
    return name.encode("utf-8", "backslashreplace").decode()
