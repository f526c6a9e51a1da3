"""Our HTTP/2 and gRPC's own clients, and peers that mean harm."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2

from hydro_services import errors, http2
from hydro_services.codecs.grpc_messages import Messages, framed
from hydro_services.http2 import fields, frames

ECHO = "/test.Echo/Call"
BIG = bytes(range(256)) * (20 << 12)
"""20 MiB."""
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
)
REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", ECHO),
    ("content-type", "application/grpc"),
]


async def echo(call: http2.Call) -> None:
    messages = Messages(64 << 20)
    while not call.ended:
        await call.write(b"".join(map(framed, messages.feed(await call.read()))))
    messages.end()


class Held:
    """A handler that waits until it is let go, and knows what became of its calls."""

    def __init__(self) -> None:
        self.begun = self.cancelled = self.finished = 0
        self.go = asyncio.Event()

    async def __call__(self, call: http2.Call) -> None:
        self.begun += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        await call.write(framed(b"done"))
        self.finished += 1


def raises(error: Exception) -> http2.Handler:
    async def handler(call: http2.Call) -> None:
        raise error

    return handler


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110  # what is waited for is in another layer
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def channel(
    handler: http2.Handler = echo, *options: tuple[str, int]
) -> AsyncIterator[grpc.aio.Channel]:
    async with (
        http2.serve("127.0.0.1", 0, {ECHO: handler}, grace_s=0.1) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", (*OPTIONS, *options)) as target,
    ):
        yield target


def unary(
    target: grpc.aio.Channel, path: str = ECHO
) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    return target.unary_unary(path)


def stream(target: grpc.aio.Channel) -> grpc.aio.StreamStreamMultiCallable[bytes, bytes]:
    return target.stream_stream(ECHO)


# Clients of gRPC


def breaks(*pieces: bytes) -> http2.Handler:
    """Reads all, writes the pieces, then fails, for a reader who sees no trailers."""

    async def handler(call: http2.Call) -> None:
        call.errors_reset = True
        while not call.ended:  # A client that still writes may miss the status.
            await call.read()
        for piece in pieces:
            await call.write(piece)
        raise errors.InvalidArgument("no more")

    return handler


async def test_an_error_after_the_first_bytes_can_break_the_stream() -> None:
    async with channel(breaks(framed(b"a"), framed(BIG[: 1 << 20]))) as target:
        call = stream(target)(iter([b""]))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            # gRPC's client throws away what came before, unless it has been read.
            _ = [message async for message in call]
    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert "no more" not in (raised.value.details() or "")


async def test_no_bytes_begin_no_answer() -> None:
    async with channel(breaks(b"", b"")) as target:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stream(target)(iter([b""])).read()
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_unary_call_is_answered() -> None:
    async with channel() as target:
        assert await unary(target)(b"hello") == b"hello"
        assert await unary(target)(b"") == b""


async def test_answers_come_before_the_next_request_is_sent() -> None:
    async with channel() as target:
        call = stream(target)()
        for i in range(20):
            await call.write(b"%d" % i)
            assert await call.read() == b"%d" % i
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_large_message_goes_both_ways() -> None:
    async with channel() as target:
        assert await unary(target)(BIG) == BIG


async def test_many_calls_at_once_are_each_answered() -> None:
    async with channel() as target:
        work_on = unary(target)
        sent = [b"%d" % i * (i * 50) for i in range(200)]
        assert await asyncio.gather(*(work_on(each) for each in sent)) == sent


def test_client_with_threads_is_answered() -> None:
    ports: list[int] = []
    up, down = threading.Event(), threading.Event()

    async def serve() -> None:
        async with http2.serve("127.0.0.1", 0, {ECHO: echo}, grace_s=0.1) as port:
            ports.append(port)
            up.set()
            await asyncio.to_thread(down.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert up.wait(10)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{ports[0]}", OPTIONS) as target:
            unary_: grpc.UnaryUnaryMultiCallable[bytes, bytes] = target.unary_unary(ECHO)
            assert unary_(b"hello", timeout=10) == b"hello"
            assert unary_(BIG, timeout=30) == BIG
            messages = [b"%d" % i for i in range(100)]
            both: grpc.StreamStreamMultiCallable[bytes, bytes] = target.stream_stream(ECHO)
            answers = both(iter(messages), timeout=10)
            assert list(answers) == messages
    finally:
        down.set()
        thread.join()


async def test_writer_waits_for_a_slow_reader() -> None:
    written = 0

    async def flood(call: http2.Call) -> None:
        nonlocal written
        for _ in range(200):
            await call.write(framed(bytes(100_000)))
            written += 1

    async with channel(flood, ("grpc.http2.bdp_probe", 0)) as target:
        call = stream(target)()
        await call.done_writing()
        assert await call.read() == bytes(100_000)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_grown(lambda: written, 200), 0.3)
        stopped_at = written
        count = 1
        while await call.read() is not grpc.aio.EOF:
            count += 1
        assert (count, written) == (200, 200)
        assert stopped_at < 150


async def _grown(number: Callable[[], int], limit: int) -> None:
    await until(lambda: number() >= limit)


async def test_cancelled_call_cancels_its_handler_only() -> None:
    held = Held()
    async with channel(held) as target:
        calls = [unary(target)(b"") for _ in range(3)]
        tasks = [asyncio.ensure_future(_result(call)) for call in calls]
        await until(lambda: held.begun == 3)
        calls[1].cancel()
        await until(lambda: held.cancelled == 1)
        held.go.set()
        assert [await task for task in tasks] == [b"done", "CANCELLED", b"done"]


async def _result(call: Awaitable[bytes]) -> bytes | str:
    try:
        return await call
    except asyncio.CancelledError:
        return "CANCELLED"
    except grpc.aio.AioRpcError as error:
        return error.code().name


async def test_deadline_ends_the_call_and_its_handler() -> None:
    held = Held()
    async with channel(held) as target:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(target)(b"", timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: held.cancelled == 1)


@pytest.mark.parametrize(
    "text",
    ["no method /test.Echo/Call ñ 猫 % \n end", "x" * 100_000],
    ids=["any characters", "a long one"],
)
async def test_error_comes_with_message_and_details(text: str) -> None:
    async with channel(raises(errors.NotFound(text, column="c"))) as target:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(target)(b"")
    error = caught.value
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == text[: errors.MAX_TEXT]
    details = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(details)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, dict(info.metadata)) == ("NOT_FOUND", {"column": "c"})


async def test_bug_is_told_as_an_id_that_the_log_has(caplog: pytest.LogCaptureFixture) -> None:
    async with channel(raises(RuntimeError("a secret"))) as target:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(target)(b"")
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "a secret" not in str(caught.value.details())
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.__dict__["id"] in str(caught.value.details())
    assert record.exc_info


async def test_error_after_answers_comes_after_them() -> None:
    async def half(call: http2.Call) -> None:
        await call.write(framed(b"one") + framed(b"two"))
        raise errors.Aborted("that was all")

    async with channel(half) as target:
        call = stream(target)()
        await call.done_writing()
        assert [await call.read(), await call.read()] == [b"one", b"two"]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.ABORTED


async def test_answer_before_the_client_has_sent_all_is_taken() -> None:
    async def hasty(call: http2.Call) -> None:
        await call.write(framed(await call.read()))

    async with channel(hasty) as target:
        call = stream(target)()
        await call.write(b"one")
        assert await call.read() == framed(b"one")
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
        assert await unary(target)(b"next") == framed(b"next")


async def test_unknown_method_is_unimplemented() -> None:
    async with channel() as target:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(target, "/test.Echo/Other")(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_compressed_message_is_refused_with_the_way_out() -> None:
    async with channel() as target:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(target)(bytes(10_000), compression=grpc.Compression.Gzip)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "switch compression off" in str(caught.value.details())


async def test_calls_beyond_the_limit_of_a_connection_wait_for_their_turn() -> None:
    held = Held()
    async with channel(held) as target:
        calls = [asyncio.ensure_future(_result(unary(target)(b""))) for _ in range(1100)]
        await until(lambda: held.begun == 1024)
        held.go.set()
        assert set(await asyncio.gather(*calls)) == {b"done"}


# The end of the server


async def test_calls_under_way_finish_and_new_ones_find_another_server() -> None:
    held = Held()
    async with contextlib.AsyncExitStack() as stack:
        serving = await stack.enter_async_context(contextlib.AsyncExitStack())
        port = await serving.enter_async_context(
            http2.serve("127.0.0.1", 0, {ECHO: held}, grace_s=20)
        )
        target = await stack.enter_async_context(
            grpc.aio.insecure_channel(f"127.0.0.1:{port}", OPTIONS)
        )
        under_way = asyncio.ensure_future(_result(unary(target)(b"")))
        await until(lambda: held.begun == 1)
        draining = asyncio.create_task(serving.aclose())
        await until(lambda: target.get_state() is not grpc.ChannelConnectivity.READY)
        assert not draining.done()
        await stack.enter_async_context(http2.serve("127.0.0.1", port, {ECHO: echo}, grace_s=0.1))
        assert await unary(target)(b"new", wait_for_ready=True, timeout=20) == b"new"
        held.go.set()
        assert await under_way == b"done"
        await asyncio.wait_for(draining, 10)


async def test_no_call_fails_while_one_server_after_another_ends() -> None:
    results: list[bytes | str] = []
    async with contextlib.AsyncExitStack() as last:
        stack = contextlib.AsyncExitStack()
        port = await stack.enter_async_context(http2.serve("127.0.0.1", 0, {ECHO: echo}))
        target = await last.enter_async_context(
            grpc.aio.insecure_channel(f"127.0.0.1:{port}", OPTIONS)
        )
        work_on = unary(target)

        async def work() -> None:
            while len(results) < 600:
                results.append(await _result(work_on(b"x", wait_for_ready=True, timeout=20)))

        workers = [asyncio.create_task(work()) for _ in range(8)]
        for round in range(1, 4):
            await until(lambda: len(results) >= round * 150)  # noqa: B023
            old, stack = stack, contextlib.AsyncExitStack()
            await old.aclose()
            await stack.enter_async_context(http2.serve("127.0.0.1", port, {ECHO: echo}))
        await asyncio.gather(*workers)
        await stack.aclose()
    assert set(results) == {b"x"}


async def test_call_that_does_not_finish_within_the_grace_is_cut_off() -> None:
    held = Held()
    async with contextlib.AsyncExitStack() as stack:
        serving = contextlib.AsyncExitStack()
        port = await serving.enter_async_context(
            http2.serve("127.0.0.1", 0, {ECHO: held}, grace_s=0.1)
        )
        target = await stack.enter_async_context(
            grpc.aio.insecure_channel(f"127.0.0.1:{port}", OPTIONS)
        )
        call = asyncio.ensure_future(_result(unary(target)(b"")))
        await until(lambda: held.begun == 1)
        await asyncio.wait_for(serving.aclose(), 10)
        assert await call == "UNAVAILABLE"
        assert held.cancelled == 1


async def test_port_that_is_taken_is_told_with_the_way_out() -> None:
    async with http2.serve("127.0.0.1", 0, {}) as port:
        with pytest.raises(errors.Unavailable, match="choose another port"):
            async with http2.serve("127.0.0.1", port, {}):
                pass


# Peers by hand


class Raw:
    """A socket that speaks just enough of HTTP/2."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *pieces: bytes) -> None:
        self.writer.write(b"".join(pieces))

    async def frame(self) -> tuple[int, int, int, bytes]:
        header = await self.reader.readexactly(9)
        high, low, type, flags, id = frames.HEADER.unpack(header)
        return type, flags, id, await self.reader.readexactly(high << 8 | low)

    async def until(self, wanted: int) -> tuple[int, int, int, bytes]:
        async with asyncio.timeout(20):
            while (found := await self.frame())[0] != wanted:
                pass
            return found

    async def of(self, stream: int) -> tuple[int, int, int, bytes]:
        async with asyncio.timeout(20):
            while (found := await self.frame())[2] != stream:
                pass
            return found


