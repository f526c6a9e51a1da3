"""Bad input: what a user is told, over HTTP and over gRPC, and what others do not notice."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
from clients import JSON, NDJSON, Clients, connect, frame, refused, values
from google.rpc import error_details_pb2
from patience import PATIENCE_S
from whole_mesh import WholeMesh

from hydro.manager.v1 import manager_service_pb2 as manager_pb
from hydro.serving.v1 import frame_pb2 as pb

pytestmark = pytest.mark.e2e

LIMIT_BYTES = 32 << 20
MOODY = "serving-customscikit/moody"
STRICT = "serving-customscikit/strict"


def check_error(response: httpx.Response, status: int, code: grpc.StatusCode, *texts: str) -> None:
    """An error as HTTP clients get it: JSON with code and message, and no traceback."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body["code"] == code.value[0], body
    for text in texts:
        assert text in body["message"], body
    assert "Traceback" not in response.text


def check_status(error: grpc.aio.AioRpcError, code: grpc.StatusCode, *texts: str) -> None:
    assert error.code() is code, error
    details = error.details() or ""
    for text in texts:
        assert text in details, details
    assert "Traceback" not in details


def row_errors(answer: pb.Frame) -> dict[int, tuple[str, dict[str, str]]]:
    """Message and facts of each failed row."""
    found = {}
    for error in answer.errors:
        info = error_details_pb2.ErrorInfo()
        assert error.status.details[0].Unpack(info)
        found[error.row] = (error.status.message, dict(info.metadata))
    return found


async def test_unknown_pipeline_is_not_found_by_its_name(clients: Clients) -> None:
    check_error(await clients.serve("nope", []), 404, grpc.StatusCode.NOT_FOUND, "nope")
    lines = await clients.serve("nope", b'{"text": "a"}\n', headers=NDJSON)
    check_error(lines, 404, grpc.StatusCode.NOT_FOUND, "nope")
    url = f"{clients.mesh.urls['gateway']}/api/v1/predict/nope"
    check_error(await clients.http.post(url, json={}), 404, grpc.StatusCode.NOT_FOUND, "nope")
    error = await refused(clients.predictions.Predict(frame("nope", "a")))
    check_status(error, grpc.StatusCode.NOT_FOUND, "nope")
    stream = clients.predictions.PredictStream(iter([frame("nope", "a")]))
    check_status(await refused(stream.read()), grpc.StatusCode.NOT_FOUND, "nope")


async def test_first_message_has_to_name_a_pipeline(clients: Clients) -> None:
    error = await refused(clients.predictions.Predict(frame("", "a")))
    check_status(error, grpc.StatusCode.INVALID_ARGUMENT, "pipeline")
    # One frame only: what gRPC's client says of a write after the refusal is a matter of luck.
    stream = clients.predictions.PredictStream(iter([frame("", "a")]))
    check_status(await refused(stream.read()), grpc.StatusCode.INVALID_ARGUMENT, "pipeline")
    for path in ("/api/v1/serve/", "/api/v1/serve", "/api/v1/predict/"):
        response = await clients.http.post(clients.mesh.urls["gateway"] + path, json=[])
        check_error(response, 404, grpc.StatusCode.NOT_FOUND, "path")


async def test_a_stream_without_a_message_is_an_invalid_argument(clients: Clients) -> None:
    error = await refused(clients.predictions.PredictStream(iter([])).read())
    check_status(error, grpc.StatusCode.INVALID_ARGUMENT, "message")


@pytest.mark.parametrize("name", ["one", "two", "endpointML"])
@pytest.mark.parametrize(
    ("body", "texts"),
    [
        pytest.param(b"[{", ("malformed JSON", "want a JSON array"), id="malformed"),
        pytest.param(b"", ("malformed JSON", "want a JSON array"), id="empty"),
        pytest.param(b"[] []", ("malformed JSON", "want a JSON array"), id="two values"),
        pytest.param(b'["\xff"]', ("malformed JSON", "want a JSON array"), id="no UTF-8"),
        pytest.param(b"[" * 5000, ("malformed JSON", "want a JSON array"), id="deep"),
        pytest.param(b'{"text": "a"}', ("an object", "want a JSON array"), id="object"),
        pytest.param(b"null", ("null", "want a JSON array"), id="null"),
        pytest.param(b"1", ("a number", "want a JSON array"), id="number"),
        pytest.param(b"[{}, 1]", ("element 1", "want a row object"), id="number inside"),
        pytest.param(b"[[]]", ("element 0", "an array", "want a row object"), id="array inside"),
    ],
)
async def test_what_is_no_array_of_objects_is_400(
    clients: Clients, name: str, body: bytes, texts: tuple[str, ...]
) -> None:
    check_error(await clients.serve(name, body), 400, grpc.StatusCode.INVALID_ARGUMENT, *texts)


