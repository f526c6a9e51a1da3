"""The folders of a cache: held while they are used, evicted while all are more than a size.

Several processes share a cache. Who uses a folder has a shared lock on it, who fills one an
exclusive lock: what nobody has a lock on may go, first what a dead process left half filled, then
what has not been used for longest.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

_DIGEST = re.compile("[0-9a-f]{64}")
_PARTIAL = "partial-"


class Folders:
    """Of one process. For any thread."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        """With what all folders may have together, but for those that are used."""
        self.root = root
        self._max_bytes = max_bytes
        self._held: dict[str, list[int]] = {}
        self._lock = threading.Lock()

    def hold(self, digest: str) -> Path | None:
        """The folder, which stays until it is released as often; None: it is not there."""
        folder = self.root / digest
        try:
            # The lock is on the folder itself, so that it is let go with the process, however that
            # ends.
            locked = _open_locked(folder, fcntl.LOCK_SH)
        except OSError:
            return None
        if not _is_at(folder, locked):  # it was evicted meanwhile
            os.close(locked)
            return None
        self._keep(digest, locked)
        # The time of use, by which the least recently used are evicted.
        os.utime(folder)
        return folder

    def release(self, digest: str) -> None:
        """It was held once, and is no more."""
        with self._lock:
            held = self._held.get(digest, [])
            if held:
                os.close(held.pop())

    @contextlib.contextmanager
    def fill(self, digest: str) -> Iterator[Path]:
        """A new folder to be filled, which is there as that of the digest afterwards, and held.

        Raises:
            OSError: it cannot be put there; there may be one of that digest.
        """
        partial, locked = self._make_partial()
        try:
            yield partial
            # In one step: no process ever sees a folder of that name that is not complete.
            os.rename(partial, self.root / digest)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            os.close(locked)
            raise
        # The change of a lock is not atomic, but what was just made is the last to be evicted.
        fcntl.flock(locked, fcntl.LOCK_SH)
        self._keep(digest, locked)

    def _make_partial(self) -> tuple[Path, int]:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.root))
            with contextlib.suppress(FileNotFoundError):  # another process was quick to evict it
                locked = _open_locked(folder, fcntl.LOCK_EX)
                if _is_at(folder, locked):
                    return folder, locked
                os.close(locked)

    def _keep(self, digest: str, locked: int) -> None:
        with self._lock:
            self._held.setdefault(digest, []).append(locked)

    def evict(self, wanted_bytes: int = 0) -> None:
        """Removes what may go until there is room for `wanted_bytes` more."""
        with contextlib.suppress(OSError):
            entries = list(os.scandir(self.root))
            for entry in entries:
                if entry.name.startswith(_PARTIAL):
                    self._remove(Path(entry.path))
            self._shrink([Path(e.path) for e in entries if _DIGEST.fullmatch(e.name)], wanted_bytes)

    def _shrink(self, folders: list[Path], wanted_bytes: int) -> None:
        sizes = {folder: _folder_bytes(folder) for folder in folders}
        surplus = sum(sizes.values()) + wanted_bytes - self._max_bytes
        # Oldest first, until there is room.
        for folder in sorted(folders, key=_last_used_s):
            if surplus <= 0:
                break
            if self._remove(folder):
                surplus -= sizes[folder]
                extra = {"digest": folder.name, "bytes": sizes[folder]}
                logger.info("model evicted from the cache", extra=extra)

    def _remove(self, folder: Path) -> bool:
        """Whether nobody had it."""
        try:
            locked = _open_locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        try:
            if not _is_at(folder, locked):
                return False
            # Under a name that nobody holds: half of a folder must not look like a whole one.
            gone = self.root / f"{_PARTIAL}{os.getpid()}-{folder.name}"
            os.rename(folder, gone)
            shutil.rmtree(gone, ignore_errors=True)
        except OSError as error:
            logger.warning("not evicted", extra={"path": str(folder), "error": str(error)})
            return False
        finally:
            os.close(locked)
        return True


def _open_locked(folder: Path, how: int) -> int:
    """A descriptor of the folder, with a lock."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, how)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _is_at(folder: Path, fd: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(folder))
    except FileNotFoundError:
        return False


def _folder_bytes(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def _last_used_s(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