@contextlib.asynccontextmanager
async def raw(
    handler: http2.Handler = echo, settings: dict[int, int] | None = None
) -> AsyncIterator[Raw]:
    async with http2.serve("127.0.0.1", 0, {ECHO: handler}, grace_s=0.1) as port:
        peer = Raw(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 16))
        peer.send(frames.PREFACE, frames.settings(settings or {}))
        try:
            yield peer
        finally:
            peer.writer.close()
            with contextlib.suppress(ConnectionError):
                await peer.writer.wait_closed()


def request(id: int, *more: tuple[str, str], end: bool = False) -> bytes:
    found = dict([*REQUEST, *more])
    return frames.headers(id, fields.encode(found.items()), end=end)


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
        _, flags, _, block = await peer.until(frames.HEADERS)
        assert flags & frames.END_STREAM
        assert (":status", status) in fields.Decoder().decode(block)


async def test_type_with_a_format_is_grpc() -> None:
    async with raw() as peer:
        peer.send(request(1, ("content-type", "application/grpc+proto"), end=True))
        _, _, _, block = await peer.until(frames.HEADERS)
        assert (":status", "200") in fields.Decoder().decode(block)


async def status(peer: Raw) -> str:
    while not (found := await peer.until(frames.HEADERS))[1] & frames.END_STREAM:
        pass
    return dict(fields.Decoder().decode(found[3]))["grpc-status"]