@pytest.mark.parametrize("name", ["one", "two"])
async def test_a_bad_line_fails_in_its_place(clients: Clients, name: str) -> None:
    body = b'{"text": "a"}\n{"te\n1\n{"text": "b"}\n'
    response = await clients.serve(name, body, headers=NDJSON)
    answers = [json.loads(line) for line in response.text.splitlines()]
    assert [answer.get("echo") for answer in answers] == ["a", None, None, "b"]
    assert "malformed JSON" in answers[1]["error"]["message"]
    assert "want a row object" in answers[2]["error"]["message"]


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", None])
async def test_another_content_type_is_read_as_json(clients: Clients, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    response = await clients.serve("two", [{"text": "a"}], headers=headers)
    assert response.json()[0]["echo"] == "a"
    broken = await clients.serve("two", b"text=a", headers=headers)
    check_error(broken, 400, grpc.StatusCode.INVALID_ARGUMENT, "malformed JSON")


async def test_a_row_that_lacks_a_column_fails_in_its_place(clients: Clients) -> None:
    answers = await clients.answers("two", [{"text": "a"}, {"txt": "b"}, {}, {"text": "c"}])
    assert [answer.get("length") for answer in answers] == [1, None, None, 1]
    for error in (answers[1]["error"], answers[2]["error"]):
        assert (error["status"], error["reason"]) == ("INVALID_ARGUMENT", "MISSING_COLUMN")
        assert (error["stage"], error["column"]) == (MOODY, "text")


@pytest.mark.parametrize("value", [1, None, True, ["a"], {"a": 1}])
async def test_a_row_of_a_wrong_type_fails_in_its_place(clients: Clients, value: Any) -> None:
    answers = await clients.answers("two", [{"text": value}, {"text": "a"}])
    error = answers[0]["error"]
    assert (error["status"], error["stage"], error["column"]) == (
        "INVALID_ARGUMENT",
        MOODY,
        "text",
    )
    assert answers[1]["length"] == 1


async def test_a_row_that_the_second_stage_cannot_take_names_that_stage(clients: Clients) -> None:
    well = {"text": "a", "note": 1, "vector": [1, 2, 3]}
    no_note = {"text": "b", "vector": [1, 2, 3]}
    short = well | {"vector": [1, 2]}
    answers = await clients.answers("strict", [well, no_note, short, well])
    assert [answer.get("total") for answer in answers] == [7.0, None, None, 7.0]
    assert [answers[i]["error"]["stage"] for i in (1, 2)] == [STRICT, STRICT]
    assert [answers[i]["error"]["column"] for i in (1, 2)] == ["note", "vector"]
    (alone,) = await clients.answers("strict", [no_note])
    assert (alone["error"]["stage"], alone["error"]["column"]) == (STRICT, "vector") or (
        alone["error"]["column"] == "note"
    )


async def test_frames_that_lack_a_column_or_have_a_wrong_type_are_answered_in_place(
    clients: Clients,
) -> None:
    without = pb.Frame(pipeline="two", table=pb.Table(rows=2))
    without.table.columns.add(name="note", type=pb.DATA_TYPE_BOOL, data=bytes(2))
    wrong = pb.Frame(pipeline="two", table=pb.Table(rows=1))
    numbers = pb.Values(integers=[1])
    wrong.table.columns.add(name="text", type=pb.DATA_TYPE_INT64, values=numbers)
    strict = frame("strict", "a", note=[1])
    for sent, rows, stage, column in (
        (without, 2, MOODY, "text"),
        (wrong, 1, MOODY, "text"),
        (strict, 1, STRICT, "vector"),
    ):
        errors = row_errors(await clients.predictions.Predict(sent))
        assert sorted(errors) == list(range(rows))
        for message, facts in errors.values():
            assert (facts["stage"], facts["column"]) == (stage, column)
            assert f"'{column}'" in message


async def test_a_frame_that_lies_is_refused_first_and_answered_in_place_later(
    clients: Clients,
) -> None:
    lying = frame("two", "a", "b")
    lying.table.rows = 3
    error = await refused(clients.predictions.Predict(lying))
    check_status(error, grpc.StatusCode.INVALID_ARGUMENT, "text")
    sent = iter([frame("two", "a"), lying, frame("two", "b")])
    answers = [answer async for answer in clients.predictions.PredictStream(sent)]
    assert [answer.failure.code for answer in answers] == [0, 3, 0]
    assert values(answers[2], "echo") == ["b"]


async def test_typed_json_that_is_no_frame_is_400(clients: Clients) -> None:
    url = f"{clients.mesh.urls['gateway']}/api/v1/predict/two"
    for body in (b"{", b"[]", b"1", b'{"table": {"rows": "many"}}', b'{"table": []}'):
        response = await clients.http.post(url, content=body, headers=JSON)
        check_error(response, 400, grpc.StatusCode.INVALID_ARGUMENT, "JSON object")


def large(name: str, size: int) -> bytes:
    return json.dumps([{"text": "x" * size}]).encode()


@pytest.mark.parametrize("name", ["one", "two"])
@pytest.mark.parametrize("kind", [JSON, NDJSON], ids=["array", "line"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_body_over_the_limit_is_413(
    clients: Clients, name: str, kind: dict[str, str], chunked: bool
) -> None:
    body = large(name, LIMIT_BYTES + 1000)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 1 << 20):
            yield body[at : at + (1 << 20)]

    url = f"{clients.mesh.urls['gateway']}/api/v1/serve/{name}"
    content = pieces() if chunked else body
    response = await clients.http.post(url, content=content, headers=kind)
    check_error(response, 413, grpc.StatusCode.RESOURCE_EXHAUSTED)


async def test_body_just_below_the_limit_is_answered(clients: Clients) -> None:
    response = await clients.serve("one", large("one", LIMIT_BYTES // 2 - 1000))
    assert response.status_code == 200


@pytest.mark.parametrize("name", ["one", "two"])
@pytest.mark.parametrize("beyond", [1_000, 8 << 20])
async def test_message_over_the_limit_is_resource_exhausted(
    clients: Clients, name: str, beyond: int
) -> None:
    sent = frame(name, "x" * (LIMIT_BYTES + beyond))
    error = await refused(clients.predictions.Predict(sent))
    check_status(error, grpc.StatusCode.RESOURCE_EXHAUSTED)
    error = await refused(clients.predictions.PredictStream(iter([sent])).read())
    check_status(error, grpc.StatusCode.RESOURCE_EXHAUSTED)


async def test_typed_json_over_the_limit_is_413(clients: Clients) -> None:
    values = {"strings": ["x" * (LIMIT_BYTES + (1 << 20))]}
    column = {"name": "text", "type": "DATA_TYPE_STRING", "values": values}
    url = f"{clients.mesh.urls['gateway']}/api/v1/predict/one"
    response = await clients.http.post(url, json={"table": {"rows": 1, "columns": [column]}})
    check_error(response, 413, grpc.StatusCode.RESOURCE_EXHAUSTED)


@pytest.mark.parametrize("name", ["one", "two", "three"])
async def test_a_model_that_raises_fails_its_rows_alone(clients: Clients, name: str) -> None:
    sent = [{"text": "a"}, {"text": "raise a secret"}, {"text": "b"}]
    response = await clients.serve(name, sent)
    answers = response.json()
    assert [answer.get("echo") for answer in answers] == ["a", None, "b"]
    error = answers[1]["error"]
    assert (error["status"], error["stage"]) == ("INTERNAL", MOODY)
    assert "Traceback" not in response.text
    assert "model.py" not in response.text
    answer = await clients.predictions.Predict(frame(name, "a", "raise a secret", "b"))
    assert values(answer, "echo") == ["a", "b"]
    assert [(e.row, e.status.code) for e in answer.errors] == [(1, 13)]


@pytest.mark.parametrize("method", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_messages_are_refused_clearly(
    clients: Clients, method: grpc.Compression
) -> None:
    sent = frame("two", "a" * 10_000)
    error = await refused(clients.predictions.Predict(sent, compression=method))
    check_status(error, grpc.StatusCode.UNIMPLEMENTED, "compressed")


async def test_what_is_no_method_or_no_path_is_told_so(clients: Clients) -> None:
    gateway = clients.mesh.urls["gateway"]
    for path in ("/", "/nope", "/api/v1/nope", "/api/v1/serve/a/b"):
        response = await clients.http.post(gateway + path, json=[])
        check_error(response, 404, grpc.StatusCode.NOT_FOUND, "path")
    async with grpc.aio.insecure_channel(clients.mesh.address("gateway")) as channel:
        call: Any = channel.unary_unary("/some.Service/Method")
        error = await refused(call(b""))
    check_status(error, grpc.StatusCode.UNIMPLEMENTED, "/some.Service/Method")


async def test_garbage_in_place_of_a_message_is_an_invalid_argument(clients: Clients) -> None:
    async with grpc.aio.insecure_channel(clients.mesh.address("gateway")) as channel:
        call: Any = channel.unary_unary("/hydro.serving.v1.PredictionService/Predict")
        for garbage in (b"\xff\xff\xff", b"", b"\x0a\x03two\xff\xff\xff"):
            check_status(await refused(call(garbage)), grpc.StatusCode.INVALID_ARGUMENT)


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        pytest.param({"name": "a b", "chain": [MOODY]}, ("'a b'", "letters"), id="name"),
        pytest.param({"chain": [MOODY]}, ("name is ''",), id="no name"),
        pytest.param({"name": "x" * 64, "chain": [MOODY]}, ("63",), id="long name"),
        pytest.param({"name": "x", "chain": []}, ("0 stages",), id="no stage"),
        pytest.param({"name": "x"}, ("0 stages",), id="no chain"),
        pytest.param({"name": "x", "chain": ["moody"]}, ("<service>/<model>",), id="syntax"),
        pytest.param({"name": "x", "chain": ["a/b/c"]}, ("'b/c'",), id="slashes"),
        pytest.param({"name": "x", "chain": [MOODY + ":"]}, ("<version>",), id="no version"),
        pytest.param({"name": "x", "chain": [MOODY] * 17}, ("17 stages",), id="many stages"),
        pytest.param({"name": "x", "chain": ["nope/moody"]}, ("no service 'nope'",), id="service"),
        pytest.param(
            {"name": "x", "chain": ["serving-scikit/nope"]}, ("no model 'nope'",), id="model"
        ),
        pytest.param({"name": "x", "chain": [MOODY + ":9"]}, ("version '9'",), id="version"),
        pytest.param(
            {"name": "x", "chain": ["serving-scikit/moody"]},
            ("'python'", "use serving-customscikit"),
            id="format",
        ),
        pytest.param(
            {"name": "x", "chain": [MOODY, "serving-customscikit/double"]},
            ("{length: int64}", "echo: string", "not covered: length"),
            id="contract",
        ),
        pytest.param(
            {"name": "x", "transportType": "smoke", "chain": [MOODY]}, ("'smoke'",), id="transport"
        ),
        pytest.param({"name": 1, "chain": [MOODY]}, ("name", "want {"), id="type"),
        pytest.param({"name": "x", "chain": {"a": 1}}, ("chain", "want {"), id="chain type"),
        pytest.param([], ("JSON object",), id="array"),
    ],
)
async def test_bad_pipeline_is_refused_and_not_kept(
    clients: Clients, body: Any, texts: tuple[str, ...]
) -> None:
    url = f"{clients.mesh.urls['manager']}/api/v1/pipelines"
    response = await clients.http.post(url, json=body)
    check_error(response, 400, grpc.StatusCode.INVALID_ARGUMENT, *texts)
    assert (await clients.http.get(f"{url}/x")).status_code == 404


async def test_malformed_pipeline_json_is_400(clients: Clients) -> None:
    url = f"{clients.mesh.urls['manager']}/api/v1/pipelines"
    for body in (b"{", b'{"name": "x", }', b"\xff"):
        response = await clients.http.post(url, content=body, headers=JSON)
        check_error(response, 400, grpc.StatusCode.INVALID_ARGUMENT)
    request = manager_pb.CreatePipelineRequest()
    error = await refused(clients.pipelines.CreatePipeline(request))
    check_status(error, grpc.StatusCode.INVALID_ARGUMENT, "name is ''")


async def test_absent_pipelines_are_404_at_the_manager(clients: Clients) -> None:
    url = f"{clients.mesh.urls['manager']}/api/v1/pipelines/nope"
    check_error(await clients.http.get(url), 404, grpc.StatusCode.NOT_FOUND, "'nope'")
    check_error(await clients.http.delete(url), 404, grpc.StatusCode.NOT_FOUND, "'nope'")


@pytest.mark.parametrize(
    "path",
    [
        "/download/pm_scikit/../../../../etc/passwd",
        "/download/pm_scikit/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/download/pm_scikit/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/download/pm_scikit//etc/passwd",
        "/download/pm_scikit/%2fetc%2fpasswd",
        "/download/pm_scikit/metadata.json%00",
        "/download/../trusted.txt",
        "/metadata/%2e%2e",
        "/metadata/nope",
        "/files/..",
        "/metadata/" + "a" * 10_000,
    ],
)
async def test_hostile_paths_of_the_repository_are_refused(mesh: WholeMesh, path: str) -> None:
    def get() -> tuple[int, str, bytes]:
        host, _, port = mesh.address("repository").rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
        try:
            connection.putrequest("GET", path)  # as it is spelled
            connection.endheaders()
            response = connection.getresponse()
            return response.status, response.headers["content-type"], response.read()
        finally:
            connection.close()

    status, kind, body = await asyncio.to_thread(get)
    assert 400 <= status < 500, body
    assert kind == "application/json"
    assert json.loads(body)["message"]
    assert b"root:" not in body


async def test_others_do_not_notice_bad_requests(mesh: WholeMesh, clients: Clients) -> None:
    texts = [f"raise {number}" if number % 3 else str(number) for number in range(30)]

    async def bad() -> None:
        for body in (b"[{", b"1", json.dumps([{"text": text} for text in texts]).encode()):
            await clients.serve("three", body)

    async with connect(mesh) as other, asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(bad())
        for number in range(40):
            assert (await other.answers("three", [{"text": str(number)}]))[0]["echo"] == str(number)
