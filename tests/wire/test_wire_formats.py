"""A wire format that the product does not have: what it takes is an entry in the table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import cast

import grpc.aio
import numpy as np
import pytest
from data_port import LIMIT, SERVE, Plus, Port, answers, headers, piece, response, serving, through
from google.api import httpbody_pb2

from hydro.serving.v1 import frame_pb2 as pb
from hydro.serving.v1 import prediction_service_pb2
from hydro_runtimes.columns import Columns, Dense
from hydro_runtimes.evaluator import Failure
from hydro_services.codecs import proto_encoding
from hydro_services.codecs.grpc_messages import MessageCutter, prefix_message
from hydro_services.codecs.whole_lines import LineCutter, split_lines
from hydro_services.runtime import row_errors, stage
from hydro_services.runtime.offload import DecodableInput
from hydro_services.runtime.stage import FrameInStage
from hydro_services.runtime.wire_formats import json_frames, table
from hydro_services.runtime.wire_formats.frames import GRPC
from hydro_services.runtime.wire_formats.wire_format import ReadingStage, WireFormat

NUMBERS = "text/numbers"
ENCODING = cast(pb.Encoding, 1000)


class NumberDecoder:
    """Lines of comma-separated numbers, each a row of the column `x`."""

    def __init__(self, reader: ReadingStage) -> None:
        self.reader = reader
        self._lines = LineCutter()

    def feed(self, pieces: Sequence[bytes]) -> DecodableInput:
        text = b"".join(map(self._lines.feed, pieces))
        return DecodableInput(self._frames(text), len(text))

    def end(self) -> DecodableInput:
        text = self._lines.end()
        return DecodableInput(self._frames(text), len(text))

    def _frames(self, text: bytes) -> Iterator[FrameInStage]:
        for line in split_lines(text):
            texts = line.decode().split(",")
            numbers = [float(each) for each in texts if each != "?"]
            columns = Columns({"x": Dense(np.array(numbers))}, len(numbers))
            frame = pb.Frame(encoding=ENCODING)
            frame.table.rows = len(numbers)
            proto_encoding.add_columns(columns, {}, frame.table)
            odd = [place for place, each in enumerate(texts) if each == "?"]
            failures = dict.fromkeys(odd, Failure("NOT_A_NUMBER", "got ?, want a number"))
            frame.errors.extend(row_errors.make_errors(failures, self.reader.stage, ENCODING))
            inputs = stage.read_inputs(frame, self.reader.signature, self.reader.stage, columns)
            yield FrameInStage(frame, inputs)


class ListEncoder:
    """A JSON list a frame, and a line at the end."""

    def write(self, frame: pb.Frame) -> list[bytes]:
        rows = [row for part in json_frames.answer_parts(frame) for row in part]
        return [json.dumps(rows).encode() + b"\n"]

    def end(self) -> list[bytes]:
        return [b"end\n"]


async def through_first(port: Port, sent: Sequence[bytes]) -> list[bytes]:
    """What the first stage hands on for a client's messages, by Envoy's external processor."""
    call = port.process("first", "first")
    body = b"".join(map(prefix_message, sent))
    for request in (headers(SERVE), piece(body), piece(b"", end=True)):
        await call.write(request)
    await response(call)
    return MessageCutter(LIMIT).feed(await through(call))


@pytest.fixture(autouse=True)
def numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    known = WireFormat(NumberDecoder, ListEncoder, "text/lists", ENCODING)
    monkeypatch.setitem(table.FORMATS, (SERVE, NUMBERS), known)


def bodies(*texts: bytes, content_type: str = NUMBERS) -> list[bytes]:
    """The messages of a call, as Envoy's transcoder makes them."""
    return [
        prediction_service_pb2.ServeRequest(
            body=httpbody_pb2.HttpBody(content_type=content_type, data=text)
        ).SerializeToString()
        for text in texts
    ]


def answered(messages: Sequence[bytes]) -> tuple[bytes, set[str]]:
    """The body of an answer, and its content types."""
    found = [httpbody_pb2.HttpBody.FromString(message) for message in messages]
    return b"".join(body.data for body in found), {body.content_type for body in found}


async def test_a_format_in_the_table_is_read_and_answered() -> None:
    async with serving(plus=Plus()) as port:
        sent = bodies(b"1,2\n3", b".5,?\n\n", b"4")
        body, kinds = answered(await answers(port.call(SERVE, "only"), *sent))
    lists = [json.loads(line) for line in body.splitlines()[:-1]]
    assert [[row.get("y") for row in rows] for rows in lists] == [[2, 3], [4.5, None], [5]]
    assert lists[1][1]["error"]["reason"] == "NOT_A_NUMBER"
    assert body.endswith(b"end\n")
    assert kinds == {"text/lists"}


async def test_parameters_and_case_of_a_content_type_mean_nothing() -> None:
    sent = bodies(b"1\n", content_type="Text/Numbers; charset=utf-8")
    async with serving(plus=Plus()) as port:
        body, _ = answered(await answers(port.call(SERVE, "only"), *sent))
    assert body == b'[{"x": 1.0, "y": 2.0}]\nend\n'


async def test_the_last_stage_of_a_chain_answers_in_the_format_that_the_first_one_read() -> None:
    async with serving(first=Plus(), last=Plus("z", "y")) as port:
        passed = await through_first(port, bodies(b"1,2\n"))
        body, kinds = answered(await answers(port.call(SERVE, "last", "last"), *passed))
    assert json.loads(body.splitlines()[0]) == [
        {"x": 1.0, "y": 2.0, "z": 3.0},
        {"x": 2.0, "y": 3.0, "z": 4.0},
    ]
    assert kinds == {"text/lists"}


async def test_other_formats_are_answered_as_before() -> None:
    async with serving(plus=Plus()) as port:
        lines = bodies(b'{"x": 1}\n', content_type="application/jsonlines")
        body, kinds = answered(await answers(port.call(SERVE, "only"), *lines))
        assert (body, kinds) == (b'{"x":1.0,"y":2.0}\n', {"application/x-ndjson"})
        array = bodies(b'[{"x": 1}]', content_type="application/x-www-form-urlencoded")
        body, kinds = answered(await answers(port.call(SERVE, "only"), *array))
        assert (body, kinds) == (b'[{"x":1.0,"y":2.0}]', {"application/json"})


async def test_a_method_of_its_own_takes_no_more() -> None:
    path = "/test.Numbers/Add"
    with pytest.MonkeyPatch.context() as patch:
        known = WireFormat(NumberDecoder, ListEncoder, GRPC)
        patch.setitem(table.FORMATS, (path, GRPC), known)
        async with serving(plus=Plus()) as port:
            found = await answers(port.call(path, "only"), b"1\n", b"2\n")
    assert found == [b'[{"x": 1.0, "y": 2.0}]\n', b'[{"x": 2.0, "y": 3.0}]\n', b"end\n"]


async def test_an_encoding_that_the_last_stage_does_not_know_ends_the_call() -> None:
    async with serving(plus=Plus("z", "y")) as port:
        frame = pb.Frame(encoding=cast(pb.Encoding, 1001))
        frame.table.rows = 1
        proto_encoding.encode_column("y", Dense(np.array([1.0])), frame.table.columns.add())
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await answers(port.call(SERVE, "last"), frame.SerializeToString())
    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert "encoding 1001 of the answer is not known" in (raised.value.details() or "")
