"""A gRPC client that cuts a stream's bytes into the pieces a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hydro_services.http2 import fields, h2_frames

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
    writer.write(h2_frames.PREFACE + h2_frames.settings_frame({}))
    writer.write(
        h2_frames.headers_frames(
            1, fields.encode_block([(":path", path), *_REQUEST.items()]), end=False
        )
    )
    answer = bytearray()
    try:
        for piece in pieces:
            for at in range(0, len(piece), h2_frames.MAX_FRAME):
                writer.write(
                    h2_frames.pack_frame(h2_frames.DATA, 0, 1, piece[at : at + h2_frames.MAX_FRAME])
                )
            writer.write(h2_frames.pack_frame(h2_frames.PING, 0, 0, b"received"))
            await _until(reader, h2_frames.PING, answer)
        writer.write(h2_frames.pack_frame(h2_frames.DATA, h2_frames.END_STREAM, 1))
        await _until(reader, h2_frames.HEADERS, answer)
    finally:
        writer.close()
        await writer.wait_closed()
    return bytes(answer)


async def _until(reader: asyncio.StreamReader, wanted: int, answer: bytearray) -> None:
    """Reads up to a PING, or to the HEADERS that end the stream."""
    while True:
        head = await reader.readexactly(h2_frames.HEADER.size)
        high, low, kind, flags, _ = h2_frames.HEADER.unpack(head)
        payload = await reader.readexactly(high << 8 | low)
        if kind == h2_frames.DATA:
            answer += payload
        if kind == wanted and (kind == h2_frames.PING or flags & h2_frames.END_STREAM):
            return
