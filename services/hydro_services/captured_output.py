"""What models write to standard output and standard error goes to the log, line by line, bounded.

`print` in Python is caught before it is written. What C code and children write goes through a pipe
to another process, see `guard`. Either logs at most `LINES_PER_S` lines a second, and how many were
left out. Standard input is empty. Logging never waits for a slow reader of the log: up to
`MAX_BUFFER_BYTES` are buffered, and more is left out.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)
logging.Logger.setLevel(logger, logging.INFO)  # whatever the level of the process

LINES_PER_S = 100
BURST_LINES = 1000
"""Lines at once, when there were none for a while."""
MAX_LINE_CHARACTERS = 4096
"""Longer lines are logged as several."""
MAX_BUFFER_BYTES = 1 << 20
"""Of log records that nobody reads."""
FLUSH_S = 1.0
"""How long the end of the process waits for the log to be read."""


class LineRateLimit:
    """A token bucket of lines. Lines over it are counted, and the next one tells how many."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds."""
        self._clock = clock
        self._tokens = float(BURST_LINES)
        self._last = clock()
        self._left_out = 0
        self._lock = threading.Lock()

    def take(self) -> int | None:
        """How many lines were left out before this one; None: this one is left out, too."""
        with self._lock:
            now = self._clock()
            self._tokens = min(BURST_LINES, self._tokens + (now - self._last) * LINES_PER_S)
            self._last = now
            if self._tokens < 1:
                self._left_out += 1
                return None
            self._tokens -= 1
            left_out, self._left_out = self._left_out, 0
            return left_out


class LineLogger(io.TextIOBase):
    """A text stream that logs each line when it is complete; lines of threads are not mixed."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, fd: int, limit: LineRateLimit) -> None:
        """`fd`: the file descriptor of the stream that this one replaces."""
        self._fd = fd
        self._limit = limit
        self._unfinished = threading.local()
        self.buffer = _ByteLogger(self)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def reconfigure(self, **_: object) -> None:
        """Does nothing: there is nothing to set."""

    def write(self, text: str) -> int:
        # The unfinished line is the thread's own: `print` writes text and line break one after the
        # other.
        *lines, rest = (getattr(self._unfinished, "text", "") + text).split("\n")
        for line in lines:
            self._log(line)
        # A progress bar never ends its line.
        if len(rest) > MAX_LINE_CHARACTERS:
            self._log(rest)
            rest = ""
        self._unfinished.text = rest
        return len(text)

    def flush(self) -> None:
        """Does nothing: a line is logged when it is complete."""

    def _log(self, line: str) -> None:
        for start in range(0, len(line) or 1, MAX_LINE_CHARACTERS):
            left_out = self._limit.take()
            if left_out is None:
                continue
            extra: dict[str, object] = {"lines_left_out": left_out} if left_out else {}
            if name := _model_of_thread():
                extra["model"] = name
            logger.info("%s", line[start : start + MAX_LINE_CHARACTERS], extra=extra)


class _ByteLogger(io.RawIOBase):
    """The same stream for bytes."""

    def __init__(self, lines: LineLogger) -> None:
        self._lines = lines

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        content = bytes(data)  # type: ignore[call-overload]
        self._lines.write(content.decode(errors="backslashreplace"))
        return len(content)


def _model_of_thread() -> str:
    """Each model is evaluated in a thread with its name, see `runtime.worker`; empty in others."""
    name = threading.current_thread().name
    return name.removeprefix("model ") if name.startswith("model ") else ""


class BackgroundWriter:
    """A text stream with a buffer, and a thread that writes the buffer to a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.reset()
        self._has_thread = True
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def reset(self) -> None:
        """Forgets the buffer: for a fork, which has it too but no thread, and may hold its lock."""
        self._has_thread = False
        self._buffer: deque[bytes] = deque()
        self._size = 0
        self._left_out = 0
        self._changed = threading.Condition()

    def write(self, text: str) -> int:
        data = text.encode(errors="backslashreplace")
        # In a fork: it has this object, but not the thread that writes.
        if not self._has_thread:
            _write_all(self._fd, data)
            return len(text)
        with self._changed:
            # Left out rather than waited for: who does not read the log must not hold up a model.
            if self._size + len(data) > MAX_BUFFER_BYTES:
                self._left_out += 1
                return len(text)
            if self._left_out:
                data = b"%d records of the log were left out\n" % self._left_out + data
                self._left_out = 0
            self._buffer.append(data)
            self._size += len(data)
            self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Does nothing: the thread writes as soon as it can."""

    def drain(self, limit_s: float) -> None:
        """Waits until all is written, at most for `limit_s`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._size, limit_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._buffer)
                data = self._buffer.popleft()
            _write_all(self._fd, data)  # may wait for long: without the lock
            with self._changed:
                # Only now: `drain` waits for what is written, not for what is taken from the
                # buffer.
                self._size -= len(data)
                self._changed.notify_all()


def _write_all(fd: int, data: bytes) -> None:
    left = memoryview(data)
    with contextlib.suppress(OSError):  # the reader is gone
        while left:
            left = left[os.write(fd, left) :]


_writers: list[BackgroundWriter] = []


def _reset_writers() -> None:
    for writer in _writers:
        writer.reset()


os.register_at_fork(after_in_child=_reset_writers)


@contextlib.contextmanager
def redirect_to_log(target: int) -> Iterator[None]:
    """Redirects standard output and error of this process to the log, until the context ends.

    What is written to the descriptors themselves goes to `target`. The log goes to what is standard
    error now. Standard input is empty.
    """
    # One limit for both streams: a model that prints on both has no twice as many lines.
    limit = LineRateLimit()
    with contextlib.ExitStack() as stack:
        # First: it keeps the descriptor that is standard error now, before that is replaced.
        stack.enter_context(background_log())
        for fd, name in ((1, "stdout"), (2, "stderr")):
            stack.enter_context(_replace_descriptor(fd, target))
            stack.enter_context(_replace_stream(name, LineLogger(fd, limit)))
        nothing = stack.enter_context(open(os.devnull))
        stack.enter_context(_replace_descriptor(0, nothing.fileno()))
        stack.enter_context(_replace_stream("stdin", nothing))
        yield


@contextlib.contextmanager
def background_log() -> Iterator[None]:
    """Writes the log in the background, to what is standard error now, until the context ends."""
    writer = BackgroundWriter(os.dup(2))
    _writers.append(writer)
    handlers = [
        handler
        for logger in (logging.root, *logging.root.manager.loggerDict.values())
        for handler in getattr(logger, "handlers", ())
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr
    ]
    before = [handler.setStream(writer) for handler in handlers]
    try:
        yield
    finally:
        writer.drain(FLUSH_S)
        _writers.remove(writer)
        for handler, stream in zip(handlers, before, strict=True):
            handler.setStream(stream)


@contextlib.contextmanager
def _replace_descriptor(fd: int, by: int) -> Iterator[None]:
    before = os.dup(fd)
    os.dup2(by, fd)
    try:
        yield
    finally:
        os.dup2(before, fd)
        os.close(before)


@contextlib.contextmanager
def _replace_stream(name: str, stream: object) -> Iterator[None]:
    before = {attribute: getattr(sys, attribute) for attribute in (name, f"__{name}__")}
    for attribute in before:
        setattr(sys, attribute, stream)
    try:
        yield
    finally:
        for attribute, old in before.items():
            setattr(sys, attribute, old)