@pytest.mark.parametrize(("text", "code"), [("1n", "4"), ("50m", "4"), ("x", "3"), ("-1S", "3")])
async def test_servers_own_clock_ends_a_call(text: str, code: str) -> None:
    held = Held()
    async with raw(held) as peer:
        peer.send(request(1, ("grpc-timeout", text)))
        assert await status(peer) == code


async def test_answer_that_a_slow_reader_has_yet_to_take_is_not_lost_at_the_end() -> None:
    body = framed(bytes(500_000))

    async def big(call: http2.Call) -> None:
        await call.write(body)

    serving = contextlib.AsyncExitStack()
    port = await serving.enter_async_context(http2.serve("127.0.0.1", 0, {ECHO: big}, grace_s=20))
    peer = Raw(*await asyncio.open_connection("127.0.0.1", port))
    peer.send(frames.PREFACE, frames.settings({}), request(1, end=True))
    got = len((await peer.until(frames.DATA))[3])
    closing = asyncio.create_task(serving.aclose())
    await peer.until(frames.GOAWAY)
    (_, _, _, payload) = await peer.until(frames.PING)
    peer.send(frames.frame(frames.PING, frames.ACK, 0, payload))
    await peer.until(frames.GOAWAY)
    assert not closing.done()
    peer.send(frames.window_update(0, 1 << 20), frames.window_update(1, 1 << 20))
    rest = await asyncio.wait_for(peer.reader.read(), 10)
    await asyncio.wait_for(closing, 10)
    # All that was left came, in frames of 9 bytes more, and the trailers.
    assert len(rest) > len(body) - 65_535 > 0 < got
    assert fields.encode([("grpc-status", "0")]) in rest
    peer.writer.close()


