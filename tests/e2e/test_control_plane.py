"""The real Envoy under our control plane, with runtimes that only echo."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import piecewise
import pytest
from control_mesh import ControlMesh, HttpAnswer
from echo_runtime import EchoRuntime
from google.api.httpbody_pb2 import HttpBody
from grpc import aio
from grpc_health.v1 import health, health_pb2_grpc
from meshes import HOST, MAX_MESSAGE_BYTES, backend, pipeline, repository_edge
from ports import free_port
from whole_mesh import until

from hydro.repository.v1 import repository_service_pb2
from hydro.serving.v1.frame_pb2 import Frame
from hydro_envoy.mesh import Endpoint
from hydro_envoy.proxy.bootstrap import Bootstrap
from hydro_envoy.proxy.process import Envoy, find_envoy
from hydro_envoy.resources.builder import edge_ref, pipeline_ref
from hydro_services.codecs.grpc_messages import Messages, framed

pytestmark = pytest.mark.e2e

LIMIT_S = 20.0
"""For what must not hang; never what is measured."""


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[ControlMesh]:
    async with ControlMesh(tmp_path) as started:
        yield started


@pytest.fixture
async def runtime_a() -> AsyncIterator[EchoRuntime]:
    async with EchoRuntime("A") as runtime:
        yield runtime


@pytest.fixture
async def runtime_b() -> AsyncIterator[EchoRuntime]:
    async with EchoRuntime("B") as runtime:
        yield runtime


@pytest.fixture
async def two(mesh: ControlMesh, runtime_a: EchoRuntime, runtime_b: EchoRuntime) -> ControlMesh:
    """Pipelines of one stage (`a`), two (`ab`) and three (`aba`)."""
    await mesh.use(
        backends=(backend("a", runtime_a.endpoint), backend("b", runtime_b.endpoint)),
        pipelines=(pipeline("a", "a"), pipeline("ab", "a", "b"), pipeline("aba", "a", "b", "a")),
    )
    return mesh


async def predict(mesh: ControlMesh, name: str, text: str) -> str:
    answer = await mesh.stub.Predict(Frame(pipeline=name, id=text), timeout=LIMIT_S)
    return str(answer.id)


async def predict_error(mesh: ControlMesh, name: str, text: str) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as raised:
        await predict(mesh, name, text)
    return raised.value.code(), raised.value.details() or ""


def check_error(answer: HttpAnswer, status: int, code: int, message: str) -> None:
    assert (answer.status, answer.content_type) == (status, "application/json")
    assert answer.json["code"] == code
    assert message in answer.json["message"]


# ---- what is well


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
    async with asyncio.timeout(LIMIT_S):
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
    messages = [framed(message) for message in sent]
    body, length = b"".join(messages), len(messages[0])
    ends = [0, *(int(cut * length) for cut in cuts), len(body)]
    pieces = [body[a:b] for a, b in itertools.pairwise(ends)]
    assert await predict(two, "ab", "x") == "xAB"  # what follows finds its connections open
    async with asyncio.timeout(LIMIT_S):
        path = "/hydro.serving.v1.PredictionService/PredictStream"
        answer = await piecewise.call(HOST, two.port, path, pieces)
    answers = [Frame.FromString(each).id for each in Messages(1 << 20).feed(answer)]
    assert answers == [f"{i}" * size + "AB" for i in range(3)]


@pytest.mark.parametrize("name", ["a", "ab"])
async def test_http_answers_piece_by_piece_while_the_body_is_still_coming(
    two: ControlMesh, name: str
) -> None:
    async with asyncio.timeout(LIMIT_S):
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
    await two.stub.Predict(Frame(pipeline="aba", id="x"), timeout=LIMIT_S, metadata=forged)
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


# ---- changes while it runs


async def test_pipelines_come_change_and_go_while_streams_keep_their_chain(
    two: ControlMesh,
) -> None:
    async with asyncio.timeout(LIMIT_S):
        call = two.stub.PredictStream()
        await call.write(Frame(pipeline="ab", id="1"))
        assert (await call.read()).id == "1AB"
        await two.use(pipelines=(pipeline("ab", "b"), pipeline("new", "b", "b")))
        assert await predict(two, "ab", "x") == "xB"
        assert await predict(two, "new", "x") == "xBB"
        await two.use(pipelines=(pipeline("new", "b"),), backends=two.mesh.backends[1:])
        assert (await predict_error(two, "ab", "x"))[0] is grpc.StatusCode.NOT_FOUND
        await call.write(Frame(id="2"))
        assert (await call.read()).id == "2AB", "the stream under way keeps its old chain"
        await call.done_writing()
        assert await call.read() is aio.EOF


async def test_a_process_that_moves_is_followed(two: ControlMesh) -> None:
    async with EchoRuntime("C") as moved:
        await two.use(backends=(backend("a", moved.endpoint), two.mesh.backends[1]))
        assert await predict(two, "ab", "x") == "xCB"


async def test_traffic_goes_on_while_the_ads_server_is_away_and_back(two: ControlMesh) -> None:
    await two.stop_ads()
    assert await predict(two, "ab", "x") == "xAB"
    await two.start_ads()
    await two.use(pipelines=(*two.mesh.pipelines, pipeline("later", "b")))
    assert await predict(two, "later", "x") == "xB"
    assert await predict(two, "ab", "x") == "xAB"


@pytest.mark.parametrize("which", [0, 1], ids=["first", "last"])
async def test_a_stage_that_restarts_fails_no_request(
    two: ControlMesh, runtime_a: EchoRuntime, runtime_b: EchoRuntime, which: int
) -> None:
    old = (runtime_a, runtime_b)[which]
    await predict(two, "ab", "x")
    await old.stop()
    waiting = [asyncio.create_task(predict(two, "ab", "x")) for _ in range(5)]
    await asyncio.sleep(0.3)  # the outage itself
    async with EchoRuntime(old.letter, old.endpoint.port):
        assert await asyncio.gather(*waiting) == ["xAB"] * 5


# ---- what Envoy answers itself


async def test_an_unknown_pipeline_is_named(two: ControlMesh) -> None:
    code, text = await predict_error(two, "nobody", "x")
    assert (code, text) == (grpc.StatusCode.NOT_FOUND, "no such pipeline: nobody")
    for face in ("serve", "predict"):
        answer = await two.post(f"/api/v1/{face}/nobody", b"{}")
        check_error(answer, 404, 5, "no such pipeline: nobody")


async def test_a_message_without_a_pipeline_is_refused(two: ControlMesh) -> None:
    code, text = await predict_error(two, "", "x")
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "names no pipeline" in text


@pytest.mark.parametrize("stage", [0, 1], ids=["first", "last"])
async def test_a_stage_that_stays_dead_is_unavailable_soon(
    two: ControlMesh, runtime_a: EchoRuntime, runtime_b: EchoRuntime, stage: int
) -> None:
    await (runtime_a, runtime_b)[stage].stop()
    start = time.monotonic()
    code, text = await predict_error(two, "ab", "x")
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "pipeline 'ab'" in text
    assert time.monotonic() - start < LIMIT_S / 2, "no hang"
    check_error(await two.post("/api/v1/serve/ab", b"x"), 503, 14, "pipeline 'ab'")


@pytest.mark.parametrize("name", ["a", "ab"])
async def test_what_a_stage_refuses_keeps_its_code_and_words(two: ControlMesh, name: str) -> None:
    assert await predict_error(two, name, "fail") == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "stage A does not like 'fail'",
    )
    answer = await two.post(f"/api/v1/serve/{name}", b"fail")
    check_error(answer, 400, 3, "stage A does not like 'fail'")


@pytest.mark.parametrize("body", [b'{"id":', b"[", b'{"id": 4}', b"\xff"])
async def test_malformed_json_of_the_typed_face_is_refused(two: ControlMesh, body: bytes) -> None:
    check_error(await two.post("/api/v1/predict/ab", body), 400, 3, "")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("POST", "/nowhere"), ("POST", "/api/v1/serve"), ("GET", "/../../etc/passwd")],
)
async def test_an_unknown_path_is_not_found(two: ControlMesh, method: str, path: str) -> None:
    check_error(await two.post(path, b"", method=method), 404, 5, "no such path")


@pytest.mark.parametrize("path", ["/api/v1/serve/a%2fb", "/api/v1/serve/a%5cb", "/%2e%2e%2fetc"])
async def test_an_escaped_slash_is_refused(two: ControlMesh, path: str) -> None:
    check_error(await two.post(path, b"x"), 400, 3, "slash")


@pytest.mark.parametrize(
    "method", ["/hydro.serving.v1.PredictionService/Guess", "/hydro.other.v1.Service/Predict"]
)
async def test_an_unknown_method_is_unimplemented(two: ControlMesh, method: str) -> None:
    call: aio.UnaryUnaryMultiCallable[bytes, bytes] = two.channel.unary_unary(method)
    with pytest.raises(aio.AioRpcError) as raised:
        await call(b"")
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert raised.value.details() == f"no such method: {method}"


async def test_a_deadline_is_kept(two: ControlMesh, runtime_b: EchoRuntime) -> None:
    runtime_b.hold.clear()
    with pytest.raises(aio.AioRpcError) as raised:
        await two.stub.Predict(Frame(pipeline="ab", id="x"), timeout=0.3)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    runtime_b.hold.set()


async def test_a_deadline_is_kept_over_http(two: ControlMesh, runtime_b: EchoRuntime) -> None:
    runtime_b.hold.clear()
    headers = {"grpc-timeout": "300m"}
    answer = await two.post("/api/v1/predict/ab", b"{}", headers=headers)
    check_error(answer, 504, 4, "did not answer within the call's time limit")
    runtime_b.hold.set()


@pytest.mark.parametrize("name", ["q" * 300, "été", "p 1"])
async def test_any_name_that_is_no_pipelines_is_not_found(two: ControlMesh, name: str) -> None:
    code, text = await predict_error(two, name, "x")
    assert (code, text) == (grpc.StatusCode.NOT_FOUND, f"no such pipeline: {name}")
    answer = await two.post(f"/api/v1/serve/{quote(name)}", b"x")
    check_error(answer, 404, 5, f"no such pipeline: {name}")


async def test_a_name_that_no_header_can_carry_is_not_found(two: ControlMesh) -> None:
    code, text = await predict_error(two, "a\nb", "x")
    assert code is grpc.StatusCode.NOT_FOUND
    assert text.startswith("no such pipeline: ")
    check_error(await two.post("/api/v1/serve/a%0ab", b"x"), 404, 5, "no such pipeline: ")


async def test_a_compressed_message_is_refused_with_the_way_out(two: ControlMesh) -> None:
    message = Frame(pipeline="ab", id="x" * 2000)
    call = two.stub.Predict(message, compression=grpc.Compression.Gzip, timeout=LIMIT_S)
    with pytest.raises(aio.AioRpcError, match="want it plain; switch compression off") as raised:
        await call
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


# ---- edges


class FakeRepository:
    """Streams a file of three pieces, whatever is asked for, and notes what that was."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._server = aio.server()
        self.port = self._server.add_insecure_port(f"{HOST}:0")
        checks = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checks, self._server)
        download: grpc.RpcMethodHandler[Any, Any] = grpc.unary_stream_rpc_method_handler(
            self._download,
            request_deserializer=repository_service_pb2.DownloadFileRequest.FromString,
            response_serializer=lambda body: body.SerializeToString(),
        )
        methods = {"DownloadFile": download}
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "hydro.repository.v1.RepositoryService", methods
                ),
            )
        )

    async def __aenter__(self) -> FakeRepository:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    async def _download(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.paths.append(request.path)
        if request.path == "missing":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such file: missing")
        for letter in (b"a", b"b", b"c"):
            yield HttpBody(content_type="application/octet-stream", data=letter * PIECE_BYTES)


PIECE_BYTES = 1 << 20


async def test_an_edge_offers_a_service_by_http(mesh: ControlMesh) -> None:
    async with FakeRepository() as repository:
        port = free_port()
        found = Endpoint(HOST, repository.port)
        await mesh.use(backends=(backend("repository", found),), edges=(repository_edge(port),))
        await mesh.hub.applied([edge_ref("repository")], timeout_s=LIMIT_S)
        answer = await mesh.post("/download/m/dir/file.bin", b"", method="GET", port=port)
        assert (answer.status, answer.content_type) == (200, "application/octet-stream")
        assert answer.body == b"".join(x * PIECE_BYTES for x in (b"a", b"b", b"c"))
        assert repository.paths == ["dir/file.bin"]
        await _check_edge_errors(mesh, repository, port)


async def _check_edge_errors(mesh: ControlMesh, repository: FakeRepository, port: int) -> None:
    get = {"method": "GET", "port": port}
    missing = await mesh.post("/download/m/missing", b"", **get)  # type: ignore[arg-type]
    check_error(missing, 404, 5, "no such file")
    nowhere = await mesh.post("/nowhere", b"", **get)  # type: ignore[arg-type]
    check_error(nowhere, 404, 5, "no such path for GET: /nowhere")
    repository.paths.clear()
    for trick in ("..%2f..%2fetc/passwd", "%2e%2e/%2e%2e/%2e%2e/etc/passwd", "a%5c..%5cb"):
        answer = await mesh.post(f"/download/m/{trick}", b"", **get)  # type: ignore[arg-type]
        assert (answer.status, answer.content_type) in [
            (400, "application/json"),
            (404, "application/json"),
        ]
    assert repository.paths == [], "no trick reaches the service"


# ---- the process


async def test_an_envoy_is_drained_and_leaves_nothing_behind(two: ControlMesh) -> None:
    assert two.envoy is not None
    call = two.stub.PredictStream()
    await call.write(Frame(pipeline="ab", id="1"))
    assert (await call.read()).id == "1AB"
    drained = asyncio.create_task(two.envoy.drain())
    await call.write(Frame(id="2"))
    assert (await call.read()).id == "2AB", "a call under way goes on while Envoy drains"
    await call.done_writing()
    assert await call.read() is aio.EOF
    await asyncio.wait_for(drained, LIMIT_S)
    pid = two.envoy.pid
    await two.envoy.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_frozen_envoy_holds_up_nobody_and_catches_up(
    two: ControlMesh, tmp_path: Path
) -> None:
    assert await predict(two, "a", "x") == "xA"  # this connection stays: both have the same port
    wanted = Bootstrap("second", "gateway", Endpoint(HOST, two.ads_port))
    second = Envoy(await find_envoy(), wanted, tmp_path / "second", concurrency=1, drain_s=1.0)
    await second.start()
    try:
        await second.ready(timeout_s=LIMIT_S)
        await two.hub.applied(timeout_s=LIMIT_S)
        os.kill(second.pid, signal.SIGSTOP)
        await two.use(pipelines=(*two.mesh.pipelines, pipeline("ba", "b", "a")))
        assert await predict(two, "ba", "x") == "xBA"
        ref = pipeline_ref("ba")
        assert two.hub.lagging([ref]) == {ref: ("second",)}
        await until(lambda: [s.node.id for s in two.hub.nodes()] == ["e2e"], LIMIT_S, "it is gone")
        os.kill(second.pid, signal.SIGCONT)
        await until(lambda: len(two.hub.nodes()) == 2, LIMIT_S, "it is back")
        await two.hub.applied(timeout_s=LIMIT_S)
        await until(lambda: two.hub.lagging([ref]) == {}, LIMIT_S, "it has caught up")
    finally:
        os.kill(second.pid, signal.SIGCONT)
        await second.stop()
