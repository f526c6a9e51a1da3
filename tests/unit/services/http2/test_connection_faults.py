"""Faults of an HTTP/2 peer: of a stream, of the connection, and what would let memory grow."""

from __future__ import annotations

import struct

import hpack
import pytest
from http2_peer import REQUEST, TRAILERS, Peer, data, fault, request, resets, uint

from hydro_services.http2 import fields, h2_frames, sending
from hydro_services.http2.connection import (
    MAX_STREAMS,
    Connection,
)
from hydro_services.http2.events import Cancelled, Opened, Received
from hydro_services.http2.h2_frames import Code, ConnectionFault


@pytest.mark.parametrize(
    "more",
    [
        pytest.param([("Upper", "x")], id="upper case"),
        pytest.param([("", "x")], id="no name"),
        pytest.param([("a b", "x")], id="a space in a name"),
        pytest.param([("a\nb", "x")], id="a line's end in a name"),
        pytest.param([("a:b", "x")], id="a colon in a name"),
        pytest.param([("a", "x\r\ny: z")], id="a line's end in a value"),
        pytest.param([("a", "x\0")], id="NUL in a value"),
        pytest.param([("a", " x")], id="a space before a value"),
        pytest.param([("connection", "close")], id="of the connection"),
        pytest.param([("te", "gzip")], id="te"),
        pytest.param([(":path", "/again")], id="a pseudo-header field twice"),
        pytest.param([(":status", "200")], id="of answers"),
        pytest.param([(":new", "x")], id="an unknown pseudo-header field"),
        pytest.param([("content-length", "x")], id="a length that is none"),
        pytest.param([("content-length", "9" * 5000)], id="a length beyond measure"),
    ],
)
def test_malformed_request_costs_its_stream_only(more: list[tuple[str, str]]) -> None:
    peer = Peer()
    assert peer.send(request(1, more=more)) == []
    assert resets(peer.frames()) == {1: Code.PROTOCOL_ERROR}
    assert peer.send(data(1, b"under way")) == []
    assert peer.frames() == []
    assert isinstance(peer.open(3)[0], Opened)


@pytest.mark.parametrize("missing", [":method", ":scheme", ":path"])
def test_request_without_a_needed_field_costs_its_stream_only(missing: str) -> None:
    peer = Peer()
    block = fields.encode_block([field for field in REQUEST if field[0] != missing])
    assert peer.send(h2_frames.headers_frames(1, block, end=True)) == []
    assert resets(peer.frames()) == {1: Code.PROTOCOL_ERROR}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([data(1, b"xx", end=True)], id="too short"),
        pytest.param([data(1, b"xx"), data(1, b"xx")], id="too long"),
        pytest.param(
            [data(1, b"xx"), h2_frames.headers_frames(1, TRAILERS, end=True)], id="cut by trailers"
        ),
    ],
)
def test_body_of_another_length_than_said_costs_its_stream(body: list[bytes]) -> None:
    peer = Peer()
    events = peer.send(request(1, more=[("content-length", "3")]), *body)
    assert events[-1] == Cancelled(1)
    assert resets(peer.frames()) == {1: Code.PROTOCOL_ERROR}


def test_body_of_the_length_that_was_said_is_fine() -> None:
    peer = Peer()
    peer.send(request(1, more=[("content-length", "3")]), data(1, b"xx"))
    assert peer.send(data(1, b"x", end=True)) == [Received(1, b"x", True)]


@pytest.mark.parametrize(
    ("piece", "code"),
    [
        pytest.param(data(1, b"x"), Code.STREAM_CLOSED, id="DATA after the end"),
        pytest.param(
            h2_frames.headers_frames(1, TRAILERS, end=True), Code.STREAM_CLOSED, id="trailers too"
        ),
        pytest.param(
            h2_frames.window_update_frame(1, 0), Code.PROTOCOL_ERROR, id="WINDOW_UPDATE of 0"
        ),
        pytest.param(
            h2_frames.window_update_frame(1, h2_frames.MAX_WINDOW),
            Code.FLOW_CONTROL_ERROR,
            id="a huge window",
        ),
        pytest.param(
            h2_frames.pack_frame(h2_frames.PRIORITY, 0, 1, struct.pack(">IB", 1, 0)),
            Code.PROTOCOL_ERROR,
            id="PRIORITY on itself",
        ),
    ],
)
def test_fault_of_a_stream_ends_that_stream(piece: bytes, code: Code) -> None:
    peer = Peer()
    peer.open(1, end=True)
    peer.open(3)
    assert peer.send(piece) == [Cancelled(1)]
    assert resets(peer.frames()) == {1: code}
    assert peer.send(data(3, b"on")) == [Received(3, b"on", False)]


