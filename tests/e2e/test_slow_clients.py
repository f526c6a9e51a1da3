"""Clients that are slow, or do nothing, are waited for as long as the mesh was told."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from chains import OWN, started
from clients import JSON, NDJSON, Clients, Curl, connect
from h2_client import H2Client
from patience import PATIENCE_S
from whole_mesh import WholeMesh, until_true

pytestmark = pytest.mark.e2e

LIMIT_S = 1
PORTS = ("gateway", "manager", "repository")
HALF_A_BODY = b"content-length: 9\r\n\r\n[{"
HEAD = b"POST /api/v1/serve/one HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
LARGE = json.dumps([{"text": "x" * 1000}] * 15_000).encode()


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeMesh]:
    words = [f"--{name}-limit={LIMIT_S}" for name in ("header", "body", "idle")]
    folder = tmp_path_factory.mktemp("hasty")
    running = started(folder, "--runtime=serving-customscikit", *words, models=[OWN])
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
async def clients(hasty: WholeMesh) -> AsyncIterator[Clients]:
    async with connect(hasty) as connected:
        response = await connected.create("one", "serving-customscikit/moody")
        assert response.status_code == 200, response.text
        yield connected


async def told(address: str, sent: bytes) -> bytes:
    """What comes until the other side closes, for a client that sends this and no more."""
    reader, writer = await asyncio.open_connection(*address.rsplit(":", 1))
    try:
        writer.write(sent)
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("port", PORTS)
async def test_who_asks_for_nothing_is_cut_off(clients: Clients, port: str) -> None:
    assert await told(clients.mesh.address(port), b"") == b""


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("sent", [HEAD[:30], HEAD])
async def test_half_a_header_is_told_so(clients: Clients, port: str, sent: bytes) -> None:
    check(await told(clients.mesh.address(port), sent))


@pytest.mark.parametrize(
    ("port", "path"), [("gateway", b"/api/v1/serve/one"), ("manager", b"/api/v1/pipelines")]
)
async def test_half_a_body_is_told_so(clients: Clients, port: str, path: bytes) -> None:
    sent = HEAD.replace(b"/api/v1/serve/one", path) + HALF_A_BODY
    check(await told(clients.mesh.address(port), sent))


def check(answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 408 " in head.splitlines()[0]
    assert json.loads(body)["reason"] == "NOT_IN_TIME"


async def test_half_a_body_over_http2_is_told_so(clients: Clients) -> None:
    with H2Client(clients.mesh.address("gateway")) as h2:
        stream = h2.open("/api/v1/serve/one", "application/json")
        h2.send(stream, b"[{")
        answer = await asyncio.to_thread(h2.answer, stream)
    assert answer.headers[":status"] == "408"


async def test_a_model_may_take_longer(clients: Clients) -> None:
    rows = [{"text": "pause /dev/null"}] * (2 * LIMIT_S + 1)  # each a second
    assert len(await clients.answers("one", rows)) == len(rows)


async def test_a_stream_may_be_quiet_for_longer(clients: Clients) -> None:
    curl = await Curl.start(f"{clients.mesh.urls['gateway']}/api/v1/serve/one", NDJSON)
    await curl.send(b'{"text": "a"}\n')
    assert (await curl.line())["echo"] == "a"
    await clients.answers("one", [{"text": "pause /dev/null"}] * (2 * LIMIT_S + 1))
    await curl.send(b'{"text": "b"}\n')
    assert (await curl.line())["echo"] == "b"
    assert await curl.rest() == b""


async def under_way(clients: Clients) -> int:
    """Requests at the gateway that are neither answered nor given up."""
    folder = clients.mesh.folder / "data" / "gateway"
    name = "http.gateway.downstream_rq_active"
    url = f"http://{(folder / 'admin.address').read_text().strip()}/stats?filter={name}"
    return int((await clients.http.get(url)).text.split(": ")[1])


async def test_who_never_reads_an_answer_is_given_up(clients: Clients) -> None:
    host, _, port = clients.mesh.address("gateway").rpartition(":")
    with socket.create_connection((host, int(port))) as client:
        head = HEAD + b"content-length: %d\r\n\r\n" % len(LARGE)
        await asyncio.to_thread(client.sendall, head + LARGE)

        async def is_given_up() -> bool:
            return await under_way(clients) == 0

        await until_true(is_given_up, PATIENCE_S, "the request is given up")
        client.settimeout(PATIENCE_S)
        seen = await asyncio.to_thread(everything, client)
    assert b" 200 " in seen[:20]
    assert not seen.endswith(b"0\r\n\r\n")  # nor does it look whole


def everything(client: socket.socket) -> bytes:
    pieces: list[bytes] = []
    try:
        while piece := client.recv(1 << 20):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


async def test_who_reads_slowly_gets_all(clients: Clients) -> None:
    url = f"{clients.mesh.urls['gateway']}/api/v1/serve/one"
    size, start = 0, asyncio.get_running_loop().time()
    async with clients.http.stream("POST", url, content=LARGE, headers=JSON) as response:
        async for piece in response.aiter_raw(1 << 20):
            size += len(piece)
            await asyncio.sleep(0.1)  # what it takes somebody who is slow
    assert size > len(LARGE)
    assert asyncio.get_running_loop().time() - start > LIMIT_S
