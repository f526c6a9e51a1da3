"""A runtime's data port: rows as Envoy brings them, to stages of a chain."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from data_port import (
    LIMIT,
    SERVE,
    SERVICE,
    STREAM,
    TRAILERS,
    Plus,
    answers,
    body,
    column,
    frame,
    headers,
    model,
    piece,
    response,
    rows,
    sent,
    serving,
    streamed,
    through,
)
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from grpc_health.v1 import health_pb2

from hydro.serving.v1 import frame_pb2
from hydro_runtimes.columns import Columns
from hydro_runtimes.evaluator import Evaluation
from hydro_services.codecs.grpc_messages import MessageCutter, prefix_message
from hydro_services.runtime import data_port, processor


async def test_stage_answers_headers_then_each_piece_then_the_end() -> None:
    async with serving(plus=Plus()) as port:
        call = port.process("first")
        await call.write(headers())
        assert (await response(call)).WhichOneof("response") == "request_headers"
        await call.write(piece(prefix_message(frame(1, 2))))
        found = streamed(await response(call))
        assert not found.end_of_stream
        assert column(MessageCutter(LIMIT).feed(found.body)[0]) == [2, 3]
        await call.write(piece(b"", end=True))
        found = streamed(await response(call))
        assert (found.body, found.end_of_stream) == (b"", True)
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_trailers_end_the_body_and_are_answered() -> None:
    async with serving(plus=Plus()) as port:
        call = port.process("middle")
        for request in (headers(), piece(prefix_message(frame(1))), TRAILERS):
            await call.write(request)
        kinds = []
        while (message := await call.read()) is not grpc.aio.EOF:
            kinds.append(ext_proc.ProcessingResponse.FromString(message).WhichOneof("response"))
        assert kinds[0] == "request_headers"
        assert kinds[-1] == "request_trailers"
        assert set(kinds[1:-1]) == {"request_body"}


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_message_split_over_pieces_is_put_together(size: int) -> None:
    sent = prefix_message(frame(1)) + prefix_message(frame(2, 3))
    async with serving(plus=Plus()) as port:
        call = port.process("first")
        await call.write(headers())
        for at in range(0, len(sent), size):
            await call.write(piece(sent[at : at + size]))
        await call.write(piece(b"", end=True))
        await response(call)
        messages = MessageCutter(LIMIT).feed(await through(call))
        assert [column(m) for m in messages] == [[2], [3, 4]]


async def test_big_body_goes_on_in_pieces_that_envoy_can_take() -> None:
    values = np.arange(200_000, dtype=float) + 100
    async with serving(plus=Plus()) as port:
        call = port.process("first")
        await call.write(headers())
        await response(call)
        sent = prefix_message(frame(*values))
        for at in range(0, len(sent), 60_000):
            await call.write(piece(sent[at : at + 60_000], end=at + 60_000 >= len(sent)))
        (message,) = MessageCutter(2 * LIMIT).feed(await through(call))
        assert column(message) == list(values + 1)


class Halting(Plus):
    """Does its first evaluation, and waits with the others until `goes_on`."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()

    def evaluate(self, columns: Columns) -> Evaluation:
        assert not self.entered.is_set() or self.goes_on.wait(30)
        return super().evaluate(columns)


async def test_rows_that_are_evaluated_go_on_while_later_ones_of_the_body_are_not() -> None:
    halting = Halting()
    sent = prefix_message(body(json.dumps([{"x": i + 100.0} for i in range(3000)])))
    async with serving(plus=halting) as port:
        call = port.process("first")
        for request in (headers(SERVE), piece(sent, end=True)):
            await call.write(request)
        await response(call)
        found = streamed(await response(call))
        assert not found.end_of_stream
        (first,) = MessageCutter(LIMIT).feed(found.body)
        halting.goes_on.set()
        (second,) = MessageCutter(LIMIT).feed(await through(call))
        assert column(first) + column(second) == [i + 101.0 for i in range(3000)]


