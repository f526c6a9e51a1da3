"""One form of error: for each protocol and kind of failure, at one gateway under the real Envoy."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
import pytest_asyncio
from control_mesh import ControlMesh
from echo_runtime import EchoRuntime
from error_form import OURS, PREDICT, Seen, check, over_grpc, over_http
from meshes import HOST, backend, pipeline, repository_api_listener
from patience import PATIENCE_S
from ports import free_port
from whole_mesh import until

from hydro.serving.v1.frame_pb2 import Frame
from hydro_envoy.address import Address
from hydro_envoy.mesh import Pipeline, Telemetry
from hydro_envoy.policy import Access, Policy, RateLimit, Retry, StagePolicy
from hydro_envoy.resources.builder import listener_ref
from hydro_services import errors

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


ONCE = Policy(retry=Retry(0))
FULL = StagePolicy(max_requests=0)
"""A circuit breaker that is always open: what it says needs no race to be seen."""


def breaking(name: str, *backends: str, full: int, policy: StagePolicy = FULL) -> Pipeline:
    found = replace(pipeline(name, *backends), policy=ONCE)
    stages = list(found.stages)
    stages[full] = replace(stages[full], policy=policy)
    return replace(found, stages=tuple(stages))


PIPELINES = (
    pipeline("well", "a", "b"),
    replace(pipeline("dead-first", "dead", "b"), policy=ONCE),
    replace(pipeline("dead-last", "a", "dead"), policy=ONCE),
    replace(pipeline("nobody", "a", "none"), policy=ONCE),
    breaking("dead-limited-first", "dead", "b", full=0, policy=StagePolicy(max_requests=5)),
    breaking("dead-limited-last", "a", "dead", full=1, policy=StagePolicy(max_requests=5)),
    breaking("full-first", "a", "b", full=0),
    breaking("full-middle", "a", "b", "b", full=1),
    breaking("full-last", "a", "b", full=1),
    replace(breaking("full-bare", "a", "b", full=1), policy=Policy()),
    replace(pipeline("limited", "a"), policy=Policy(rate_limit=RateLimit(1, 3600.0))),
    replace(pipeline("slow", "held", "b"), policy=Policy(timeout_s=0.3)),
    replace(pipeline("small", "a"), policy=Policy(max_message_bytes=10)),
    replace(pipeline("keyed", "a"), policy=Policy(access=Access(callers=()))),
)


@dataclass(frozen=True)
class Gateway:
    mesh: ControlMesh
    log: Path
    repository: int
    """The port of an API listener behind which nobody is."""

    def address(self) -> str:
        return f"{HOST}:{self.mesh.port}"

    async def logged(self, request_id: str) -> dict[str, Any]:
        """The line of the access log about a request."""

        def found() -> list[dict[str, Any]]:
            lines = [json.loads(line) for line in self.log.read_text().splitlines()]
            return [
                line
                for line in lines
                if line["log"] in ("request", "api") and line.get("request_id") == request_id
            ]

        await until(found, PATIENCE_S, f"a line about {request_id}")
        return found()[-1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """One Envoy for all; nothing here changes it."""
    folder = tmp_path_factory.mktemp("form")
    mesh = ControlMesh(folder)
    gone, port, log = Address(HOST, free_port()), free_port(), folder / "access.log"
    mesh.mesh = replace(
        mesh.mesh,
        telemetry=Telemetry(None, str(log)),
        backends=(backend("repository", gone),),
        api_listeners=(repository_api_listener(port),),
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(mesh)
        a, b, held = [
            await stack.enter_async_context(EchoRuntime(letter)) for letter in ("A", "B", "C")
        ]
        held.hold.clear()
        named = {"a": a.endpoint, "b": b.endpoint, "held": held.endpoint, "dead": gone}
        backends = [backend(name, where) for name, where in named.items()]
        backends += [backend("none"), backend("repository", gone)]
        await mesh.use(backends=tuple(backends), pipelines=PIPELINES)
        await mesh.hub.wait_applied([listener_ref("repository")], timeout_s=20)
        answer = await mesh.post("/api/v1/serve/limited", b"x")
        assert answer.status == 200, "the one request that the limit allows"
        yield Gateway(mesh, log, port)
        held.hold.set()


KINDS = [
    ("no-such", errors.NotFound, 404, {"pipeline": "no-such"}),
    ("dead-first", errors.Unavailable, 503, {"stage": "dead/m-dead:1"}),
    ("dead-last", errors.Unavailable, 503, {"stage": "dead/m-dead:1"}),
    ("dead-limited-first", errors.Unavailable, 503, {"stage": "dead/m-dead:1"}),
    ("dead-limited-last", errors.Unavailable, 503, {"stage": "dead/m-dead:1"}),
    ("nobody", errors.Unavailable, 503, {"stage": "none/m-none:1"}),
    ("full-first", errors.CircuitOpen, 429, {"stage": "a/m-a:1", "limit": "0"}),
    ("full-middle", errors.CircuitOpen, 429, {"stage": "b/m-b:1", "limit": "0"}),
    ("full-last", errors.CircuitOpen, 429, {"stage": "b/m-b:1", "limit": "0"}),
    ("full-bare", errors.CircuitOpen, 429, {"stage": "b/m-b:1", "limit": "0"}),
    ("limited", errors.RateLimited, 429, {"limit": "1 requests in 3600 s"}),
    ("slow", errors.NotInTime, 504, {"pipeline": "slow"}),
    ("small", errors.TooLarge, 413, {"pipeline": "small"}),
    ("keyed", errors.Unauthenticated, 401, {"pipeline": "keyed"}),
    ("well", errors.InvalidArgument, 400, {}),
]
"""Pipeline, the error that a request for it gets, HTTP's status, and some of the facts."""


