"""The data folder of `hydro up`, which it locks before it starts anything."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from hydro_services.errors import Unavailable
from hydro_services.security import private_files
from hydro_services.up import home

CONTENTS = (
    "lock",
    "cache",
    "gateway",
    "manager",
    "repository",
    "sidecar-*",
    home.MESH_FILE,
    home.TRUSTED_FILE,
)
"""What `hydro up` makes in its data folder."""


@contextlib.contextmanager
def lock_data_folder(path: Path) -> Iterator[None]:
    """Makes the folder, with all state, ours until the context ends; no other user reads it.

    Raises:
        Unavailable: another process has it.
        FailedPrecondition: it is another user's; see `private_files.make_private_folder`.
    """
    private_files.make_private_folder(path, CONTENTS)
    with (path / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            way_out = "stop that one, or give another folder with --data"
            message = f"{path} is in use by the `hydro up` with process id {holder}; {way_out}"
            raise Unavailable(message, pid=holder) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
