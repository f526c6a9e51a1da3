"""Peers that gRPC's client never is: malformed, slow, gone or greedy ones."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import grpc.aio
import pytest
from http2_server import (
    BIG,
    ECHO,
    OPTIONS,
    Held,
    Raw,
    echo,
    raw,
    request,
    result_of,
    status,
    unary,
    until,
    until_at_least,
)
from patience import PATIENCE_S

from hydro_services import http2
from hydro_services.codecs.grpc_messages import prefix_message
from hydro_services.http2 import fields, h2_frames


@pytest.mark.parametrize(
    ("field", "status"),
    [
        pytest.param(("content-type", "application/json"), "415", id="another type"),
        pytest.param(("content-type", "application/grpc-web"), "415", id="a type alike"),
        pytest.param((":method", "GET"), "405", id="another method"),
    ],
)
async def test_what_is_no_grpc_is_refused_as_http(field: tuple[str, str], status: str) -> None:
    async with raw() as peer:
        peer.send(request(1, field, end=True))
        _, flags, _, block = await peer.until(h2_frames.HEADERS)
        assert flags & h2_frames.END_STREAM
        assert (":status", status) in fields.HpackDecoder().decode(block)


async def test_type_with_a_format_is_grpc() -> None:
    async with raw() as peer:
        peer.send(request(1, ("content-type", "application/grpc+proto"), end=True))
        _, _, _, block = await peer.until(h2_frames.HEADERS)
        assert (":status", "200") in fields.HpackDecoder().decode(block)


@pytest.mark.parametrize(("text", "code"), [("1n", "4"), ("50m", "4"), ("x", "3"), ("-1S", "3")])
async def test_servers_own_clock_ends_a_call(text: str, code: str) -> None:
    held = Held()
    async with raw(held) as peer:
        peer.send(request(1, ("grpc-timeout", text)))
        assert await status(peer) == code


async def test_answer_that_a_slow_reader_has_yet_to_take_is_not_lost_at_the_end() -> None:
    body = prefix_message(bytes(500_000))

    async def big(call: http2.Call) -> None:
        await call.write(body)

    serving = contextlib.AsyncExitStack()
    port = await serving.enter_async_context(http2.serve("127.0.0.1", 0, {ECHO: big}, grace_s=20))
    peer = Raw(*await asyncio.open_connection("127.0.0.1", port))
    peer.send(h2_frames.PREFACE, h2_frames.settings_frame({}), request(1, end=True))
    got = len((await peer.until(h2_frames.DATA))[3])
    closing = asyncio.create_task(serving.aclose())
    await peer.until(h2_frames.GOAWAY)
    (_, _, _, payload) = await peer.until(h2_frames.PING)
    peer.send(h2_frames.pack_frame(h2_frames.PING, h2_frames.ACK, 0, payload))
    await peer.until(h2_frames.GOAWAY)
    assert not closing.done()
    peer.send(h2_frames.window_update_frame(0, 1 << 20), h2_frames.window_update_frame(1, 1 << 20))
    rest = await asyncio.wait_for(peer.reader.read(), 10)
    await asyncio.wait_for(closing, 10)
    # All that was left came, in frames of 9 bytes more, and the trailers.
    assert len(rest) > len(body) - 65_535 > 0 < got
    assert fields.encode_block([("grpc-status", "0")]) in rest
    peer.writer.close()


async def test_trailers_of_a_client_end_its_request() -> None:
    async with raw() as peer:
        trailers = h2_frames.headers_frames(1, fields.encode_block([("x", "y")]), end=True)
        peer.send(
            request(1), h2_frames.pack_frame(h2_frames.DATA, 0, 1, prefix_message(b"a")), trailers
        )
        assert (await peer.until(h2_frames.DATA))[3] == prefix_message(b"a")
        assert await status(peer) == "0"


async def test_request_cut_within_a_message_is_an_error() -> None:
    async with raw() as peer:
        peer.send(
            request(1),
            h2_frames.pack_frame(
                h2_frames.DATA, h2_frames.END_STREAM, 1, prefix_message(b"abc")[:6]
            ),
        )
        assert await status(peer) == "3"


async def test_lost_connection_cancels_its_calls() -> None:
    held = Held()
    async with raw(held) as peer:
        peer.send(request(1), request(3))
        await until(lambda: held.begun == 2)
        peer.writer.transport.abort()
        await until(lambda: held.cancelled == 2)


async def test_connection_lost_in_the_middle_of_writing_cancels_the_writer() -> None:
    ended: list[str] = []

    async def flood(call: http2.Call) -> None:
        try:
            while True:
                await call.write(bytes(1 << 20))
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async with raw(flood, {h2_frames.INITIAL_WINDOW_SIZE: h2_frames.MAX_WINDOW}) as peer:
        peer.send(h2_frames.window_update_frame(0, h2_frames.MAX_WINDOW - h2_frames.DEFAULT_WINDOW))
        peer.send(request(1))
        await peer.until(h2_frames.DATA)
        peer.writer.transport.abort()
        await until(lambda: ended)


async def test_peer_with_endless_windows_that_does_not_read_stops_the_writer() -> None:
    written = 0

    async def flood(call: http2.Call) -> None:
        nonlocal written
        while True:
            await call.write(bytes(100_000))
            written += 100_000

    async with raw(flood, {h2_frames.INITIAL_WINDOW_SIZE: h2_frames.MAX_WINDOW}) as peer:
        peer.send(h2_frames.window_update_frame(0, h2_frames.MAX_WINDOW - h2_frames.DEFAULT_WINDOW))
        peer.send(request(1))
        await until(lambda: written)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(until_at_least(lambda: written, 100_000_000), 1)


async def test_peer_that_pings_without_reading_is_cut_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ping = h2_frames.pack_frame(h2_frames.PING, 0, 0, bytes(8))
    async with raw() as peer:
        # The sockets' own buffers hold a few megabytes of answers.
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while not peer.writer.is_closing():
                    peer.send(ping * 10_000)
                    await peer.writer.drain()
        await until(lambda: "peer broke HTTP/2" in caplog.messages)


async def test_handler_that_never_reads_stops_its_sender_and_nobody_else() -> None:
    held = Held()
    async with (
        http2.serve("127.0.0.1", 0, {ECHO: echo, "/test.Echo/Held": held}, grace_s=0.1) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", OPTIONS) as target,
    ):
        stuck = [
            asyncio.ensure_future(result_of(unary(target, "/test.Echo/Held")(bytes(1 << 18))))
            for _ in range(300)
        ]
        await until(lambda: held.begun == 300)
        assert await unary(target)(BIG, timeout=PATIENCE_S) == BIG
        held.go.set()
        assert set(await asyncio.gather(*stuck)) == {b"done"}


async def test_streams_reset_as_soon_as_open_do_not_pile_up() -> None:
    held = Held()
    async with raw(held) as peer:
        for start in range(1, 20_000, 2_000):
            for id in range(start, start + 2_000, 2):
                peer.send(request(id), h2_frames.reset_frame(id, h2_frames.Code.CANCEL))
            await peer.writer.drain()
        peer.send(h2_frames.pack_frame(h2_frames.PING, 0, 0, bytes(8)))
        await peer.until(h2_frames.PING)  # all before it has been read: none is open any more
        held.go.set()
        id, refused = 30_001, h2_frames.reset_frame(30_001, h2_frames.Code.REFUSED_STREAM)[9:]
        peer.send(request(id))
        # Refused where the server reads it together with the others, whose tasks have yet to end.
        while (found := await peer.of(id))[0] == h2_frames.RST_STREAM:
            assert found[3] == refused
            id += 2
            peer.send(request(id))
        assert await status(peer) == "0"
        assert held.finished == 1


async def test_other_protocol_is_answered_by_a_goaway_and_the_end() -> None:
    async with http2.serve("127.0.0.1", 0, {}, grace_s=0.1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10)
        assert b"prior knowledge" in answer
        writer.close()


async def test_frame_after_frame_of_one_byte_makes_one_message() -> None:
    message = prefix_message(b"x" * 500)
    async with raw() as peer:
        peer.send(request(1))
        for i in range(len(message)):
            peer.send(h2_frames.pack_frame(h2_frames.DATA, 0, 1, message[i : i + 1]))
        peer.send(h2_frames.pack_frame(h2_frames.DATA, h2_frames.END_STREAM, 1))
        assert (await peer.until(h2_frames.DATA))[3] == message
        assert await status(peer) == "0"
