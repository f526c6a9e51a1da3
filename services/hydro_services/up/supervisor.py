"""Keeps parts alive: one task a part starts it, waits for its end and starts it again.

It knows nothing of processes: a part is a coroutine that serves until it is cancelled, drains, and
ends by itself only when something broke.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from hydro_services.errors import NewerVersion

logger = logging.getLogger(__name__)

FIRST_DELAY_S = 0.1
MAX_DELAY_S = 2.0
"""So that a part which dies again and again is back within 5 s each time."""
HEALTHY_S = 10.0
"""After a run of this length the delays start from the first again."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the mesh."""

    name: str
    serve: Callable[[], Awaitable[None]]
    """Serves until cancelled. Called anew for each start."""


def next_delay(previous_s: float | None, uptime_s: float) -> float:
    """Seconds to wait before a restart: none, then 0.1 doubling to 2.

    Args:
        previous_s: the delay before the run that just ended; None for the first run.
        uptime_s: how long that run was.
    """
    if previous_s is None or uptime_s >= HEALTHY_S:
        return 0.0
    return min(max(previous_s * 2, FIRST_DELAY_S), MAX_DELAY_S)


async def keep_serving(
    part: Part,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Serves the part for ever. Cancelling it drains the part and ends when that is done.

    Raises:
        NewerVersion: as the part, which would end so each time.
    """
    delay: float | None = None
    while True:
        # A cancellation ends `_serve_once` or the sleep, both of which pass it on: so the loop ends
        # only when the part has drained.
        start = clock()
        reason = await _serve_once(part)
        uptime = clock() - start
        delay = next_delay(delay, uptime)
        extra = {"child": part.name, "error": reason, "uptime_s": round(uptime, 1)}
        logger.warning("part ended, restarting it", extra={**extra, "retry_s": delay})
        await sleep(delay)


async def _serve_once(part: Part) -> str:
    """Serves the part once; answers why it ended.

    A part that was cancelled and fails while it drains is not started again.
    """
    task = asyncio.current_task()
    assert task is not None
    reason = "it returned"
    try:
        await part.serve()
    except NewerVersion:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
    # Cancelled, and failed before it had drained: `except Exception` has hidden the cancellation.
    if task.cancelling():
        logger.warning("part did not drain", extra={"child": part.name, "error": reason})
        raise asyncio.CancelledError
    return reason


@contextlib.asynccontextmanager
async def supervise(groups: Sequence[Sequence[Part]]) -> AsyncIterator[None]:
    """Keeps all parts alive until the context ends, then stops them group by group.

    Args:
        groups: in the order of stopping; the parts of a group stop together.

    Raises:
        NewerVersion: a part did; the context was cancelled for it.
    """
    body, final, stopping = asyncio.current_task(), list[BaseException](), False
    assert body is not None

    def on_end(task: asyncio.Task[None]) -> None:
        # Parts end by themselves only with NewerVersion. The first such end counts; it cancels the
        # body, which is taken back below, so that the error itself is raised.
        if stopping or final or task.cancelled():
            return
        if error := task.exception():
            final.append(error)
            body.cancel()

    running = [[asyncio.create_task(keep_serving(part)) for part in group] for group in groups]
    for task in (task for tasks in running for task in tasks):
        # A callback, not a wait: the body runs beside the parts, and may end first.
        task.add_done_callback(on_end)
    try:
        yield
    except asyncio.CancelledError:
        if not final:
            raise
        body.uncancel()
    finally:
        stopping = True
        for tasks in running:
            # One group after the other: who is asked last, the manager, is stopped last.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    if final:
        raise final[0]