def test_headers_that_depend_on_themselves_cost_their_stream_and_keep_the_table() -> None:
    peer, encoder = Peer(), hpack.Encoder()
    block = struct.pack(">IB", 1, 0) + encoder.encode(REQUEST)
    flags = h2_frames.END_HEADERS | h2_frames.PRIORITIZED
    assert peer.send(h2_frames.pack_frame(h2_frames.HEADERS, flags, 1, block)) == []
    assert resets(peer.frames()) == {1: Code.PROTOCOL_ERROR}
    again = h2_frames.headers_frames(3, encoder.encode(REQUEST), end=False)
    assert peer.send(again) == [Opened(3, dict(REQUEST), False)]


def test_stream_over_the_limit_is_refused() -> None:
    peer = Peer()
    for id in range(1, 2 * MAX_STREAMS, 2):
        peer.open(id)
    assert peer.open(2 * MAX_STREAMS + 1) == []
    assert resets(peer.frames()) == {2 * MAX_STREAMS + 1: Code.REFUSED_STREAM}


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        pytest.param([data(1)], Code.PROTOCOL_ERROR, id="DATA on an idle stream"),
        pytest.param([data(0)], Code.PROTOCOL_ERROR, id="DATA on the connection"),
        pytest.param([request(2)], Code.PROTOCOL_ERROR, id="an even stream"),
        pytest.param([request(3), request(1)], Code.STREAM_CLOSED, id="streams out of order"),
        pytest.param(
            [uint(h2_frames.RST_STREAM, 1, 8)], Code.PROTOCOL_ERROR, id="RST of an idle one"
        ),
        pytest.param(
            [h2_frames.window_update_frame(2, 1)], Code.PROTOCOL_ERROR, id="a window of one"
        ),
        pytest.param(
            [h2_frames.window_update_frame(0, 0)], Code.PROTOCOL_ERROR, id="WINDOW_UPDATE of 0"
        ),
        pytest.param(
            [h2_frames.window_update_frame(0, h2_frames.MAX_WINDOW)],
            Code.FLOW_CONTROL_ERROR,
            id="a huge window",
        ),
        pytest.param(
            [h2_frames.settings_frame({h2_frames.INITIAL_WINDOW_SIZE: 2**31})],
            Code.FLOW_CONTROL_ERROR,
            id="a huge initial window",
        ),
        pytest.param(
            [h2_frames.settings_frame({h2_frames.MAX_FRAME_SIZE: 1})],
            Code.PROTOCOL_ERROR,
            id="tiny frames",
        ),
        pytest.param(
            [h2_frames.settings_frame({h2_frames.ENABLE_PUSH: 2})],
            Code.PROTOCOL_ERROR,
            id="half a push",
        ),
        pytest.param(
            [h2_frames.pack_frame(h2_frames.SETTINGS, 0, 0, b"12345")],
            Code.FRAME_SIZE_ERROR,
            id="SETTINGS",
        ),
        pytest.param(
            [h2_frames.pack_frame(h2_frames.SETTINGS, h2_frames.ACK, 0, bytes(6))],
            Code.FRAME_SIZE_ERROR,
            id="an ACK that says something",
        ),
        pytest.param(
            [h2_frames.pack_frame(h2_frames.PING, 0, 0, b"1")], Code.FRAME_SIZE_ERROR, id="PING cut"
        ),
        pytest.param(
            [h2_frames.pack_frame(h2_frames.PING, 0, 1, bytes(8))],
            Code.PROTOCOL_ERROR,
            id="PING of a stream",
        ),
        pytest.param(
            [h2_frames.pack_frame(h2_frames.PUSH_PROMISE, 4, 1)], Code.PROTOCOL_ERROR, id="a push"
        ),
        pytest.param(
            [h2_frames.pack_frame(h2_frames.CONTINUATION, 4, 1)],
            Code.PROTOCOL_ERROR,
            id="CONTINUATION alone",
        ),
        pytest.param(
            [h2_frames.pack_frame(h2_frames.HEADERS, 0, 1, b"\x82"), data(1)],
            Code.PROTOCOL_ERROR,
            id="a block interrupted",
        ),
        pytest.param(
            [h2_frames.pack_frame(h2_frames.HEADERS, h2_frames.PADDED | 4, 1, b"\x09\x82")],
            Code.PROTOCOL_ERROR,
            id="more padding than payload",
        ),
        pytest.param(
            [h2_frames.headers_frames(1, b"\x80", end=True)], Code.COMPRESSION_ERROR, id="HPACK"
        ),
        pytest.param([b"\x00\x40\x01" + bytes(6)], Code.FRAME_SIZE_ERROR, id="a frame too large"),
    ],
)
def test_fault_of_the_connection_ends_it_with_its_code(pieces: list[bytes], code: Code) -> None:
    assert fault(Peer(), *pieces) is code


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP/1.1"),
        pytest.param(h2_frames.PREFACE + request(1), id="no SETTINGS"),
        pytest.param(
            h2_frames.PREFACE + h2_frames.pack_frame(h2_frames.SETTINGS, h2_frames.ACK, 0),
            id="an ACK",
        ),
    ],
)
def test_wrong_beginning_is_a_fault(first: bytes) -> None:
    with pytest.raises(ConnectionFault):
        Connection().receive(first)


