"""Jumps of the wall clock. Certificates are valid by it; waiting goes by the monotonic clock."""

from __future__ import annotations

import asyncio
import time

JUMP_S = 60.0
"""What is less does no harm: certificates are valid from five minutes before they are made."""
POLL_S = 1.0


class Jumps:
    """Notices when the clock is set, and when the machine was suspended, which only it counts."""

    def __init__(self) -> None:
        self._offset = _offset()

    def seen(self) -> float:
        """By how many seconds the clock has jumped since the last jump was told; 0: it has not."""
        jumped = _offset() - self._offset
        if abs(jumped) < JUMP_S:
            return 0.0
        self._offset += jumped
        return jumped

    async def next(self) -> float:
        """Waits for a jump; its seconds. Cancelling it loses none."""
        while True:
            if jumped := self.seen():
                return jumped
            await asyncio.sleep(POLL_S)


def _offset() -> float:
    return time.time() - time.monotonic()
