"""What the kinds of stream clients see when the instance that carries them dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from clients import NDJSON, Clients, Curl, frame, refused, values
from harness import PIPELINE, SERVICE, Scene, now, until_true
from patience import PATIENCE_S
from whole_mesh import until

from hydro.serving.v1 import frame_pb2 as pb
from hydro_services import client

pytestmark = [pytest.mark.e2e, pytest.mark.topologies("embedded")]

STAGES = ("here", "there", "third")
PROTOCOLS = ("--http1.0", "--http1.1", "--http2-prior-knowledge")
SEEN_S = 5.0
"""From a kill until a client sees it: Envoy closes a connection of HTTP/1.1 after a second."""
BROKEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE)


async def asked(stream: Any, text: str) -> pb.Frame:
    await stream.write(frame(PIPELINE, text))
    answer = await stream.read()
    assert isinstance(answer, pb.Frame)
    return answer


async def test_a_generated_stub_sees_the_stream_break_and_opens_another(scene: Scene) -> None:
    await scene.whole()
    stub = scene.clients.predictions
    stream = stub.PredictStream(timeout=PATIENCE_S)
    answer = await asked(stream, "0")
    assert values(answer, "there") == ["0"]
    os.kill(values(answer, "there_process")[0], signal.SIGKILL)
    error = await refused(asked(stream, "1"))
    assert error.code() in BROKEN
    stream = stub.PredictStream(timeout=PATIENCE_S)
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
        async for piece in client.GatewayClient(channel).serve_lines(PIPELINE, lines()):
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


@contextlib.asynccontextmanager
async def chain(scene: Scene, stages: int) -> AsyncIterator[str]:
    """A pipeline of so many stages."""
    name = f"chain-of-{stages}"
    response = await scene.clients.create(name, *(f"{SERVICE}/{s}" for s in STAGES[:stages]))
    assert response.status_code == 200, response.text
    try:
        yield name
    finally:
        await scene.clients.delete(name)


async def kill(scene: Scene, pid: int) -> None:
    """And waits until another is there in its place."""
    before = await scene.ready()
    os.kill(pid, signal.SIGKILL)

    async def is_replaced() -> bool:
        return await scene.is_whole() and await scene.ready() != before

    await until_true(is_replaced, "another process in the place of the one that was killed")


@pytest.mark.parametrize("protocol", PROTOCOLS[1:])
@pytest.mark.parametrize("stages", [1, 2, 3])
async def test_whichever_process_of_a_chain_dies_its_lines_break_off_at_once(
    scene: Scene, protocol: str, stages: int
) -> None:
    await scene.whole()
    async with chain(scene, stages) as name:
        for stage in {STAGES[0], STAGES[stages - 1], random.choice(STAGES[:stages])}:
            url = f"{scene.mesh.urls['gateway']}/api/v1/serve/{name}"
            curl = await Curl.start(url, NDJSON, protocol)
            await curl.send(b'{"text": "0"}\n')
            answer = await curl.line()
            start = now()
            replaced = asyncio.create_task(kill(scene, answer[f"{stage}_process"]))
            rest, code = await curl.broken()
            assert now() - start < SEEN_S
            assert (rest, code != 0) == (b"", True)
            await replaced


async def posted(scene: Scene, name: str, protocol: str, kind: str, rows: int) -> str:
    """What became of a request: right, refused, broken, or what is wrong with the answer."""
    lines = [json.dumps({"text": str(number)}) for number in range(rows)]
    is_array = kind == "application/json"
    body = "[" + ",".join(lines) + "]" if is_array else "\n".join(lines) + "\n"
    words = ["-s", "-o", "-", "-w", "%{stderr}%{http_code}", protocol, "-H", "Expect:"]
    words += ["-H", f"content-type: {kind}", "--data-binary", "@-"]
    url = f"{scene.mesh.urls['gateway']}/api/v1/serve/{name}"
    pipe = asyncio.subprocess.PIPE
    curl = await asyncio.create_subprocess_exec(
        "curl", *words, url, stdin=pipe, stdout=pipe, stderr=pipe
    )
    out, status = await curl.communicate(body.encode())
    if curl.returncode:
        return "broken"
    if status != b"200":
        return "refused" if json.loads(out)["status"] == "UNAVAILABLE" else out.decode()[:300]
    answers = json.loads(out) if is_array else [json.loads(line) for line in out.splitlines()]
    expected = [str(number) for number in range(rows)]
    return "right" if [a.get("here") for a in answers] == expected else f"{len(answers)} answers"


@pytest.mark.parametrize("stages", [1, 3])
async def test_no_answer_looks_whole_that_is_not(scene: Scene, stages: int) -> None:
    """Whatever the client speaks, and whenever in the answer a process dies."""
    await scene.whole()
    async with chain(scene, stages) as name:
        for _ in range(3):
            asked = {
                (protocol, kind): asyncio.create_task(
                    posted(scene, name, protocol, kind, random.choice([1, 500, 10_000]))
                )
                for protocol in PROTOCOLS
                for kind in ("application/json", "application/x-ndjson")
            }
            await asyncio.sleep(random.uniform(0, 1))
            await kill(scene, random.choice(scene.mesh.pids(SERVICE)))
            for (protocol, kind), task in asked.items():
                is_array = kind == "application/json"
                ends = {"right"} if is_array else {"right", "refused", "broken"}
                assert await task in ends, (protocol, kind)
