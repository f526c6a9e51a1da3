"""The other end of an HTTP/2 connection, without a network."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import hpack
import pytest

from hydro_services.http2 import fields, h2_frames
from hydro_services.http2.connection import (
    STREAM_WINDOW,
    Connection,
)
from hydro_services.http2.events import Event
from hydro_services.http2.h2_frames import Code, ConnectionFault

REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a.B/C"),
    (":authority", "test"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
ANSWER = fields.encode_block([(":status", "200")])
TRAILERS = fields.encode_block([("grpc-status", "0")])
Frame = tuple[int, int, int, bytes]


def request(id: int, *, end: bool = False, more: Sequence[tuple[str, str]] = ()) -> bytes:
    return h2_frames.headers_frames(id, fields.encode_block([*REQUEST, *more]), end=end)


def data(id: int, payload: bytes = b"", *, end: bool = False) -> bytes:
    return h2_frames.pack_frame(h2_frames.DATA, h2_frames.END_STREAM if end else 0, id, payload)


def uint(type: int, id: int, value: int) -> bytes:
    return h2_frames.pack_frame(type, 0, id, struct.pack(">I", value))


class Peer:
    """A client that reads what the server sends and fails the test where it breaks a rule."""

    def __init__(self, window: int = h2_frames.DEFAULT_WINDOW, limit: int = 0) -> None:
        self.connection = Connection()
        self.decoder = hpack.Decoder()
        self.window = h2_frames.DEFAULT_WINDOW + limit
        self.initial = window
        self.windows: dict[int, int] = {}
        self.ended: set[int] = set()
        self.bodies: dict[int, bytes] = {}
        self.credit: dict[int, int] = {0: h2_frames.DEFAULT_WINDOW}
        self.send(
            h2_frames.PREFACE + h2_frames.settings_frame({h2_frames.INITIAL_WINDOW_SIZE: window})
        )
        if limit:
            self.send(h2_frames.window_update_frame(0, limit))
        self.frames()

    def send(self, *pieces: bytes) -> list[Event]:
        return self.connection.receive(b"".join(pieces))

    def open(self, id: int, *, end: bool = False) -> list[Event]:
        self.windows[id] = self.initial
        return self.send(request(id, end=end))

    def grant(self, id: int, size: int) -> list[Event]:
        if id:
            self.windows[id] += size
        else:
            self.window += size
        return self.send(h2_frames.window_update_frame(id, size))

    def frames(self) -> list[Frame]:
        """What the server has sent since the last time."""
        output, at, found = self.connection.take_output(), 0, []
        while at < len(output):
            high, low, type, flags, id = h2_frames.HEADER.unpack_from(output, at)
            end = at + 9 + (high << 8 | low)
            found.append((type, flags, id, output[at + 9 : end]))
            at = end
            self._check(*found[-1])
        assert at == len(output)
        return found

    def _check(self, type: int, flags: int, id: int, payload: bytes) -> None:
        assert len(payload) <= h2_frames.MAX_FRAME
        if type in (h2_frames.DATA, h2_frames.HEADERS):
            assert id not in self.ended, "a frame after the end"
        if type == h2_frames.DATA:
            self.window -= len(payload)
            self.windows[id] -= len(payload)
            assert self.window >= 0, "more than the connection's window"
            assert self.windows[id] >= 0, "more than the stream's window"
            self.bodies[id] = self.bodies.get(id, b"") + payload
        if type == h2_frames.HEADERS:
            self.decoder.decode(payload)
        if type == h2_frames.RST_STREAM or (
            type == h2_frames.HEADERS and flags & h2_frames.END_STREAM
        ):
            self.ended.add(id)
        if type == h2_frames.WINDOW_UPDATE:
            size = struct.unpack(">I", payload)[0]
            assert size
            self.credit[id] = self.credit.get(id, STREAM_WINDOW) + size


def resets(found: Sequence[Frame]) -> dict[int, int]:
    return {id: struct.unpack(">I", p)[0] for t, _, id, p in found if t == h2_frames.RST_STREAM}


def fault(peer: Peer, *pieces: bytes) -> Code:
    """The code of the GOAWAY that these bytes bring about."""
    with pytest.raises(ConnectionFault) as caught:
        peer.send(*pieces)
    type, _, _, payload = peer.frames()[-1]
    assert type == h2_frames.GOAWAY
    assert struct.unpack(">II", payload[:8])[1] == caught.value.code
    return caught.value.code
