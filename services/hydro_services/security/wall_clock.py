"""Jumps of the wall clock, by which certificates are valid; waits follow the monotonic clock."""

from __future__ import annotations

import asyncio
import time

JUMP_S = 60.0
"""A smaller jump does no harm: certificates are valid from five minutes before they are made."""
POLL_S = 1.0


class ClockJumps:
    """Notices that the clock was set, or that the machine was suspended."""

    def __init__(self) -> None:
        self._offset = _offset()

    def take_jump(self) -> float:
        """By how many seconds the clock has jumped since the last jump; 0: it has not."""
        jumped = _offset() - self._offset
        if abs(jumped) < JUMP_S:
            return 0.0
        self._offset += jumped
        return jumped

    async def next(self) -> float:
        """Waits for a jump and returns its seconds. No jump is lost by cancelling it."""
        while True:
            if jumped := self.take_jump():
                return jumped
            await asyncio.sleep(POLL_S)


def _offset() -> float:
    return time.time() - time.monotonic()
