"""Machines for tests: network namespaces on a bridge, each with an address and a cable to pull.

Needs root and iproute2; nothing outside these namespaces changes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from patience import PATIENCE_S
from whole_mesh import environment, wait_until

_CLONE_NEWNET = 0x40000000
STOP_S = 20.0


def need_namespaces() -> None:
    """Skips where there can be none."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("needs root and iproute2, for network namespaces")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


@dataclass
class Host:
    """A machine: what runs there, and what it wrote."""

    name: str
    namespace: str
    address: str
    folder: Path
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def within(self) -> Sequence[str]:
        """The words before a command that runs there."""
        return ("ip", "netns", "exec", self.namespace)

    def start(self, part: str, *words: str, more: Mapping[str, str]) -> None:
        """Starts `hydro WORDS` there, with more in its environment."""
        folder = self.folder / part
        folder.mkdir(parents=True, exist_ok=True)
        command = [*self.within, sys.executable, "-m", "hydro_services.cli.main", *words]
        with (folder / "log").open("a") as log:
            self._running[part] = subprocess.Popen(
                command, cwd=folder, env={**environment(), **more}, stdout=log, stderr=log
            )

    def stop(self) -> None:
        """Ends all of it."""
        for process in self._running.values():
            process.send_signal(signal.SIGINT)
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            process.kill()
            process.wait()

    def kill(self, *parts: str) -> None:
        """kill -9 of processes there, all at once."""
        processes = [self._running.pop(part) for part in parts]
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()

    def log(self, part: str) -> str:
        return (self.folder / part / "log").read_text()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """What this thread connects to in the block, it connects to from there."""
        with open("/proc/thread-self/ns/net") as before:
            _enter(Path("/run/netns") / self.namespace)
            try:
                yield
            finally:
                _set(before.fileno())


def _enter(namespace: Path) -> None:
    with namespace.open() as file:
        _set(file.fileno())


def _set(descriptor: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    """Hosts on one bridge, which lies in a namespace of its own."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        mark = f"hydro-{uuid.uuid4().hex[:6]}"
        self._switch = f"{mark}-switch"
        self.hosts = [
            Host(name, f"{mark}-{name}", f"10.213.0.{number}", folder / name)
            for number, name in enumerate(names, 1)
        ]

    def __enter__(self) -> Network:
        try:
            _ip("netns", "add", self._switch)
            _ip("-n", self._switch, "link", "add", "name", "bridge", "type", "bridge")
            _ip("-n", self._switch, "link", "set", "bridge", "up")
            for host in self.hosts:
                self._connect(host)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _connect(self, host: Host) -> None:
        there, here = host.namespace, self._switch
        _ip("netns", "add", there)
        veth = ("type", "veth", "peer", "name", "eth0", "netns", there)
        _ip("-n", here, "link", "add", "name", f"to-{host.name}", *veth)
        _ip("-n", here, "link", "set", f"to-{host.name}", "master", "bridge")
        _ip("-n", there, "address", "add", f"{host.address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            _ip("-n", there, "link", "set", link, "up")
        self.heal(host)

    def __exit__(self, *_: object) -> None:
        for host in self.hosts:
            host.stop()
        for name in (*(host.namespace for host in self.hosts), self._switch):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    def cut(self, host: Host) -> None:
        """Pulls its cable."""
        _ip("-n", self._switch, "link", "set", f"to-{host.name}", "down")

    def heal(self, host: Host) -> None:
        """Plugs it in again."""
        _ip("-n", self._switch, "link", "set", f"to-{host.name}", "up")


class Capture:
    """All that passes a network interface of the namespace that this thread is in."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
        self._socket.bind((interface, 0))
        self._socket.settimeout(0.2)
        self._ended = threading.Event()
        self._frames: list[bytes] = []
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Capture:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                self._frames.append(self._socket.recv(1 << 16))

    @property
    def content(self) -> bytes:
        """The frames, one after the other."""
        return b"".join(self._frames)

    def between(self, port: int) -> int:
        """How many TCP segments over IPv4 came from the port or went to it."""
        mark = port.to_bytes(2, "big")
        tcp = [frame[34:38] for frame in self._frames if frame[12:14] == b"\x08\x00"]
        return sum(mark in (ports[:2], ports[2:]) for ports in tcp)

    def wait_for(self, port: int, segments: int) -> None:
        """Until so much has passed."""
        wait_until(
            lambda: self.between(port) >= segments, PATIENCE_S, f"{segments} segments at {port}"
        )
