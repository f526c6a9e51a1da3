"""A file's bytes, in chunks, only as long as the file is the one that was published."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import PurePosixPath

from hydro_runtimes import model_formats
from hydro_runtimes.errors import ModelError
from hydro_services import errors
from hydro_services.repository.catalogue import ModelVersion, PublishedFile
from hydro_services.repository.source import FileChanged, ModelSource

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
    format = model_formats.by_suffix(path.lower())
    known = {**format.suffixes, **_TYPES} if format else _TYPES
    return known.get(name.suffix.lower(), "application/octet-stream")


async def read_file(
    source: ModelSource, version: ModelVersion, path: str, offset_bytes: int = 0
) -> AsyncIterator[bytes]:
    """The content of a published file from an offset, in pieces of at most `CHUNK_BYTES`.

    What has another stamp than what was published is never sent, see `ModelSource.open_file`.

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
        chunk = await asyncio.to_thread(_read_piece, source, version, file, offset_bytes)
        yield chunk
        offset_bytes += len(chunk)


def _read_piece(
    source: ModelSource, version: ModelVersion, file: PublishedFile, offset_bytes: int
) -> bytes:
    """One piece; opened and closed each time, so that no file stays open after a cancelled call."""
    try:
        stream = source.open_file(version.key, file.path, file.stamp)
    except (FileChanged, ModelError, OSError) as error:
        raise _changed_error(version, file) from error
    with stream:
        try:
            stream.seek(offset_bytes)
            piece = stream.read(CHUNK_BYTES)
        except FileChanged as error:
            raise _changed_error(version, file) from error
    if not piece:
        raise _changed_error(version, file)
    return piece


def _changed_error(version: ModelVersion, file: PublishedFile) -> errors.Aborted:
    message = (
        f"file {file.path!r} of model {version.model!r} version {version.version!r} has changed"
        " since it was published; get the model again, then download again"
    )
    return errors.Aborted(message, model=version.model, version=version.version, path=file.path)
