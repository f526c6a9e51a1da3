"""A runtime for tests: each stage adds its letter to a text, in the middle or at the end of chains.

It keeps the rules that Envoy holds a stage to, and hosts no models. The text is `Frame.id`, or
the body of a Serve request. A text with "fail" is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from envoy.type.v3 import http_status_pb2
from google.api import httpbody_pb2
from grpc import aio
from grpc_health.v1 import health, health_pb2_grpc

from hydro.serving.v1 import frame_pb2, prediction_service_pb2
from hydro_envoy.address import Address

PREDICTION = "hydro.serving.v1.PredictionService"
PREFIX_BYTES = 5
OPTIONS = [
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.http2.max_ping_strikes", 0),  # as real runtimes: Envoy's keepalive may ask often
]


class Refused(Exception):
    """The text has "fail"."""


class Health(health.aio.HealthServicer):
    """Always well; counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.checks = 0

    async def Check(self, request: Any, context: Any) -> Any:
        self.checks += 1
        return await super().Check(request, context)


class EchoRuntime:
    """Answers each message at once, with `letter` added to what passes."""

    def __init__(self, letter: str, port: int = 0) -> None:
        self.letter = letter
        self.seen: list[Mapping[str, str]] = []
        """The metadata of each call that a stage got, newest last."""
        self.client_headers: list[Mapping[str, str]] = []
        """The headers of the client's request, as each ext_proc stream was told them."""
        self.hold = asyncio.Event()
        """While clear, no stage answers."""
        self.hold.set()
        self.broken = 0
        """So many calls more are UNAVAILABLE at the last stage, as of a process that is ill."""
        self.health = Health()
        self._server = aio.server(options=OPTIONS)
        self._port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._add_services()

    @property
    def endpoint(self) -> Address:
        return Address("127.0.0.1", self._port)

    async def __aenter__(self) -> EchoRuntime:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        await self._server.stop(None)

    def _add_services(self) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        last: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            method: grpc.stream_stream_rpc_method_handler(self._last(method))
            for method in ("Predict", "PredictStream", "Serve")
        }
        middle = grpc.stream_stream_rpc_method_handler(
            self._middle,
            request_deserializer=ext_proc.ProcessingRequest.FromString,
            response_serializer=ext_proc.ProcessingResponse.SerializeToString,
        )
        services = {
            PREDICTION: last,
            "envoy.service.ext_proc.v3.ExternalProcessor": {"Process": middle},
        }
        self._server.add_generic_rpc_handlers(
            tuple(grpc.method_handlers_generic_handler(*item) for item in services.items())
        )

    def _note(self, context: Any) -> Mapping[str, str]:
        self.seen.append({k: str(v) for k, v in context.invocation_metadata()})
        return self.seen[-1]

    def _last(self, method: str) -> Any:
        async def handle(requests: AsyncIterator[bytes], context: Any) -> None:
            position = self._note(context)["x-hydro-position"]
            if self.broken:
                self.broken -= 1
                async for _ in requests:  # it has all when it fails
                    pass
                await context.abort(grpc.StatusCode.UNAVAILABLE, f"{self.letter} is ill")
            async for message in requests:
                try:
                    answer = self._pass(method, position, message)
                except Refused as refused:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(refused))
                await self.hold.wait()
                await context.write(answer)

        return handle

    def _pass(self, method: str, position: str, message: bytes) -> bytes:
        starts, ends = position in ("first", "only"), position in ("last", "only")
        if method == "Serve" and starts:
            text = prediction_service_pb2.ServeRequest.FromString(message).body.data.decode()
        else:
            text = frame_pb2.Frame.FromString(message).id
        if "fail" in text:
            raise Refused(f"stage {self.letter} does not like {text!r}")
        text += self.letter
        if method == "Serve" and ends:
            body = httpbody_pb2.HttpBody(content_type="application/json", data=text.encode())
            return bytes(body.SerializeToString())
        return bytes(frame_pb2.Frame(id=text).SerializeToString())

    async def _middle(self, requests: AsyncIterator[Any], context: Any) -> None:
        position = self._note(context)["x-hydro-position"]
        method, buffer = "", bytearray()
        async for request in requests:
            match request.WhichOneof("request"):
                case "request_headers":
                    method = self._read_headers(request.request_headers)
                    await context.write(_headers_answer())
                case "request_body":
                    buffer += request.request_body.body
                    end = request.request_body.end_of_stream
                    try:
                        found = [self._pass(method, position, m) for m in _messages(buffer)]
                    except Refused as refused:
                        await context.write(_immediate(str(refused)))
                        return
                    await self.hold.wait()
                    if found or end:
                        await context.write(_body_answer(b"".join(map(_wrap, found)), end))
                case "request_trailers":
                    await context.write(_trailers_answer())

    def _read_headers(self, headers: Any) -> str:
        pairs = {h.key: h.raw_value.decode() for h in headers.headers.headers}
        self.client_headers.append(pairs)
        path: str = pairs[":path"]
        return path.rpartition("/")[2]


def _messages(buffer: bytearray) -> Iterator[bytes]:
    """Takes all complete gRPC messages out of the buffer."""
    while len(buffer) >= PREFIX_BYTES:
        end = PREFIX_BYTES + int.from_bytes(buffer[1:PREFIX_BYTES], "big")
        if len(buffer) < end:
            return
        message = bytes(buffer[PREFIX_BYTES:end])
        del buffer[:end]
        yield message


def _wrap(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def _headers_answer() -> Any:
    return ext_proc.ProcessingResponse(request_headers=ext_proc.HeadersResponse())


def _trailers_answer() -> Any:
    return ext_proc.ProcessingResponse(request_trailers=ext_proc.TrailersResponse())


def _body_answer(body: bytes, end: bool) -> Any:
    streamed = ext_proc.StreamedBodyResponse(body=body, end_of_stream=end)
    mutation = ext_proc.BodyMutation(streamed_response=streamed)
    answer = ext_proc.BodyResponse(response=ext_proc.CommonResponse(body_mutation=mutation))
    return ext_proc.ProcessingResponse(request_body=answer)


def _immediate(text: str) -> Any:
    answer = ext_proc.ImmediateResponse(
        status=http_status_pb2.HttpStatus(code=http_status_pb2.BadRequest),
        grpc_status=ext_proc.GrpcStatus(status=grpc.StatusCode.INVALID_ARGUMENT.value[0]),
        body=text.encode(),
    )
    return ext_proc.ProcessingResponse(immediate_response=answer)
