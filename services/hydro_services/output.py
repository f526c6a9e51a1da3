"""What models write to standard output and standard error goes to the log, line by line, bounded.

`print` of Python code is taken before it is written. What C code and children write goes by a pipe
to another process, see `guard`. Both make no more lines a second than `RATE`; how many were left
out is told. Standard input is at its end. The log itself waits for nobody either: what is not read
is held up to `HELD_BYTES`, and then left out.
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
logger.setLevel(logging.INFO)  # wanted whatever else is left out

RATE = 100
"""Lines a second."""
BURST = 1000
"""Lines at once, after some quiet."""
LINE = 4096
"""Characters; longer ones go on in the next."""
HELD_BYTES = 1 << 20
"""Of the log, while nobody reads it."""
FLUSH_S = 1.0
"""How long the end waits for who reads the log."""


class Limit:
    """A token bucket of lines; what is beyond is counted and told with the next that is not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """With a clock in seconds."""
        self._clock = clock
        self._tokens = float(BURST)
        self._last = clock()
        self._left_out = 0
        self._lock = threading.Lock()

    def take(self) -> int | None:
        """How many lines were left out before this one; None: this one is, too."""
        with self._lock:
            now = self._clock()
            self._tokens = min(BURST, self._tokens + (now - self._last) * RATE)
            self._last = now
            if self._tokens < 1:
                self._left_out += 1
                return None
            self._tokens -= 1
            left_out, self._left_out = self._left_out, 0
            return left_out


class Lines(io.TextIOBase):
    """A text stream that logs whole lines; each thread has a line of its own."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, fd: int, limit: Limit) -> None:
        """In place of the stream at that file descriptor."""
        self._fd = fd
        self._limit = limit
        self._begun = threading.local()
        self.buffer = _Bytes(self)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def reconfigure(self, **_: object) -> None:
        """There is nothing to be set."""

    def write(self, text: str) -> int:
        *lines, rest = (getattr(self._begun, "text", "") + text).split("\n")
        for line in lines:
            self._log(line)
        if len(rest) > LINE:
            self._log(rest)
            rest = ""
        self._begun.text = rest
        return len(text)

    def flush(self) -> None:
        """Lines are logged when they are whole."""

    def _log(self, line: str) -> None:
        for start in range(0, len(line) or 1, LINE):
            left_out = self._limit.take()
            if left_out is None:
                continue
            extra: dict[str, object] = {"lines_left_out": left_out} if left_out else {}
            if name := _model():
                extra["model"] = name
            logger.info("%s", line[start : start + LINE], extra=extra)


class _Bytes(io.RawIOBase):
    """The same for who writes bytes."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        content = bytes(data)  # type: ignore[call-overload]
        self._lines.write(content.decode(errors="backslashreplace"))
        return len(content)


def _model() -> str:
    """Models have threads of their own, of their name."""
    name = threading.current_thread().name
    return name.removeprefix("model ") if name.startswith("model ") else ""


class Pump:
    """A text stream that holds what it is given, and a thread that writes it to a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.reset()
        self._has_thread = True
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def reset(self) -> None:
        """As at first: nothing is held. In a fork, which has no thread for it."""
        self._has_thread = False
        self._held: deque[bytes] = deque()
        self._size = 0
        self._left_out = 0
        self._changed = threading.Condition()

    def write(self, text: str) -> int:
        data = text.encode(errors="backslashreplace")
        if not self._has_thread:
            _write(self._fd, data)
            return len(text)
        with self._changed:
            if self._size + len(data) > HELD_BYTES:
                self._left_out += 1
                return len(text)
            if self._left_out:
                data = b"%d records of the log were left out\n" % self._left_out + data
                self._left_out = 0
            self._held.append(data)
            self._size += len(data)
            self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """The thread does so."""

    def drain(self, limit_s: float) -> None:
        """Waits until all is written, or the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: not self._size, limit_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._held)
                data = self._held.popleft()
            _write(self._fd, data)
            with self._changed:
                self._size -= len(data)
                self._changed.notify_all()


def _write(fd: int, data: bytes) -> None:
    left = memoryview(data)
    with contextlib.suppress(OSError):  # whoever read it is gone
        while left:
            left = left[os.write(fd, left) :]


_pumps: list[Pump] = []


def _reset() -> None:
    for pump in _pumps:
        pump.reset()


os.register_at_fork(after_in_child=_reset)


@contextlib.contextmanager
def to_log(target: int) -> Iterator[None]:
    """Takes standard output, error and input of this process, until the context ends.

    What is written to the descriptors goes to `target`. The log goes to what is standard error now.
    """
    limit = Limit()
    with contextlib.ExitStack() as stack:
        stack.enter_context(pumped())
        for fd, name in ((1, "stdout"), (2, "stderr")):
            stack.enter_context(_replaced(fd, target))
            stack.enter_context(_stream(name, Lines(fd, limit)))
        nothing = stack.enter_context(open(os.devnull))
        stack.enter_context(_replaced(0, nothing.fileno()))
        stack.enter_context(_stream("stdin", nothing))
        yield


@contextlib.contextmanager
def pumped() -> Iterator[None]:
    """Has the log go to what is standard error now and wait for nobody, until the context ends."""
    pump = Pump(os.dup(2))
    _pumps.append(pump)
    handlers = [
        handler
        for handler in logging.root.handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr
    ]
    before = [handler.setStream(pump) for handler in handlers]
    try:
        yield
    finally:
        pump.drain(FLUSH_S)
        _pumps.remove(pump)
        for handler, stream in zip(handlers, before, strict=True):
            handler.setStream(stream)


@contextlib.contextmanager
def _replaced(fd: int, by: int) -> Iterator[None]:
    kept = os.dup(fd)
    os.dup2(by, fd)
    try:
        yield
    finally:
        os.dup2(kept, fd)
        os.close(kept)


@contextlib.contextmanager
def _stream(name: str, stream: object) -> Iterator[None]:
    kept = {each: getattr(sys, each) for each in (name, f"__{name}__")}
    for each in kept:
        setattr(sys, each, stream)
    try:
        yield
    finally:
        for each, old in kept.items():
            setattr(sys, each, old)
