"""What control frames hold, and which sizes and streams they may have. Source: RFC 9113, 6."""

from __future__ import annotations

import struct

from hydro_services.http2 import h2_frames
from hydro_services.http2.h2_frames import Code, ConnectionFault

_UINT = struct.Struct(">I")


def parse_settings(flags: int, id: int, payload: bytes) -> dict[int, int] | None:
    """The settings by their number, the last one of each; None for an acknowledgement.

    Raises:
        ConnectionFault: the frame or a setting is not right.
    """
    is_ack = bool(flags & h2_frames.ACK)
    if id or len(payload) % 6 or (is_ack and payload):
        code = Code.PROTOCOL_ERROR if id else Code.FRAME_SIZE_ERROR
        raise ConnectionFault(code, "SETTINGS of a wrong size or of a stream")
    if is_ack:
        return None
    pairs = list(struct.iter_unpack(">HI", payload))
    for key, value in pairs:  # also those that a later one of the frame overrides
        _check_setting(key, value)
    return dict(pairs)


def _check_setting(key: int, value: int) -> None:
    if key == h2_frames.ENABLE_PUSH and value > 1:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1")
    if key == h2_frames.MAX_FRAME_SIZE and not h2_frames.MAX_FRAME <= value < 2**24:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of range")
    if key == h2_frames.INITIAL_WINDOW_SIZE and value > h2_frames.MAX_WINDOW:
        raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is too large")


def check_ping(id: int, payload: bytes) -> None:
    """Raises ConnectionFault where a PING is of a stream or not of 8 bytes."""
    if id or len(payload) != 8:
        code = Code.PROTOCOL_ERROR if id else Code.FRAME_SIZE_ERROR
        raise ConnectionFault(code, "PING of a wrong size or of a stream")


def parse_window_update(payload: bytes) -> int:
    """The bytes that the window grows by; what 0 means depends on whose window it is.

    Raises:
        ConnectionFault: the frame is not of 4 bytes.
    """
    if len(payload) != 4:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE has 4 bytes")
    size: int = _UINT.unpack(payload)[0]
    return size & h2_frames.MAX_WINDOW  # the highest bit is reserved


def parse_dependency(payload: bytes) -> int:
    """The stream that a stream depends on, of PRIORITY or at the beginning of HEADERS.

    Raises:
        ConnectionFault: HEADERS are cut short.
    """
    if len(payload) < 5:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "HEADERS are cut short")
    stream: int = _UINT.unpack_from(payload)[0]
    return stream & h2_frames.MAX_ID  # the highest bit says that it is the only one


def check_size(id: int, payload: bytes, size: int) -> None:
    """Raises ConnectionFault where a frame is of another size or of no stream."""
    if len(payload) != size:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"got {len(payload)} bytes, want {size}")
    if not id:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "the frame is of a stream")
