"""Folders and files that only their owner may use.

What a mesh stores has secrets in it: keys of pipelines, the authority's key, what clients send.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydro_services.errors import FailedPrecondition

logger = logging.getLogger(__name__)

FOLDER_MODE = 0o700
_OTHERS = 0o077
_WAY_OUT = "name another folder by --data or --cache"


@contextlib.contextmanager
def private_umask() -> Iterator[None]:
    """Files that this process and its children make in the context are for their user alone."""
    before = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def make_private_folder(path: Path, contents: Sequence[str] = ()) -> None:
    """Makes a folder that only its owner may enter (0700), or changes one that exists to that.

    Args:
        path: parents are made if need be; a link is followed.
        contents: patterns of names in it; these, and all below them, are made private too.

    Raises:
        FailedPrecondition: the folder, or one of its contents, belongs to another user; or it is
            one that all users share, such as /tmp.
    """
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    # Of the link itself first: who owns it could lead it elsewhere between this and the next line.
    _check_owner(path, os.lstat(path), may_be_roots=os.path.islink(path))
    # By the open folder from here on: a name could lead elsewhere from one call to the next.
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        _check_owner(path, status)
        # The sticky bit is what marks a folder for everybody, such as /tmp.
        if status.st_mode & stat.S_ISVTX:
            raise FailedPrecondition(f"{path} is a folder that all users share; {_WAY_OUT}")
        if stat.S_IMODE(status.st_mode) & _OTHERS:
            os.fchmod(handle, FOLDER_MODE)
    finally:
        os.close(handle)
    # From here on nobody else gets in, so that nothing below is replaced while it is looked at.
    for pattern in contents:
        for entry in path.glob(pattern):
            _make_private(entry)


def _make_private(path: Path) -> None:
    for entry in (path, *_below(path)):
        try:
            status = os.lstat(entry)
        except FileNotFoundError:  # a file of a process that is just ending
            continue
        _check_owner(entry, status, may_be_roots=True)
        is_ours = status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode)
        if is_ours and (mode := stat.S_IMODE(status.st_mode)) & _OTHERS:
            os.chmod(entry, mode & ~_OTHERS)


def _below(path: Path) -> Iterator[Path]:
    if path.is_symlink() or not path.is_dir():
        return
    for parent, folders, files in os.walk(path, followlinks=False):
        yield from (Path(parent, name) for name in (*folders, *files))


def _check_owner(path: Path, status: os.stat_result, *, may_be_roots: bool = False) -> None:
    """Refuses what belongs to another user, other than root."""
    me = os.geteuid()
    if status.st_uid != me and not (may_be_roots and status.st_uid == 0):
        whose = f"{path} belongs to the user with id {status.st_uid}, this process to {me}"
        raise FailedPrecondition(f"{whose}; {_WAY_OUT}")


def warn_if_readable(path: Path) -> None:
    """Logs a warning where every user of this machine can read a file with a secret."""
    if os.stat(path).st_mode & stat.S_IROTH:
        logger.warning("every user of this machine can read %s; run chmod 600 on it", path)


def write_private(path: Path, content: bytes) -> None:
    """Replaces a file atomically by one that only its owner may read (0600)."""
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # before the rename: a crash leaves the old file or the new
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
