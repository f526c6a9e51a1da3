"""What a part leaves behind ends with it, however it ends; and the guard ends as the part did."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENCE_S

PROGRAM = """
import multiprocessing, os, signal, subprocess, sys, time
from hydro_services import linux, logs
from hydro_services.guard import run_in_child

def daemon():
    "Forked twice, in a session of its own, with no parent."
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    os.wait()

logs.set_up_logging("WARNING", "part")
def ended(pid, status): logs.logging.getLogger("test").warning("ended %d", status)
with run_in_child(ended, dies_with_parent={tied}):
    subprocess.Popen(["sleep", "600"])
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,)).start()
    daemon()
    open(sys.argv[1], "w").write(str(os.getpid()))
    {end}
"""
TIED = """
import os, subprocess, sys
from hydro_services import linux
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
child.wait()
"""


class Mesh:
    """A guard with a part and its descendants, known by a mark in their environment."""

    def __init__(self, folder: Path, end: str, *, tied: bool = False) -> None:
        self.mark = f"HYDRO_TEST_MARK={uuid.uuid4().hex}"
        self.log = folder / "log"
        self.ready = folder / "pid"
        program = PROGRAM.replace("{end}", end).replace("{tied}", str(tied))
        words = ["-c", TIED, program] if tied else ["-c", program]
        name, _, value = self.mark.partition("=")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *words, str(self.ready)],
                stdout=log,
                stderr=log,
                env={**os.environ, name: value},
                start_new_session=True,
            )

    def pids(self) -> set[int]:
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.add(int(folder.name))
        return found

    def part(self) -> int:
        until(lambda: self.ready.exists() and self.ready.read_text(), self)
        return int(self.ready.read_text())


def until(true: Callable[[], object], mesh: Mesh) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, mesh.log.read_text()
        time.sleep(0.01)


@pytest.fixture
def mesh(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Mesh]:
    found = Mesh(tmp_path, *request.param[:1], tied=len(request.param) > 1)
    try:
        yield found
    finally:
        for pid in found.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        found.process.wait()


@pytest.mark.parametrize(
    ("mesh", "code"),
    [
        (("pass",), 0),
        (("sys.exit(3)",), 3),
        (("os._exit(4)",), 4),
        (("os.abort()",), -signal.SIGABRT),
        (("os.kill(os.getpid(), signal.SIGKILL)",), -signal.SIGKILL),
    ],
    indirect=["mesh"],
)
def test_nothing_is_left_and_the_guard_ends_likewise(mesh: Mesh, code: int) -> None:
    assert mesh.process.wait(30) == code
    until(lambda: not mesh.pids(), mesh)
    assert "ended " in mesh.log.read_text()


@pytest.mark.parametrize("mesh", [("time.sleep(600)",)], indirect=True)
def test_a_kill_of_the_part_ends_all(mesh: Mesh) -> None:
    part = mesh.part()
    assert len(mesh.pids()) >= 6
    os.kill(part, signal.SIGKILL)
    assert mesh.process.wait(30) == -signal.SIGKILL
    until(lambda: not mesh.pids(), mesh)


@pytest.mark.parametrize("mesh", [("time.sleep(600)",)], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_stops_the_guard_stops_the_part(mesh: Mesh, number: int) -> None:
    mesh.part()
    mesh.process.send_signal(number)
    assert mesh.process.wait(30) == -signal.SIGTERM
    until(lambda: not mesh.pids(), mesh)


@pytest.mark.parametrize("mesh", [("time.sleep(600)", "tied")], indirect=True)
def test_all_ends_with_what_it_is_tied_to(mesh: Mesh) -> None:
    mesh.part()
    mesh.process.kill()
    until(lambda: not mesh.pids(), mesh)


WORKERS = {
    "pool by fork": "multiprocessing.get_context('fork').Pool(2).map_async(time.sleep, [600] * 4)",
    "pool by spawn": (
        "multiprocessing.get_context('spawn').Pool(2).map_async(time.sleep, [600] * 4)"
    ),
    "pool by forkserver": (
        "multiprocessing.get_context('forkserver').Pool(2).map_async(time.sleep, [600] * 4)"
    ),
    "executor": "concurrent.futures.ProcessPoolExecutor(2).submit(time.sleep, 600)",
    "executor by spawn": (
        "concurrent.futures.ProcessPoolExecutor("
        "2, multiprocessing.get_context('spawn')).submit(time.sleep, 600)"
    ),
    "joblib": (
        "threading.Thread(daemon=True, target=lambda: joblib.Parallel(2)("
        "joblib.delayed(time.sleep)(600) for _ in range(4))).start()"
    ),
    "manager": "kept.append(multiprocessing.Manager())",
    "session": "subprocess.Popen(['sleep', '600'], start_new_session=True)",
    "deaf": "subprocess.Popen(['sh', '-c', \"trap '' TERM INT HUP; sleep 600\"])",
    "daemon": "daemon()",
}
ENDS = {
    "sys.exit(3)": 3,
    "os._exit(4)": 4,
    "os.abort()": -signal.SIGABRT,
    "os.kill(os.getpid(), signal.SIGKILL)": -signal.SIGKILL,
    "os.kill(os.getppid(), signal.SIGTERM); time.sleep(600)": -signal.SIGTERM,
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(WORKERS)), min_size=1, max_size=3, unique=True),
    st.sampled_from(sorted(ENDS)),
)
def test_workers_of_every_make_end_with_their_process(makers: list[str], end: str) -> None:
    made = [WORKERS[name] for name in makers]
    ready = "time.sleep(0.2)"  # some workers are on their way only
    imports = "import concurrent.futures, joblib, threading; kept = []"
    with tempfile.TemporaryDirectory() as folder:
        found = Mesh(Path(folder), "\n    ".join([imports, *made, ready, end]))
        try:
            assert found.process.wait(PATIENCE_S) == ENDS[end], found.log.read_text()
            until(lambda: not found.pids(), found)
        finally:
            for pid in found.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


FORKED = """
import asyncio, multiprocessing, os, signal, sys, threading, time
from hydro_services import guard

def pool():
    with multiprocessing.get_context("fork").Pool(2) as workers:
        assert workers.map(len, ["a", "bb"]) == [1, 2]

def ended_by(number):
    child = os.fork()
    if child == 0:
        time.sleep(600)
    os.kill(child, number)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -number, "it did not end of it"

async def main():
    loop, told = asyncio.get_running_loop(), []
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.append, number)
    for _ in range(3):
        await asyncio.to_thread(pool)
    for number in (signal.SIGTERM, signal.SIGINT):
        await asyncio.to_thread(ended_by, number)
    await asyncio.sleep(0)
    assert not told, "a signal to a child came to the parent"
    os.kill(os.getpid(), signal.SIGTERM)
    while not told:
        await asyncio.sleep(0.001)

asyncio.run(main())
"""


def test_signals_to_what_a_part_forks_are_not_for_the_part() -> None:
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=60)
