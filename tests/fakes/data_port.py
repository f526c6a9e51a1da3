"""A runtime's data port with models, and what Envoy sends to it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from google.api import httpbody_pb2

from hydro.serving.v1 import frame_pb2, prediction_service_pb2
from hydro_envoy.address import ANY_PORT, Address
from hydro_runtimes.columns import Columns, DataType, Dense
from hydro_runtimes.evaluator import Evaluation, Evaluator, Field, Signature
from hydro_services import http2
from hydro_services.codecs import proto_columns, proto_encoding
from hydro_services.runtime import data_port, processor
from hydro_services.runtime.host import Host, ModelId

LIMIT = 4 << 20
SERVICE = "/hydro.serving.v1.PredictionService/"
SERVE, STREAM = SERVICE + "Serve", SERVICE + "PredictStream"
OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1))


class Plus:
    """x + 1 as `out`; the test says what else happens."""

    def __init__(self, out: str = "y", source: str = "x") -> None:
        self.source, self.out = source, out
        self.signature = Signature(
            (Field(source, DataType.FLOAT64),), (Field(out, DataType.FLOAT64),)
        )
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def evaluate(self, columns: Columns) -> Evaluation:
        self.entered.set()
        assert self.gate.wait(30)
        column = columns[self.source]
        assert isinstance(column, Dense)
        if 13 in column.values:
            raise RuntimeError("thirteen")
        return Evaluation({self.out: Dense(column.values + 1)})


def model(name: str) -> ModelId:
    return ModelId(name, "1", hashlib.sha256(name.encode()).hexdigest())


class Port:
    """A data port with models, and a client of it."""

    def __init__(self, host: Host, channel: grpc.aio.Channel) -> None:
        self.host, self.channel = host, channel
        self.health = data_port.Health()

    def call(self, path: str, position: str, name: str = "plus", requests: Any = None) -> Any:
        metadata = {
            "x-hydro-model": model(name).key,
            "x-hydro-stage": f"s/{name}",
            "x-hydro-position": position,
        }
        made: Any = self.channel.stream_stream(path)
        return made(requests, metadata=tuple(metadata.items()))

    def process(self, position: str, name: str = "plus", requests: Any = None) -> Any:
        return self.call(processor.PROCESS, position, name, requests)


async def sent(requests: Sequence[bytes], ended: asyncio.Event) -> AsyncIterator[bytes]:
    """More may come until then: gRPC takes it for a failure if it sends as a call ends."""
    for request in requests:
        yield request
    await ended.wait()


@contextlib.asynccontextmanager
async def serving(**models: Evaluator) -> AsyncIterator[Port]:
    async def fetch(id: ModelId, repository: Address) -> Path:
        return Path(id.model)

    host = Host(fetch, lambda folder: models[folder.name])
    for name in models:
        await host.load(model(name), ANY_PORT)
    health = data_port.Health()
    handlers = data_port.build_handlers(host, LIMIT, health)
    async with (
        http2.serve("127.0.0.1", 0, handlers, grace_s=0.1) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", OPTIONS) as channel,
    ):
        target = Port(host, channel)
        target.health = health
        yield target


def frame(*values: float, id: str = "") -> bytes:
    message = frame_pb2.Frame(id=id)
    message.table.rows = len(values)
    proto_encoding.encode_column("x", Dense(np.array(values)), message.table.columns.add())
    made: bytes = message.SerializeToString()
    return made


def column(message: bytes, name: str = "y") -> list[float]:
    found = frame_pb2.Frame.FromString(message)
    (wanted,) = [c for c in found.table.columns if c.name == name]
    decoded = proto_columns.decode_column(wanted, found.table.rows)
    assert isinstance(decoded, Dense)
    return [float(value) for value in decoded.values]


def body(text: str, content_type: str = "application/json") -> bytes:
    content = httpbody_pb2.HttpBody(content_type=content_type, data=text.encode())
    made: bytes = prediction_service_pb2.ServeRequest(body=content).SerializeToString()
    return made


def rows(messages: Sequence[bytes]) -> Any:
    return json.loads(b"".join(httpbody_pb2.HttpBody.FromString(m).data for m in messages))


async def answers(call: Any, *requests: bytes) -> list[bytes]:
    for request in requests:
        await call.write(request)
    await call.done_writing()
    return [answer async for answer in call]


# As Envoy's external processor filter does it


def headers(path: str = STREAM, *, end: bool = False) -> bytes:
    request = ext_proc.ProcessingRequest()
    request.request_headers.end_of_stream = end
    header = request.request_headers.headers.headers.add()
    header.key, header.raw_value = ":path", path.encode()
    made: bytes = request.SerializeToString()
    return made


def piece(data: bytes, *, end: bool = False) -> bytes:
    request = ext_proc.ProcessingRequest()
    request.request_body.body = data
    request.request_body.end_of_stream = end
    made: bytes = request.SerializeToString()
    return made


TRAILERS = ext_proc.ProcessingRequest(request_trailers=ext_proc.HttpTrailers()).SerializeToString()


async def response(call: Any) -> ext_proc.ProcessingResponse:
    return ext_proc.ProcessingResponse.FromString(await asyncio.wait_for(call.read(), 20))


def streamed(found: Any) -> Any:
    assert found.WhichOneof("response") == "request_body"
    return found.request_body.response.body_mutation.streamed_response


async def through(call: Any) -> bytes:
    """All of the body that goes on, up to the end of the stream."""
    gathered: bytes = b""
    while True:
        found = streamed(await response(call))
        assert len(found.body) <= processor.CHUNK
        gathered += found.body
        if found.end_of_stream:
            return gathered
