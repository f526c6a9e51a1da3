"""Folders and files that only their owner may use.

What a mesh keeps has secrets in it: keys of pipelines, the authority's key, what clients send.
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

FOLDER = 0o700
_OTHERS = 0o077
_WAY_OUT = "name another folder by --data or --cache"


@contextlib.contextmanager
def new_files() -> Iterator[None]:
    """What this process and its children make in the context is for their user alone."""
    before = os.umask(_OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def folder(path: Path, contents: Sequence[str] = ()) -> None:
    """Makes a folder that only its owner may enter (0700), or makes one that is there so.

    Args:
        path: parents are made if need be; a link is followed.
        contents: patterns of names in it; those, and all below them, are made private too.

    Raises:
        FailedPrecondition: the folder, or one of its contents, belongs to another user; or it is
            one that all users share, such as /tmp.
    """
    path.mkdir(mode=FOLDER, parents=True, exist_ok=True)
    _check_owner(path, os.lstat(path), may_be_roots=os.path.islink(path))
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        _check_owner(path, found)
        if found.st_mode & stat.S_ISVTX:
            raise FailedPrecondition(f"{path} is a folder that all users share; {_WAY_OUT}")
        if stat.S_IMODE(found.st_mode) & _OTHERS:
            os.fchmod(handle, FOLDER)
    finally:
        os.close(handle)
    # From here on nobody else gets in, so that nothing below is replaced while it is looked at.
    for pattern in contents:
        for each in path.glob(pattern):
            _tighten(each)


def _tighten(path: Path) -> None:
    for each in (path, *_below(path)):
        try:
            found = os.lstat(each)
        except FileNotFoundError:  # a file of a process that is just ending
            continue
        _check_owner(each, found, may_be_roots=True)
        is_ours = found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode)
        if is_ours and (mode := stat.S_IMODE(found.st_mode)) & _OTHERS:
            os.chmod(each, mode & ~_OTHERS)


def _below(path: Path) -> Iterator[Path]:
    if path.is_symlink() or not path.is_dir():
        return
    for parent, folders, files in os.walk(path, followlinks=False):
        yield from (Path(parent, name) for name in (*folders, *files))


def _check_owner(path: Path, found: os.stat_result, *, may_be_roots: bool = False) -> None:
    """Refuses what another user has; what root has put there counts as ours."""
    me = os.geteuid()
    if found.st_uid != me and not (may_be_roots and found.st_uid == 0):
        whose = f"{path} belongs to the user with id {found.st_uid}, this process to {me}"
        raise FailedPrecondition(f"{whose}; {_WAY_OUT}")


def warn_if_readable(path: Path) -> None:
    """Logs that every user of this machine can read a file with a secret, where that is so."""
    if os.stat(path).st_mode & stat.S_IROTH:
        logger.warning("every user of this machine can read %s; run chmod 600 on it", path)


def write_private(path: Path, content: bytes) -> None:
    """Replaces a file at once by one on disk, which only its owner may read (0600)."""
    path.parent.mkdir(mode=FOLDER, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
