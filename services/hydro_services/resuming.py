"""A stream that goes on when the call that carries it breaks.

One message in, one answer out, in order. A call that breaks takes with it what it was given and has
not answered: each of those messages is answered by an error in its place, and the next one goes
over a new call. Nothing is sent twice.

A message has one place among the answers, or many: a chunk of lines has as many as it has lines.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import grpc
import grpc.aio

from hydro_services import errors

Sent = TypeVar("Sent")
Answer = TypeVar("Answer")
StreamCall: TypeAlias = Any
"""A grpc.aio.StreamStreamCall of `Sent` and `Answer`."""

READY_S = 5.0
"""How long a gateway that is away is waited for before messages fail; a mesh heals in this time."""
MAX_DELAY_S = 0.5
"""Between calls that break without an answer."""
_BREAKS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED)
"""What a broken transport is called, beside UNAVAILABLE; with details it is a chain's own word."""


@dataclass(frozen=True, slots=True)
class StreamKind(Generic[Sent, Answer]):
    """What is streamed."""

    message_places: Callable[[Sent], int]
    """The places that a message has."""
    answer_places: Callable[[Answer], int]
    """The places that an answer fills."""
    make_lost: Callable[[Sent, int, errors.HydroError], Answer]
    """An answer for the places of a message, so many of them, that got none."""
    in_flight: int
    """Places under way at most, but for a single message that has more."""


