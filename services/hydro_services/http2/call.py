"""One gRPC call, as its handler sees it.

Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias
from urllib.parse import quote

from hydro_services import errors, logs
from hydro_services.codecs import grpc_messages
from hydro_services.http2 import fields
from hydro_services.http2.connection import Connection
from hydro_services.http2.h2_frames import Code

HELD_BYTES = 1 << 20
"""Bytes that a call may write beyond the peer's window before it has to wait."""
_HEADERS = fields.encode_block([(":status", "200"), ("content-type", "application/grpc")])
_OK = fields.encode_block([("grpc-status", "0")])
_WRONG_METHOD = fields.encode_block([(":status", "405"), ("allow", "POST")])
_WRONG_TYPE = fields.encode_block([(":status", "415")])
_GRPC = re.compile(r"application/grpc($|[+;])")
_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])", re.ASCII)
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class Wire(Protocol):
    """The connection that a call came by."""

    connection: Connection
    paused: bool
    """The socket takes no more for now."""

    def flush_soon(self) -> None:
        """Sends what has gathered, at the end of this turn of the event loop."""
        ...


class Call:
    """Reads the bytes of messages as they come, and writes the bytes of messages."""

    def __init__(self, wire: Wire, stream: int, metadata: Mapping[str, str]) -> None:
        self.metadata = metadata
        """The request's header fields, `:path` among them."""
        self.errors_reset = False
        """An error after the first bytes of the answer resets the stream.

        HTTP clients see no trailers, and would take a part of the answer for all of it.
        """
        self._wire = wire
        self._stream = stream
        self._arrived = bytearray()
        self._ended = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._begun = False

    async def read(self) -> bytes:
        """All bytes that have come since the last time; none once the client has sent all."""
        if not self._arrived and not self._ended:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        data = bytes(self._arrived)
        self._arrived.clear()
        # Only what a handler has taken is granted again: this is the back pressure. A slow model
        # slows down Envoy, and Envoy its client, and nothing gathers in between.
        if data:
            self._wire.connection.grant(self._stream, len(data))
            self._wire.flush_soon()
        return data

    @property
    def ended(self) -> bool:
        """The client has sent all, and all of it has been read."""
        return self._ended and not self._arrived

    async def write(self, data: bytes) -> None:
        """Sends bytes of framed messages; waits while the peer is too slow to take them.

        No bytes send nothing, not even headers: what has not begun can be run again elsewhere.
        """
        if not data:
            return
        # Before the headers: what has not begun can be tried again, and a peer that reads nothing
        # is no reason to begin.
        if self._wire.paused:
            await self._wait_for_room(HELD_BYTES)
        if not self._begun:
            self._begun = True
            self._wire.connection.send_headers(self._stream, _HEADERS)
        # Headers leave with the first data, in one packet.
        held = self._wire.connection.send_data(self._stream, data)
        self._wire.flush_soon()
        if self._wire.connection.unsent_bytes > HELD_BYTES:
            await asyncio.sleep(0)  # Or a handler that never waits would fill the memory.
        # Below this the handler goes on and prepares the next piece while the peer reads this one.
        if held > HELD_BYTES:
            await self._wait_for_room(HELD_BYTES)

    async def finish(self, error: errors.HydroError | None = None) -> None:
        """Ends the call, with OK or with the error, and waits until the peer has taken all."""
        # Part of the answer is with the client. Over HTTP/1.1 Envoy can only tell that it is
        # incomplete by an end without an end: trailers would be dropped.
        if error is not None and self._begun and self.errors_reset:
            await self._break_off()
            return
        block = (
            _OK
            if error is None
            else fields.encode_block(error_trailers(error, logs.REQUEST_ID.get()))
        )
        if self._begun:
            self._wire.connection.send_trailers(self._stream, block)
        else:
            # gRPC's Trailers-Only: one HEADERS frame is the whole answer.
            self._wire.connection.send_headers(self._stream, _HEADERS + block, end=True)
        self._wire.flush_soon()
        # The call counts as under way until the peer has all of it, or a drain would cut its end
        # off.
        if self._wire.connection.held_bytes(self._stream):
            await self._wait_for_room(0)

    async def _break_off(self) -> None:
        """Ends the call without an end; what was written before reaches the peer."""
        # RST_STREAM drops what the connection still holds back: what was written first has to
        # leave.
        await self._wait_for_room(0)
        self._wire.connection.reset_stream(self._stream, Code.INTERNAL_ERROR)
        self._wire.flush_soon()

    def refuse(self, block: bytes) -> None:
        """Ends what is not a gRPC call with these header fields."""
        self._wire.connection.send_headers(self._stream, block, end=True)
        self._wire.flush_soon()

    async def _wait_for_room(self, held: int) -> None:
        """Waits until at most `held` bytes are held back and the socket takes more."""
        # In a loop: a wake-up says that there may be room, and another call may have taken it
        # meanwhile.
        while self._wire.paused or self._wire.connection.held_bytes(self._stream) > held:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer

    def on_data(self, data: bytes, ended: bool) -> None:
        """Called by the wire."""
        self._arrived += data
        self._ended = self._ended or ended
        _wake_up(self._reader)

    def on_writable(self) -> None:
        """Called by the wire: it may take more."""
        _wake_up(self._writer)


Handler: TypeAlias = Callable[[Call], Awaitable[None]]


def _wake_up(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def refusal_block(metadata: Mapping[str, str]) -> bytes | None:
    """The answer to a request that is HTTP but not gRPC; None: it is gRPC."""
    if metadata[":method"] != "POST":
        return _WRONG_METHOD
    return None if _GRPC.match(metadata.get("content-type", "")) else _WRONG_TYPE


def parse_timeout(metadata: Mapping[str, str]) -> float | None:
    """The call's deadline in seconds from now, if it has one.

    Raises:
        errors.InvalidArgument: it cannot be read.
    """
    text = metadata.get("grpc-timeout")
    if text is None:
        return None
    if not (match := _TIMEOUT.fullmatch(text)):
        want = "want up to 8 digits and one of H, M, S, m, u, n"
        raise errors.InvalidArgument(f"got grpc-timeout '{text[:20]}', {want}")
    return int(match[1]) * _SECONDS[match[2]]


def error_trailers(error: errors.HydroError, request_id: str) -> list[fields.Field]:
    """An error as trailers of gRPC: code, message, and google.rpc.Status."""
    status = errors.call_status(error, request_id)
    accepted = [grpc_messages.ACCEPTED] if isinstance(error, errors.Compressed) else []
    return [
        *accepted,
        ("grpc-status", str(status.code)),
        # Percent-encoded but for printable ASCII, as gRPC's protocol over HTTP/2 defines Status-
        # Message.
        ("grpc-message", quote(status.message, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~")),
        ("grpc-status-details-bin", base64.b64encode(status.SerializeToString()).decode()),
    ]
