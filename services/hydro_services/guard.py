"""Runs a part that may run code of others in a child, and sees to what the child leaves behind.

The guard is one thread that does little else than wait, so that nothing in the part can hold it up.

- What C code and children of the part write to standard output and error, it logs.
- Descendants that lose their parent are given to it; when the part ends, it kills all of them,
  those in sessions of their own too. The part ends with it, and where it is tied to its own parent,
  all end with that.
- It ends as the part has ended.

What the part forks, such as the workers of a model's `multiprocessing.Pool`, ends of a signal like
any process, and the part hears nothing of it: see `forget_signals`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

from hydro_services import linux, output

logger = logging.getLogger(__name__)

NAME = "hydro-guard"
WAIT_S = 1.0
"""Between looks for descendants that have ended."""
_READ_BYTES = 1 << 16


@contextlib.contextmanager
def guarded(ended: Callable[[int, int], None], *, tied: bool) -> Iterator[None]:
    """Goes on in a child, of which this process becomes the guard; the guard never comes back.

    To be entered in the main thread, while there is no other.

    Args:
        ended: told the child's process id and its status as of `os.waitpid`, when all is gone.
        tied: all ends when the parent of this process does.
    """
    source, target = os.pipe()
    passed_on = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR2}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)  # until there is who takes them
    child = os.fork()
    if child:
        os.close(target)
        _guard(child, source, mask, ended, tied=tied)
    os.close(source)
    linux.die_with_parent()
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    with output.to_log(target):
        os.close(target)
        try:
            yield
        finally:  # else Python waits at its exit for those that it has forked
            for pid in linux.children(os.getpid()):
                _tell(pid, signal.SIGKILL)


def _guard(
    child: int,
    source: int,
    mask: Iterable[int],
    ended: Callable[[int, int], None],
    *,
    tied: bool,
) -> NoReturn:
    linux.set_name(NAME)
    linux.adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: _tell(child, signal.SIGTERM))
    signal.signal(signal.SIGINT, lambda *_: _tell(child, signal.SIGTERM))
    signal.signal(signal.SIGUSR2, lambda *_: _tell(child, signal.SIGKILL))
    if tied:
        linux.die_with_parent(signal.SIGUSR2)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    status = 1 << 8
    try:
        with output.pumped():
            status = _watch(child, source)
            end_descendants()
            ended(child, status)
    except Exception:
        logger.exception("guard failed")
    finally:
        _end_as(status)


_TAKEN = (signal.SIGINT, signal.SIGTERM)
_forking = threading.local()


def forget_signals() -> None:
    """For a process that was forked: it has no part in how its parent takes signals.

    The pipe by which Python tells an event loop of signals is shared with the parent, which would
    drain when its child is told to end; and the child, which runs no loop, would not end.
    """
    signal.set_wakeup_fd(-1)
    for number in _TAKEN:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _hold_signals() -> None:
    """Until the fork has forgotten: one that comes before would reach the parent."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _TAKEN)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _forked() -> None:
    forget_signals()
    _release_signals()


os.register_at_fork(before=_hold_signals, after_in_parent=_release_signals, after_in_child=_forked)


def _tell(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)


def _watch(child: int, source: int) -> int:
    """Logs what comes until the child has ended; its status."""
    lines, sources = output.Lines(2, output.Limit()), [os.pidfd_open(child), source]
    while (status := _ended(child)) is None:
        if source in select.select(sources, [], [], WAIT_S)[0] and not _copy(source, lines):
            sources.remove(source)
    while source in sources and select.select([source], [], [], 0)[0] and _copy(source, lines):
        pass  # such as what a C library said as it aborted
    return status


def _copy(source: int, lines: output.Lines) -> bool:
    """Whether there may be more."""
    data = os.read(source, _READ_BYTES)
    lines.buffer.write(data)
    return bool(data)


def _ended(child: int) -> int | None:
    """The child's status once it has ended; others that were given to us are waited for as well."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0
        if pid == child:
            return status
        if not pid:
            return None


def end_descendants() -> None:
    """Kills all that are of other sessions, and their descendants, which are given to us."""
    while found := [pid for pid in linux.children(os.getpid()) if _is_foreign(pid)]:
        for pid in found:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _is_foreign(pid: int) -> bool:
    try:
        return os.getsid(pid) != os.getsid(0)
    except ProcessLookupError:
        return False


def _end_as(status: int) -> NoReturn:
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))
