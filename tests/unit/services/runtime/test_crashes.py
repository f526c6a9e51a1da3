"""Which models are out, and which model has ended a process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_services.runtime import evaluation_journal
from hydro_services.runtime.crashes import (
    FIRST_OUT_S,
    KEPT_S,
    LIMIT,
    MAX_OUT_S,
    WITHIN_S,
    Crashes,
    suspended_until,
)
from hydro_services.runtime.evaluation_journal import Death, blamed_model

# How often


def test_three_in_a_minute_are_out_for_a_minute() -> None:
    assert suspended_until([0, 1]) == 0
    assert suspended_until([0, 1, 59]) == 59 + FIRST_OUT_S
    assert suspended_until([0, 30, 60]) == 0


def test_each_time_it_is_out_for_twice_as_long() -> None:
    times, waits = [], []
    now = 0.0
    for _ in range(10):
        times += [now, now + 1, now + 2]
        until = suspended_until(times)
        waits.append(until - now - 2)
        now = until
    assert waits == [min(FIRST_OUT_S * 2**n, MAX_OUT_S) for n in range(10)]


@given(st.lists(st.floats(0, 1000), max_size=12))
def test_it_is_out_if_and_only_if_there_were_three_in_a_minute(times: list[float]) -> None:
    times = sorted(times)
    close = any(b - a < WITHIN_S for a, b in zip(times, times[LIMIT - 1 :], strict=False))
    assert bool(suspended_until(times)) == close


class Clock:
    now = 1e9

    def __call__(self) -> float:
        return self.now


def test_processes_that_share_a_file_know_the_same(tmp_path: Path) -> None:
    clock = Clock()
    first, second = (Crashes(tmp_path / "crashes", clock) for _ in range(2))
    for _ in range(LIMIT):
        clock.now += 1
        first.add("m:1@a", "SIGABRT")
    second.refresh()
    for crashes in (first, second):
        assert "SIGABRT" in str(crashes.suspension("m:1@a"))
        assert crashes.suspension("m:2@b") is None, "another content is another model"
    clock.now += FIRST_OUT_S
    assert first.suspension("m:1@a") is None


def test_a_file_that_was_cut_or_is_gone_is_no_trouble(tmp_path: Path) -> None:
    file = tmp_path / "crashes"
    crashes = Crashes(file)
    file.write_text('{"time_s": 1.0, "model": "m"}\nnonsense\n[1]\n"x"\n')
    crashes.refresh()
    for _ in range(LIMIT):
        crashes.add("m", "SIGABRT")
    assert crashes.suspension("m")
    file.unlink()
    crashes.refresh()
    assert crashes.suspension("m") is None
    Crashes(tmp_path / "no folder" / "crashes").add("m", "SIGABRT")


def test_what_is_old_or_of_the_future_does_not_count(tmp_path: Path) -> None:
    clock = Clock()
    crashes = Crashes(tmp_path / "crashes", clock)
    for _ in range(LIMIT):
        crashes.add("m", "SIGABRT")
    clock.now -= 3600
    crashes.add("n", "SIGABRT")
    assert crashes.suspension("m") is None
    clock.now += KEPT_S
    crashes.trim()
    assert "SIGABRT" in (tmp_path / "crashes").read_text()
    clock.now += 7200
    crashes.trim()
    assert (tmp_path / "crashes").read_text() == ""


# Who it was

FATAL = "Fatal Python error: Aborted\n\nThread 0x0b (most recent call first):\n  …\n\n"
FATAL += "Current thread 0x0a (most recent call first):\n  …\n"


@pytest.mark.parametrize(
    ("evaluated", "fatal", "status", "model"),
    [
        ({"a": 10, "b": 11}, FATAL, 0, "a"),
        ({"b": 11}, FATAL, 0, "b"),
        ({"b": 11, "c": 12}, FATAL, 0, None),
        ({}, FATAL, 0, None),
        ({"a": 10}, "", 3 << 8, "a"),
        ({"a": 10, "b": 11}, "", 3 << 8, None),
        ({"a": 10}, "", 9, None),
        ({"a": 10}, "", 0, None),
        ({"a": 10}, "Fatal Python error: Segmentation fault", 11, "a"),
    ],
)
def test_who_is_to_blame(
    evaluated: dict[str, int], fatal: str, status: int, model: str | None
) -> None:
    found = blamed_model(evaluated, fatal, status)
    assert (found and found.model) == model


PROGRAM = """
import ctypes, os, signal, sys, threading, time
from pathlib import Path
from hydro_services.runtime.evaluation_journal import open_journal

folder, thread, end = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
with open_journal(folder) as journal:
    records = {name: journal.record(name) for name in ("idle", "busy", "guilty", "unloaded")}
    del records["unloaded"]
    def wait():
        with records["busy"]:
            time.sleep(60)
    def run():
        with records["guilty"]:
            exec(end)
    threading.Thread(target=wait, daemon=True).start()
    time.sleep(0.1)
    if thread == "own":
        t = threading.Thread(target=run); t.start(); t.join()
    else:
        run()
"""
SIGNALS = {
    "os.abort()": "Aborted",
    "ctypes.string_at(0)": "Segmentation fault",
    "os.kill(os.getpid(), signal.SIGFPE)": None,
    "os.kill(os.getpid(), signal.SIGKILL)": None,
    "os._exit(3)": None,
    "None": None,
}


@pytest.mark.parametrize("thread", ["own", "main"])
@pytest.mark.parametrize("end", SIGNALS)
def test_a_process_that_dies_tells_of_what(tmp_path: Path, thread: str, end: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), thread, end],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stdout + done.stderr
    found = evaluation_journal.read_deaths(tmp_path)
    if reason := SIGNALS[end]:
        assert [(death.model, death.reason) for death in found] == [("guilty", reason)]
    elif "SIGFPE" not in end:  # whose thread the kernel chooses
        assert found == []
    assert not list(tmp_path.iterdir())


def test_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    with evaluation_journal.open_journal(tmp_path) as journal, journal.record("m"):
        assert evaluation_journal.read_deaths(tmp_path) == []
        assert len(list(tmp_path.iterdir())) == 2
    assert not list(tmp_path.iterdir())


def test_a_status_that_is_told_is_known(tmp_path: Path) -> None:
    program = PROGRAM.replace("threading.Thread(target=wait, daemon=True).start()", "")
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), "main", "os._exit(3)"])
    _, status = os.waitpid(child.pid, 0)
    child.returncode = 3
    evaluation_journal.note_status(tmp_path, child.pid, status)
    assert evaluation_journal.read_deaths(tmp_path) == [Death("guilty", "exit code 3")]


def test_records_are_used_again(tmp_path: Path) -> None:
    with evaluation_journal.open_journal(tmp_path) as journal:
        for number in range(3 * evaluation_journal.MAX_RECORDS):
            with journal.record(f"model {number}"):
                pass
        held = [
            journal.record(f"model {number}")
            for number in range(evaluation_journal.MAX_RECORDS + 1)
        ]
        for one, other in pairwise(held):
            with one, other:
                pass


def test_without_a_disk_nothing_is_noted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with evaluation_journal.open_journal(tmp_path / "file") as journal, journal.record("m"):
        assert threading.current_thread()
