"""Envoys that do not keep up: silent, slow, or frozen with their connection open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

from ads_stream import AdsStream
from envoy_client import EnvoyClient

from hydro_envoy.xds.messages import Request, Response


class SilentClient(EnvoyClient):
    """Keeps to the protocol, but for as long as it is silent it answers nothing."""

    def __init__(self, *, incremental: bool = True) -> None:
        super().__init__(incremental=incremental)
        self.is_silent = False
        self._unanswered: list[Response] = []

    def answer(self, response: Response) -> list[Request]:
        if not self.is_silent:
            return super().answer(response)
        self._unanswered.append(response)
        return []

    def speak(self) -> list[Request]:
        """Answers what came meanwhile."""
        self.is_silent = False
        late, self._unanswered = self._unanswered, []
        return [
            request for response in late for request in super(SilentClient, self).answer(response)
        ]


class SlowStream(AdsStream):
    """Takes a while for each answer."""

    delay_s = 0.0

    async def _send(self, requests: Iterable[Request]) -> None:
        await asyncio.sleep(self.delay_s)
        await super()._send(requests)


class Relay:
    """A TCP port that leads to another; while it is frozen nothing passes and nothing ends."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._thawed = asyncio.Event()
        self._thawed.set()
        self.closed = asyncio.Event()
        """The other side has ended a connection."""
        self.port = 0

    def freeze(self) -> None:
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, far_writer))
                tasks.create_task(self._pump(far_reader, writer))
        for each in (writer, far_writer):
            each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._thawed.wait()
            content = await reader.read(65536)
            if not content:
                self.closed.set()
                writer.close()
                return
            await self._thawed.wait()
            writer.write(content)
            await writer.drain()


@contextlib.asynccontextmanager
async def relay(port: int) -> AsyncIterator[Relay]:
    found = Relay(port)
    server = await asyncio.start_server(found._serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        found.thaw()
        server.close()
