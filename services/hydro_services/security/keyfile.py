"""The file of API keys: read whole, replaced whole, and watched."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from hydro_services.errors import InvalidArgument, NotFound
from hydro_services.security import keys
from hydro_services.security.keys import Key
from hydro_services.security.private_files import warn_if_readable, write_private

logger = logging.getLogger(__name__)

POLL_S = 0.25
"""Between two looks at the file: polling works on all file systems, and for links."""

_Stamp: TypeAlias = tuple[int, int, int]


def read_keys(path: Path) -> tuple[Key, ...]:
    """All keys.

    Raises:
        NotFound: there is no such file.
        InvalidArgument: it cannot be read, or is not a file of keys.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        way_out = f"make it with `hydro keys create NAME --keys {path}`"
        raise NotFound(f"no file of API keys {path}; {way_out}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"cannot read the API keys in {path}: {error}") from error
    return keys.load_keys(text, str(path))


def change_keys(path: Path, to: Callable[[tuple[Key, ...]], tuple[Key, ...]]) -> tuple[Key, ...]:
    """Replaces the keys; a reader sees either all of the old or all of the new.

    Only its owner may read the file. Concurrent changes are made one after the other.

    Raises:
        As `read_keys`, but a file that is not there yet has no keys; and what `to` raises.
    """
    path = path.resolve()  # what a link leads to is replaced, not the link
    with _file_lock(path.parent):
        try:
            before = read_keys(path)
        except NotFound:
            before = ()
        after = to(before)
        if after != before:
            write_private(path, keys.dump_keys(after).encode())
    return after


@contextlib.contextmanager
def _file_lock(folder: Path) -> Iterator[None]:
    """A lock of the folder itself, which leaves no file behind."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        os.fsync(handle)
    finally:
        os.close(handle)


async def watch_keys(path: Path) -> AsyncGenerator[tuple[Key, ...]]:
    """The keys, and then again whenever the file has others.

    A file that is removed or broken after the first read changes nothing: the last keys stay.

    Raises:
        As `read_keys`, before the first.
    """
    # The stamp first: a change between the two is seen as one at the next look.
    stamp, keys_now = _stamp(path), read_keys(path)
    warn_if_readable(path)
    yield keys_now
    while True:
        await asyncio.sleep(POLL_S)
        if (now := _stamp(path)) == stamp:
            continue
        stamp = now
        try:
            keys_read = read_keys(path)
        except (NotFound, InvalidArgument) as error:
            logger.error("API keys stay as they were", extra={"error": error.message})
            continue
        if keys_read != keys_now:
            keys_now = keys_read
            yield keys_now


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
