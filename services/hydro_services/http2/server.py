"""gRPC calls over HTTP/2 connections, on asyncio: a task a call, a write a turn of the loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from typing import cast

from hydro_envoy.address import Address
from hydro_services import errors, logs
from hydro_services.http2.call import (
    HELD_BYTES,
    Call,
    Handler,
    parse_timeout,
    refusal_block,
)
from hydro_services.http2.connection import MAX_STREAMS, Connection
from hydro_services.http2.events import Cancelled, Event, Opened, Received, Writable
from hydro_services.http2.h2_frames import Code, ConnectionFault

logger = logging.getLogger(__name__)

LINGER_S = 1.0
"""Seconds that a closed connection, or a cancelled call, has to end."""
_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A machine that vanishes is noticed within 25 seconds, where the system has these options."""


class Link(asyncio.Protocol):
    """One connection on the event loop, and the tasks of its calls."""

    def __init__(self, handlers: Mapping[str, Handler], links: set[Link]) -> None:
        self.connection = Connection()
        self.paused = False
        self.gone = asyncio.Event()
        """The connection is lost, and its calls have ended."""
        self._handlers = handlers
        self._links = links
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, tuple[Call, asyncio.Task[None]]] = {}
        self._flushing = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # Above this the loop calls pause_writing, and `Call.write` waits.
        self._transport.set_write_buffer_limits(HELD_BYTES)
        _set_keepalive(transport.get_extra_info("socket"))
        self._links.add(self)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        # Nobody is left to read answers. Handlers see a cancellation, as with grpc.aio.
        for _, task in self._calls.values():
            task.cancel()
        self._leave()  # where no call is under way; else the last one that ends does it

    def data_received(self, data: bytes) -> None:
        try:
            for event in self.connection.receive(data):
                self._on_event(event)
        except ConnectionFault as fault:
            logger.warning(
                "peer broke HTTP/2", extra={"h2_code": fault.code.name, "error": str(fault)}
            )
            # What came before the fault has already been answered or begun; its answers are not
            # waited for.
            self._flush()  # the GOAWAY, which says why
            self._close()
            return
        self.flush_soon()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.flush_soon()
        # All of them: which call gets the room is decided by who runs first, and each looks again.
        for call, _ in self._calls.values():
            call.on_writable()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Opened):
            self._begin_call(event)
            return
        if event.stream not in self._calls:  # its task ended in the same turn of the loop
            return
        call, task = self._calls[event.stream]
        match event:
            case Received():
                call.on_data(event.data, event.ended)
            case Writable():
                call.on_writable()
            case Cancelled():
                task.cancel()

    def _begin_call(self, opened: Opened) -> None:
        # The protocol's limit is of open streams. A peer that opens and resets without end stays
        # below it, while the tasks of what it reset are still ending.
        if len(self._calls) >= 2 * MAX_STREAMS:
            # Streams that were reset as soon as they were open: their tasks have yet to end.
            self.connection.reset_stream(opened.stream, Code.REFUSED_STREAM)
            return
        call = Call(self, opened.stream, opened.metadata)
        # A request without a body has ended with its headers: no more events will come of it.
        call.on_data(b"", opened.ended)
        task = self._loop.create_task(self._run_call(call))
        self._calls[opened.stream] = (call, task)
        # The table holds the task until its end: asyncio itself holds tasks weakly.
        task.add_done_callback(lambda _: self._on_call_end(opened.stream))

    async def _run_call(self, call: Call) -> None:
        if block := refusal_block(call.metadata):
            call.refuse(block)
            return
        path = call.metadata[":path"]
        logs.REQUEST_ID.set(
            call.metadata.get(errors.REQUEST_ID, "")
        )  # a call has a task of its own
        try:
            await self._call_handler(call, path)
        except errors.HydroError as error:
            extra = {"method": path, "code": errors.STATUS[type(error)][0].name}
            logger.info("call failed", extra={**extra, "error": error.message})
            await call.finish(error)
        except Exception:
            internal = errors.new_internal()
            logger.exception("call failed", extra={"method": path, **internal.metadata})
            await call.finish(internal)
        else:
            await call.finish()

    async def _call_handler(self, call: Call, path: str) -> None:
        handler = self._handlers.get(path)
        if handler is None:
            raise errors.Unimplemented(f"no method {path} here")
        seconds = parse_timeout(call.metadata)
        if seconds is None:
            await handler(call)
            return
        try:
            async with asyncio.timeout(seconds) as limit:
                await handler(call)
        except TimeoutError:
            # A handler's own TimeoutError is a bug of the handler, not the client's deadline.
            if not limit.expired():
                raise
            raise errors.NotInTime(f"no answer within the call's {seconds:g} s") from None

    def _on_call_end(self, stream: int) -> None:
        del self._calls[stream]
        self.connection.reset_stream(
            stream, Code.CANCEL
        )  # Where its task was cancelled by other means.
        if self._transport is None:
            self._leave()
        # The last call of a connection that drains: flushing is what closes it.
        elif self.connection.done:
            self.flush_soon()

    def _leave(self) -> None:
        if not self._calls:
            self._links.discard(self)
            self.gone.set()

    def flush_soon(self) -> None:
        """Sends what has gathered, at the end of this turn of the event loop."""
        if not self._flushing:
            self._flushing = True
            # Once for all that is written in this turn: one system call, and mostly one packet, for
            # the frames of many calls.
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._transport is None or self.paused:
            return
        if data := self.connection.take_output():
            self._transport.write(data)
        if self.connection.done and not self._calls:
            self._close()

    def _close(self) -> None:
        """Ends the connection when what is written has left, or a little later."""
        if self._transport is not None:
            self._transport.close()
            # `close` waits for the write buffer, which a peer that does not read would keep full.
            self._loop.call_later(LINGER_S, self._transport.abort)

    def abort(self) -> None:
        """Ends the connection now."""
        if self._transport is not None:
            self._transport.abort()

    def go_away(self) -> None:
        """Takes no new calls, and ends the connection after those under way."""
        self.connection.go_away()
        self._flush()


def _set_keepalive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


@contextlib.asynccontextmanager
async def serve(
    host: str, port: int, handlers: Mapping[str, Handler], *, grace_s: float = 5.0
) -> AsyncIterator[int]:
    """Serves calls until the context ends, then lets those under way finish for `grace_s` seconds.

    Args:
        host: the address to listen on.
        port: 0 takes a free one.
        handlers: by path, `/<service>/<method>`.
        grace_s: seconds.

    Yields:
        The port.

    Raises:
        errors.Unavailable: the address cannot be bound.
    """
    links: set[Link] = set()
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(lambda: Link(handlers, links), host, port)
    except OSError as error:
        way_out = "stop what listens there or choose another port"
        raise errors.Unavailable(
            f"cannot listen on {Address(host, port)}: {error}; {way_out}"
        ) from error
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        # First no new connections, then GOAWAY on each: clients go elsewhere before anything is
        # cut.
        server.close()
        await _drain_links(links, grace_s)


async def _drain_links(links: set[Link], grace_s: float) -> None:
    for link in list(links):
        link.go_away()
    await _all_gone(links, grace_s)
    for link in list(links):
        link.abort()
    # An abort cancels calls; their tasks need a turn of the loop to end, in which they tell the
    # log.
    await _all_gone(links, LINGER_S)


async def _all_gone(links: set[Link], seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for link in list(links):
                await link.gone.wait()