@pytest.mark.parametrize("protocol", ["grpc", "http1", "http2"])
@pytest.mark.parametrize(
    ("name", "kind", "status", "facts"), KINDS, ids=[name for name, *_ in KINDS]
)
async def test_what_becomes_of_a_request_has_the_form(
    gateway: Gateway,
    protocol: str,
    name: str,
    kind: type[errors.HydroError],
    status: int,
    facts: dict[str, str],
) -> None:
    text = "x" * 2_000  # more than `small` takes
    text += "fail" if name == "well" else ""  # which stages refuse
    if protocol == "grpc":
        message = Frame(pipeline=name, id=text).SerializeToString()
        seen = await over_grpc(gateway.address(), PREDICT, message)
    else:
        path = f"/api/v1/serve/{name}"
        seen = await over_http(
            gateway.mesh.port, "POST", path, text.encode(), http2=protocol == "http2"
        )
        assert seen.http_status == status
    error = check(seen)
    assert type(error) is kind
    assert {"pipeline": name, **facts}.items() <= error.metadata.items() or name == "well"
    assert seen.header == OURS
    assert seen.headers
    if kind is errors.CircuitOpen:
        assert seen.headers["x-envoy-overloaded"] == "true"
        assert "0 requests under way, the limit of its circuit breaker" in error.message
        assert "unavailable" not in error.message
    if kind is errors.RateLimited:
        assert seen.headers["retry-after"] == "3600"
        assert "retryDelay" in str(seen.form["details"])


async def test_a_streams_refusal_has_the_form_too(gateway: Gateway) -> None:
    async with grpc.aio.insecure_channel(gateway.address()) as channel:
        call: Any = channel.stream_stream("/hydro.serving.v1.PredictionService/PredictStream")
        stream = call(iter([Frame(pipeline="full-last").SerializeToString()]), timeout=PATIENCE_S)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stream.read()
    error = errors.from_rpc(raised.value)
    assert type(error) is errors.CircuitOpen
    assert (await gateway.logged(error.request_id))["response_flags"]


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize(
    ("method", "path", "body", "statuses"),
    [
        ("POST", "/nowhere", b"", {404}),
        ("GET", "/", b"", {404}),
        ("GET", "/api/v1/serve/well", b"", {404, 405}),
        ("POST", PREDICT, b"{}", {404, 405, 415}),
        ("POST", "/api/v1/predict/well", b'{"id":', {400}),
        ("POST", "/api/v1/predict/well", b'{"id":"' + b"x" * (9 << 20) + b'"}', {413}),
        ("POST", "/api/v1/serve/a%2fb", b"", {400}),
        ("POST", "/api/v1/serve/%ff", b"[]", {404}),
        ("POST", "/api/v1/predict/a%fe%ff", b"{}", {404}),
    ],
)
async def test_what_is_no_request_has_the_form(
    gateway: Gateway, http2: bool, method: str, path: str, body: bytes, statuses: set[int]
) -> None:
    seen = await over_http(gateway.mesh.port, method, path, body, http2=http2)
    check(seen)
    assert seen.http_status in statuses


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("coding", ["gzip", "br, identity", "Deflate"])
async def test_a_compressed_body_is_refused_with_what_can_be_read(
    gateway: Gateway, http2: bool, coding: str
) -> None:
    sent = {"content-encoding": coding}
    path = "/api/v1/serve/well"
    seen = await over_http(gateway.mesh.port, "POST", path, b"[]", http2=http2, **sent)
    assert type(check(seen)) is errors.Compressed
    assert seen.http_status == 415
    assert seen.headers is not None
    assert seen.headers["accept-encoding"] == "identity"
    assert f"'{coding}'" in seen.form["message"]


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("kind", ["grpc-web", "grpc-web+proto", "GRPC-web-text; a=b", "grpcs"])
async def test_grpc_web_is_refused_as_what_it_is(gateway: Gateway, http2: bool, kind: str) -> None:
    path, sent = (
        "/hydro.serving.v1.PredictionService/Predict",
        {"content-type": f"application/{kind}"},
    )
    seen = await over_http(gateway.mesh.port, "POST", path, b"AAAA", http2=http2, **sent)
    assert type(check(seen)) is errors.Unimplemented
    assert seen.http_status == 415
    assert f"'application/{kind}'" in seen.form["message"]


