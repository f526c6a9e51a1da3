"""Which models are evaluated in this process just now: a file that outlives the process.

Each model has a record in mapped memory; an evaluation costs two writes to it. A second file takes
what Python's faulthandler says when the process dies by a signal such as SIGSEGV, and a third the
exit status, from whoever waits for the process. A process that starts reads those of processes that
are no more, which no longer hold the lock of their file, and says which model has ended them, where
one is to blame:

- the process died by a signal of its own fault, in the thread that evaluates the model; or
- it died so in another thread, or left by itself, and only one model was under evaluation.

Who is killed from outside (SIGKILL, SIGTERM) was not ended by its models.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import logging
import mmap
import os
import re
import signal
import struct
import sys
import threading
import uuid
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)

MAX_RECORDS = 256
"""Models of a process that are watched."""
_NAME = 240
_RECORD = struct.Struct(f"<QQ{_NAME}s")
"""The thread that is at it, or 0; the length of the key; the key."""
_THREAD = struct.Struct("<Q")
_FATAL = re.compile(r"Fatal Python error: (.*)")
_CURRENT = re.compile(r"^Current thread 0x(\w+)", re.MULTILINE)
JOURNAL, FATAL, STATUS = ".running", ".fatal", ".status"


class EvaluationRecord:
    """A model's record, and a context around each evaluation; without memory it notes nothing."""

    __slots__ = ("__weakref__", "_at", "_memory")

    def __init__(self, memory: mmap.mmap | None = None, at: int = 0) -> None:
        self._memory = memory
        self._at = at

    def __enter__(self) -> None:
        if self._memory is not None:
            # Eight bytes into shared memory: this is on the path of each batch, and the kernel
            # keeps the page when the process is killed at any point.
            _THREAD.pack_into(self._memory, self._at, threading.get_ident())

    def __exit__(self, *_: object) -> None:
        if self._memory is not None:
            _THREAD.pack_into(self._memory, self._at, 0)


class EvaluationJournal:
    """The records of this process."""

    def __init__(self, memory: mmap.mmap | None = None) -> None:
        """Without memory nothing is noted."""
        self._memory = memory
        self._free = list(range(MAX_RECORDS)) if memory is not None else []

    def record(self, key: str) -> EvaluationRecord:
        """A record for a model, free again when it is no longer referenced."""
        if self._memory is None or not self._free:
            return EvaluationRecord()
        # A fixed number of slots: a write must never have to grow the file.
        number = self._free.pop()
        at, name = number * _RECORD.size, key.encode()[:_NAME]
        _RECORD.pack_into(self._memory, at, 0, len(name), name)
        record = EvaluationRecord(self._memory, at)
        # Not at exit: the journal is then what the next process reads.
        weakref.finalize(record, self._free.append, number).atexit = False
        return record


@contextlib.contextmanager
def open_journal(folder: Path) -> Iterator[EvaluationJournal]:
    """The journal of this process until the context ends; without a disk it notes nothing."""
    path = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}{JOURNAL}"
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.open("xb+"))
            stack.callback(path.unlink, missing_ok=True)
            # Held for as long as the process lives: whoever gets it knows that it lives no more.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(
                file.fileno(), 0, MAX_RECORDS * _RECORD.size
            )  # else a write could be SIGBUS
            memory = mmap.mmap(file.fileno(), MAX_RECORDS * _RECORD.size)
            fatal = stack.enter_context(path.with_suffix(FATAL).open("x"))
            stack.callback(path.with_suffix(FATAL).unlink, missing_ok=True)
        except OSError as error:
            extra = {"path": str(path), "error": str(error)}
            logger.warning("no record of evaluations", extra=extra)
            yield EvaluationJournal()
            return
        with _record_fatal(fatal):
            yield EvaluationJournal(memory)


@contextlib.contextmanager
def _record_fatal(fatal: IO[str]) -> Iterator[None]:
    """What Python says of fatal signals goes to a file."""
    before = faulthandler.is_enabled()
    faulthandler.enable(fatal)
    try:
        yield
    finally:
        faulthandler.disable()
        if before and sys.__stderr__:
            with contextlib.suppress(OSError, ValueError):  # a stderr without a file
                faulthandler.enable(sys.__stderr__)


@dataclass(frozen=True, slots=True)
class Death:
    """A process that is no more, and the model that ended it."""

    model: str
    reason: str
    traceback: str = ""


def note_status(folder: Path, pid: int, status: int) -> None:
    """Notes how a process ended, by `os.waitpid`'s status, for the next process to read."""
    for path in folder.glob(f"{pid}-*{JOURNAL}"):
        with contextlib.suppress(OSError):
            path.with_suffix(STATUS).write_text(str(status))


def read_deaths(folder: Path) -> list[Death]:
    """How processes ended that live no more; their records are removed."""
    deaths = [_read_death(path) for path in sorted(folder.glob(f"*{JOURNAL}"))]
    return [death for death in deaths if death]


def _read_death(path: Path) -> Death | None:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            evaluated = _evaluated_models(file.read())
            fatal = _read_text(path.with_suffix(FATAL))
            status = int(_read_text(path.with_suffix(STATUS)) or 0)
            for suffix in (FATAL, STATUS, JOURNAL):
                path.with_suffix(suffix).unlink(missing_ok=True)
    except (OSError, ValueError):  # it lives, or another process was quicker
        return None
    return blamed_model(evaluated, fatal, status)


def _evaluated_models(journal: bytes) -> dict[str, int]:
    """The models that were under evaluation, and in which threads."""
    whole = journal[: len(journal) // _RECORD.size * _RECORD.size]
    return {
        key[:length].decode(errors="replace"): thread
        for thread, length, key in _RECORD.iter_unpack(whole)
        if thread
    }


def blamed_model(evaluated: dict[str, int], fatal: str, status: int) -> Death | None:
    """Who has ended a process, if it was a model.

    Args:
        evaluated: the models that it evaluated, and in which threads.
        fatal: what faulthandler wrote; empty: nothing.
        status: of `os.waitpid`; 0: not known.
    """
    if match := _FATAL.match(fatal):
        current = _CURRENT.search(fatal)
        # faulthandler names threads by the same number as threading.get_ident, in hexadecimal.
        thread = int(current[1], 16) if current else 0
        in_it = [model for model, its_thread in evaluated.items() if its_thread == thread]
        for model in in_it or (evaluated if len(evaluated) == 1 else ()):
            return Death(model, match[1], fatal)
    # A model that calls os._exit leaves no word; of several under evaluation none can be blamed.
    elif os.WIFEXITED(status) and os.WEXITSTATUS(status) and len(evaluated) == 1:
        return Death(next(iter(evaluated)), describe_status(status))
    return None


def describe_status(status: int) -> str:
    """An exit status for people."""
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit code {os.waitstatus_to_exitcode(status)}"


def _read_text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
