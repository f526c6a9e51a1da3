"""Real child processes, tiny ones: `Config` and `run` below are what they run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hydro_services.up.signals import SAME_S

HYDRO_UP_OF_ONE = """
import asyncio, contextlib, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from hydro_services import logs
from hydro_services.up import mesh, process
from hydro_services.up.supervisor import Part, supervise
import functools

def unwatched(name, process):
    return contextlib.nullcontext()

def part(name, fork):
    config = dict(folder=Path({folder!r}), name=name)
    program = process.Program(name, "tinypart", config, fork)
    return Part(name, functools.partial(process.serve_program, program, unwatched))

async def main():
    with mesh.stop_signals() as stop:
        async with supervise([[part("forked", True)], [part("spawned", False)]]):
            await stop.wait()

if __name__ == "__main__":
    logs.set_up_logging("INFO", "up")
    process.preload_modules(["json"])
    asyncio.run(main())
"""

TINY_PART = """
import asyncio, os
from dataclasses import dataclass
from pathlib import Path

@dataclass(frozen=True)
class Config:
    folder: Path
    name: str

async def run(config):
    (config.folder / f"{config.name}.{os.getpid()}").touch()
    try:
        await asyncio.Event().wait()
    finally:
        with (config.folder / "drained").open("a") as file:
            file.write(config.name + " ")
"""


class Mesh:
    """A process that supervises a forked and a spawned part, each of which leaves a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tinypart.py").write_text(TINY_PART)
        script = folder / "tinyup.py"
        script.write_text(HYDRO_UP_OF_ONE.format(here=str(folder), folder=str(folder)))
        path = os.pathsep.join([str(folder), *filter(None, sys.path)])
        self.process = subprocess.Popen(
            [sys.executable, str(script)],
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )

    def pids(self, name: str) -> list[int]:
        """Of all lives of a part, first to last."""
        files = sorted(self.folder.glob(f"{name}.*"), key=lambda file: file.stat().st_mtime_ns)
        return [int(file.suffix[1:]) for file in files]

    def processes(self) -> set[int]:
        """All that descend from the mesh's process, itself included."""
        found = {self.process.pid}
        for _ in range(4):
            found |= {pid for pid, parent in _parents().items() if parent in found}
        return found


def _parents() -> dict[int, int]:
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                found[int(stat.parent.name)] = int(fields[1])
    return found


def until(holds: Callable[[], bool], limit_s: float = 30.0) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)


@pytest.fixture
def mesh(tmp_path: Path):  # type: ignore[no-untyped-def]
    mesh = Mesh(tmp_path)
    until(lambda: bool(mesh.pids("forked") and mesh.pids("spawned")))
    yield mesh
    mesh.process.kill()
    mesh.process.wait()


@pytest.mark.parametrize("name", ["forked", "spawned"])
def test_a_killed_part_is_started_again(mesh: Mesh, name: str) -> None:
    os.kill(mesh.pids(name)[0], signal.SIGKILL)
    until(lambda: len(mesh.pids(name)) == 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_sent_to_all_reaches_parts_only_in_their_turn(
    mesh: Mesh, number: signal.Signals
) -> None:
    mesh.process.send_signal(number)  # as `timeout` does, before it signals the group
    os.killpg(mesh.process.pid, number)
    assert mesh.process.wait(30) == 0
    assert (mesh.folder / "drained").read_text() == "forked spawned "
    assert len(mesh.pids("forked")) == len(mesh.pids("spawned")) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_the_parts_in_order_and_leaves_no_process(
    mesh: Mesh, number: signal.Signals
) -> None:
    before = mesh.processes()
    mesh.process.send_signal(number)
    assert mesh.process.wait(30) == 0
    assert (mesh.folder / "drained").read_text() == "forked spawned "
    until(lambda: not before & _parents().keys())


def test_a_second_signal_ends_all_at_once(mesh: Mesh) -> None:
    before = mesh.processes()
    for pid in (*mesh.pids("forked"), *mesh.pids("spawned")):
        os.kill(pid, signal.SIGSTOP)  # it does not drain
    mesh.process.send_signal(signal.SIGTERM)
    time.sleep(2 * SAME_S)
    os.killpg(mesh.process.pid, signal.SIGTERM)
    assert mesh.process.wait(5) == 130
    until(lambda: not before & _parents().keys())


def test_kill_9_leaves_no_process(mesh: Mesh) -> None:
    before = mesh.processes()
    assert {*mesh.pids("forked"), *mesh.pids("spawned")} < before
    mesh.process.kill()
    mesh.process.wait()
    until(lambda: not before & _parents().keys())
