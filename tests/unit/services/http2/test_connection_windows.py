"""Flow control of an HTTP/2 connection: no window is exceeded, and none stays shut."""

from __future__ import annotations

import pytest
from http2_peer import ANSWER, TRAILERS, Peer, data, resets, uint
from hypothesis import given
from hypothesis import strategies as st

from hydro_services.http2 import h2_frames
from hydro_services.http2.connection import (
    CONNECTION_WINDOW,
    MAX_STREAMS,
    STREAM_WINDOW,
)
from hydro_services.http2.events import Cancelled, Event, Writable
from hydro_services.http2.h2_frames import Code


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
    assert peer.connection.held_bytes(1) == 2
    assert peer.grant(1, 100) == [Writable(1)]
    assert peer.connection.held_bytes(1) == 0
    peer.frames()
    assert peer.bodies[1] == b"0123456789abcdef"
    assert 1 in peer.ended


def test_window_made_smaller_below_zero_holds_all_back() -> None:
    peer = Peer(window=10)
    peer.open(1, end=True)
    peer.connection.send_data(1, b"x" * 20)
    peer.frames()
    peer.windows[1] -= 10
    assert peer.send(h2_frames.settings_frame({h2_frames.INITIAL_WINDOW_SIZE: 0})) == []
    assert peer.grant(1, 10) == []
    assert peer.grant(1, 1) == [Writable(1)]
    peer.frames()
    assert len(peer.bodies[1]) == 11
    peer.windows[1] += 50
    assert peer.send(h2_frames.settings_frame({h2_frames.INITIAL_WINDOW_SIZE: 50})) == [Writable(1)]
    peer.frames()
    assert len(peer.bodies[1]) == 20


def test_connections_window_is_shared_out_in_turn() -> None:
    peer = Peer(window=h2_frames.MAX_WINDOW)
    for id in (1, 3, 5):
        peer.open(id, end=True)
        peer.connection.send_data(id, b"x" * 60_000)
    peer.frames()
    assert [peer.connection.held_bytes(id) for id in (1, 3, 5)] == [0, 54_465, 60_000]
    peer.grant(0, 54_465 + 1)
    peer.frames()
    assert [peer.connection.held_bytes(id) for id in (1, 3, 5)] == [0, 0, 59_999]


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
        assert len(body) - len(sent) == peer.connection.held_bytes(id)
        assert not peer.connection.held_bytes(id) or not (peer.windows[id] and peer.window)


def test_reader_that_is_slow_stops_the_sender_and_reading_lets_it_go_on() -> None:
    peer = Peer()
    peer.open(1)
    for _ in range(STREAM_WINDOW // h2_frames.MAX_FRAME):
        peer.send(data(1, bytes(h2_frames.MAX_FRAME)))
    peer.frames()
    assert 1 not in peer.credit
    peer.connection.grant(1, STREAM_WINDOW // 2)
    peer.frames()
    assert peer.credit[1] == STREAM_WINDOW + STREAM_WINDOW // 2


def test_sender_beyond_its_window_loses_the_stream_only() -> None:
    peer = Peer()
    peer.open(1)
    events: list[Event] = []
    for _ in range(STREAM_WINDOW // h2_frames.MAX_FRAME + 1):
        events += peer.send(data(1, bytes(h2_frames.MAX_FRAME)))
    assert events[-1] == Cancelled(1)
    assert resets(peer.frames()) == {1: Code.FLOW_CONTROL_ERROR}


@pytest.mark.parametrize("how", ["the peer resets", "we answer early", "we reset"])
def test_bytes_that_nobody_read_are_granted_again_when_their_stream_ends(how: str) -> None:
    peer = Peer()
    sent = 0
    for id in range(1, 4 * MAX_STREAMS, 2):
        peer.open(id)
        for _ in range(4):
            peer.send(data(id, bytes(h2_frames.MAX_FRAME)))
            sent += h2_frames.MAX_FRAME
        match how:
            case "the peer resets":
                peer.send(uint(h2_frames.RST_STREAM, id, Code.CANCEL))
            case "we answer early":
                peer.connection.send_headers(id, ANSWER, end=True)
            case _:
                peer.connection.reset_stream(id, Code.CANCEL)
        peer.connection.grant(id, h2_frames.MAX_FRAME)
    peer.frames()
    assert peer.credit[0] - sent >= CONNECTION_WINDOW // 2


def test_calls_that_nobody_reads_leave_room_for_others() -> None:
    assert MAX_STREAMS * STREAM_WINDOW <= CONNECTION_WINDOW
