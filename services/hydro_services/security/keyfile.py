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
"""How often it is looked at: this works on all file systems, and for files that are links."""

_Mark: TypeAlias = tuple[int, int, int]


def read(path: Path) -> tuple[Key, ...]:
    """All keys.

    Raises:
        NotFound: there is no such file.
        InvalidArgument: it cannot be read, or is no file of keys.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        way_out = f"make it with `hydro keys create NAME --keys {path}`"
        raise NotFound(f"no file of API keys {path}; {way_out}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"cannot read the API keys in {path}: {error}") from error
    return keys.load(text, str(path))


def change(path: Path, to: Callable[[tuple[Key, ...]], tuple[Key, ...]]) -> tuple[Key, ...]:
    """Replaces the keys by others; who reads meanwhile sees all of the old or all of the new.

    Only its owner may read the file. Changes at the same time follow one another.

    Raises:
        As `read`, but a file that is not there yet has no keys; and what `to` raises.
    """
    path = path.resolve()  # what a link leads to is replaced, not the link
    with _locked(path.parent):
        try:
            before = read(path)
        except NotFound:
            before = ()
        after = to(before)
        if after != before:
            write_private(path, keys.dump(after).encode())
    return after


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The lock is the folder's own: it leaves no file behind."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        os.fsync(handle)
    finally:
        os.close(handle)


async def changes(path: Path) -> AsyncGenerator[tuple[Key, ...]]:
    """The keys, and then again whenever the file has others.

    Once read, a file that is gone or broken takes nothing away: the last keys stay.

    Raises:
        As `read`, before the first.
    """
    mark, present = _mark(path), read(path)
    warn_if_readable(path)
    yield present
    while True:
        await asyncio.sleep(POLL_S)
        if (now := _mark(path)) == mark:
            continue
        mark = now
        try:
            found = read(path)
        except (NotFound, InvalidArgument) as error:
            logger.error("API keys stay as they were", extra={"error": error.message})
            continue
        if found != present:
            present = found
            yield present


def _mark(path: Path) -> _Mark | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
