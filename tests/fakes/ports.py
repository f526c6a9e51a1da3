"""Ports of this test process: no other takes them before they are bound, or between two lives.

Two runs of tests on one machine share a lock a port, which ends with the process that holds it.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

HOST = "127.0.0.1"
PORTS = range(20_000, 30_000)
"""Below those that the kernel gives away, so that no connection has one by chance."""
_FOLDER = Path(tempfile.gettempdir()) / f"hydro-test-ports-{os.getuid()}"
_locks: list[int] = []
"""Open files, whose locks last as long as they do."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, neither for TCP nor for UDP, in no order; each is given once."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            return found
        if _is_ours(port):
            found.append(port)
    raise AssertionError(f"no {count} free ports in {PORTS}")


def free_port() -> int:
    return free_ports(1)[0]


def _is_ours(port: int) -> bool:
    _FOLDER.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(_FOLDER / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    _locks.append(lock)  # also of one that is taken: it is not asked for again
    return all(_is_free(port, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(type=kind) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
