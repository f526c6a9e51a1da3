"""HTTP/2 frames as bytes. Source: RFC 9113, sections 4 and 6."""

from __future__ import annotations

import enum
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER = struct.Struct(">HBBBI")
"""Length (16 high bits, 8 low bits), type, flags, stream."""
MAX_FRAME = 16_384
"""Bytes of payload that we accept, and send at most."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 4, 5, 6
MAX_WINDOW = MAX_ID = 2**31 - 1
DEFAULT_WINDOW = 65_535
"""Of each stream and of the connection until the peer sets another."""


class Code(enum.IntEnum):
    """Error codes. Source: RFC 9113, section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionFault(Exception):
    """The peer broke the rules: the connection ends with this code."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def pack_frame(type: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame; the payload is at most MAX_FRAME long."""
    return pack_header(type, flags, stream, len(payload)) + payload


def settings_frame(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    payload = b"".join(struct.pack(">HI", key, value) for key, value in values.items())
    return pack_frame(SETTINGS, 0, 0, payload)


def window_update_frame(stream: int, size: int) -> bytes:
    """A WINDOW_UPDATE frame; stream 0 is the connection."""
    return pack_frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size))


def reset_frame(stream: int, code: Code) -> bytes:
    """An RST_STREAM frame."""
    return pack_frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def goaway_frame(last: int, code: Code, text: str = "") -> bytes:
    """A GOAWAY frame."""
    return pack_frame(GOAWAY, 0, 0, struct.pack(">II", last, code) + text.encode())


def pack_header(type: int, flags: int, stream: int, size: int) -> bytes:
    """A frame's header, for a payload of `size` bytes that follows by itself."""
    return HEADER.pack(size >> 8, size & 0xFF, type, flags, stream)


def headers_frames(stream: int, block: bytes, *, end: bool) -> bytes:
    """A header block as HEADERS and, where it is long, CONTINUATION frames."""
    if len(block) <= MAX_FRAME:
        return pack_frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)
    pieces = [block[at : at + MAX_FRAME] for at in range(0, len(block), MAX_FRAME)]
    frames = []
    for i, piece in enumerate(pieces):
        # END_STREAM belongs to HEADERS even where CONTINUATION frames follow: RFC 9113, 6.2.
        flags = (END_STREAM if end and i == 0 else 0) | (END_HEADERS if i == len(pieces) - 1 else 0)
        frames.append(pack_frame(HEADERS if i == 0 else CONTINUATION, flags, stream, piece))
    return b"".join(frames)


def strip_padding(flags: int, payload: bytes) -> bytes:
    """The payload of a DATA or HEADERS frame without padding.

    Raises:
        ConnectionFault: there is more padding than payload.
    """
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(Code.PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]


class FrameCutter:
    """Cuts bytes into frames; holds at most one that is not complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._preface = True

    def feed(self, data: bytes) -> list[tuple[int, int, int, bytes]]:
        """Type, flags, stream and payload of the frames that these bytes complete.

        Raises:
            ConnectionFault: they do not begin with the preface, or a frame is too large.
        """
        if self._rest:
            data = self._rest + data
        at = self._start(data) if self._preface else 0
        end = 0 if self._preface else len(data)
        h2_frames = []
        # A frame's header has 9 bytes: 3 of length, which `struct` has no code for, so 2 and 1,
        # then type, flags and stream.
        while at + 9 <= end:
            high, low, type, flags, stream = HEADER.unpack_from(data, at)
            size = high << 8 | low
            if size > MAX_FRAME:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"got a frame of {size} bytes")
            if at + 9 + size > end:
                break
            h2_frames.append((type, flags, stream & MAX_ID, data[at + 9 : at + 9 + size]))
            at += 9 + size
        self._rest = data[at:]
        return h2_frames

    def _start(self, data: bytes) -> int:
        size = len(PREFACE)
        if not PREFACE.startswith(data[:size]):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "want HTTP/2 with prior knowledge")
        self._preface = len(data) < size
        return 0 if self._preface else size