class ResumingStream(Generic[Sent, Answer]):
    """Messages and answers over calls that are opened one after the other."""

    def __init__(
        self,
        kind: StreamKind[Sent, Answer],
        open: Callable[[], StreamCall],
        is_ready: Callable[[], Awaitable[None]],
    ) -> None:
        """With ways to open a call, and to wait until the channel is connected."""
        self._kind = kind
        self._open = open
        self._is_ready = is_ready
        # One message: reading further ahead would take from whoever gives them more than can be
        # sent.
        self._next: asyncio.Queue[Sent | None] = asyncio.Queue(maxsize=1)
        self._held: Sent | None = None
        self._ended = False
        self._pending: deque[tuple[Sent, int]] = deque()
        self._places = 0
        self._room = asyncio.Event()
        self._answers = 0
        self._is_heard = False
        """The present call has answered."""

    async def answers(self, messages: AsyncIterable[Sent]) -> AsyncGenerator[Answer]:
        """The answers, as they come.

        Raises:
            grpc.aio.AioRpcError: nothing was answered at all, or a call was refused for another
                reason than that nobody was there to answer it, such as NOT_FOUND.
        """
        reading = asyncio.create_task(self._read_messages(messages))
        delay = 0.0
        try:
            while await self._has_more():
                before = self._answers
                error: errors.HydroError | None = None
                async with contextlib.aclosing(self._one_call()) as answers:
                    try:
                        async for answer in answers:
                            yield answer
                    except grpc.aio.AioRpcError as broken:
                        if self._is_final(broken, before):
                            raise
                        error = _call_error(broken)
                # Told before the next call begins, so that answers stay in the order of the
                # messages. What was sent and not answered may have been run: sending it again is
                # for the caller to decide.
                for lost in self._lost_answers(error):
                    yield lost
                # A call that answered something was well: the next begins at once. Otherwise it is
                # waited for longer each time, or a gateway that refuses would be called in a tight
                # loop.
                delay = 0.0 if self._answers > before else min(2 * delay + 0.05, MAX_DELAY_S)
                await asyncio.sleep(delay)
            await reading
        finally:
            reading.cancel()
            await asyncio.wait([reading])

    async def _read_messages(self, messages: AsyncIterable[Sent]) -> None:
        """A task of its own: a call that breaks must not end whoever gives the messages."""
        failure: Exception | None = None
        try:
            async for message in messages:
                await self._next.put(message)
        except Exception as error:
            failure = error
        finally:
            if isinstance(messages, AsyncGenerator):
                await messages.aclose()
        await self._next.put(None)
        if failure:
            raise failure

    async def _has_more(self) -> bool:
        if self._held is None and not self._ended:
            self._held = await self._next.get()
            self._ended = self._held is None
        return self._held is not None

    async def _one_call(self) -> AsyncGenerator[Answer]:
        # Before the first answer an error is told at once: the address may be wrong. After it, the
        # gateway was there, and may be restarting.
        if self._answers:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READY_S):
                    await self._is_ready()
        call, self._is_heard = self._open(), False
        # Writing is a task of its own: where a call breaks while a write waits for room, the reader
        # notices, and cancels the write.
        writing = asyncio.create_task(self._write(call))
        try:
            while (answer := await call.read()) is not grpc.aio.EOF:
                self._take_answer(answer)
                yield answer
            if (code := await call.code()) is not grpc.StatusCode.OK:
                raise grpc.aio.AioRpcError(
                    code,
                    await call.initial_metadata(),
                    await call.trailing_metadata(),
                    await call.details(),
                )
        finally:
            writing.cancel()
            # The write has to have ended before the call is cancelled: `_held` then says what was
            # not sent.
            await asyncio.wait([writing])
            call.cancel()

    async def _write(self, call: StreamCall) -> None:
        """Gives the call what there is until it breaks or all is sent."""
        while await self._has_more():
            assert self._held is not None
            places = self._kind.message_places(self._held)
            await self._until_room(places)
            if call.done():
                return  # what was not sent goes over the next call
            message, self._held = self._held, None
            # Before the write, which may return only after the answer has come.
            self._pending.append((message, places))
            self._places += places
            try:
                await call.write(message)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                return  # the reader hears the reason
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.done_writing()

    async def _until_room(self, places: int) -> None:
        """Nothing follows a call's first message before it is answered.

        A call that is refused while more is written to it would not tell the reason: grpc.aio then
        says "Internal error from Core".
        """
        while self._pending and not self._has_room(places):
            self._room.clear()
            await self._room.wait()

    def _has_room(self, places: int) -> bool:
        return self._is_heard and self._places + places <= self._kind.in_flight

    def _take_answer(self, answer: Answer) -> None:
        self._answers += 1
        self._is_heard = True
        filled = self._kind.answer_places(answer)
        while filled and self._pending:
            message, places = self._pending.popleft()
            # One message of NDJSON has many rows, which are answered in several pieces.
            if places > filled:
                self._pending.appendleft((message, places - filled))
            self._places -= min(places, filled)
            filled -= min(places, filled)
        self._room.set()

    def _lost_answers(self, error: errors.HydroError | None) -> list[Answer]:
        broken = _broken_error(error)
        lost = [self._kind.make_lost(sent, places, broken) for sent, places in self._pending]
        self._pending.clear()
        self._places = 0
        return lost

    def _is_final(self, error: grpc.aio.AioRpcError, before: int) -> bool:
        """Whether it is the answer to what was asked, and not the end of who was asked."""
        return self._answers == before and not (self._answers and _is_break(error))


def _is_break(error: grpc.aio.AioRpcError) -> bool:
    # An error with details was made by a stage and means this call; a bare one is the transport's.
    told = "grpc-status-details-bin" in dict(error.trailing_metadata() or ())
    code = error.code()
    return code is grpc.StatusCode.UNAVAILABLE or (code in _BREAKS and not told)


def _call_error(error: grpc.aio.AioRpcError) -> errors.HydroError:
    """Of what broke, that may be sent again; or else the error itself."""
    told = errors.from_rpc(error)
    return errors.Unavailable(told.message) if _is_break(error) else told


def _broken_error(error: errors.HydroError | None) -> errors.HydroError:
    """What those are told that a call leaves without an answer; None: it just ended.

    What the call itself was refused for would be refused again: it is told as it is.
    """
    why = error.message if error else "the call ended early"
    what = f"the stream ended before this was answered ({why})"
    if error is None or isinstance(error, errors.Unavailable):
        return errors.Unavailable(f"{what}; send it again")
    lost = type(error)(what, **error.metadata)
    lost.request_id = error.request_id
    return lost
