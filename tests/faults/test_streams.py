"""What the kinds of stream clients see when the instance that carries them dies."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from clients import NDJSON, Clients, Curl, frame, refused, values
from scenes import PATIENCE_S, PIPELINE, Scene
from whole_mesh import until

from hydro.serving.v1 import frame_pb2 as pb
from hydro_services import client

pytestmark = [pytest.mark.e2e, pytest.mark.topologies("embedded")]

BROKEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE)


async def asked(stream: Any, text: str) -> pb.Frame:
    await stream.write(frame(PIPELINE, text))
    answer = await stream.read()
    assert isinstance(answer, pb.Frame)
    return answer


async def test_a_generated_stub_sees_the_stream_break_and_opens_another(scene: Scene) -> None:
    await scene.whole()
    stub = scene.clients.predictions
    stream = stub.PredictStream(timeout=60)
    answer = await asked(stream, "0")
    assert values(answer, "there") == ["0"]
    os.kill(values(answer, "there_process")[0], signal.SIGKILL)
    error = await refused(asked(stream, "1"))
    assert error.code() in BROKEN
    stream = stub.PredictStream(timeout=60)
    assert values(await asked(stream, "2"), "there") == ["2"]
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF


async def test_lines_of_the_client_fail_each_in_its_place(scene: Scene) -> None:
    await scene.whole()
    answers: list[Any] = []

    async def lines() -> AsyncIterator[bytes]:
        for number in range(200):
            if number == 100:
                await until(lambda: answers, PATIENCE_S, "an answer")
                os.kill(answers[-1]["there_process"], signal.SIGKILL)
            yield json.dumps({"text": str(number)}).encode() + b"\n"

    async with grpc.aio.insecure_channel(scene.mesh.address("gateway")) as channel:
        async for piece in client.Gateway(channel).serve_lines(PIPELINE, lines()):
            answers += map(json.loads, piece.splitlines())
    failed = [number for number, answer in enumerate(answers) if "error" in answer]
    expected = [str(n) if n not in failed else None for n in range(200)]
    assert [answer.get("there") for answer in answers] == expected
    assert {answers[number]["error"]["status"] for number in failed} == {"UNAVAILABLE"}
    assert failed == list(range(failed[0], failed[0] + len(failed)))  # those under way, no others


async def test_lines_over_http_break_off_and_go_on_in_another_request(scene: Scene) -> None:
    await scene.whole()
    first = await lined(scene.clients)
    await first.send(b'{"text": "0"}\n')
    answer = await first.line()
    os.kill(answer["there_process"], signal.SIGKILL)
    await first.send(b'{"text": "1"}\n')
    rest, code = await first.broken()
    # What was answered is whole lines; that there are no more, curl tells: the body has no end.
    assert (answer["there"], rest) == ("0", b"")
    assert code != 0
    second = await lined(scene.clients)
    await second.send(b'{"text": "2"}\n')
    assert (await second.line())["there"] == "2"
    assert await second.rest() == b""


async def lined(clients: Clients) -> Curl:
    return await Curl.start(f"{clients.mesh.urls['gateway']}/api/v1/serve/{PIPELINE}", NDJSON)
