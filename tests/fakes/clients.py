"""Clients of a whole mesh, made of what users have: httpx, curl and generated stubs."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import httpx
from patience import PATIENCE_S
from whole_mesh import WholeMesh, until

from hydro.manager.v1 import manager_service_pb2_grpc
from hydro.serving.v1 import frame_pb2 as pb
from hydro.serving.v1 import prediction_service_pb2_grpc

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}
_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@dataclass(frozen=True)
class Clients:
    """For HTTP/1.1 and gRPC."""

    mesh: WholeMesh
    http: httpx.AsyncClient
    predictions: prediction_service_pb2_grpc.PredictionServiceAsyncStub
    pipelines: manager_service_pb2_grpc.ManagerServiceAsyncStub

    async def serve(self, name: str, rows: Any, **options: Any) -> httpx.Response:
        """POSTs rows, or a body that is given as bytes, to a pipeline."""
        content = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
        url = f"{self.mesh.urls['gateway']}/api/v1/serve/{name}"
        return await self.http.post(url, content=content, **{"headers": JSON, **options})

    async def answers(self, name: str, rows: Any) -> list[dict[str, Any]]:
        """The rows of an answer that has to be well."""
        response = await self.serve(name, rows)
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()
        return found

    async def create(self, name: str, *chain: str) -> httpx.Response:
        body = {"name": name, "transportType": "http", "chain": list(chain)}
        return await self.http.post(f"{self.mesh.urls['manager']}/api/v1/pipelines", json=body)

    async def delete(self, name: str) -> httpx.Response:
        return await self.http.delete(f"{self.mesh.urls['manager']}/api/v1/pipelines/{name}")


@contextlib.asynccontextmanager
async def connect(mesh: WholeMesh) -> AsyncIterator[Clients]:
    """Clients with connections of their own."""
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with (
        httpx.AsyncClient(timeout=PATIENCE_S, limits=limits) as http,
        grpc.aio.insecure_channel(mesh.address("gateway"), _OPTIONS) as gateway,
        grpc.aio.insecure_channel(mesh.address("manager"), _OPTIONS) as manager,
    ):
        predictions = prediction_service_pb2_grpc.PredictionServiceStub(gateway)
        pipelines = manager_service_pb2_grpc.ManagerServiceStub(manager)
        yield Clients(mesh, http, predictions, pipelines)


def frame(pipeline: str, *texts: str, **columns: Sequence[Any]) -> pb.Frame:
    """A frame with the column `text`, and columns of numbers, as typed values."""
    table = pb.Table(rows=len(texts))
    table.columns.add(name="text", type=pb.DATA_TYPE_STRING, values=pb.Values(strings=texts))
    for name, values in columns.items():
        table.columns.add(name=name, type=pb.DATA_TYPE_INT64, values=pb.Values(integers=values))
    return pb.Frame(pipeline=pipeline, table=table)


def values(frame: pb.Frame, name: str) -> list[Any]:
    """The values of a column of an answer."""
    for column in frame.table.columns:
        if column.name == name:
            found = column.values
            return list(found.strings or found.doubles or found.integers or found.bools)
    raise AssertionError(f"no column {name} in {[c.name for c in frame.table.columns]}")


async def refused(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """The error with which a call has to fail."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"answered: {answer}")


class Curl:
    """A curl that sends what it is given as it is given, and shows what comes as it comes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, url: str, headers: Mapping[str, str], *words: str) -> Curl:
        told = [word for k, v in headers.items() for word in ("-H", f"{k}: {v}")]
        options = ["-sN", "-X", "POST", "-T", ".", "-H", "Expect:", *told, *words, url]
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec("curl", *options, stdin=pipe, stdout=pipe))

    async def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def line(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(await asyncio.wait_for(self._process.stdout.readline(), 20))

    async def broken(self) -> tuple[bytes, int]:
        """What comes until the other side breaks off, and curl's exit code."""
        assert self._process.stdout is not None
        out = await asyncio.wait_for(self._process.stdout.read(), 20)
        return out, await self._process.wait()

    async def rest(self) -> bytes:
        """What comes after all has been sent."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        out, _ = await asyncio.wait_for(self._process.communicate(), 20)
        assert self._process.returncode == 0
        return out


@dataclass
class Load:
    """Requests without a pause by some clients, and what went wrong with them."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)

    async def more(self, count: int, limit_s: float = 30) -> None:
        """Waits for some more answers."""
        wanted = self.answered + count
        await until(lambda: self.answered >= wanted, limit_s, f"{count} answers")


@contextlib.asynccontextmanager
async def steady_load(
    *requests: Callable[[], Awaitable[None]], clients: int = 4
) -> AsyncIterator[Load]:
    """Each client makes all the requests in turn, again and again, until the context ends."""
    load, stopping = Load(), asyncio.Event()

    async def one() -> None:
        while not stopping.is_set():
            for request in requests:
                try:
                    await request()
                    load.answered += 1
                except (AssertionError, httpx.HTTPError, grpc.aio.AioRpcError) as error:
                    load.failures.append(repr(error))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(one())
        try:
            yield load
        finally:
            stopping.set()
