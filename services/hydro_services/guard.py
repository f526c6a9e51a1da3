"""Runs a part in a child process, where models may do anything, and cleans up after it.

The parent, the guard, is a single thread that does little but wait, so that nothing in the part can
block it.

- It logs what C code and children of the part write to standard output and error.
- It adopts descendants whose parent ends. When the part ends it kills all of them, also those in
  sessions of their own. The part ends when the guard does, and on request both end with the guard's
  own parent.
- It ends with the exit status of the part.

What the part forks, such as the workers of a model's `multiprocessing.Pool`, is ended by a signal
like any process, and the part's own handlers do not run for it: see `forget_signals`.
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

from hydro_services import captured_output, linux

logger = logging.getLogger(__name__)

NAME = "hydro-guard"
WAIT_S = 1.0
"""Seconds between two looks for descendants that have ended."""
_READ_BYTES = 1 << 16


@contextlib.contextmanager
def run_in_child(ended: Callable[[int, int], None], *, dies_with_parent: bool) -> Iterator[None]:
    """Forks. The context goes on in the child; this process becomes its guard and never returns.

    To be entered in the main thread, while there is no other thread.

    Args:
        ended: called in the guard when all descendants are gone, with the child's process id and
            its status as of `os.waitpid`.
        dies_with_parent: all end when the parent of this process does.
    """
    source, target = os.pipe()
    passed_on = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR2}
    # Blocked from before the fork until handlers are set: one that comes between would end us.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)
    # Before any thread exists: a fork copies locks but not the threads that would release them.
    child = os.fork()
    if child:
        os.close(target)
        _run_guard(child, source, mask, ended, dies_with_parent=dies_with_parent)
    os.close(source)
    linux.die_with_parent()
    # A session of its own: by it the guard tells the child's descendants from its own helpers.
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    with captured_output.redirect_to_log(target):
        os.close(target)
        try:
            yield
        finally:  # otherwise Python waits at its exit for the children of multiprocessing
            for pid in linux.child_pids(os.getpid()):
                _send_signal(pid, signal.SIGKILL)


def _run_guard(
    child: int,
    source: int,
    mask: Iterable[int],
    ended: Callable[[int, int], None],
    *,
    dies_with_parent: bool,
) -> NoReturn:
    linux.set_name(NAME)
    # A daemon that a model starts becomes our child when its parent ends, and can be found.
    linux.adopt_orphans()
    # Supervisors know only this process: what they send is meant for the part.
    signal.signal(signal.SIGTERM, lambda *_: _send_signal(child, signal.SIGTERM))
    signal.signal(signal.SIGINT, lambda *_: _send_signal(child, signal.SIGTERM))
    signal.signal(signal.SIGUSR2, lambda *_: _send_signal(child, signal.SIGKILL))
    if dies_with_parent:
        linux.die_with_parent(signal.SIGUSR2)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    # As of `os.waitpid`: exit code 1, if the guard itself fails before it knows better.
    status = 1 << 8
    try:
        with captured_output.background_log():
            status = _log_until_end(child, source)
            end_descendants()
            ended(child, status)
    except Exception:
        logger.exception("guard failed")
    finally:
        _end_as(status)


_HANDLED_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_forking = threading.local()


def forget_signals() -> None:
    """For a forked process: takes it out of how its parent handles signals.

    The pipe by which Python tells an event loop of signals is shared with the parent: the parent
    would drain when its child is sent a signal, and the child, which runs no loop, would not end.
    """
    signal.set_wakeup_fd(-1)
    for number in _HANDLED_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _hold_signals() -> None:
    """Until `forget_signals` has run in the fork: a signal before that would reach the parent."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED_SIGNALS)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _after_fork() -> None:
    forget_signals()
    _release_signals()


os.register_at_fork(
    before=_hold_signals, after_in_parent=_release_signals, after_in_child=_after_fork
)


def _send_signal(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)


def _log_until_end(child: int, source: int) -> int:
    """Logs what comes until the child has ended; returns its status."""
    lines, sources = (
        captured_output.LineLogger(2, captured_output.LineRateLimit()),
        [os.pidfd_open(child), source],
    )
    while (status := _reap_children(child)) is None:
        if source in select.select(sources, [], [], WAIT_S)[0] and not _copy_output(source, lines):
            sources.remove(source)
    # What is in the pipe by now, such as what a C library said as it aborted, and no more: it has
    # no end while a descendant has it open.
    while source in sources and select.select([source], [], [], 0)[0]:
        if not _copy_output(source, lines):
            break
    return status


def _copy_output(source: int, lines: captured_output.LineLogger) -> bool:
    """Logs a piece of what was written; False at its end."""
    data = os.read(source, _READ_BYTES)
    lines.buffer.write(data)
    return bool(data)


def _reap_children(child: int) -> int | None:
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
    # In a loop: the children of what is killed are given to us, and are found in the next turn.
    while found := [pid for pid in linux.child_pids(os.getpid()) if _is_foreign(pid)]:
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
        # By the same signal as the child, so that a supervisor sees how it ended; but without a
        # second core.
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))
