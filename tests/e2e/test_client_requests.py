"""Requests as clients of all kinds send them, and what the ports answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from chains import CHAINS
from clients import NDJSON, Clients, frame, refused, values
from h2_client import Answer, H2Client
from patience import PATIENCE_S

from hydro.serving.v1 import frame_pb2 as pb
from hydro_services.codecs.grpc_messages import prefix_message

pytestmark = pytest.mark.e2e

SERVICE = "/hydro.serving.v1.PredictionService/"
ROWS = b'[{"text": "a"}, {"text": "bc"}]'
COLUMN = {"name": "text", "type": "DATA_TYPE_STRING", "values": {"strings": ["a"]}}
TRAILERS = [("x-checksum", "1")]
PORTS = ("gateway", "manager", "repository")


async def raw(address: str, data: bytes, end: bytes = b"") -> bytes:
    """What comes until the other side closes, or the text `end` does."""
    reader, writer = await asyncio.open_connection(*address.rsplit(":", 1))
    with contextlib.closing(writer):
        writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            return await (reader.readuntil(end) if end else reader.read())


def posted(path: str, body: bytes, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "content-type: application/json", *headers]
    lines += [f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


# HTTP/1.0, Upgrade


@pytest.mark.parametrize("name", ["one", "two"])
@pytest.mark.parametrize("headers", [(), ("host: localhost",)], ids=["no host", "host"])
async def test_http_1_0_is_answered(clients: Clients, name: str, headers: tuple[str, ...]) -> None:
    sent = posted(f"/api/v1/serve/{name}", ROWS, *headers, version="1.0")
    head, _, body = (await raw(clients.mesh.address("gateway"), sent)).partition(b"\r\n\r\n")
    assert b" 200 OK" in head
    assert b"chunked" not in head
    assert [row["echo"] for row in json.loads(body)] == ["a", "bc"]


@pytest.mark.parametrize(
    ("port", "path"), [("manager", "/api/v1/status"), ("repository", "/models")]
)
async def test_http_1_0_is_answered_by_the_apis(clients: Clients, port: str, path: str) -> None:
    answer = await raw(clients.mesh.address(port), f"GET {path} HTTP/1.0\r\n\r\n".encode())
    assert b" 200 OK" in answer.partition(b"\r\n")[0]


@pytest.mark.parametrize("kind", ["h2c", "websocket", "TLS/1.0, other/2"])
async def test_an_upgrade_is_ignored_at_once(clients: Clients, kind: str) -> None:
    headers = ("host: localhost", f"upgrade: {kind}", "connection: Upgrade, HTTP2-Settings")
    sent = posted("/api/v1/serve/two", ROWS, *headers, "http2-settings: AAMAAABkAAQAAP__")
    answer = await raw(clients.mesh.address("gateway"), sent, b"\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    asked = "\r\n".join(["GET /api/v1/status HTTP/1.1", *headers, "", ""]).encode()
    found = await raw(clients.mesh.address("manager"), asked, b"\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 200 OK")


# Paths and methods


@pytest.mark.parametrize(
    "query", ["trace=1", "", "pipeline=one", "body.data=eA==&x[y]=z", "id=7", "%zz=%", "a?b#c"]
)
async def test_a_query_hides_no_path_and_sets_no_field(clients: Clients, query: str) -> None:
    gateway = clients.mesh.urls["gateway"]
    served = await clients.http.post(f"{gateway}/api/v1/serve/two?{query}", content=ROWS)
    assert [row["length"] for row in served.json()] == [1, 2]
    body = {"table": {"rows": 1, "columns": [COLUMN]}}
    predicted = await clients.http.post(f"{gateway}/api/v1/predict/two?{query}", json=body)
    assert (predicted.status_code, predicted.json()["id"]) == (200, ""), predicted.text
    assert "length" in predicted.text
    for port, path in (("manager", "/api/v1/pipelines/two"), ("repository", "/models")):
        response = await clients.http.get(f"{clients.mesh.urls[port]}{path}?trace=1&other")
        assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("port", "method", "path", "allow"),
    [
        ("gateway", "GET", "/api/v1/serve/two", "POST"),
        ("gateway", "GET", "/api/v1/serve/nope?a=b", "POST"),
        ("gateway", "DELETE", "/api/v1/predict/two", "POST"),
        ("gateway", "GET", f"{SERVICE}Predict", "POST"),
        ("manager", "PATCH", "/api/v1/pipelines", "GET, POST"),
        ("manager", "POST", "/api/v1/pipelines/two", "DELETE, GET, PUT"),
        ("manager", "GET", "/api/v1/pipelines:plan", "POST"),
        ("manager", "OPTIONS", "/api/v1/status", "GET"),
        ("repository", "POST", "/models", "GET"),
        ("repository", "PUT", "/metadata/moody", "GET"),
    ],
)
async def test_a_known_path_tells_its_methods(
    clients: Clients, port: str, method: str, path: str, allow: str
) -> None:
    response = await clients.http.request(method, clients.mesh.urls[port] + path)
    assert (response.status_code, response.headers["allow"]) == (405, allow)
    assert response.json()["code"] == grpc.StatusCode.UNIMPLEMENTED.value[0]
    assert method in response.json()["message"]
    head = await clients.http.head(clients.mesh.urls[port] + path)
    assert (head.status_code, head.content) == (405, b"")


@pytest.mark.parametrize("port", PORTS)
async def test_an_unknown_path_is_404_by_any_method(clients: Clients, port: str) -> None:
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        response = await clients.http.request(method, f"{clients.mesh.urls[port]}/api/v1/nope")
        assert (response.status_code, response.json()["code"]) == (404, 5)
        assert "allow" not in response.headers


# Which pipeline runs


async def test_the_url_and_the_body_have_to_name_the_same_pipeline(clients: Clients) -> None:
    url = f"{clients.mesh.urls['gateway']}/api/v1/predict/one"
    table = {"rows": 1, "columns": [COLUMN]}
    for body in ({"pipeline": "two", "table": table}, {"table": table, "pipeline": "two"}):
        response = await clients.http.post(url, json=body)
        assert (response.status_code, response.json()["code"]) == (400, 3), response.text
        assert "two" in response.json()["message"]
    same = await clients.http.post(url, json={"pipeline": "one", "table": table})
    assert same.status_code == 200, same.text
    assert "length" not in same.text


@pytest.mark.parametrize("name", ["one", "two", "three"])
async def test_a_frame_for_another_pipeline_fails_in_its_place(clients: Clients, name: str) -> None:
    names = (name, "strict", "", "nope", name)
    sent = (frame(each, "a") for each in names)
    answers = [
        answer async for answer in clients.predictions.PredictStream(sent, timeout=PATIENCE_S)
    ]
    assert [answer.failure.code for answer in answers] == [0, 3, 0, 3, 0]
    assert "'strict'" in answers[1].failure.message
    assert values(answers[4], "echo") == ["a"]


async def test_a_message_that_names_two_pipelines_is_refused(clients: Clients) -> None:
    both = frame("one", "a").SerializeToString() + pb.Frame(pipeline="two").SerializeToString()
    async with grpc.aio.insecure_channel(clients.mesh.address("gateway")) as channel:
        call: Any = channel.unary_unary(f"{SERVICE}Predict")
        error = await refused(call(both))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


# HTTP/2 trailers


@pytest.fixture
def h2(clients: Clients) -> Iterator[H2Client]:
    with H2Client(clients.mesh.address("gateway")) as client:
        yield client


def asked(h2: H2Client, path: str, kind: str, *pieces: bytes) -> Answer:
    """A request whose body comes in pieces and ends with trailers."""
    stream = h2.open(path, kind)
    for piece in pieces:
        h2.send(stream, piece)
    h2.send_trailers(stream, TRAILERS)
    return h2.answer(stream)


@pytest.mark.parametrize("size", [1, 100_000, 2_000_000])
@pytest.mark.parametrize("name", ["one", "two", "three", "guarded"])
async def test_a_request_that_ends_with_trailers_is_answered_once(
    clients: Clients, h2: H2Client, name: str, size: int
) -> None:
    if name == "guarded":  # Its front has a retry policy of its own.
        await guarded(clients)
    texts = ["x" * size, "b"]
    body = json.dumps([{"text": text} for text in texts]).encode()
    half = len(body) // 2

    def ask() -> None:
        served = asked(h2, f"/api/v1/serve/{name}", "application/json", body[:half], body[half:])
        assert [row["echo"] for row in json.loads(served.body)] == texts
        lines = b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)
        streamed = asked(h2, f"/api/v1/serve/{name}", NDJSON["content-type"], lines)
        assert [json.loads(line)["echo"] for line in streamed.body.splitlines()] == texts
        sent = prefix_message(frame(name, *texts).SerializeToString())
        once = asked(h2, f"{SERVICE}Predict", "application/grpc", sent)
        assert (len(once.messages), once.grpc_status) == (1, "0")
        both = asked(h2, f"{SERVICE}PredictStream", "application/grpc", sent, sent)
        assert (len(both.messages), both.grpc_status) == (2, "0")

    try:
        await asyncio.to_thread(ask)
    finally:
        if name == "guarded":  # Others count the pipelines of this mesh.
            await clients.delete(name)


async def guarded(clients: Clients) -> None:
    body = {
        "name": "guarded",
        "chain": list(CHAINS["two"]),
        "policy": {"retry": {"numRetries": 3}},
    }
    url = f"{clients.mesh.urls['manager']}/api/v1/pipelines"
    response = await clients.http.post(url, json=body)
    assert response.status_code == 200, response.text


# Compression


@pytest.mark.parametrize("name", ["one", "two"])
@pytest.mark.parametrize("sent_before", [0, 1])
async def test_who_compresses_is_told_what_is_read(
    clients: Clients, h2: H2Client, name: str, sent_before: int
) -> None:
    def ask() -> Answer:
        stream = h2.open(f"{SERVICE}PredictStream", "application/grpc", ("grpc-encoding", "gzip"))
        for _ in range(sent_before):
            h2.send(stream, prefix_message(frame(name, "a").SerializeToString()))
        h2.send(stream, struct.pack(">BI", 1, 3) + b"abc", end=True)
        return h2.answer(stream)

    answer = await asyncio.to_thread(ask)
    if name == "one" or not answer.messages:  # Else a stage in the middle can but break the stream.
        told = answer.headers | answer.trailers
        assert answer.grpc_status == str(grpc.StatusCode.UNIMPLEMENTED.value[0])
        assert told["grpc-accept-encoding"] == "identity"


# Answers that cannot be finished


LINES = b"".join(b'{"text": "%d"}\n' % number for number in range(600))
TOO_LONG = b'{"text": "' + b"x" * (33 << 20) + b'"}\n'


async def cut_lines(url: str, *words: str) -> int:
    """The number of lines that come before the answer breaks off; 0 if all are refused."""
    told = ["-H", f"content-type: {NDJSON['content-type']}", "-H", "Expect:", *words]
    show = ["-w", "%{stderr}%{http_code}"]
    process = await asyncio.create_subprocess_exec(
        "curl",
        "-sN",
        *told,
        *show,
        "--data-binary",
        "@-",
        url,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    out, status = await process.communicate(LINES + TOO_LONG + LINES)
    if process.returncode == 0:
        assert status == b"413", f"{out.count(b'{')} lines look like all that there are"
        return 0
    return out.count(b"\n")


@pytest.mark.parametrize("name", ["one", "two", "three"])
@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
async def test_lines_that_cannot_be_answered_never_look_whole(
    clients: Clients, name: str, version: str
) -> None:
    url = f"{clients.mesh.urls['gateway']}/api/v1/serve/{name}"
    assert await cut_lines(url, version) in (0, 600)


@pytest.mark.parametrize("name", ["two", "three"])
@pytest.mark.parametrize("before", [0, 600])
async def test_what_outgrows_the_limit_between_stages_is_refused_with_it(
    clients: Clients, name: str, before: int
) -> None:
    """The first stage gives the text back beside itself; the rows before it are answered."""
    *others, grown = await clients.answers(
        name, [{"text": "a"}] * before + [{"text": "x" * (20 << 20)}]
    )
    assert [row["echo"] for row in others] == ["a"] * before
    assert grown["error"]["reason"] == "TOO_LARGE"
    assert str(32 << 20) in grown["error"]["message"]
    refusal = await refused(clients.predictions.Predict(frame(name, "x" * (20 << 20))))
    assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(32 << 20) in (refusal.details() or "")


async def test_http_1_0_gets_lines_when_all_have_come(clients: Clients) -> None:
    sent = posted("/api/v1/serve/two", LINES, version="1.0").replace(b"/json", b"/x-ndjson")
    answer = await raw(clients.mesh.address("gateway"), sent)
    assert answer.count(b"\n{") == 600
