"""Makes calls in a fork of this process: what ends it, or holds its interpreter, ends that alone.

A fork has the model in memory as it is, so nothing is sent to it; answers come back by a pipe. It
is made in the thread of the model, while the model does nothing else; its answers may be read in
any thread. The threads of the process are not in the fork: a model that needs threads of its own
there waits for ever. It is told apart from one that works, even one that gets no CPU.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import resource
import select
import signal
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar

from hydro_services import guard, linux
from hydro_services.runtime import evaluation_journal

T = TypeVar("T")

BEAT_S = 0.25
"""How often the fork says that its interpreter is free."""
LATE_S = 2 * BEAT_S
"""Between two looks at a fork, at most, as far as they count: nobody knows what was between those
of a parent that was itself stopped, or had no CPU."""
SILENT_S = 3.0
"""Its interpreter is not free, and it uses a CPU: as long as Envoy waits for a process before it
closes its connections."""
STALLED_S = 15.0
"""The same, where nothing of it would run: a stopped process, or a machine in trouble."""
IDLE_S = 8.0
"""Without an answer, a CPU or the wish for one: it waits for a thread that it has not."""
_IDLE_CPU_S = 0.1
_BEAT_NAME = "hydro-beat"
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class ForkDied:
    """The fork died while it made the call."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer: the call cannot be made in a fork, or nobody waits for it any more."""

    is_idle: bool = False
    """It waits for what is not in a fork, as the next call may."""


@dataclass(frozen=True, slots=True)
class ForkState:
    """What is known of a fork that has not answered, by the looks that were taken at it.

    Times are in seconds, those of the looks alone.
    """

    cpu_s: float
    """What it has used of CPUs, ever."""
    silent_s: float = 0.0
    """Since anything came."""
    silent_cpu_s: float = 0.0
    """What it has used of CPUs since."""
    stalled_s: float = 0.0
    """Of the silence: nothing of it would run."""
    idle_s: float = 0.0
    """Since the call has used a CPU, where nothing of it would run."""
    idle_cpu_s: float = 0.0
    """What it has used of CPUs since, which is little."""

    @property
    def is_silent(self) -> bool:
        """Its interpreter is held, or it is stopped."""
        held_s = min(self.silent_s, 2 * self.silent_cpu_s)
        return held_s > SILENT_S or self.stalled_s > STALLED_S

    @property
    def is_idle(self) -> bool:
        """It waits."""
        return self.idle_s > IDLE_S


def next_state(
    before: ForkState,
    passed_s: float,
    cpu_s: float,
    *,
    has_come: bool,
    would_run: bool,
    works: bool,
) -> ForkState:
    """What is known after one more look.

    Args:
        before: what was known.
        passed_s: since the last look.
        cpu_s: what it has used of CPUs, ever.
        has_come: something, since the last look.
        would_run: a thread of it runs, or is ready to.
        works: one that is not there for beats alone.
    """
    # Of a longer pause only LATE_S counts: this process may itself have been stopped in it, and the
    # fork must not pay for that.
    passed_s, used_s = min(passed_s, LATE_S), cpu_s - before.cpu_s
    idle_s = before.idle_s + (0.0 if works else passed_s)
    idle_cpu_s = before.idle_cpu_s + used_s
    if idle_cpu_s > _IDLE_CPU_S:
        # It has computed something since: the beats alone take less than this.
        idle_s = idle_cpu_s = 0.0
    if has_come:
        return ForkState(cpu_s, idle_s=idle_s, idle_cpu_s=idle_cpu_s)
    return ForkState(
        cpu_s,
        before.silent_s + passed_s,
        before.silent_cpu_s + used_s,
        before.stalled_s + (0.0 if would_run else passed_s),
        idle_s,
        idle_cpu_s,
    )


