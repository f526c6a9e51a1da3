"""Chains of stages under the real Envoy, with runtimes that only echo."""

from __future__ import annotations

import asyncio
import itertools
import json

import piecewise
import pytest
from control_mesh import ControlMesh, predict
from echo_runtime import EchoRuntime
from grpc import aio
from meshes import HOST, MAX_MESSAGE_BYTES
from patience import PATIENCE_S

from hydro.serving.v1.frame_pb2 import Frame
from hydro_services.codecs.grpc_messages import MessageCutter, prefix_message

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("name", ["a", "ab", "aba"])
async def test_a_chain_answers_by_grpc_and_by_http(two: ControlMesh, name: str) -> None:
    assert await predict(two, name, "x") == "x" + name.upper()
    answer = await two.post(f"/api/v1/serve/{name}", b'"x')
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.body == b'"x' + name.upper().encode()
    typed = await two.post(f"/api/v1/predict/{name}", b'{"id":"x"}')
    assert typed.json["id"] == "x" + name.upper()


@pytest.mark.parametrize("name", ["a", "ab"])
async def test_a_stream_answers_before_the_next_request_is_sent(
    two: ControlMesh, name: str
) -> None:
    async with asyncio.timeout(PATIENCE_S):
        call = two.stub.PredictStream()
        for i in range(5):
            await call.write(Frame(pipeline=name if i == 0 else "", id=str(i)))
            assert (await call.read()).id == f"{i}{name.upper()}"
        await call.done_writing()
        assert await call.read() is aio.EOF


@pytest.mark.parametrize("size", [1, 300, 20_000])
@pytest.mark.parametrize(
    "cuts", [(0.5,), (1.2,), (2.5,), (0.4, 1.5), (0.1, 0.3, 2.9), (1.0, 1.7, 2.2)]
)
async def test_a_stream_may_be_cut_anywhere(
    two: ControlMesh, cuts: tuple[float, ...], size: int
) -> None:
    sent = [Frame(pipeline="ab", id=f"{i}" * size).SerializeToString() for i in range(3)]
    messages = [prefix_message(message) for message in sent]
    body, length = b"".join(messages), len(messages[0])
    ends = [0, *(int(cut * length) for cut in cuts), len(body)]
    pieces = [body[a:b] for a, b in itertools.pairwise(ends)]
    assert await predict(two, "ab", "x") == "xAB"  # what follows finds its connections open
    async with asyncio.timeout(PATIENCE_S):
        path = "/hydro.serving.v1.PredictionService/PredictStream"
        answer = await piecewise.call(HOST, two.port, path, pieces)
    answers = [Frame.FromString(each).id for each in MessageCutter(1 << 20).feed(answer)]
    assert answers == [f"{i}" * size + "AB" for i in range(3)]


@pytest.mark.parametrize("name", ["a", "ab"])
async def test_http_answers_piece_by_piece_while_the_body_is_still_coming(
    two: ControlMesh, name: str
) -> None:
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(HOST, two.port)
        head = f"POST /api/v1/serve/{name} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n"
        writer.write(f"{head}content-type: application/x-ndjson\r\n\r\n".encode())
        for piece in (b"one", b"two", b"six"):
            writer.write(b"3\r\n" + piece + b"\r\n")
            await writer.drain()
            await reader.readuntil(piece + name.upper().encode())
        writer.write(b"0\r\n\r\n")
        await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.close()
        await writer.wait_closed()


async def test_each_stage_is_told_what_it_is(
    two: ControlMesh, runtime_a: EchoRuntime, runtime_b: EchoRuntime
) -> None:
    runtime_a.seen.clear()
    runtime_b.seen.clear()
    forged = (("x-pipeline", "evil"), ("x-hydro-model", "evil"), ("x-hydro-other", "evil"))
    await two.stub.Predict(Frame(pipeline="aba", id="x"), timeout=PATIENCE_S, metadata=forged)
    await predict(two, "a", "x")
    seen = sorted((*runtime_a.seen, *runtime_b.seen), key=lambda m: m["x-hydro-position"])
    told = [{k: v for k, v in each.items() if k.startswith("x-hydro-")} for each in seen]
    assert told == [_told("aba", "a", "first"), _told("aba", "a", "last"),
                    _told("aba", "b", "middle"), _told("a", "a", "only")]  # fmt: skip
    passed_on = [h for each in runtime_a.client_headers for h in each.items()]
    assert "evil" not in {value for _, value in passed_on}


def _told(name: str, service: str, position: str) -> dict[str, str]:
    whole = {"x-hydro-answer": "whole"} if position in ("last", "only") else {}
    return whole | {
        "x-hydro-model": f"m-{service}:1@digest",
        "x-hydro-pipeline": name,
        "x-hydro-position": position,
        "x-hydro-stage": f"{service}/m-{service}:1",
    }


async def test_a_message_of_the_greatest_size_passes(two: ControlMesh) -> None:
    text = "x" * (MAX_MESSAGE_BYTES - 1000)
    assert await predict(two, "ab", text) == text + "AB"
    answer = await two.post("/api/v1/predict/ab", json.dumps({"id": text}).encode())
    assert answer.json["id"] == text + "AB"
