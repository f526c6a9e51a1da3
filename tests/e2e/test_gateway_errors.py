"""What the gateway refuses, and what becomes of calls that fail or take too long."""

from __future__ import annotations

import time
from urllib.parse import quote

import grpc
import pytest
from control_mesh import ControlMesh, check_error, predict_error
from echo_runtime import EchoRuntime
from grpc import aio
from patience import PATIENCE_S

from hydro.serving.v1.frame_pb2 import Frame

pytestmark = pytest.mark.e2e

SOON_S = 10.0


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
    assert time.monotonic() - start < SOON_S, "no hang"
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
    call = two.stub.Predict(message, compression=grpc.Compression.Gzip, timeout=PATIENCE_S)
    with pytest.raises(aio.AioRpcError, match="want it plain; switch compression off") as raised:
        await call
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
