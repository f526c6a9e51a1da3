"""When a part of `hydro up` is taken to hang."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable

from hydro_services.linux import cpu_seconds, is_runnable
from hydro_services.up.watchdog import CHECK_S, HELD_S, HUNG_S, LATE_S, PartHealth, next_health

SILENT, ANSWERS = False, True
LOOKS = int(HUNG_S / CHECK_S)
"""Silent ones, until a part is given up."""


def seen(
    looks: Iterable[bool], busy: float = 0.0, passed_s: float = CHECK_S, would_run: bool = False
) -> PartHealth:
    """After a life of such looks, in which it used so much of a CPU."""
    found = PartHealth(0.0)
    for number, answers in enumerate(looks, 1):
        found = next_health(found, answers, number * busy * passed_s, passed_s, would_run)
    return found


def test_a_part_that_answered_and_is_silent_for_long_hangs() -> None:
    assert not seen([ANSWERS, *[SILENT] * (LOOKS - 1)]).is_hung
    assert seen([ANSWERS, *[SILENT] * LOOKS]).is_hung


def test_one_answer_makes_up_for_all_silence() -> None:
    half = [SILENT] * (LOOKS - 1)
    assert not seen([ANSWERS, *half, ANSWERS, *half]).is_hung


def test_a_part_that_starts_does_not_hang_however_long_it_takes() -> None:
    assert not seen([SILENT] * 10 * LOOKS).is_hung


def test_a_silent_part_that_uses_a_cpu_is_busy() -> None:
    assert not seen([ANSWERS, *[SILENT] * 2 * LOOKS], busy=0.9).is_hung
    assert seen([ANSWERS, *[SILENT] * LOOKS], busy=0.01).is_hung


def test_a_part_that_would_run_and_gets_no_cpu_is_not_to_blame() -> None:
    looks = int(HELD_S / CHECK_S)
    assert not seen([ANSWERS, *[SILENT] * 2 * looks], busy=0.01, would_run=True).is_hung
    assert seen([ANSWERS, *[SILENT] * looks], busy=0.9, would_run=True).is_hung


def test_a_part_that_is_busy_for_too_long_hangs_as_well() -> None:
    looks = int(HELD_S / CHECK_S)
    assert not seen([ANSWERS, *[SILENT] * (looks - 1)], busy=0.9).is_hung
    assert seen([ANSWERS, *[SILENT] * looks], busy=0.9).is_hung
    assert not seen([ANSWERS, *[SILENT] * (looks - 1), ANSWERS, SILENT], busy=0.9).is_hung


def test_a_part_that_was_busy_and_then_stops_hangs() -> None:
    found = seen([ANSWERS, *[SILENT] * LOOKS], busy=0.9)
    for _ in range(LOOKS):
        assert not found.is_hung
        found = next_health(found, SILENT, found.cpu_s, CHECK_S)
    assert found.is_hung


def test_nothing_hangs_for_a_machine_that_slept() -> None:
    found = seen([ANSWERS, *[SILENT] * (LOOKS - 1)])
    found = next_health(found, SILENT, found.cpu_s, 3600.0)
    assert not found.is_hung
    assert not seen([ANSWERS, *[SILENT] * 10], passed_s=LATE_S + 1).is_hung


def test_a_process_that_waits_is_not_runnable() -> None:
    assert is_runnable(os.getpid())
    pid = os.fork()
    if not pid:
        signal.pause()
    try:
        end = time.monotonic() + 30
        while is_runnable(pid):
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert not is_runnable(pid)


def test_the_cpu_that_a_process_used_grows() -> None:
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) == before:
        pass
    assert cpu_seconds(os.getpid()) > before
