"""Queues spans and sends them to a collector in batches, in the background.

The queue is bounded. A collector that is away or slow costs spans, which are counted, and never
the time of a call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import grpc.aio

from hydro_envoy.address import Address
from hydro_services.tracing.otlp import OtlpCollector
from hydro_services.tracing.span import Span
from hydro_services.tracing.zipkin import ZipkinCollector

logger = logging.getLogger(__name__)

MAX_WAITING = 8_192
MAX_BATCH = 512
GATHER_S = 0.5
"""How long a span may wait for others."""
LAST_S = 1.0
"""How long sending what is left may take at the end."""


class Collector(Protocol):
    """Where spans go."""

    async def send(self, spans: Sequence[Span]) -> int:
        """Sends spans; returns how many of them were refused. Raises when it takes none."""
        ...

    async def close(self) -> None:
        """Ends the connection."""
        ...


class Exporter:
    """The spans that wait to be sent, and how many were sent or lost."""

    def __init__(self, collector: Collector) -> None:
        self.sent = 0
        self.dropped = 0
        """The collector refused them or was away, or the queue was full."""
        self._collector = collector
        self._waiting: deque[Span] = deque()
        self._has_spans = asyncio.Event()
        self._is_away = False

    def add(self, span: Span) -> None:
        """Queues a span; never waits."""
        # Never waits: a collector that is slow must not slow down requests.
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        self._waiting.append(span)
        self._has_spans.set()

    async def run(self) -> None:
        """Sends until cancelled."""
        while True:
            await self._has_spans.wait()
            # A batch for all spans of a moment: a call for each would cost as much as the request.
            await asyncio.sleep(GATHER_S)
            await self.flush()

    async def flush(self) -> None:
        """Sends what waits now."""
        self._has_spans.clear()
        # No more than what waits now: spans come while these are sent.
        for _ in range(-(-len(self._waiting) // MAX_BATCH)):
            count = min(len(self._waiting), MAX_BATCH)
            await self._send([self._waiting.popleft() for _ in range(count)])

    async def _send(self, batch: Sequence[Span]) -> None:
        try:
            refused = await self._collector.send(batch)
        except (OSError, grpc.aio.AioRpcError) as error:
            self.dropped += len(batch)
            if not self._is_away:
                logger.warning(
                    "spans are dropped: no collector", extra={"error": _error_text(error)}
                )
            self._is_away = True
            return
        self.sent += len(batch) - refused
        self.dropped += refused
        self._is_away = False


def _error_text(error: OSError | grpc.aio.AioRpcError) -> str:
    return str(error.details() if isinstance(error, grpc.aio.AioRpcError) else error)


@contextlib.asynccontextmanager
async def export_spans(
    zipkin: Address | None, otlp: Address | None, service: str
) -> AsyncIterator[Exporter | None]:
    """Sends spans in the background until the context ends; None where no collector is named.

    Args:
        zipkin: the Zipkin server, if any.
        otlp: the OpenTelemetry collector's gRPC, if any.
        service: the name of this process's service.
    """
    collector: Collector
    if zipkin:
        collector = ZipkinCollector(zipkin, service)
    elif otlp:
        collector = OtlpCollector(otlp, service)
    else:
        yield None
        return
    exporter = Exporter(collector)
    running = asyncio.create_task(exporter.run())
    try:
        yield exporter
    finally:
        # Its task has to be over before what is left is sent: both take from the same queue.
        running.cancel()
        await asyncio.wait([running])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                await exporter.flush()
        await collector.close()
