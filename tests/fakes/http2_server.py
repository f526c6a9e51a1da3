"""Our HTTP/2 server with small handlers, gRPC's own client, and a client of bare frames."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import grpc.aio
from patience import PATIENCE_S

from hydro_services import http2
from hydro_services.codecs.grpc_messages import MessageCutter, prefix_message
from hydro_services.http2 import fields, h2_frames

ECHO = "/test.Echo/Call"
BIG = bytes(range(256)) * (20 << 12)
"""20 MiB."""
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
)
REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", ECHO),
    ("content-type", "application/grpc"),
]


async def echo(call: http2.Call) -> None:
    messages = MessageCutter(64 << 20)
    while not call.ended:
        await call.write(b"".join(map(prefix_message, messages.feed(await call.read()))))
    messages.end()


class Held:
    """A handler that waits until it is let go, and knows what became of its calls."""

    def __init__(self) -> None:
        self.begun = self.cancelled = self.finished = 0
        self.go = asyncio.Event()

    async def __call__(self, call: http2.Call) -> None:
        self.begun += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        await call.write(prefix_message(b"done"))
        self.finished += 1


def raises(error: Exception) -> http2.Handler:
    async def handler(call: http2.Call) -> None:
        raise error

    return handler


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110  # what is waited for is in another layer
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def channel(
    handler: http2.Handler = echo, *options: tuple[str, int]
) -> AsyncIterator[grpc.aio.Channel]:
    async with (
        http2.serve("127.0.0.1", 0, {ECHO: handler}, grace_s=0.1) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", (*OPTIONS, *options)) as target,
    ):
        yield target


def unary(
    target: grpc.aio.Channel, path: str = ECHO
) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    return target.unary_unary(path)


def stream(target: grpc.aio.Channel) -> grpc.aio.StreamStreamMultiCallable[bytes, bytes]:
    return target.stream_stream(ECHO)


async def until_at_least(number: Callable[[], int], limit: int) -> None:
    await until(lambda: number() >= limit)


async def result_of(call: Awaitable[bytes]) -> bytes | str:
    try:
        return await call
    except asyncio.CancelledError:
        return "CANCELLED"
    except grpc.aio.AioRpcError as error:
        return error.code().name


class Raw:
    """A socket that speaks just enough of HTTP/2."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *pieces: bytes) -> None:
        self.writer.write(b"".join(pieces))

    async def frame(self) -> tuple[int, int, int, bytes]:
        header = await self.reader.readexactly(9)
        high, low, type, flags, id = h2_frames.HEADER.unpack(header)
        return type, flags, id, await self.reader.readexactly(high << 8 | low)

    async def until(self, wanted: int) -> tuple[int, int, int, bytes]:
        async with asyncio.timeout(PATIENCE_S):
            while (found := await self.frame())[0] != wanted:
                pass
            return found

    async def of(self, stream: int) -> tuple[int, int, int, bytes]:
        async with asyncio.timeout(PATIENCE_S):
            while (found := await self.frame())[2] != stream:
                pass
            return found


@contextlib.asynccontextmanager
async def raw(
    handler: http2.Handler = echo, settings: dict[int, int] | None = None
) -> AsyncIterator[Raw]:
    async with http2.serve("127.0.0.1", 0, {ECHO: handler}, grace_s=0.1) as port:
        peer = Raw(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 16))
        peer.send(h2_frames.PREFACE, h2_frames.settings_frame(settings or {}))
        try:
            yield peer
        finally:
            peer.writer.close()
            with contextlib.suppress(ConnectionError):
                await peer.writer.wait_closed()


def request(id: int, *more: tuple[str, str], end: bool = False) -> bytes:
    found = dict([*REQUEST, *more])
    return h2_frames.headers_frames(id, fields.encode_block(found.items()), end=end)


async def status(peer: Raw) -> str:
    while not (found := await peer.until(h2_frames.HEADERS))[1] & h2_frames.END_STREAM:
        pass
    return dict(fields.HpackDecoder().decode(found[3]))["grpc-status"]
