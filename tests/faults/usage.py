"""What the processes of a mesh use, by part: threads, memory, and each kind of descriptor."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from whole_mesh import WholeMesh

ESTABLISHED, LISTEN = "01", "0A"
"""States of connections in /proc/net/tcp: include/net/tcp_states.h of Linux."""


class Socket(NamedTuple):
    """A TCP socket of this machine."""

    family: str
    """tcp or tcp6, which is also what gRPC has for addresses of IPv4."""
    local: str
    remote: str
    """Ports, in hex."""
    state: str


class Usage(NamedTuple):
    """What the processes of a part have, together."""

    processes: int
    threads: int
    memory_kb: int
    kinds: Counter[str]
    """Descriptors by kind. Without connections that others opened, as they count for those: a slow
    machine has more requests of the test's clients under way at once, and one that is killed
    connects again when it can."""

    @property
    def descriptors(self) -> int:
        return self.kinds.total()

    @property
    def peers(self) -> set[str]:
        """Those that the part has connections with."""
        return {kind for kind in self.kinds if kind.startswith(CONNECTED)}


CONNECTED = "connected to "


def usage(mesh: WholeMesh) -> dict[str, Usage]:
    """Of each part."""
    parts: dict[str, list[Path]] = {}
    for pid, name in mesh.processes().items():
        parts.setdefault("up" if pid == mesh.pid else name, []).append(Path(f"/proc/{pid}"))
    links = {folder: _links(folder) for folders in parts.values() for folder in folders}
    # After the descriptors: a connection that is accepted in between is not there yet, or is known.
    sockets = dict(_sockets())
    owners = {
        socket.local: part
        for part, folders in parts.items()
        for folder in folders
        for link in links[folder]
        if (socket := sockets.get(link)) and socket.state == LISTEN
    }
    return {
        part: _usage(folders, Counter(_kinds([links[f] for f in folders], sockets, owners)))
        for part, folders in parts.items()
    }


def _usage(folders: Sequence[Path], kinds: Counter[str]) -> Usage:
    status = [dict(_fields(folder / "status")) for folder in folders]
    threads = sum(int(each["Threads"]) for each in status)
    memory_kb = sum(int(each["VmRSS"].split()[0]) for each in status)
    return Usage(len(folders), threads, memory_kb, kinds)


def _kinds(
    links: Sequence[Sequence[str]], sockets: Mapping[str, Socket], owners: Mapping[str, str]
) -> Iterator[str]:
    for link in (link for each in links for link in each):
        if socket := sockets.get(link):
            is_accepted = socket.state == ESTABLISHED and socket.local in owners
            if not is_accepted:
                yield _socket_kind(socket, owners)
        else:
            yield link.partition(":[")[0]


def _socket_kind(socket: Socket, owners: Mapping[str, str]) -> str:
    if socket.state == ESTABLISHED:
        return CONNECTED + owners.get(socket.remote, "others")
    side = "at" if socket.local in owners else "to"
    return f"{socket.family} in state {socket.state} {side} {owners.get(socket.remote, 'others')}"


def _links(folder: Path) -> list[str]:
    """What each descriptor of a process is."""
    links = []
    with contextlib.suppress(FileNotFoundError):  # the process has ended
        for link in (folder / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                links.append(os.readlink(link))
    return links


def _sockets() -> Iterator[tuple[str, Socket]]:
    for family in ("tcp", "tcp6"):
        lines = Path(f"/proc/net/{family}").read_text().splitlines()[1:]
        for _, local, remote, state, *words in map(str.split, lines):
            ports = local.rpartition(":")[2], remote.rpartition(":")[2]
            yield f"socket:[{words[5]}]", Socket(family, *ports, state)


def _fields(file: Path) -> list[tuple[str, str]]:
    lines = (line.partition(":") for line in file.read_text().splitlines())
    return [(name, text.strip()) for name, _, text in lines]