@pytest.mark.parametrize(
    ("name", "requests", "code", "text"),
    [
        pytest.param("other", [], "UNAVAILABLE", "is not loaded here", id="no model"),
        pytest.param("plus", [piece(b"x")], "INVALID_ARGUMENT", "want request_headers", id="order"),
        pytest.param("plus", [headers(end=True)], "INVALID_ARGUMENT", "no message", id="no body"),
        pytest.param("plus", [headers()] * 2, "INVALID_ARGUMENT", "request_headers", id="twice"),
        pytest.param(
            "plus",
            [headers(), piece(prefix_message(b"\xff"))],
            "INVALID_ARGUMENT",
            "Frame",
            id="no frame",
        ),
        pytest.param(
            "plus",
            [headers(), piece(b"\1\0\0\0\1x")],
            "UNIMPLEMENTED",
            "compressed message",
            id="compressed",
        ),
        pytest.param(
            "plus",
            [headers(), piece(b"\0\x7f\0\0\0x")],
            "RESOURCE_EXHAUSTED",
            "send fewer rows",
            id="too large",
        ),
        pytest.param(
            "plus",
            [headers(SERVE), piece(prefix_message(body("[1"))), piece(b"", end=True)],
            "INVALID_ARGUMENT",
            "malformed JSON",
            id="no JSON",
        ),
    ],
)
async def test_error_before_the_first_answer_ends_the_call_with_its_status(
    name: str, requests: Sequence[bytes], code: str, text: str
) -> None:
    ended = asyncio.Event()
    async with serving(plus=Plus()) as port:
        call = port.process("first", name, sent(requests, ended))
        while (found := await response(call)).WhichOneof("response") == "request_headers":
            pass
        told = found.immediate_response
        assert told.grpc_status.status == grpc.StatusCode[code].value[0]
        assert text in told.body.decode()
        assert await call.read() is grpc.aio.EOF
        ended.set()


