"""A file's bytes, in chunks, only as long as the file is the one that was published."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import PurePosixPath

from hydro_runtimes import formats
from hydro_services import errors
from hydro_services.repository import survey
from hydro_services.repository.catalogue import File, ModelVersion

CHUNK_BYTES = 1 << 20

_TEXT = "text/plain; charset=utf-8"
_TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".md": _TEXT,
    ".ndjson": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
    ".py": _TEXT,
    ".txt": _TEXT,
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
"""No HTML and no SVG: a model's files must not run in a browser as ours."""


def content_type(path: str) -> str:
    """The media type of a file, by its name; Spark's metadata parts are text."""
    name = PurePosixPath(path)
    if name.parent.name == "metadata" and name.name.startswith("part-"):
        return _TEXT
    format = formats.by_suffix(path.lower())
    known = {**format.suffixes, **_TYPES} if format else _TYPES
    return known.get(name.suffix.lower(), "application/octet-stream")


async def chunks(version: ModelVersion, path: str, offset_bytes: int = 0) -> AsyncIterator[bytes]:
    """The content of a file from an offset, in pieces of at most `CHUNK_BYTES`.

    The file is known by its inode, size and time, before and after each piece that is read: what
    a link leads to, or another file that has taken its place, is never sent.

    Raises:
        errors.NotFound: the path is not in the version's list of files.
        errors.OutOfRange: the offset is not within the file.
        errors.Aborted: the file is not the one that was published any more.
    """
    file = version.file(path)
    size_bytes = file.stamp.size_bytes
    if not 0 <= offset_bytes <= size_bytes:
        message = f"got the offset {offset_bytes}, want 0 to {size_bytes}, the size of {path!r}"
        raise errors.OutOfRange(message, path=path, size_bytes=str(size_bytes))
    while offset_bytes < size_bytes:
        chunk = await asyncio.to_thread(_read, version, file, offset_bytes)
        yield chunk
        offset_bytes += len(chunk)


def _read(version: ModelVersion, file: File, offset_bytes: int) -> bytes:
    """One piece; opened and closed each time, so that no descriptor outlives a cancelled call."""
    try:
        # Without O_NONBLOCK, a named pipe put in the file's place would hold this thread forever.
        opened = os.open(version.folder / file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _changed(version, file) from error
    try:
        _check(opened, version, file)
        chunk = os.pread(opened, CHUNK_BYTES, offset_bytes)
        _check(opened, version, file)
    finally:
        os.close(opened)
    if not chunk:
        raise _changed(version, file)
    return chunk


def _check(opened: int, version: ModelVersion, file: File) -> None:
    if survey.stamp(os.fstat(opened)) != file.stamp:
        raise _changed(version, file)


def _changed(version: ModelVersion, file: File) -> errors.Aborted:
    message = (
        f"file {file.path!r} of model {version.model!r} version {version.version!r} has changed"
        " since it was published; get the model again, then download again"
    )
    return errors.Aborted(message, model=version.model, version=version.version, path=file.path)