def test_unknown_frames_and_settings_are_ignored() -> None:
    peer = Peer()
    assert (
        peer.send(
            h2_frames.pack_frame(200, 0xFF, 7, b"what"), h2_frames.settings_frame({0xFFFF: 1})
        )
        == []
    )
    assert [f[0] for f in peer.frames()] == [h2_frames.SETTINGS]


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(h2_frames.pack_frame(h2_frames.PING, 0, 0, bytes(8)), id="PING"),
        pytest.param(h2_frames.settings_frame({}), id="SETTINGS"),
        pytest.param(data(1, b"x"), id="DATA on a stream that the peer reset"),
    ],
)
def test_peer_that_makes_us_answer_and_does_not_read_is_cut_off(
    piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MAX_UNREAD", 90_000)
    peer = Peer()
    peer.open(1)
    peer.send(uint(h2_frames.RST_STREAM, 1, Code.CANCEL))
    assert fault(peer, piece * 10_002) is Code.ENHANCE_YOUR_CALM


def test_peer_that_asks_on_and_does_not_read_its_errors_is_cut_off() -> None:
    peer, id = Peer(), 1
    error = fields.encode_block([(":status", "200"), ("grpc-message", "x" * 16_000)])
    while id * 16_000 <= 2 * sending.MAX_UNREAD:
        peer.send(request(id, end=True))
        peer.connection.send_headers(id, error, end=True)
        id += 2
    assert fault(peer, request(id, end=True)) is Code.ENHANCE_YOUR_CALM


def test_peer_that_reads_may_ask_for_ever() -> None:
    peer = Peer()
    for _ in range(20):
        peer.send(h2_frames.pack_frame(h2_frames.PING, 0, 0, bytes(8)) * 1000)
        assert len(peer.frames()) == 1000


@pytest.mark.parametrize("size", [0, 1, h2_frames.MAX_FRAME])
def test_header_block_without_end_is_cut_off(size: int) -> None:
    peer = Peer()
    peer.send(h2_frames.pack_frame(h2_frames.HEADERS, 0, 1, b"\x82"))
    piece = h2_frames.pack_frame(h2_frames.CONTINUATION, 0, 1, bytes(size))
    assert fault(peer, piece * (fields.MAX_BLOCK // max(size, 1) + 1)) is Code.ENHANCE_YOUR_CALM


def test_streams_opened_and_reset_at_once_leave_nothing_behind() -> None:
    peer = Peer()
    for id in range(1, 20_000, 2):
        peer.send(request(id), uint(h2_frames.RST_STREAM, id, Code.CANCEL))
    assert len(peer.connection._streams) == len(peer.connection._sender._streams) == 0
    assert len(peer.frames()) == 0


def test_empty_data_makes_no_events() -> None:
    peer = Peer()
    peer.open(1)
    assert peer.send(data(1) * 1000) == []
