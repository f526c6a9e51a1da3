"""Calls in a fork: what they answer, and what ends them but not this process."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydro_services.runtime import fork
from hydro_services.runtime.fork import Ended, Waits


def segfault() -> int:
    return ctypes.string_at(0)  # type: ignore[return-value]


def signalled(number: signal.Signals) -> int:
    os.kill(os.getpid(), number)
    time.sleep(10)
    return 0


def group() -> int:
    os.killpg(0, signal.SIGKILL)
    return 0


ENDS: dict[str, tuple[Callable[[], int], str]] = {
    "abort": (os.abort, "SIGABRT"),
    "segfault": (segfault, "SIGSEGV"),
    "exit": (lambda: os._exit(3), "exit code 3"),
    "kill": (partial(signalled, signal.SIGKILL), "SIGKILL"),
    "term": (partial(signalled, signal.SIGTERM), "SIGTERM"),
    "int": (partial(signalled, signal.SIGINT), "SIGINT"),
    "group": (group, "SIGKILL"),
}


def pid() -> int:
    return os.getpid()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from([*ENDS, ""]), max_size=6))
def test_each_call_is_made_once_and_ends_itself_alone(names: list[str]) -> None:
    calls = [ENDS[name][0] if name else pid for name in names]
    answers = list(fork.run(calls))
    for name, answer in zip(names, answers, strict=True):
        if name:
            assert answer == Ended(ENDS[name][1])
        else:
            assert isinstance(answer, int)
            assert answer != os.getpid()
    assert len({answer for answer in answers if isinstance(answer, int)}) <= names.count("") + 1


def test_calls_that_live_on_share_a_fork() -> None:
    assert len({*fork.run([pid] * 10)}) == 1


def test_a_big_answer_comes_whole() -> None:
    (answer,) = fork.run([lambda: bytes(5_000_000)])
    assert answer == bytes(5_000_000)


def test_who_holds_the_interpreter_is_ended() -> None:
    start = time.monotonic()
    first, second = fork.run([lambda: re.match(r"(a+)+$", "a" * 60 + "b"), lambda: None])
    assert isinstance(first, Ended)
    assert "said nothing" in first.reason
    assert second is None
    assert time.monotonic() - start < 60


def test_who_waits_for_a_thread_that_is_not_there_is_told_from_one_that_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fork, "IDLE_S", 1.0)
    lock = threading.Lock()
    lock.acquire()
    calls: list[Callable[[], bool]] = [lock.acquire, lambda: True]
    assert [*fork.run(calls)] == [Waits(), True]
    lock.release()


def test_who_works_for_long_is_let(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork, "IDLE_S", 1.0)

    def work() -> int:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            sum(range(1000))
        return 1

    assert [*fork.run([work])] == [1]


def test_what_nobody_wants_any_more_is_ended() -> None:
    start = time.monotonic()
    assert [*fork.run([partial(time.sleep, 60)], lambda number: False)] == [Waits()]
    assert time.monotonic() - start < 10


def test_what_cannot_be_sent_is_left_to_the_caller() -> None:
    assert [*fork.run([threading.Lock])] == [Waits()]


def test_a_fork_that_is_left_ends() -> None:
    calls: list[Callable[[], int | None]] = [pid, partial(time.sleep, 60)]
    answers = fork.run(calls)
    child = next(answers)
    answers.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)  # type: ignore[arg-type]
