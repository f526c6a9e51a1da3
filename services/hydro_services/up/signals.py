"""Signals that end a process in order: the first drains it, a second one ends it at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator

STOP = (signal.SIGINT, signal.SIGTERM)
SAME_S = 0.25
"""`timeout` signals a process and then its group; a wrapper passes on the Ctrl-C that the terminal
has sent to all. What comes so soon after the first is the same."""


@contextlib.contextmanager
def on_stop(stop: Callable[[], object]) -> Iterator[None]:
    """Calls `stop` at Ctrl-C or SIGTERM. A second one ends this process, and its parts with it."""
    loop = asyncio.get_running_loop()
    first_at: float | None = None

    def on_signal() -> None:
        nonlocal first_at
        if first_at is None:
            first_at = loop.time()
            stop()
        elif loop.time() - first_at > SAME_S:
            os._exit(130)

    for number in STOP:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in STOP:
            loop.remove_signal_handler(number)
