"""A gRPC client that cuts a stream's bytes into the pieces a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hydro_services.http2 import fields, frames

_REQUEST = {
    ":method": "POST",
    ":scheme": "http",
    ":authority": "test",
    "content-type": "application/grpc",
    "te": "trailers",
}


async def call(host: str, port: int, path: str, pieces: Sequence[bytes]) -> bytes:
    """The bytes of the answer's messages; each piece is sent when the one before was read."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(frames.PREFACE + frames.settings({}))
    writer.write(frames.headers(1, fields.encode([(":path", path), *_REQUEST.items()]), end=False))
    answer = bytearray()
    try:
        for piece in pieces:
            for at in range(0, len(piece), frames.MAX_FRAME):
                writer.write(frames.frame(frames.DATA, 0, 1, piece[at : at + frames.MAX_FRAME]))
            writer.write(frames.frame(frames.PING, 0, 0, b"received"))
            await _until(reader, frames.PING, answer)
        writer.write(frames.frame(frames.DATA, frames.END_STREAM, 1))
        await _until(reader, frames.HEADERS, answer)
    finally:
        writer.close()
        await writer.wait_closed()
    return bytes(answer)


async def _until(reader: asyncio.StreamReader, wanted: int, answer: bytearray) -> None:
    """Reads up to a PING, or to the HEADERS that end the stream."""
    while True:
        head = await reader.readexactly(frames.HEADER.size)
        high, low, kind, flags, _ = frames.HEADER.unpack(head)
        payload = await reader.readexactly(high << 8 | low)
        if kind == frames.DATA:
            answer += payload
        if kind == wanted and (kind == frames.PING or flags & frames.END_STREAM):
            return