async def test_trailers_of_a_client_end_its_request() -> None:
    async with raw() as peer:
        trailers = frames.headers(1, fields.encode([("x", "y")]), end=True)
        peer.send(request(1), frames.frame(frames.DATA, 0, 1, framed(b"a")), trailers)
        assert (await peer.until(frames.DATA))[3] == framed(b"a")
        assert await status(peer) == "0"


async def test_request_cut_within_a_message_is_an_error() -> None:
    async with raw() as peer:
        peer.send(request(1), frames.frame(frames.DATA, frames.END_STREAM, 1, framed(b"abc")[:6]))
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

    async with raw(flood, {frames.INITIAL_WINDOW_SIZE: frames.MAX_WINDOW}) as peer:
        peer.send(frames.window_update(0, frames.MAX_WINDOW - frames.DEFAULT_WINDOW))
        peer.send(request(1))
        await peer.until(frames.DATA)
        peer.writer.transport.abort()
        await until(lambda: ended)


async def test_peer_with_endless_windows_that_does_not_read_stops_the_writer() -> None:
    written = 0

    async def flood(call: http2.Call) -> None:
        nonlocal written
        while True:
            await call.write(bytes(100_000))
            written += 100_000

    async with raw(flood, {frames.INITIAL_WINDOW_SIZE: frames.MAX_WINDOW}) as peer:
        peer.send(frames.window_update(0, frames.MAX_WINDOW - frames.DEFAULT_WINDOW))
        peer.send(request(1))
        await until(lambda: written)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_grown(lambda: written, 100_000_000), 1)


async def test_peer_that_pings_without_reading_is_cut_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ping = frames.frame(frames.PING, 0, 0, bytes(8))
    async with raw() as peer:
        # The sockets' own buffers hold a few megabytes of answers.
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(60):
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
            asyncio.ensure_future(_result(unary(target, "/test.Echo/Held")(bytes(1 << 18))))
            for _ in range(300)
        ]
        await until(lambda: held.begun == 300)
        assert await unary(target)(BIG, timeout=30) == BIG
        held.go.set()
        assert set(await asyncio.gather(*stuck)) == {b"done"}


async def test_streams_reset_as_soon_as_open_do_not_pile_up() -> None:
    held = Held()
    async with raw(held) as peer:
        for start in range(1, 20_000, 2_000):
            for id in range(start, start + 2_000, 2):
                peer.send(request(id), frames.reset(id, frames.Code.CANCEL))
            await peer.writer.drain()
        peer.send(frames.frame(frames.PING, 0, 0, bytes(8)))
        await peer.until(frames.PING)  # all before it has been read: none is open any more
        held.go.set()
        id, refused = 30_001, frames.reset(30_001, frames.Code.REFUSED_STREAM)[9:]
        peer.send(request(id))
        # Refused where the server reads it together with the others, whose tasks have yet to end.
        while (found := await peer.of(id))[0] == frames.RST_STREAM:
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
    message = framed(b"x" * 500)
    async with raw() as peer:
        peer.send(request(1))
        for i in range(len(message)):
            peer.send(frames.frame(frames.DATA, 0, 1, message[i : i + 1]))
        peer.send(frames.frame(frames.DATA, frames.END_STREAM, 1))
        assert (await peer.until(frames.DATA))[3] == message
        assert await status(peer) == "0"