RAW = {
    "garbage": b"garbage\r\n\r\n",
    "no such version": b"GET / FOO/1.1\r\nhost: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nhost: x\r\nfoo bar\r\n\r\n",
    "control characters": b"GET / HTTP/1.1\r\nhost: x\r\nfoo: a\x01b\r\n\r\n",
    "large header": b"GET / HTTP/1.1\r\nhost: x\r\nfoo: " + b"a" * 70_000 + b"\r\n\r\n",
    "many fields": b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n"
    b"transfer-encoding: chunked\r\n\r\n",
    "no length": b"POST /api/v1/serve/well HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
    "no chunk": b"POST /api/v1/serve/well HTTP/1.1\r\nhost: x\r\n"
    b"transfer-encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("name", RAW)
async def test_what_is_no_http_has_the_form_and_an_id_of_its_own(
    gateway: Gateway, name: str
) -> None:
    status, headers, body = await raw(gateway.mesh.port, RAW[name])
    seen = Seen(json.loads(body), headers["x-request-id"])
    check(seen)
    assert status == (431 if name in ("large header", "many fields") else 400)
    assert (await gateway.logged(seen.header))["http_status"] == status


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "names no host"),
        (b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n", 404, "names no path"),
    ],
)
async def test_what_a_request_does_not_name_is_told_in_words(
    gateway: Gateway, sent: bytes, status: int, said: str
) -> None:
    found, headers, body = await raw(gateway.mesh.port, sent)
    seen = Seen(json.loads(body), headers["x-request-id"])
    check(seen)
    assert (found, said in seen.form["message"]) == (status, True), seen.form


async def test_the_answer_to_head_has_no_body(gateway: Gateway) -> None:
    def head() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, gateway.mesh.port, timeout=PATIENCE_S)
        connection.request("HEAD", "/nowhere")
        answer = connection.getresponse()
        first = answer.status, answer.read()
        connection.request("GET", "/nowhere")  # what follows is read from its start
        assert connection.getresponse().status == 404
        connection.close()
        return first

    assert await asyncio.to_thread(head) == (404, b"")


async def raw(port: int, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(sent)
    async with asyncio.timeout(PATIENCE_S):
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(re.split(": *", line.lower(), maxsplit=1) for line in lines[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
    writer.close()
    return int(lines[0].split()[1]), headers, body


@pytest.mark.parametrize(
    ("sent", "is_kept"),
    [
        ("a-client.s_0wn", True),
        ("01234567-89ab-4def-8123-456789abcdef", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("a b", False),
        ('a","level":"ERROR', False),
        ("a,b", False),
        ("", False),
        ("caf\u00e9".encode().decode("latin-1"), False),
    ],
)
async def test_a_clients_own_id_is_kept_if_it_is_one(
    gateway: Gateway, sent: str, is_kept: bool
) -> None:
    url = f"http://{HOST}:{gateway.mesh.port}/api/v1/serve/well"
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            url, content=b"x", headers=[(b"x-request-id", sent.encode("latin-1"))]
        )
    assert answer.status_code == 200
    told = answer.headers["x-request-id"]
    assert told == sent if is_kept else re.fullmatch("[0-9a-f-]{36}", told)
    line = await gateway.logged(told)
    assert (line["http_status"], line["pipeline"]) == (200, "well")


@pytest.mark.parametrize("protocol", ["grpc", "http1", "http2"])
async def test_an_api_without_a_backend_says_so(gateway: Gateway, protocol: str) -> None:
    if protocol == "grpc":
        path = "/hydro.repository.v1.RepositoryService/ListModels"
        seen = await over_grpc(f"{HOST}:{gateway.repository}", path)
    else:
        seen = await over_http(
            gateway.repository, "GET", "/metadata/x", b"", http2=protocol == "http2"
        )
        assert seen.http_status == 503
    error = check(seen)
    assert type(error) is errors.Unavailable
    assert "the repository does not answer" in error.message
    nowhere = await over_http(
        gateway.repository, "GET", "/nowhere", b"", http2=False, **{"x-request-id": protocol}
    )
    line = await gateway.logged(check(nowhere).request_id)
    assert (line["part"], line["http_status"], line["path"]) == ("repository", 404, "/nowhere")
