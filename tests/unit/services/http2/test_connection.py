"""An HTTP/2 connection without a network: calls, and their end."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

from http2_peer import ANSWER, REQUEST, TRAILERS, Peer, data, fault, request, resets, uint
from hypothesis import given
from hypothesis import strategies as st

from hydro_services.http2 import fields, h2_frames, receiving
from hydro_services.http2.connection import (
    CONNECTION_WINDOW,
    Connection,
)
from hydro_services.http2.events import Cancelled, Event, Opened, Received
from hydro_services.http2.h2_frames import Code, ConnectionFault


def test_call_comes_in_and_its_answer_goes_out() -> None:
    peer = Peer()
    (opened,) = peer.open(1)
    assert opened == Opened(1, dict(REQUEST), False)
    assert peer.send(data(1, b"ask", end=True)) == [Received(1, b"ask", True)]
    peer.connection.send_headers(1, ANSWER)
    assert peer.connection.send_data(1, b"answer") == 0
    peer.connection.send_trailers(1, TRAILERS)
    assert [f[0] for f in peer.frames()] == [h2_frames.HEADERS, h2_frames.DATA, h2_frames.HEADERS]
    assert peer.bodies[1] == b"answer"
    assert 1 in peer.ended


def test_answer_before_the_request_is_whole_refuses_the_rest_without_an_error() -> None:
    peer = Peer()
    peer.open(1)
    peer.connection.send_headers(1, ANSWER, end=True)
    assert resets(peer.frames()) == {1: Code.NO_ERROR}
    # What was under way by then is ignored, whatever it is, and costs the connection nothing.
    assert peer.send(data(1, b"late"), h2_frames.headers_frames(1, TRAILERS, end=True)) == []
    assert peer.frames() == []


def test_trailers_end_a_request() -> None:
    peer = Peer()
    peer.open(1)
    assert peer.send(h2_frames.headers_frames(1, TRAILERS, end=True)) == [Received(1, b"", True)]


def test_block_in_many_pieces_is_one() -> None:
    peer = Peer()
    block = fields.encode_block([*REQUEST, ("x", "v" * 40_000)])
    assert isinstance(peer.send(h2_frames.headers_frames(1, block, end=True))[0], Opened)
    long = fields.encode_block([(":status", "200"), ("x", "v" * 40_000)])
    peer.connection.send_headers(1, long, end=True)
    found = peer.connection.take_output()
    flags = [found[at + 4] for at in (0, 9 + h2_frames.MAX_FRAME, 2 * (9 + h2_frames.MAX_FRAME))]
    assert flags == [h2_frames.END_STREAM, 0, h2_frames.END_HEADERS]


def test_padding_is_taken_off_and_granted_again() -> None:
    peer = Peer()
    peer.open(1)
    piece = h2_frames.pack_frame(
        h2_frames.DATA, h2_frames.PADDED, 1, bytes([200]) + b"x" * 10 + bytes(200)
    )
    for _ in range(2000):
        assert peer.send(piece) == [Received(1, b"x" * 10, False)]
        peer.connection.grant(1, 10)
    peer.frames()
    assert peer.credit[1] > 2000 * 211


def test_reset_cancels_and_later_frames_of_it_are_faults_of_the_stream() -> None:
    peer = Peer()
    peer.open(1)
    assert peer.send(uint(h2_frames.RST_STREAM, 1, Code.CANCEL)) == [Cancelled(1)]
    assert peer.connection.send_data(1, b"nobody") == 0
    assert peer.send(data(1, b"late")) == []
    assert resets(peer.frames()) == {1: Code.STREAM_CLOSED}


def test_last_possible_stream_is_served() -> None:
    peer = Peer()
    assert isinstance(peer.open(h2_frames.MAX_ID, end=True)[0], Opened)
    assert fault(peer, request(1)) is Code.STREAM_CLOSED


def test_going_away_takes_calls_under_way_until_the_peer_knows() -> None:
    peer = Peer()
    peer.open(1)
    peer.connection.go_away()
    (first, ping) = peer.frames()
    assert struct.unpack(">II", first[3]) == (h2_frames.MAX_ID, Code.NO_ERROR)
    assert isinstance(peer.open(3)[0], Opened)
    peer.send(h2_frames.pack_frame(h2_frames.PING, h2_frames.ACK, 0, ping[3]))
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
    peer.send(h2_frames.settings_frame({h2_frames.HEADER_TABLE_SIZE: 0}))
    peer.open(1, end=True)
    peer.frames()
    peer.connection.send_headers(1, ANSWER, end=True)
    assert peer.frames()[0][3] == b"\x20" + ANSWER


SCRIPT = b"".join(
    [
        h2_frames.PREFACE,
        h2_frames.settings_frame({h2_frames.INITIAL_WINDOW_SIZE: 100}),
        request(1),
        data(1, b"a" * 300),
        request(3, more=[("x", "y" * 20_000)]),
        h2_frames.pack_frame(h2_frames.PING, 0, 0, b"12345678"),
        data(3, b"b" * 16_384),
        data(1, b"c", end=True),
        h2_frames.window_update_frame(0, 1000),
        uint(h2_frames.RST_STREAM, 3, Code.CANCEL),
        request(5, end=True),
    ]
)


def seen(chunks: Sequence[bytes]) -> tuple[list[Event], bytes]:
    connection = Connection()
    return [
        event for chunk in chunks for event in connection.receive(chunk)
    ], connection.take_output()


@given(st.lists(st.integers(0, len(SCRIPT)), max_size=30))
def test_chunks_of_any_size_tell_the_same(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(SCRIPT)]
    chunks = [SCRIPT[a:b] for a, b in itertools.pairwise(edges)]
    assert seen(chunks) == seen([SCRIPT])


FRAMES = st.builds(
    h2_frames.pack_frame,
    st.integers(0, 11),
    st.integers(0, 255),
    st.integers(0, 9),
    st.one_of(
        st.binary(max_size=40),
        st.just(fields.encode_block(REQUEST)),
        st.integers(0, 2**32 - 1).map(lambda value: struct.pack(">I", value)),
    ),
)


@given(st.lists(st.one_of(FRAMES, st.binary(max_size=20)), max_size=40))
def test_any_bytes_bring_events_or_a_fault_and_nothing_grows(pieces: list[bytes]) -> None:
    peer = Connection()
    peer.receive(h2_frames.PREFACE + h2_frames.settings_frame({}))
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
        assert peer.take_output()
    assert len(peer._reader._rest) <= h2_frames.MAX_FRAME + 9
    assert set(peer._streams) == set(peer._sender._streams)
    assert len(peer._reset._seen) <= receiving.REMEMBERED
    assert 0 <= peer._window.unread <= CONNECTION_WINDOW
    assert not well or peer._window.unread == sum(s.window.unread for s in peer._streams.values())
