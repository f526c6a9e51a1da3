"""The whole mesh for tests: `hydro up` as a user starts it, and what is needed to disturb it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ports import HOST as HOST
from ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
"""Below those that the kernel gives away, so that no part takes one in passing."""
START_S = 90.0
STOP_S = 40.0
GONE_S = 3.0
FOLDER = "HYDRO_TEST_FOLDER"
"""Tells models that are made for tests where the mesh has its state."""
_MARK = "HYDRO_TEST_MESH"


class WholeMesh:
    """`hydro up` in a process of its own, with all state in one folder."""

    def __init__(
        self,
        folder: Path,
        models: Path,
        words: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.models = models
        self.trusted = folder / "trusted.txt"
        self._words = words
        self._variables = variables or {}
        self._mark = uuid.uuid4().hex
        self._process: subprocess.Popen[bytes] | None = None
        self.urls: dict[str, str] = {}

    def start(self) -> None:
        """Starts it and waits until it says that it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.trusted.touch()
        ports = zip(("gateway", "manager", "repository", "xds"), free_ports(4), strict=True)
        options = [word for name, port in ports for word in (f"--{name}-port", str(port))]
        options += ["--models", str(self.models), "--trusted", str(self.trusted)]
        options += ["--data", str(self.folder / "data"), "--json", *self._words]
        marks = {_MARK: self._mark, FOLDER: str(self.folder)}
        with (self.folder / "out").open("w") as out, (self.folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hydro_services.cli.main", "up", *options],
                stdout=out,
                stderr=log,
                env={**environment(), **marks, **self._variables},
            )
        try:
            wait_until(lambda: self._told() or not self.runs, START_S, "hydro up is ready")
            assert self.runs, f"hydro up ended:\n{self.log}"
        except BaseException:
            self.kill()
            raise
        self.urls = json.loads(self._told())

    def stop(self) -> None:
        """Ctrl-C, and the proof that nothing is left."""
        self.interrupt()
        self.wait()
        self.wait_until_gone()

    def wait_until_gone(self) -> None:
        """Python's own resource tracker ends a moment after the process that it serves."""
        try:
            wait_until(lambda: not self.processes(), GONE_S, "no process is left")
        except AssertionError:
            raise AssertionError(f"left behind: {self.processes()}\n{self.log}") from None

    def interrupt(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """kill -9 of `hydro up` itself."""
        assert self._process is not None
        self._process.kill()

    def wait(self) -> int:
        """The exit code, once it has ended."""
        assert self._process is not None
        return self._process.wait(STOP_S)

    def trust(self, *folders: Path) -> None:
        """Lets the models run their code."""
        for folder in folders:
            words = ["models", "trust", str(folder), "--file", str(self.trusted)]
            command = [sys.executable, "-m", "hydro_services.cli.main", *words]
            subprocess.run(command, env=environment(), check=True, capture_output=True)

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of `hydro up`."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def _told(self) -> str:
        return (self.folder / "out").read_text()

    def address(self, part: str) -> str:
        """host:port of the gateway, the manager or the repository."""
        return self.urls[part].removeprefix("http://")

    def processes(self) -> dict[int, str]:
        """The name of every process of this mesh by its id, however it was started."""
        wanted = f"{_MARK}={self._mark}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "comm").read_text().strip()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return found

    def pids(self, part: str) -> list[int]:
        """The processes of a part, which Linux knows by the first 15 letters of its name."""
        return sorted(pid for pid, name in self.processes().items() if name == part[:15])

    def envoy(self, name: str) -> int:
        """The Envoy whose folder has this name."""
        wanted = f"/{name}/bootstrap.json".encode()
        found = (p for p in self.pids("envoy") if wanted in Path(f"/proc/{p}/cmdline").read_bytes())
        return next(found)

    def kill_part(self, part: str) -> int:
        """kill -9 of one process of a part; its id."""
        pid = self.pids(part)[0]
        self.kill_process(pid)
        return pid

    def kill_process(self, pid: int) -> None:
        """kill -9 of one process of this mesh."""
        assert pid in self.processes()
        os.kill(pid, signal.SIGKILL)


def environment() -> dict[str, str]:
    """Ours, with the project's packages and the programs of the environment it runs in."""
    roots = [str(ROOT / name) for name in ("protos", "services", "runtimes", "envoy")]
    programs = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HYDRO_")}
    return kept | {"PYTHONPATH": os.pathsep.join(roots), "PATH": os.pathsep.join(programs)}


def wait_until(condition: Callable[[], Any], limit_s: float, what: str) -> None:
    """Waits for a condition that no event tells of."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"not within {limit_s:g} s: {what}"
        time.sleep(0.02)


async def until(condition: Callable[[], Any], limit_s: float, what: str) -> None:
    """As `wait_until`, while other tasks go on."""
    end = asyncio.get_running_loop().time() + limit_s
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"not within {limit_s:g} s: {what}"
        await asyncio.sleep(0.02)


async def until_true(condition: Callable[[], Awaitable[Any]], limit_s: float, what: str) -> None:
    """As `until`, of what has to be asked for."""
    end = asyncio.get_running_loop().time() + limit_s
    while not await condition():
        assert asyncio.get_running_loop().time() < end, f"not within {limit_s:g} s: {what}"
        await asyncio.sleep(0.02)
