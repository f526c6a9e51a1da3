"""grpc.aio and our own HTTP/2 side by side: what an echo costs the server, as ratios.

Run from the root: `PYTHONPATH=protos:services:runtimes:envoy python tests/benchmarks/http2.py`.
The same client, which knows just enough of HTTP/2, drives each server in turn, several times.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Any

import grpc
import grpc.aio

from hydro_services import http2
from hydro_services.codecs.grpc_messages import MessageCutter, prefix_message
from hydro_services.http2 import fields, h2_frames

CALLS, AT_ONCE = 4_000, 32
MESSAGES, IN_FLIGHT = 8_000, 64
ROUNDS = 3
METHOD = "/bench.Echo/Call"
REQUEST = fields.encode_block(
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", METHOD),
        (":authority", "bench"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
)
MESSAGE = prefix_message(b"x" * 100)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run."""

    a_second: float
    cpu_us: float
    """Of the server, for each call or message."""


class Client:
    """Just enough of HTTP/2 to drive a server hard: windows without end, answers unread."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self._next = 1
        wide = {h2_frames.INITIAL_WINDOW_SIZE: 2**31 - 1}
        self._socket.sendall(h2_frames.PREFACE + h2_frames.settings_frame(wide))
        self._socket.sendall(h2_frames.window_update_frame(0, 2**31 - 1 - 65_535))

    def calls(self, count: int, at_once: int) -> None:
        """So many unary calls, `at_once` of them open."""
        started = ended = 0
        while ended < count:
            wave = min(at_once - (started - ended), count - started)
            self._socket.sendall(b"".join(self._call() for _ in range(wave)))
            started += wave
            ended += sum(
                flags & h2_frames.END_STREAM for type, flags, _ in self._read() if type == 1
            )

    def stream(self, count: int, in_flight: int) -> None:
        """So many messages on one stream, `in_flight` of them under way."""
        id, sent, received = self._open(), 0, 0
        message = h2_frames.pack_frame(h2_frames.DATA, 0, id, MESSAGE)
        while received < count * len(MESSAGE):
            wave = min(in_flight - (sent - received // len(MESSAGE)), count - sent)
            self._socket.sendall(message * wave)
            sent += wave
            received += sum(size for type, _, size in self._read() if type == h2_frames.DATA)
        self._socket.sendall(h2_frames.pack_frame(h2_frames.DATA, h2_frames.END_STREAM, id))

    def _call(self) -> bytes:
        id = self._next
        self._next += 2
        data = h2_frames.pack_frame(h2_frames.DATA, h2_frames.END_STREAM, id, MESSAGE)
        return h2_frames.headers_frames(id, REQUEST, end=False) + data

    def _open(self) -> int:
        id = self._next
        self._next += 2
        self._socket.sendall(h2_frames.headers_frames(id, REQUEST, end=False))
        return id

    def _read(self) -> list[tuple[int, int, int]]:
        """Type, flags and size of the frames that have come; at least one read."""
        data = self._rest + self._socket.recv(1 << 20)
        found, at = [], 0
        while at + 9 <= len(data):
            high, low, type, flags, _ = h2_frames.HEADER.unpack_from(data, at)
            size = high << 8 | low
            if at + 9 + size > len(data):
                break
            if type == h2_frames.SETTINGS and not flags:
                self._socket.sendall(h2_frames.pack_frame(h2_frames.SETTINGS, h2_frames.ACK, 0))
            if type == h2_frames.PING and not flags:
                pong = h2_frames.pack_frame(
                    h2_frames.PING, h2_frames.ACK, 0, data[at + 9 : at + 17]
                )
                self._socket.sendall(pong)
            found.append((type, flags, size))
            at += 9 + size
        self._rest = data[at:]
        return found


async def ours(pipe: Pipe) -> None:
    async def echo(call: http2.Call) -> None:
        messages = MessageCutter(1 << 20)
        while not call.ended:
            await call.write(b"".join(map(prefix_message, messages.feed(await call.read()))))

    async with http2.serve("127.0.0.1", 0, {METHOD: echo}) as port:
        await serving(pipe, port)


async def theirs(pipe: Pipe) -> None:
    async def echo(requests: Any, context: Any) -> None:
        while (message := await context.read()) is not grpc.aio.EOF:
            await context.write(message)

    handlers: dict[str, Any] = {"Call": grpc.stream_stream_rpc_method_handler(echo)}
    target = grpc.aio.server()
    target.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", handlers),))
    port = target.add_insecure_port("127.0.0.1:0")
    await target.start()
    await serving(pipe, port)


async def serving(pipe: Pipe, port: int) -> None:
    """Tells the port, then the CPU time whenever asked, until the pipe closes."""
    pipe.send(port)
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def asked() -> None:
        try:
            pipe.recv()
            pipe.send(time.process_time())
        except EOFError:
            loop.remove_reader(pipe.fileno())
            closed.set()

    loop.add_reader(pipe.fileno(), asked)
    await closed.wait()
    os._exit(0)


def run(serve: Callable[[Pipe], Awaitable[None]], pipe: Pipe) -> None:
    asyncio.run(serve(pipe))  # type: ignore[arg-type]


class Server:
    """A server in a process of its own."""

    def __init__(self, serve: Callable[[Pipe], Awaitable[None]]) -> None:
        self._pipe, other = multiprocessing.Pipe()
        spawn = multiprocessing.get_context("spawn")
        self._process = spawn.Process(target=run, args=(serve, other), daemon=True)
        self._process.start()
        other.close()
        self.port: int = self._pipe.recv()

    def cpu(self) -> float:
        self._pipe.send(None)
        seconds: float = self._pipe.recv()
        return seconds

    def measure(self, work: Callable[[Client], None], count: int) -> Figures:
        client = Client(self.port)
        work(client)
        start, cpu = time.perf_counter(), self.cpu()
        work(client)
        taken = time.perf_counter() - start
        return Figures(count / taken, (self.cpu() - cpu) / count * 1e6)

    def close(self) -> None:
        self._pipe.close()
        self._process.join(5)


WORK: dict[str, tuple[Callable[[Client], None], int]] = {
    "unary calls": (lambda client: client.calls(CALLS, AT_ONCE), CALLS),
    "streamed messages": (lambda client: client.stream(MESSAGES, IN_FLIGHT), MESSAGES),
}


def main() -> None:
    servers = {"grpc.aio": Server(theirs), "ours": Server(ours)}
    for name, (work, count) in WORK.items():
        found: dict[str, list[Figures]] = {each: [] for each in servers}
        for _ in range(ROUNDS):
            for each, target in servers.items():
                found[each].append(target.measure(work, count))
        rate = {e: statistics.median(f.a_second for f in found[e]) for e in found}
        cpu = {e: statistics.median(f.cpu_us for f in found[e]) for e in found}
        for each in servers:
            print(f"{name:18} {each:9} {rate[each]:9,.0f}/s {cpu[each]:7.1f} us CPU")
        faster, less = rate["ours"] / rate["grpc.aio"], cpu["grpc.aio"] / cpu["ours"]
        print(f"{name:18} ratio     {faster:8.1f} x the rate, {less:.1f} x less CPU\n")
    for target in servers.values():
        target.close()


if __name__ == "__main__":
    main()
