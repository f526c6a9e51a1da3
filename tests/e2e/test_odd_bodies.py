"""Bodies of any content by any transport: each row is answered rightly or by a clear error.

Meanwhile others are answered, and no process takes much memory.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from clients import Clients, frame
from h2_client import H2Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from whole_mesh import WholeMesh

from hydro.serving.v1 import frame_pb2 as pb
from hydro_services.codecs.grpc_messages import prefix_message

pytestmark = pytest.mark.e2e

PATH = "/api/v1/serve/two"
ARRAY, NDJSON = "application/json", "application/x-ndjson"
MOST_MB = 1024
LIMIT_S = 60.0
EXAMPLES = 24


@dataclass(frozen=True)
class Row:
    """A row as JSON, and what has to come of it."""

    text: str
    length: int | None
    """The right answer; None: an error."""
    is_open: bool = False
    """It may be an error as well."""

    def check(self, answer: Any) -> None:
        """The answer is right, or it is an error where it may be."""
        if "error" in answer:
            assert self.length is None or self.is_open, (self.text[:100], answer)
            assert {"code", "status", "reason", "message"} <= answer["error"].keys()
        else:
            assert answer["length"] == self.length, (self.text[:100], str(answer)[:300])


def well(text: str, more: str = "", *, is_open: bool = False) -> Row:
    return Row(f'{{"text":{json.dumps(text)}{more}}}', len(text), is_open)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(
    lambda text: text.split(" ")[0] not in ("raise", "pause", "hang", "hang-once")
)
NUMBERS = st.sampled_from(["1e400", "-1e-400", "9" * 400, "1" + "0" * 5000, "0." + "3" * 500, "-0"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text("ab€", max_size=3), inner),
    max_leaves=20,
).map(json.dumps)
ROWS = st.one_of(
    TEXTS.map(well),
    st.builds(lambda text, value: well(text, f',"x":{value}', is_open=True), TEXTS, VALUES),
    st.builds(lambda number: well("a", f',"x":{number}', is_open=True), NUMBERS),
    st.builds(lambda n: well("a" * n), st.integers(1, 200_000)),
    st.builds(lambda n: well("a", f',"x":{"[" * n}{"]" * n}', is_open=True), st.integers(1, 5000)),
    st.builds(
        lambda n: Row("{" + ",".join(f'"c{i}":1' for i in range(n)) + ',"text":"ab"}', 2, n > 4000),
        st.integers(1, 5000),
    ),
    st.sampled_from(
        [
            Row("{}", None),
            Row('{"text":1}', None),
            Row('{"text":null}', None),
            Row('{"text":"\\ud800"}', None),
            Row('{"text":"a","x":"\\udc00\\ud800"}', None),
            Row('{"text":"a","echo":"b"}', None),
            Row('{"text":"a","text":"bb"}', 2),
            Row('{"text":"\\ud83d\\ude00"}', 1),
            Row(' { "text" : "a" , "" : [ ] } ', 1, is_open=True),
        ]
    ),
)
BODIES = st.lists(ROWS, max_size=6) | st.builds(
    lambda row, count: [row] * min(count, 200_000 // len(row.text)), ROWS, st.integers(1, 4_000)
)


Send = Callable[[WholeMesh, str, bytes, random.Random], tuple[int, bytes]]
"""Sends a body of a content type; the status, and the answer's body."""


def by_http1(mesh: WholeMesh, kind: str, body: bytes, rng: random.Random) -> tuple[int, bytes]:
    """With a length, or in chunks, with trailers after them."""
    chunked = bool(rng.getrandbits(1))
    size = "transfer-encoding: chunked" if chunked else f"content-length: {len(body)}"
    end = b"x-odd: 1\r\n\r\n" if rng.getrandbits(1) else b"\r\n"
    rest = b"".join(map(chunk, cut(body, rng))) + b"0\r\n" + end if chunked else body
    return raw(
        mesh, f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\n{size}\r\ncontent-type: {kind}", rest
    )


def by_http10(mesh: WholeMesh, kind: str, body: bytes, _: random.Random) -> tuple[int, bytes]:
    size = f"content-length: {len(body)}"
    return raw(mesh, f"POST {PATH} HTTP/1.0\r\n{size}\r\ncontent-type: {kind}", body)


def raw(mesh: WholeMesh, head: str, body: bytes) -> tuple[int, bytes]:
    host, _, port = mesh.address("gateway").rpartition(":")
    with socket.create_connection((host, int(port)), LIMIT_S) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        answer = http.client.HTTPResponse(connection, method="POST")
        answer.begin()
        return answer.status, answer.read()


def by_http2(mesh: WholeMesh, kind: str, body: bytes, rng: random.Random) -> tuple[int, bytes]:
    """With trailers, or without."""
    with H2Client(mesh.address("gateway")) as client:
        stream = client.open(PATH, kind)
        for piece in cut(body, rng):
            client.send(stream, piece)
        if rng.getrandbits(1):
            client.send_trailers(stream, [("x-odd", "1")])
        else:
            client.send(stream, b"", end=True)
        answer = client.answer(stream)
        assert answer.reset is None, answer
        return int(answer.headers[":status"]), answer.body


def cut(body: bytes, rng: random.Random) -> Sequence[bytes]:
    size = rng.choice([1_000, 16_384, 100_000])
    return [body[at : at + size] for at in range(0, len(body), size)]


