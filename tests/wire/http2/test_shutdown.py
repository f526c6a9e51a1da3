"""A server that ends: calls under way finish, new ones go elsewhere."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import grpc.aio
import pytest
from http2_server import ECHO, OPTIONS, Held, echo, result_of, unary, until
from patience import PATIENCE_S

from hydro_services import errors, http2


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
        under_way = asyncio.ensure_future(result_of(unary(target)(b"")))
        await until(lambda: held.begun == 1)
        draining = asyncio.create_task(serving.aclose())
        await until(lambda: target.get_state() is not grpc.ChannelConnectivity.READY)
        assert not draining.done()
        await stack.enter_async_context(http2.serve("127.0.0.1", port, {ECHO: echo}, grace_s=0.1))
        assert await unary(target)(b"new", wait_for_ready=True, timeout=PATIENCE_S) == b"new"
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
                results.append(
                    await result_of(work_on(b"x", wait_for_ready=True, timeout=PATIENCE_S))
                )

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
        call = asyncio.ensure_future(result_of(unary(target)(b"")))
        await until(lambda: held.begun == 1)
        await asyncio.wait_for(serving.aclose(), 10)
        assert await call == "UNAVAILABLE"
        assert held.cancelled == 1


async def test_port_that_is_taken_is_told_with_the_way_out() -> None:
    async with http2.serve("127.0.0.1", 0, {}) as port:
        with pytest.raises(errors.Unavailable, match="choose another port"):
            async with http2.serve("127.0.0.1", port, {}):
                pass
