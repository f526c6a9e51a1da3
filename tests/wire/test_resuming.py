"""Streams of the client on a server whose calls break."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

import grpc
import grpc.aio
import pytest
from google.api import httpbody_pb2
from patience import PATIENCE_S
from whole_mesh import until

from hydro.serving.v1 import frame_pb2 as pb
from hydro.serving.v1 import prediction_service_pb2_grpc
from hydro_envoy.address import Address
from hydro_services import client, errors


class Breaking(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Each call answers some messages, reads some more, and ends with a code."""

    def __init__(self, *calls: tuple[int, int, grpc.StatusCode]) -> None:
        self.calls = list(calls)
        self.seen: list[list[str]] = []

    async def Predict(self, request: pb.Frame, context: Any) -> pb.Frame:
        return request

    async def PredictStream(self, request_iterator: Any, context: Any) -> AsyncIterator[pb.Frame]:
        async for frame in self._answered(request_iterator, context, lambda frame: frame.id):
            yield frame

    async def Serve(
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        def told(request: Any) -> str:
            return str(request.body.data.decode())

        async for request in self._answered(request_iterator, context, told):
            yield httpbody_pb2.HttpBody(data=request.body.data.replace(b"sent", b"answered"))

    async def _answered(
        self, messages: Any, context: Any, tell: Callable[[Any], str]
    ) -> AsyncIterator[Any]:
        answers, swallowed, code = self.calls.pop(0)
        seen: list[str] = []
        self.seen.append(seen)
        async for message in messages:
            seen.append(tell(message))
            if len(seen) <= answers:
                yield message
            if len(seen) == answers + swallowed:
                await context.abort(code, "broken")


ALL = (10_000, 1, grpc.StatusCode.OK)
BREAK = grpc.StatusCode.UNAVAILABLE


@contextlib.asynccontextmanager
async def gateway(servicer: Breaking) -> AsyncIterator[client.GatewayClient]:
    server = grpc.aio.server()
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with client.connect_channel("gateway", Address("127.0.0.1", port)) as channel:
            yield client.GatewayClient(channel)
    finally:
        await server.stop(0)


async def frames(count: int) -> AsyncIterator[pb.Frame]:
    for number in range(count):
        yield pb.Frame(pipeline="p", id=str(number))


def told(answers: Sequence[pb.Frame]) -> list[str]:
    """The id of each answer, with a ! where it is an error."""
    return [f"{a.id}{'!' * a.HasField('failure')}" for a in answers]


class Turns:
    """Messages, each sent when the answers so far allow it."""

    def __init__(self, *sizes: int) -> None:
        self._sizes = sizes
        self.answers: list[pb.Frame] = []

    async def frames(self) -> AsyncIterator[pb.Frame]:
        number = 0
        for size in self._sizes:
            for _ in range(size):
                yield pb.Frame(pipeline="p", id=str(number))
                number += 1
            await until(partial(self._has, number), PATIENCE_S, f"{number} answers")

    def _has(self, number: int) -> bool:
        return len(self.answers) >= number

    async def run(self, gateway: client.GatewayClient) -> list[str]:
        async for answer in gateway.predict_stream(self.frames()):
            self.answers.append(answer)
        return told(self.answers)


async def test_messages_under_way_fail_and_the_next_ones_go_on() -> None:
    served = Breaking((2, 3, BREAK), ALL)
    async with gateway(served) as calls:
        turns = Turns(5, 2)
        assert await turns.run(calls) == ["0", "1", "2!", "3!", "4!", "5", "6"]
    assert served.seen == [["0", "1", "2", "3", "4"], ["5", "6"]]
    error = errors.from_status(turns.answers[2].failure)
    assert isinstance(error, errors.Unavailable)
    assert "send it again" in error.message


@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "UNKNOWN", "CANCELLED"])
async def test_a_call_that_breaks_without_an_answer_costs_what_it_was_given(code: str) -> None:
    served = Breaking((1, 1, BREAK), (0, 1, grpc.StatusCode[code]), ALL)
    async with gateway(served) as calls:
        assert await Turns(2, 1, 1).run(calls) == ["0", "1!", "2!", "3"]