def chunk(piece: bytes) -> bytes:
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


def parse(kind: str, answer: bytes) -> list[Any]:
    if kind == ARRAY:
        found: list[Any] = json.loads(answer)
        return found
    return [json.loads(line) for line in answer.split(b"\n") if line]


def check_refused(status: int, answer: bytes, *statuses: int) -> None:
    assert status in statuses, (status, answer[:300])
    form = json.loads(answer)
    assert {"code", "status", "reason", "message", "request_id"} <= form.keys()


def most_mb(mesh: WholeMesh) -> float:
    """What the process with the most memory took at most."""
    told = []
    for pid in mesh.processes():
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        told += [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]
    return max(told)


CALLS = st.tuples(
    st.sampled_from([by_http1, by_http10, by_http2]),
    st.sampled_from([ARRAY, NDJSON]),
    st.integers(0, 2**16).map(random.Random),
)


def check_call(mesh: WholeMesh, rows: Sequence[Row], send: Send, kind: str, rng: Any) -> None:
    texts = [row.text for row in rows]
    text = f"[{','.join(texts)}]" if kind == ARRAY else "".join(f"{row}\n" for row in texts)
    body = text.encode()
    status, answer = send(mesh, kind, body, rng)
    assert status == 200, (status, answer[:300], body[:300])
    found = parse(kind, answer)
    assert len(found) == len(rows)
    for row, each in zip(rows, found, strict=True):
        row.check(each)


def check_truncated(mesh: WholeMesh, rows: Sequence[Row], send: Send, kind: str, rng: Any) -> None:
    """The last row lacks its end; in NDJSON it alone is at fault."""
    texts = [row.text.strip() for row in rows] + ['{"text":"a"']
    body = ("[" + ",".join(texts) if kind == ARRAY else "\n".join(texts)).encode()
    status, answer = send(mesh, kind, body, rng)
    if kind == ARRAY:
        check_refused(status, answer, 400)
        return
    assert status == 200
    found = parse(kind, answer)
    assert len(found) == len(texts)
    assert "error" in found[-1]
    for row, each in zip(rows, found[:-1], strict=True):
        row.check(each)


async def ask_on(clients: Clients, stopping: asyncio.Event) -> int:
    """Sends a row after the other; how many were answered, which all have to be."""
    answered = 0
    while not stopping.is_set():
        (row,) = await clients.answers("two", [{"text": "other"}])
        assert row["length"] == len("other")
        answered += 1
    return answered


async def fuzz(clients: Clients, check: Callable[..., None], examples: int) -> None:
    """Makes calls that are drawn, while another client is answered."""

    @settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(BODIES, CALLS)
    def run(rows: list[Row], call: tuple[Send, str, random.Random]) -> None:
        check(clients.mesh, rows, *call)

    stopping = asyncio.Event()
    other = asyncio.create_task(ask_on(clients, stopping))
    try:
        await asyncio.to_thread(run)
    finally:
        stopping.set()
        answered = await other
    assert answered
    assert most_mb(clients.mesh) < MOST_MB


@pytest.mark.timeout(300)
async def test_each_row_of_any_body_is_answered_rightly_or_by_an_error(
    clients: Clients,
) -> None:
    await fuzz(clients, check_call, EXAMPLES)


async def test_a_body_that_is_cut_costs_no_row_that_is_whole(clients: Clients) -> None:
    await fuzz(clients, check_truncated, EXAMPLES // 3)


@pytest.mark.parametrize("send", [by_http1, by_http2])
async def test_a_compressed_body_is_refused(mesh: WholeMesh, clients: Clients, send: Send) -> None:
    body = gzip.compress(b'[{"text":"a"}]')
    kind = f"{ARRAY}\r\ncontent-encoding: gzip" if send is by_http1 else ARRAY
    status, answer = await asyncio.to_thread(send, mesh, kind, body, random.Random(1))
    check_refused(status, answer, 415 if send is by_http1 else 400)


async def test_frames_of_anything_are_answered_or_refused(
    mesh: WholeMesh, clients: Clients
) -> None:
    sent = frame("two", "a", "bb", "raise x").SerializeToString()

    @settings(max_examples=EXAMPLES // 2, deadline=None, database=None)
    @given(st.data(), st.booleans())
    def run(data: st.DataObject, has_trailers: bool) -> None:
        """Bytes of a message are left out, changed or added."""
        message = bytearray(sent)
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, len(message) - 1))
            if data.draw(st.booleans()):
                message[at] = data.draw(st.integers(0, 255))
            else:
                del message[at:]
                break
        with H2Client(mesh.address("gateway")) as client:
            stream = client.open("/hydro.serving.v1.PredictionService/Predict", "application/grpc")
            body = prefix_message(bytes(message))
            client.send(stream, body, end=not has_trailers)
            if has_trailers:
                client.send_trailers(stream, [("x-odd", "1")])
            answer = client.answer(stream)
        assert answer.reset is None
        assert answer.grpc_status in {"0", "3", "5", "8", "12"}, answer
        if answer.grpc_status == "0":
            (found,) = answer.messages
            got, want = pb.Frame.FromString(found), pb.Frame.FromString(bytes(message))
            count = got.table.rows + len(got.errors)
            assert got.HasField("failure") or count == want.table.rows

    await asyncio.to_thread(run)
