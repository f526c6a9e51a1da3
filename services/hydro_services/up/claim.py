"""What `hydro up` takes for itself before it starts anything: its data folder and its ports."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from hydro_services import private
from hydro_services.address import Address
from hydro_services.errors import Unavailable

BELOW_EPHEMERAL = range(10_000, 20_000)
"""Ports that no system gives to connections or to who asks for any port."""
CONTENTS = ("lock", "cache", "gateway", "manager", "repository", "sidecar-*")
"""What `hydro up` makes in its data folder."""


@contextlib.contextmanager
def folder(path: Path) -> Iterator[None]:
    """Makes the folder, with all state, ours until the context ends; no other user reads it.

    Raises:
        Unavailable: another process has it.
        FailedPrecondition: it is another user's; see `private.folder`.
    """
    private.folder(path, CONTENTS)
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


def ports(host: str, wanted: Mapping[str, int]) -> dict[str, int]:
    """The ports by their names once all are seen to be free; 0 becomes a free one.

    Args:
        host: an IP address.
        wanted: by name.

    Raises:
        Unavailable: one is taken, or the host is not of this machine.
    """
    with contextlib.ExitStack() as held:
        return {name: _hold(held, host, name, port) for name, port in wanted.items()}


def _hold(held: contextlib.ExitStack, host: str, name: str, port: int) -> int:
    """The port, or a free one that the system gives to nobody else until it is bound again."""
    if port:
        held.enter_context(_bound(host, name, port))
        return port
    for free in random.sample(BELOW_EPHEMERAL, 100):
        with contextlib.suppress(Unavailable):
            held.enter_context(_bound(host, name, free))
            return free
    raise Unavailable(f"no free port on {host}; give one with --{name}-port")


@contextlib.contextmanager
def _bound(host: str, name: str, port: int) -> Iterator[None]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            way_out = f"stop what listens there, or give another port with --{name}-port"
            reason = (error.strerror or str(error)).lower()
            raise Unavailable(
                f"cannot listen on {Address(host, port)}: {reason}; {way_out}"
            ) from None
        yield