async def test_a_long_stream_breaks_often_and_keeps_its_order() -> None:
    served = Breaking(*((10, 1, BREAK),) * 20, ALL)
    async with gateway(served) as calls:
        answers = [answer async for answer in calls.predict_stream(frames(1_000))]
    assert [answer.id for answer in answers] == [str(number) for number in range(1_000)]
    lost = {answer.id for answer in answers if answer.HasField("failure")}
    seen = [id for call in served.seen for id in call]
    assert len(seen) == len(set(seen))  # nothing is sent twice
    assert 20 <= len(lost) < 1_000


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        pytest.param([(0, 1, BREAK)], errors.Unavailable, id="nothing was answered"),
        pytest.param([(0, 1, grpc.StatusCode.NOT_FOUND)], errors.NotFound, id="no pipeline"),
        pytest.param(
            [(1, 1, BREAK), (0, 1, grpc.StatusCode.NOT_FOUND)], errors.NotFound, id="no more"
        ),
    ],
)
async def test_a_refusal_is_raised(
    calls: list[tuple[int, int, grpc.StatusCode]], expected: type[errors.HydroError]
) -> None:
    turns = Turns(2, 2)
    with pytest.raises(expected):
        async with gateway(Breaking(*calls)) as opened:
            await turns.run(opened)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.TooLarge),
        (grpc.StatusCode.PERMISSION_DENIED, errors.PermissionDenied),
        (grpc.StatusCode.FAILED_PRECONDITION, errors.FailedPrecondition),
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
        (grpc.StatusCode.INTERNAL, errors.Unavailable),
    ],
)
async def test_what_would_be_refused_again_is_not_called_unavailable(
    code: grpc.StatusCode, expected: type[errors.HydroError]
) -> None:
    async with gateway(Breaking((1, 1, code), ALL)) as calls:
        turns = Turns(2, 1)
        assert await turns.run(calls) == ["0", "1!", "2"]
    assert type(errors.from_status(turns.answers[1].failure)) is expected


async def test_what_the_giver_of_messages_raises_is_raised() -> None:
    async def messages() -> AsyncIterator[pb.Frame]:
        yield pb.Frame(id="0")
        raise ZeroDivisionError

    async with gateway(Breaking(ALL)) as calls:
        stream = calls.predict_stream(messages())
        assert (await anext(stream)).id == "0"
        with pytest.raises(ZeroDivisionError):
            await anext(stream)


async def test_a_reader_that_leaves_ends_the_call() -> None:
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[pb.Frame]:
        try:
            while True:
                yield pb.Frame()
        finally:
            ended.set()

    async with gateway(Breaking(ALL)) as calls:
        stream = calls.predict_stream(endless())
        await anext(stream)
        await stream.aclose()
        assert ended.is_set()


async def test_lines_under_way_fail_each_in_its_place() -> None:
    served = Breaking((1, 1, BREAK), ALL)
    answered: list[bytes] = []

    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"sent": 0}\n{"sent"'
        await until(lambda: answered, PATIENCE_S, "an answer")
        yield b': 1}\n\n{"sent": 2}\n'
        await until(lambda: len(b"".join(answered).splitlines()) == 3, PATIENCE_S, "three answers")
        yield b'{"sent": 3}'

    async with gateway(served) as calls:
        async for piece in calls.serve_lines("p", pieces()):
            answered.append(piece)
    rows = [json.loads(line) for line in b"".join(answered).splitlines()]
    assert rows[0] == {"answered": 0}
    assert [row["error"]["status"] for row in rows[1:3]] == ["UNAVAILABLE"] * 2
    assert rows[3:] == [{"answered": 3}]