class Fork(Generic[T]):
    """A fork of this process, as its parent sees it; it makes each call once, in order."""

    def __init__(self, calls: Sequence[Callable[[], T]]) -> None:
        """Begins.

        Args:
            calls: neither they nor what they return may need other threads of this process; what
                they return can be pickled.

        Raises:
            OSError: there can be no fork.
        """
        # Before the fork, so that both sides have it; each then closes the end that is the other's.
        self._source, target = os.pipe()
        self._arrived = bytearray()
        self._pid = os.fork()
        if self._pid == 0:  # never returns; locks of other threads are held for ever in here
            _run_calls(calls, target)
        os.close(target)  # else the pipe would not end with the fork

    def answer(self, is_wanted: Callable[[], bool]) -> T | ForkDied | Unanswered:
        """What the next call answers; after `ForkDied` or `Unanswered` there is no more.

        Args:
            is_wanted: whether anybody waits for it.
        """
        # Each answer has its time from here: the calls before it have used theirs.
        seen, last = ForkState(linux.cpu_seconds(self._pid)), time.monotonic()
        while not (found := self._next_message()):
            has_come = self._receive()
            # The end of the pipe before anything else: what came before the end has been looked at
            # above.
            if has_come is False:
                return ForkDied(self._reap())
            now = time.monotonic()
            seen = self._update(seen, now - last, has_come=bool(has_come))
            last = now
            if seen.is_silent:
                return ForkDied(f"it said nothing for {seen.silent_s:.0f} s")
            if seen.is_idle or not is_wanted():
                return Unanswered(is_idle=seen.is_idle)
        # A model in the fork can write what it likes here, but the fork is of this process: it had
        # the same rights before.
        answer: T | Unanswered = pickle.loads(found)
        return answer

    def _update(self, seen: ForkState, passed_s: float, *, has_come: bool) -> ForkState:
        return next_state(
            seen,
            passed_s,
            linux.cpu_seconds(self._pid),
            has_come=has_come,
            would_run=linux.is_runnable(self._pid),
            works=linux.is_runnable(self._pid, but=_BEAT_NAME),
        )

    def _receive(self) -> bool | None:
        """Whether anything has come; False: nothing more will, None: not yet."""
        # Woken at least once a beat, so that silence is measured even where nothing comes.
        if not select.select([self._source], [], [], BEAT_S)[0]:
            return None
        data = os.read(self._source, 1 << 20)  # nothing: all its writers have ended
        self._arrived += data
        return bool(data)

    def _next_message(self) -> bytes:
        """The first that is whole; beats are empty."""
        while len(self._arrived) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._arrived)
            end = _LENGTH.size + length
            if len(self._arrived) < end:
                break
            message = bytes(self._arrived[_LENGTH.size : end])
            del self._arrived[:end]
            # An empty one is a beat: it has done its work by having come.
            if message:
                return message
        return b""

    def _reap(self) -> str:
        """How it ended."""
        pid, self._pid = self._pid, 0  # once it is waited for, the number may be another process's
        try:
            return evaluation_journal.describe_status(os.waitpid(pid, 0)[1])
        except ChildProcessError:  # other code of this process has waited for it
            return "an end that is not known"
        finally:
            _kill_group(pid)

    def close(self) -> None:
        """Ends it, and what it has started."""
        os.close(self._source)
        if self._pid:
            _kill_group(self._pid)
            # The group first: with the leader gone, what it has started could no longer be found by
            # it.
            with contextlib.suppress(ProcessLookupError):  # it had no time to make its group
                os.kill(self._pid, signal.SIGKILL)
            self._reap()


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _run_calls(calls: Sequence[Callable[[], T]], target: int) -> NoReturn:
    """The fork itself."""
    try:
        _detach()
        writing = threading.Lock()
        # A thread, because it needs the interpreter: beats stop when a model holds that for good.
        threading.Thread(target=_send_beats, args=(target, writing), daemon=True).start()
        for call in calls:
            _send(target, writing, _pickle_answer(call))
        # Never `sys.exit`: the handlers of the parent, such as those that remove its folders, would
        # run in the fork as well.
        os._exit(0)
    finally:
        os._exit(70)


def _detach() -> None:
    """Nothing that happens here is to reach the process that it is a fork of."""
    guard.forget_signals()
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    # No core file of the model's memory, which may be large and hold what rows said.
    os.setpgid(0, 0)  # so that what the model starts can be killed with it
    linux.set_name("hydro-fork")
    linux.die_with_parent()
    # If memory runs out, the kernel is to end this fork before the process that serves everybody.
    linux.be_killed_first()


def _pickle_answer(call: Callable[[], object]) -> bytes:
    try:
        return pickle.dumps(call(), pickle.HIGHEST_PROTOCOL)
    except Exception:
        return pickle.dumps(Unanswered())


def _send_beats(target: int, writing: threading.Lock) -> None:
    linux.set_name(_BEAT_NAME)
    while True:
        _send(target, writing, b"")
        time.sleep(BEAT_S)


def _send(target: int, writing: threading.Lock, message: bytes) -> None:
    data = memoryview(_LENGTH.pack(len(message)) + message)
    # A beat between the pieces of a message would be read as part of it.
    with writing:
        while data:
            data = data[os.write(target, data) :]