async def test_bug_before_the_first_answer_is_told_as_an_id(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(processor, "find_header", bug)
    async with serving(plus=Plus()) as port:
        call = port.process("first")
        await call.write(headers())
        told = (await response(call)).immediate_response
        assert told.grpc_status.status == grpc.StatusCode.INTERNAL.value[0]
        assert b"secret" not in told.body
        (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
        assert record.__dict__["id"].encode() in told.body


async def test_frame_that_cannot_be_read_after_the_first_answer_fails_in_its_place() -> None:
    async with serving(plus=Plus()) as port:
        call = port.process("middle")
        await call.write(headers())
        await call.write(piece(prefix_message(frame(1))))
        await response(call)
        assert MessageCutter(LIMIT).feed(streamed(await response(call)).body)
        await call.write(piece(prefix_message(b"\xff") + prefix_message(frame(5))))
        bad, good = MessageCutter(LIMIT).feed(streamed(await response(call)).body)
        assert frame_pb2.Frame.FromString(bad).failure.code == 3
        assert column(good) == [6]


# As Envoy's router does it


@pytest.mark.parametrize("method", ["Predict", "PredictStream"])
@pytest.mark.parametrize("position", ["only", "last"])
async def test_last_stage_answers_frames(method: str, position: str) -> None:
    async with serving(plus=Plus()) as port:
        (answer,) = await answers(port.call(SERVICE + method, position), frame(1, 2))
        assert column(answer) == [2, 3]


async def test_stream_answers_each_frame_before_the_next() -> None:
    async with serving(plus=Plus()) as port:
        call = port.call(STREAM, "only")
        for i in range(10):
            await call.write(frame(i, id=str(i)))
            answer = await call.read()
            assert column(answer) == [i + 1]
            assert frame_pb2.Frame.FromString(answer).id == str(i)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def test_serve_answers_an_array_by_an_array() -> None:
    async with serving(plus=Plus()) as port:
        call = port.call(SERVE, "only")
        assert rows(await answers(call, body('[{"x": 1}, '), body('{"x": 2}]'))) == [
            {"x": 1, "y": 2},
            {"x": 2, "y": 3},
        ]


async def test_serve_without_any_message_is_an_error() -> None:
    async with serving(plus=Plus()) as port:
        call = port.call(SERVE, "only")
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_chain_of_three_stages_answers_what_the_client_sent() -> None:
    models = {"a": Plus("y", "x"), "b": Plus("z", "y"), "c": Plus("end", "z")}
    async with serving(**models) as port:
        passed = prefix_message(body('[{"x": 1}, {"x": 13}]'))
        for name, position in (("a", "first"), ("b", "middle")):
            call = port.process(position, name)
            for request in (headers(SERVE), piece(passed), piece(b"", end=True)):
                await call.write(request)
            await response(call)
            passed = await through(call)
        last = await answers(port.call(SERVE, "last", "c"), *MessageCutter(LIMIT).feed(passed))
        well, failed = rows(last)
        assert well == {"x": 1, "y": 2, "z": 3, "end": 4}
        assert failed["error"]["stage"] == "s/a"
        assert failed["error"]["status"] == "INTERNAL"


@pytest.mark.parametrize("missing", ["x-hydro-stage", "x-hydro-position"])
async def test_call_that_is_not_from_the_gateway_is_refused(missing: str) -> None:
    async with serving(plus=Plus()) as port:
        told = {"x-hydro-model": model("plus").key, "x-hydro-stage": "s", "x-hydro-position": "x"}
        told.pop(missing)
        stream: Any = port.channel.stream_stream(STREAM)
        call = stream(metadata=tuple(told.items()))
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "call through the gateway" in await call.details()


# Models that misbehave


async def test_model_that_raises_costs_its_rows() -> None:
    async with serving(plus=Plus()) as port:
        (answer,) = await answers(port.call(STREAM, "only"), frame(1, 13, 3))
        assert column(answer) == [2, 4]
        (error,) = frame_pb2.Frame.FromString(answer).errors
        assert (error.row, error.status.code) == (1, grpc.StatusCode.INTERNAL.value[0])
        assert "Traceback" not in error.status.message


async def test_models_that_hang_hold_up_no_other() -> None:
    hung = {f"hung{i}": Plus() for i in range(5)}
    for each in hung.values():
        each.gate.clear()
    async with serving(plus=Plus(), **hung) as port:
        calls = {name: port.call(STREAM, "only", name) for name in hung}
        for name, call in calls.items():
            await call.write(frame(1))
            assert await asyncio.to_thread(hung[name].entered.wait, 10)
        for i in range(20):
            (answer,) = await answers(port.call(STREAM, "only"), frame(-i))
            assert column(answer) == [1 - i]
        for each in hung.values():
            each.gate.set()
        assert [column(await call.read()) for call in calls.values()] == [[2]] * 5


async def test_unloaded_model_serves_its_streams_to_their_end_and_no_new_ones() -> None:
    async with serving(plus=Plus()) as port:
        call = port.call(STREAM, "only")
        await call.write(frame(1))
        assert column(await call.read()) == [2]
        port.host.unload(model("plus").key)
        await call.write(frame(2))
        assert column(await call.read()) == [3]
        assert await port.call(STREAM, "only").code() is grpc.StatusCode.UNAVAILABLE


async def test_health_is_what_the_process_says() -> None:
    async with serving() as port:
        check = port.channel.unary_unary(
            data_port.CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        assert (await check(health_pb2.HealthCheckRequest())).status == 1
        port.health.stop()
        assert (await check(health_pb2.HealthCheckRequest())).status == 2


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (health_pb2.HealthCheckRequest(service="mine").SerializeToString(), "OK"),
        (health_pb2.HealthCheckRequest(service="another's").SerializeToString(), "NOT_FOUND"),
        (b"\n\xff", "INVALID_ARGUMENT"),
        (bytes(data_port.MAX_CHECK_BYTES + 1), "RESOURCE_EXHAUSTED"),
    ],
)
async def test_health_may_be_asked_of_one_incarnation(request_: bytes, code: str) -> None:
    async with serving() as port:
        port.health.incarnation = "mine"
        call: Any = port.channel.unary_unary(data_port.CHECK)
        asked = call(request_)
        assert (await asked.code()).name == code
