"""The server's side of a connection against a peer that checks the rules itself."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_services.http2 import fields, frames, receiving, sending
from hydro_services.http2.connection import (
    CONNECTION_WINDOW,
    MAX_STREAMS,
    STREAM_WINDOW,
    Connection,
)
from hydro_services.http2.events import Cancelled, Event, Opened, Received, Writable
from hydro_services.http2.frames import Code, ConnectionFault

REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a.B/C"),
    (":authority", "test"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
ANSWER = fields.encode([(":status", "200")])
TRAILERS = fields.encode([("grpc-status", "0")])
Frame = tuple[int, int, int, bytes]


def request(id: int, *, end: bool = False, more: Sequence[tuple[str, str]] = ()) -> bytes:
    return frames.headers(id, fields.encode([*REQUEST, *more]), end=end)


def data(id: int, payload: bytes = b"", *, end: bool = False) -> bytes:
    return frames.frame(frames.DATA, frames.END_STREAM if end else 0, id, payload)


def uint(type: int, id: int, value: int) -> bytes:
    return frames.frame(type, 0, id, struct.pack(">I", value))


class Peer:
    """A client that reads what the server sends and fails the test where it breaks a rule."""

    def __init__(self, window: int = frames.DEFAULT_WINDOW, limit: int = 0) -> None:
        self.connection = Connection()
        self.decoder = hpack.Decoder()
        self.window = frames.DEFAULT_WINDOW + limit
        self.initial = window
        self.windows: dict[int, int] = {}
        self.ended: set[int] = set()
        self.bodies: dict[int, bytes] = {}
        self.credit: dict[int, int] = {0: frames.DEFAULT_WINDOW}
        self.send(frames.PREFACE + frames.settings({frames.INITIAL_WINDOW_SIZE: window}))
        if limit:
            self.send(frames.window_update(0, limit))
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
        return self.send(frames.window_update(id, size))

    def frames(self) -> list[Frame]:
        """What the server has sent since the last time."""
        output, at, found = self.connection.output(), 0, []
        while at < len(output):
            high, low, type, flags, id = frames.HEADER.unpack_from(output, at)
            end = at + 9 + (high << 8 | low)
            found.append((type, flags, id, output[at + 9 : end]))
            at = end
            self._check(*found[-1])
        assert at == len(output)
        return found

    def _check(self, type: int, flags: int, id: int, payload: bytes) -> None:
        assert len(payload) <= frames.MAX_FRAME
        if type in (frames.DATA, frames.HEADERS):
            assert id not in self.ended, "a frame after the end"
        if type == frames.DATA:
            self.window -= len(payload)
            self.windows[id] -= len(payload)
            assert self.window >= 0, "more than the connection's window"
            assert self.windows[id] >= 0, "more than the stream's window"
            self.bodies[id] = self.bodies.get(id, b"") + payload
        if type == frames.HEADERS:
            self.decoder.decode(payload)
        if type == frames.RST_STREAM or (type == frames.HEADERS and flags & frames.END_STREAM):
            self.ended.add(id)
        if type == frames.WINDOW_UPDATE:
            size = struct.unpack(">I", payload)[0]
            assert size
            self.credit[id] = self.credit.get(id, STREAM_WINDOW) + size


def resets(found: Sequence[Frame]) -> dict[int, int]:
    return {id: struct.unpack(">I", p)[0] for t, _, id, p in found if t == frames.RST_STREAM}


def fault(peer: Peer, *pieces: bytes) -> Code:
    """The code of the GOAWAY that these bytes bring about."""
    with pytest.raises(ConnectionFault) as caught:
        peer.send(*pieces)
    type, _, _, payload = peer.frames()[-1]
    assert type == frames.GOAWAY
    assert struct.unpack(">II", payload[:8])[1] == caught.value.code
    return caught.value.code


def test_call_comes_in_and_its_answer_goes_out() -> None:
    peer = Peer()
    (opened,) = peer.open(1)
    assert opened == Opened(1, dict(REQUEST), False)
    assert peer.send(data(1, b"ask", end=True)) == [Received(1, b"ask", True)]
    peer.connection.send_headers(1, ANSWER)
    assert peer.connection.send_data(1, b"answer") == 0
    peer.connection.send_trailers(1, TRAILERS)
    assert [f[0] for f in peer.frames()] == [frames.HEADERS, frames.DATA, frames.HEADERS]
    assert peer.bodies[1] == b"answer"
    assert 1 in peer.ended


def test_answer_before_the_request_is_whole_refuses_the_rest_without_an_error() -> None:
    peer = Peer()
    peer.open(1)
    peer.connection.send_headers(1, ANSWER, end=True)
    assert resets(peer.frames()) == {1: Code.NO_ERROR}
    # What was under way by then is ignored, whatever it is, and costs the connection nothing.
    assert peer.send(data(1, b"late"), frames.headers(1, TRAILERS, end=True)) == []
    assert peer.frames() == []


def test_trailers_end_a_request() -> None:
    peer = Peer()
    peer.open(1)
    assert peer.send(frames.headers(1, TRAILERS, end=True)) == [Received(1, b"", True)]


def test_block_in_many_pieces_is_one() -> None:
    peer = Peer()
    block = fields.encode([*REQUEST, ("x", "v" * 40_000)])
    assert isinstance(peer.send(frames.headers(1, block, end=True))[0], Opened)
    long = fields.encode([(":status", "200"), ("x", "v" * 40_000)])
    peer.connection.send_headers(1, long, end=True)
    found = peer.connection.output()
    flags = [found[at + 4] for at in (0, 9 + frames.MAX_FRAME, 2 * (9 + frames.MAX_FRAME))]
    assert flags == [frames.END_STREAM, 0, frames.END_HEADERS]


def test_padding_is_taken_off_and_granted_again() -> None:
    peer = Peer()
    peer.open(1)
    piece = frames.frame(frames.DATA, frames.PADDED, 1, bytes([200]) + b"x" * 10 + bytes(200))
    for _ in range(2000):
        assert peer.send(piece) == [Received(1, b"x" * 10, False)]
        peer.connection.consumed(1, 10)
    peer.frames()
    assert peer.credit[1] > 2000 * 211


def test_reset_cancels_and_later_frames_of_it_are_faults_of_the_stream() -> None:
    peer = Peer()
    peer.open(1)
    assert peer.send(uint(frames.RST_STREAM, 1, Code.CANCEL)) == [Cancelled(1)]
    assert peer.connection.send_data(1, b"nobody") == 0
    assert peer.send(data(1, b"late")) == []
    assert resets(peer.frames()) == {1: Code.STREAM_CLOSED}


def test_last_possible_stream_is_served() -> None:
    peer = Peer()
    assert isinstance(peer.open(frames.MAX_ID, end=True)[0], Opened)
    assert fault(peer, request(1)) is Code.STREAM_CLOSED


# Flow control


def test_what_does_not_fit_waits_and_leaves_in_order_with_the_end_last() -> None:
    peer = Peer(window=10)
    peer.open(1, end=True)
    peer.connection.send_headers(1, ANSWER)
    assert peer.connection.send_data(1, b"0123456789abc") == 3
    assert peer.connection.send_data(1, b"def") == 6
    peer.connection.send_trailers(1, TRAILERS)
    peer.frames()
    assert 1 not in peer.ended
    assert peer.grant(1, 4) == [Writable(1)]
    assert peer.connection.held(1) == 2
    assert peer.grant(1, 100) == [Writable(1)]
    assert peer.connection.held(1) == 0
    peer.frames()
    assert peer.bodies[1] == b"0123456789abcdef"
    assert 1 in peer.ended


def test_window_made_smaller_below_zero_holds_all_back() -> None:
    peer = Peer(window=10)
    peer.open(1, end=True)
    peer.connection.send_data(1, b"x" * 20)
    peer.frames()
    peer.windows[1] -= 10
    assert peer.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 0})) == []
    assert peer.grant(1, 10) == []
    assert peer.grant(1, 1) == [Writable(1)]
    peer.frames()
    assert len(peer.bodies[1]) == 11
    peer.windows[1] += 50
    assert peer.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 50})) == [Writable(1)]
    peer.frames()
    assert len(peer.bodies[1]) == 20


def test_connections_window_is_shared_out_in_turn() -> None:
    peer = Peer(window=frames.MAX_WINDOW)
    for id in (1, 3, 5):
        peer.open(id, end=True)
        peer.connection.send_data(id, b"x" * 60_000)
    peer.frames()
    assert [peer.connection.held(id) for id in (1, 3, 5)] == [0, 54_465, 60_000]
    peer.grant(0, 54_465 + 1)
    peer.frames()
    assert [peer.connection.held(id) for id in (1, 3, 5)] == [0, 0, 59_999]


@given(
    st.integers(0, 70_000),
    st.lists(st.tuples(st.sampled_from([1, 3]), st.integers(1, 40_000)), max_size=8),
    st.lists(st.tuples(st.sampled_from([0, 1, 3]), st.integers(1, 30_000)), max_size=20),
)
def test_no_window_is_ever_exceeded_and_no_byte_lost(
    window: int, writes: list[tuple[int, int]], grants: list[tuple[int, int]]
) -> None:
    peer = Peer(window)
    wanted = {1: b"", 3: b""}
    for id in wanted:
        peer.open(id, end=True)
    for i, (id, size) in enumerate(writes):
        wanted[id] += bytes([i]) * size
        peer.connection.send_data(id, bytes([i]) * size)
        peer.frames()
    for id, size in grants:
        peer.grant(id, size)
        peer.frames()
    for id, body in wanted.items():
        sent = peer.bodies.get(id, b"")
        assert body.startswith(sent)
        assert len(body) - len(sent) == peer.connection.held(id)
        assert not peer.connection.held(id) or not (peer.windows[id] and peer.window)


def test_reader_that_is_slow_stops_the_sender_and_reading_lets_it_go_on() -> None:
    peer = Peer()
    peer.open(1)
    for _ in range(STREAM_WINDOW // frames.MAX_FRAME):
        peer.send(data(1, bytes(frames.MAX_FRAME)))
    peer.frames()
    assert 1 not in peer.credit
    peer.connection.consumed(1, STREAM_WINDOW // 2)
    peer.frames()
    assert peer.credit[1] == STREAM_WINDOW + STREAM_WINDOW // 2


def test_sender_beyond_its_window_loses_the_stream_only() -> None:
    peer = Peer()
    peer.open(1)
    events: list[Event] = []
    for _ in range(STREAM_WINDOW // frames.MAX_FRAME + 1):
        events += peer.send(data(1, bytes(frames.MAX_FRAME)))
    assert events[-1] == Cancelled(1)
    assert resets(peer.frames()) == {1: Code.FLOW_CONTROL_ERROR}


@pytest.mark.parametrize("how", ["the peer resets", "we answer early", "we reset"])
def test_bytes_that_nobody_read_are_granted_again_when_their_stream_ends(how: str) -> None:
    peer = Peer()
    sent = 0
    for id in range(1, 4 * MAX_STREAMS, 2):
        peer.open(id)
        for _ in range(4):
            peer.send(data(id, bytes(frames.MAX_FRAME)))
            sent += frames.MAX_FRAME
        match how:
            case "the peer resets":
                peer.send(uint(frames.RST_STREAM, id, Code.CANCEL))
            case "we answer early":
                peer.connection.send_headers(id, ANSWER, end=True)
            case _:
                peer.connection.reset(id, Code.CANCEL)
        peer.connection.consumed(id, frames.MAX_FRAME)
    peer.frames()
    assert peer.credit[0] - sent >= CONNECTION_WINDOW // 2


def test_calls_that_nobody_reads_leave_room_for_others() -> None:
    assert MAX_STREAMS * STREAM_WINDOW <= CONNECTION_WINDOW


# Faults of a stream


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
    block = fields.encode([field for field in REQUEST if field[0] != missing])
    assert peer.send(frames.headers(1, block, end=True)) == []
    assert resets(peer.frames()) == {1: Code.PROTOCOL_ERROR}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([data(1, b"xx", end=True)], id="too short"),
        pytest.param([data(1, b"xx"), data(1, b"xx")], id="too long"),
        pytest.param([data(1, b"xx"), frames.headers(1, TRAILERS, end=True)], id="cut by trailers"),
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
        pytest.param(frames.headers(1, TRAILERS, end=True), Code.STREAM_CLOSED, id="trailers too"),
        pytest.param(frames.window_update(1, 0), Code.PROTOCOL_ERROR, id="WINDOW_UPDATE of 0"),
        pytest.param(
            frames.window_update(1, frames.MAX_WINDOW), Code.FLOW_CONTROL_ERROR, id="a huge window"
        ),
        pytest.param(
            frames.frame(frames.PRIORITY, 0, 1, struct.pack(">IB", 1, 0)),
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
    flags = frames.END_HEADERS | frames.PRIORITIZED
    assert peer.send(frames.frame(frames.HEADERS, flags, 1, block)) == []
    assert resets(peer.frames()) == {1: Code.PROTOCOL_ERROR}
    again = frames.headers(3, encoder.encode(REQUEST), end=False)
    assert peer.send(again) == [Opened(3, dict(REQUEST), False)]


def test_stream_over_the_limit_is_refused() -> None:
    peer = Peer()
    for id in range(1, 2 * MAX_STREAMS, 2):
        peer.open(id)
    assert peer.open(2 * MAX_STREAMS + 1) == []
    assert resets(peer.frames()) == {2 * MAX_STREAMS + 1: Code.REFUSED_STREAM}


# Faults of the connection


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        pytest.param([data(1)], Code.PROTOCOL_ERROR, id="DATA on an idle stream"),
        pytest.param([data(0)], Code.PROTOCOL_ERROR, id="DATA on the connection"),
        pytest.param([request(2)], Code.PROTOCOL_ERROR, id="an even stream"),
        pytest.param([request(3), request(1)], Code.STREAM_CLOSED, id="streams out of order"),
        pytest.param([uint(frames.RST_STREAM, 1, 8)], Code.PROTOCOL_ERROR, id="RST of an idle one"),
        pytest.param([frames.window_update(2, 1)], Code.PROTOCOL_ERROR, id="a window of one"),
        pytest.param([frames.window_update(0, 0)], Code.PROTOCOL_ERROR, id="WINDOW_UPDATE of 0"),
        pytest.param(
            [frames.window_update(0, frames.MAX_WINDOW)],
            Code.FLOW_CONTROL_ERROR,
            id="a huge window",
        ),
        pytest.param(
            [frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31})],
            Code.FLOW_CONTROL_ERROR,
            id="a huge initial window",
        ),
        pytest.param(
            [frames.settings({frames.MAX_FRAME_SIZE: 1})], Code.PROTOCOL_ERROR, id="tiny frames"
        ),
        pytest.param(
            [frames.settings({frames.ENABLE_PUSH: 2})], Code.PROTOCOL_ERROR, id="half a push"
        ),
        pytest.param(
            [frames.frame(frames.SETTINGS, 0, 0, b"12345")],
            Code.FRAME_SIZE_ERROR,
            id="SETTINGS",
        ),
        pytest.param(
            [frames.frame(frames.SETTINGS, frames.ACK, 0, bytes(6))],
            Code.FRAME_SIZE_ERROR,
            id="an ACK that says something",
        ),
        pytest.param([frames.frame(frames.PING, 0, 0, b"1")], Code.FRAME_SIZE_ERROR, id="PING cut"),
        pytest.param(
            [frames.frame(frames.PING, 0, 1, bytes(8))], Code.PROTOCOL_ERROR, id="PING of a stream"
        ),
        pytest.param([frames.frame(frames.PUSH_PROMISE, 4, 1)], Code.PROTOCOL_ERROR, id="a push"),
        pytest.param(
            [frames.frame(frames.CONTINUATION, 4, 1)], Code.PROTOCOL_ERROR, id="CONTINUATION alone"
        ),
        pytest.param(
            [frames.frame(frames.HEADERS, 0, 1, b"\x82"), data(1)],
            Code.PROTOCOL_ERROR,
            id="a block interrupted",
        ),
        pytest.param(
            [frames.frame(frames.HEADERS, frames.PADDED | 4, 1, b"\x09\x82")],
            Code.PROTOCOL_ERROR,
            id="more padding than payload",
        ),
        pytest.param([frames.headers(1, b"\x80", end=True)], Code.COMPRESSION_ERROR, id="HPACK"),
        pytest.param([b"\x00\x40\x01" + bytes(6)], Code.FRAME_SIZE_ERROR, id="a frame too large"),
    ],
)
def test_fault_of_the_connection_ends_it_with_its_code(pieces: list[bytes], code: Code) -> None:
    assert fault(Peer(), *pieces) is code


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP/1.1"),
        pytest.param(frames.PREFACE + request(1), id="no SETTINGS"),
        pytest.param(frames.PREFACE + frames.frame(frames.SETTINGS, frames.ACK, 0), id="an ACK"),
    ],
)
def test_wrong_beginning_is_a_fault(first: bytes) -> None:
    with pytest.raises(ConnectionFault):
        Connection().receive(first)


def test_unknown_frames_and_settings_are_ignored() -> None:
    peer = Peer()
    assert peer.send(frames.frame(200, 0xFF, 7, b"what"), frames.settings({0xFFFF: 1})) == []
    assert [f[0] for f in peer.frames()] == [frames.SETTINGS]


# Floods


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(frames.frame(frames.PING, 0, 0, bytes(8)), id="PING"),
        pytest.param(frames.settings({}), id="SETTINGS"),
        pytest.param(data(1, b"x"), id="DATA on a stream that the peer reset"),
    ],
)
def test_peer_that_makes_us_answer_and_does_not_read_is_cut_off(
    piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MAX_UNREAD", 90_000)
    peer = Peer()
    peer.open(1)
    peer.send(uint(frames.RST_STREAM, 1, Code.CANCEL))
    assert fault(peer, piece * 10_002) is Code.ENHANCE_YOUR_CALM


def test_peer_that_asks_on_and_does_not_read_its_errors_is_cut_off() -> None:
    peer, id = Peer(), 1
    error = fields.encode([(":status", "200"), ("grpc-message", "x" * 16_000)])
    while id * 16_000 <= 2 * sending.MAX_UNREAD:
        peer.send(request(id, end=True))
        peer.connection.send_headers(id, error, end=True)
        id += 2
    assert fault(peer, request(id, end=True)) is Code.ENHANCE_YOUR_CALM


def test_peer_that_reads_may_ask_for_ever() -> None:
    peer = Peer()
    for _ in range(20):
        peer.send(frames.frame(frames.PING, 0, 0, bytes(8)) * 1000)
        assert len(peer.frames()) == 1000


@pytest.mark.parametrize("size", [0, 1, frames.MAX_FRAME])
def test_header_block_without_end_is_cut_off(size: int) -> None:
    peer = Peer()
    peer.send(frames.frame(frames.HEADERS, 0, 1, b"\x82"))
    piece = frames.frame(frames.CONTINUATION, 0, 1, bytes(size))
    assert fault(peer, piece * (fields.MAX_BLOCK // max(size, 1) + 1)) is Code.ENHANCE_YOUR_CALM


def test_streams_opened_and_reset_at_once_leave_nothing_behind() -> None:
    peer = Peer()
    for id in range(1, 20_000, 2):
        peer.send(request(id), uint(frames.RST_STREAM, id, Code.CANCEL))
    assert len(peer.connection._streams) == len(peer.connection._sender._streams) == 0
    assert len(peer.frames()) == 0


def test_empty_data_makes_no_events() -> None:
    peer = Peer()
    peer.open(1)
    assert peer.send(data(1) * 1000) == []


# Going away


def test_going_away_takes_calls_under_way_until_the_peer_knows() -> None:
    peer = Peer()
    peer.open(1)
    peer.connection.go_away()
    (first, ping) = peer.frames()
    assert struct.unpack(">II", first[3]) == (frames.MAX_ID, Code.NO_ERROR)
    assert isinstance(peer.open(3)[0], Opened)
    peer.send(frames.frame(frames.PING, frames.ACK, 0, ping[3]))
    (second,) = peer.frames()
    assert struct.unpack(">II", second[3]) == (3, Code.NO_ERROR)
    assert peer.open(5) == []
    assert resets(peer.frames()) == {5: Code.REFUSED_STREAM}
    for id in (1, 3):
        assert not peer.connection.done
        peer.connection.send_headers(id, ANSWER, end=True)
    assert peer.connection.done


def test_going_away_before_the_handshake_is_done_at_once() -> None:
    connection = Connection()
    connection.go_away()
    assert connection.done


def test_peer_without_room_for_a_table_is_told_that_we_have_none() -> None:
    peer = Peer()
    peer.decoder.max_allowed_table_size = 0
    peer.send(frames.settings({frames.HEADER_TABLE_SIZE: 0}))
    peer.open(1, end=True)
    peer.frames()
    peer.connection.send_headers(1, ANSWER, end=True)
    assert peer.frames()[0][3] == b"\x20" + ANSWER


# Properties


SCRIPT = b"".join(
    [
        frames.PREFACE,
        frames.settings({frames.INITIAL_WINDOW_SIZE: 100}),
        request(1),
        data(1, b"a" * 300),
        request(3, more=[("x", "y" * 20_000)]),
        frames.frame(frames.PING, 0, 0, b"12345678"),
        data(3, b"b" * 16_384),
        data(1, b"c", end=True),
        frames.window_update(0, 1000),
        uint(frames.RST_STREAM, 3, Code.CANCEL),
        request(5, end=True),
    ]
)


def seen(chunks: Sequence[bytes]) -> tuple[list[Event], bytes]:
    connection = Connection()
    return [event for chunk in chunks for event in connection.receive(chunk)], connection.output()


@given(st.lists(st.integers(0, len(SCRIPT)), max_size=30))
def test_chunks_of_any_size_tell_the_same(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(SCRIPT)]
    chunks = [SCRIPT[a:b] for a, b in itertools.pairwise(edges)]
    assert seen(chunks) == seen([SCRIPT])


FRAMES = st.builds(
    frames.frame,
    st.integers(0, 11),
    st.integers(0, 255),
    st.integers(0, 9),
    st.one_of(
        st.binary(max_size=40),
        st.just(fields.encode(REQUEST)),
        st.integers(0, 2**32 - 1).map(lambda value: struct.pack(">I", value)),
    ),
)


@given(st.lists(st.one_of(FRAMES, st.binary(max_size=20)), max_size=40))
def test_any_bytes_bring_events_or_a_fault_and_nothing_grows(pieces: list[bytes]) -> None:
    peer = Connection()
    peer.receive(frames.PREFACE + frames.settings({}))
    well = False
    try:
        for piece in pieces:
            for event in peer.receive(piece):
                if isinstance(event, Opened):
                    peer.send_headers(event.stream, ANSWER)
                    peer.send_data(event.stream, b"x" * 10)
                elif isinstance(event, Received) and event.ended:
                    peer.send_trailers(event.stream, TRAILERS)
        well = True
    except ConnectionFault:
        assert peer.output()
    assert len(peer._reader._rest) <= frames.MAX_FRAME + 9
    assert set(peer._streams) == set(peer._sender._streams)
    assert len(peer._reset._seen) <= receiving.REMEMBERED
    assert 0 <= peer._window.unread <= CONNECTION_WINDOW
    assert not well or peer._window.unread == sum(s.window.unread for s in peer._streams.values())
