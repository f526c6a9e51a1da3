"""Calls in a fork: what they answer, and what ends them but not this process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydro_services.runtime import fork
from hydro_services.runtime.fork import Fork, ForkDied, ForkState, Unanswered, next_state

T = TypeVar("T")


def run(
    calls: Sequence[Callable[[], T]], is_wanted: Callable[[], bool] = lambda: True
) -> Iterator[T | ForkDied | Unanswered]:
    """The calls' answers, in order, in one fork for all that live on."""
    made = 0
    while made < len(calls):
        child = Fork(calls[made:])
        try:
            answer: T | ForkDied | Unanswered | None = None
            while made < len(calls) and not isinstance(answer, ForkDied | Unanswered):
                answer, made = child.answer(is_wanted), made + 1
                yield answer
        finally:
            child.close()


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


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from([*ENDS, ""]), max_size=6))
def test_each_call_is_made_once_and_ends_itself_alone(names: list[str]) -> None:
    calls = [ENDS[name][0] if name else pid for name in names]
    answers = list(run(calls))
    for name, answer in zip(names, answers, strict=True):
        if name:
            assert answer == ForkDied(ENDS[name][1])
        else:
            assert isinstance(answer, int)
            assert answer != os.getpid()
    assert len({answer for answer in answers if isinstance(answer, int)}) <= names.count("") + 1


def test_calls_that_live_on_share_a_fork() -> None:
    assert len({*run([pid] * 10)}) == 1


def test_a_big_answer_comes_whole() -> None:
    (answer,) = run([lambda: bytes(5_000_000)])
    assert answer == bytes(5_000_000)


@pytest.mark.slow
def test_who_holds_the_interpreter_is_ended() -> None:
    start = time.monotonic()
    first, second = run([lambda: re.match(r"(a+)+$", "a" * 60 + "b"), lambda: None])
    assert isinstance(first, ForkDied)
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
    assert [*run(calls)] == [Unanswered(is_idle=True), True]
    lock.release()


@pytest.mark.slow
def test_who_works_for_long_is_let(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork, "IDLE_S", 1.0)

    def work() -> int:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            sum(range(1000))
        return 1

    assert [*run([work])] == [1]


@pytest.mark.slow
def test_who_gets_no_cpu_is_not_one_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork, "IDLE_S", 1.0)
    monkeypatch.setattr(fork, "STALLED_S", 2.0)
    cpu = min(os.sched_getaffinity(0))

    def work() -> int:
        os.sched_setaffinity(0, {cpu})
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        end = time.monotonic() + 5
        while time.monotonic() < end:
            sum(range(1000))
        return 1

    with busy(cpu), busy(cpu):
        assert [*run([work])] == [1]


@contextlib.contextmanager
def busy(cpu: int) -> Iterator[None]:
    """A CPU has other work."""
    pid = os.fork()
    if not pid:
        os.sched_setaffinity(0, {cpu})
        while True:
            pass
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


LOOKS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    passed_s=st.floats(0.0, 30.0),
    used_s=st.floats(0.0, 0.3),
    has_come=st.booleans(),
    would_run=st.booleans(),
    works=st.booleans(),
)


def seen(looks: Iterable[dict[str, Any]], **fixed: Any) -> ForkState:
    found = ForkState(0.0)
    for each in looks:
        given = each | fixed
        given["would_run"] |= given["works"]
        cpu_s = found.cpu_s + given.pop("used_s")
        found = next_state(found, cpu_s=cpu_s, **given)
    return found


@given(st.lists(LOOKS, max_size=60))
def test_who_would_run_is_never_said_to_wait_or_to_be_stopped(looks: list[dict[str, Any]]) -> None:
    found = seen(looks, works=True, used_s=0.0)
    assert not found.is_idle
    assert not found.is_silent


@given(st.lists(LOOKS, max_size=60))
def test_what_is_not_looked_at_counts_for_little(looks: list[dict[str, Any]]) -> None:
    found = seen(looks)
    most_s = len(looks) * fork.LATE_S + 1e-6
    assert max(found.silent_s, found.stalled_s, found.idle_s) <= most_s


@given(st.lists(LOOKS, max_size=20))
def test_who_is_waited_for_in_vain_is_found(looks: list[dict[str, Any]]) -> None:
    before = seen(looks)
    waiting = {"passed_s": 0.3, "used_s": 0.0, "would_run": False, "works": False}
    after = seen(looks + [{**waiting, "has_come": True}] * 40)
    assert after.is_idle
    assert not after.is_silent
    stopped = seen(looks + [{**waiting, "has_come": False}] * 80)
    assert stopped.is_silent
    held = {"passed_s": 0.3, "used_s": 0.2, "would_run": True, "works": True, "has_come": False}
    assert seen([*looks, *[held] * 30]).is_silent
    assert before.cpu_s <= after.cpu_s


def test_what_nobody_wants_any_more_is_ended() -> None:
    start = time.monotonic()
    assert [*run([partial(time.sleep, 60)], lambda: False)] == [Unanswered()]
    assert time.monotonic() - start < 10


def test_what_cannot_be_sent_is_left_to_the_caller() -> None:
    assert [*run([threading.Lock])] == [Unanswered()]


def test_a_fork_that_is_left_ends() -> None:
    calls: list[Callable[[], int | None]] = [pid, partial(time.sleep, 60)]
    answers = run(calls)
    child = next(answers)
    answers.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)  # type: ignore[arg-type]
