"""Calls of gRPC's own client to our HTTP/2 server."""

from __future__ import annotations

import asyncio
import logging
import threading

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from http2_server import (
    BIG,
    ECHO,
    OPTIONS,
    Held,
    channel,
    echo,
    raises,
    result_of,
    stream,
    unary,
    until,
    until_at_least,
)
from patience import PATIENCE_S

from hydro_services import errors, http2
from hydro_services.codecs.grpc_messages import prefix_message


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
    async with channel(breaks(prefix_message(b"a"), prefix_message(BIG[: 1 << 20]))) as target:
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
            assert unary_(b"hello", timeout=PATIENCE_S) == b"hello"
            assert unary_(BIG, timeout=PATIENCE_S) == BIG
            messages = [b"%d" % i for i in range(100)]
            both: grpc.StreamStreamMultiCallable[bytes, bytes] = target.stream_stream(ECHO)
            answers = both(iter(messages), timeout=PATIENCE_S)
            assert list(answers) == messages
    finally:
        down.set()
        thread.join()


async def test_writer_waits_for_a_slow_reader() -> None:
    written = 0

    async def flood(call: http2.Call) -> None:
        nonlocal written
        for _ in range(200):
            await call.write(prefix_message(bytes(100_000)))
            written += 1

    async with channel(flood, ("grpc.http2.bdp_probe", 0)) as target:
        call = stream(target)()
        await call.done_writing()
        assert await call.read() == bytes(100_000)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(until_at_least(lambda: written, 200), 0.3)
        stopped_at = written
        count = 1
        while await call.read() is not grpc.aio.EOF:
            count += 1
        assert (count, written) == (200, 200)
        assert stopped_at < 150


async def test_cancelled_call_cancels_its_handler_only() -> None:
    held = Held()
    async with channel(held) as target:
        calls = [unary(target)(b"") for _ in range(3)]
        tasks = [asyncio.ensure_future(result_of(call)) for call in calls]
        await until(lambda: held.begun == 3)
        calls[1].cancel()
        await until(lambda: held.cancelled == 1)
        held.go.set()
        assert [await task for task in tasks] == [b"done", "CANCELLED", b"done"]


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
        await call.write(prefix_message(b"one") + prefix_message(b"two"))
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
        await call.write(prefix_message(await call.read()))

    async with channel(hasty) as target:
        call = stream(target)()
        await call.write(b"one")
        assert await call.read() == prefix_message(b"one")
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
        assert await unary(target)(b"next") == prefix_message(b"next")


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
        calls = [asyncio.ensure_future(result_of(unary(target)(b""))) for _ in range(1100)]
        await until(lambda: held.begun == 1024)
        held.go.set()
        assert set(await asyncio.gather(*calls)) == {b"done"}
