"""The middle of chains: Envoy's external processor, one stream a call.

Envoy sends the call's headers and the pieces of its body; the body that this stage answers with is
what the next stage gets. An error ends the call with its own status as long as nothing of the
chain's answer has left Envoy, after that Envoy breaks the client's stream: failures of rows and
frames are answered in their place instead.
Source: envoy.service.ext_proc.v3.ExternalProcessor, body mode FULL_DUPLEX_STREAMED, Envoy 1.40.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb
from envoy.type.v3 import http_status_pb2
from google.protobuf.message import DecodeError

from hydro_envoy import headers
from hydro_envoy.headers import Position
from hydro_services import errors, http2, logs
from hydro_services.codecs.grpc_messages import ACCEPTED, MessageCutter, prefix_message
from hydro_services.runtime.batch import Batcher
from hydro_services.runtime.evaluation import answer_bytes
from hydro_services.runtime.host import Host
from hydro_services.runtime.observe import CallObserver
from hydro_services.runtime.offload import CodecThread, DecodableInput
from hydro_services.runtime.stage import FrameInStage
from hydro_services.runtime.stage_stream import StageCall, StageStream
from hydro_services.tracing import Exporter

logger = logging.getLogger(__name__)

PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
CHUNK = 1 << 20
"""Bytes a response at most: Envoy hands each on as one message, which the next stage must take."""
ATTEMPT = "x-envoy-attempt-count"
"""Which run of the chain it is, from 1; counted by the gateway, or by the pipeline's policy
route."""
ORIGINAL_PATH = "x-envoy-original-path"
"""Envoy's transcoder sets it; clients cannot."""
_HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: http_status_pb2.BadRequest,
    grpc.StatusCode.NOT_FOUND: http_status_pb2.NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: http_status_pb2.PayloadTooLarge,
    grpc.StatusCode.UNAVAILABLE: http_status_pb2.ServiceUnavailable,
    grpc.StatusCode.UNIMPLEMENTED: http_status_pb2.NotImplemented,
}
_HEADERS = prefix_message(
    pb.ProcessingResponse(
        request_headers=pb.HeadersResponse(response=pb.CommonResponse())
    ).SerializeToString()
)
_TRAILERS = prefix_message(
    pb.ProcessingResponse(request_trailers=pb.TrailersResponse()).SerializeToString()
)


class Exchange:
    """One call's messages from and to Envoy, without I/O."""

    def __init__(self, metadata: Mapping[str, str], batcher: Batcher, max_bytes: int) -> None:
        self._metadata = metadata
        self._signature = batcher.evaluator.signature
        self._max_bytes = max_bytes
        self._messages = MessageCutter(max_bytes)
        self._stream: StageStream | None = None
        self._greeting = b""
        self._ended = ""

    @property
    def ended(self) -> bool:
        """The client has sent all."""
        return bool(self._ended)

    @property
    def is_rerun(self) -> bool:
        """The call was started before in a process that died; evaluate it in isolation."""
        return self._stream is not None and self._stream.is_rerun

    def receive(self, data: bytes) -> DecodableInput:
        """The frames that these bytes complete.

        Raises:
            errors.HydroError: the call cannot go on.
        """
        pieces = [self._read_request(message) for message in self._messages.feed(data)]
        if self._stream is None:
            return DecodableInput(iter(()), 0)
        return self._stream.feed(b"".join(pieces), ended=self.ended)

    def _read_request(self, message: bytes) -> bytes:
        """The piece of the call's body that a request brings."""
        try:
            request = pb.ProcessingRequest.FromString(message)
        except DecodeError:
            raise errors.InvalidArgument("got no envoy.service.ext_proc.v3 request") from None
        kind = request.WhichOneof("request")
        # Envoy sends headers once, then body chunks, then trailers if the client sent any. The
        # filter's mode (FULL_DUPLEX_STREAMED) allows answers that do not wait for the end of the
        # body.
        if kind == "request_headers" and self._stream is None:
            # A call without a body has nothing to evaluate, and Envoy would send nothing further.
            if request.request_headers.end_of_stream:
                raise errors.InvalidArgument("the call has no message, want one at least")
            sent = request.request_headers
            attempt = find_header(sent, ATTEMPT)
            call = parse_call({**self._metadata, ATTEMPT: attempt}, find_header(sent, ":path"))
            logs.REQUEST_ID.set(find_header(sent, headers.REQUEST_ID))
            self._stream = StageStream(call, self._signature, self._max_bytes)
            # Envoy wants a response to the headers before any to the body; it leaves with the first
            # of those, in one message less.
            self._greeting = _HEADERS
            return b""
        if self._stream is None:
            raise errors.InvalidArgument(f"got {kind} first, want request_headers")
        if kind == "request_trailers":
            self._ended = kind
            return b""
        if kind != "request_body":
            raise errors.InvalidArgument(f"got {kind}, want request_body or request_trailers")
        # Either this flag or trailers end the request, never both.
        if request.request_body.end_of_stream:
            self._ended = kind
        return bytes(request.request_body.body)

    def respond(self, answers: Sequence[bytes], *, last: bool) -> list[bytes]:
        """The responses to Envoy that carry these messages; `last`: of all that has come so far."""
        # The end goes with the last portion: with an earlier one Envoy would take nothing after it.
        messages, ended = list(answers), self._ended if last else ""
        if self._stream is not None and ended:
            messages += self._stream.close()
        greeting, self._greeting = self._greeting, b""
        # With trailers these are the end, and a body that says so too would be one end too many.
        bodies = body_responses(messages, end=ended == "request_body")
        trailers = _TRAILERS if ended == "request_trailers" else b""
        return [part for part in (greeting, *bodies, trailers) if part]

    async def answer(
        self, batcher: Batcher, codecs: CodecThread, frames: Sequence[FrameInStage], size: int
    ) -> list[bytes]:
        """The messages that go on for frames that came in `size` bytes."""
        if self._stream is None:
            return []
        return await answer_frames(self._stream, batcher, codecs, frames, size)


class Processor:
    """Answers Envoy's external processor calls."""

    def __init__(
        self, host: Host, max_bytes: int, codecs: CodecThread, exporter: Exporter | None
    ) -> None:
        self.host = host
        self.max_bytes = max_bytes
        self.codecs = codecs
        self.exporter = exporter

    async def process(self, call: http2.Call) -> None:
        """One call's way through the stage that the metadata names."""
        try:
            batcher = self.host.get(call.metadata.get(headers.MODEL, ""))
            exchange = Exchange(call.metadata, batcher, self.max_bytes)
            with CallObserver(batcher.counts, call.metadata, self.exporter) as observed:
                # The end of the body ends the call, also where Envoy leaves the stream open.
                while not exchange.ended and not call.ended:
                    # One chunk after the other: reading on while rows are evaluated would take from
                    # the client more than the model can answer.
                    data, start = await call.read(), perf_counter()
                    decodable = exchange.receive(data)
                    is_rerun = exchange.is_rerun
                    async for part, is_last in self.codecs.read_portions(
                        decodable, is_rerun=is_rerun
                    ):
                        answers = await exchange.answer(batcher, self.codecs, part, decodable.size)
                        observed.count_answered(part, start)
                        await self._write(call, exchange, answers, is_last)
        # Errors travel in a response: of a gRPC status of this stream Envoy would make a 500.
        except errors.HydroError as error:
            extra = {"method": PROCESS, "code": errors.STATUS[type(error)][0].name}
            logger.info("call failed", extra={**extra, "error": error.message})
            # An immediate response ends the whole request in Envoy: later stages are not called for
            # it.
            await call.write(error_response(error, call.metadata))
        except Exception:
            internal = errors.new_internal()
            logger.exception("call failed", extra={"method": PROCESS, **internal.metadata})
            await call.write(error_response(internal, call.metadata))

    async def _write(
        self, call: http2.Call, exchange: Exchange, answers: Sequence[bytes], is_last: bool
    ) -> None:
        size = sum(map(len, answers))
        # Large ones are put together in the thread, and written one by one: each write may wait for
        # Envoy to take what was written before.
        if size <= CHUNK:
            await call.write(b"".join(exchange.respond(answers, last=is_last)))
            return
        for piece in await self.codecs.run(size, lambda: exchange.respond(answers, last=is_last)):
            await call.write(piece)


async def answer_frames(
    stream: StageStream,
    batcher: Batcher,
    codecs: CodecThread,
    frames: Sequence[FrameInStage],
    size: int,
) -> list[bytes]:
    """The messages that go on for frames that came in `size` bytes."""
    if not frames:
        return []
    inputs = [frame.inputs for frame in frames]
    evaluations = await batcher.evaluate(inputs, size=size, is_rerun=stream.is_rerun)
    # Encoding costs by what is written, too: one small row may be answered with a large vector.
    size += answer_bytes(evaluations)
    if not stream.is_rerun:
        return await codecs.run(size, lambda: stream.answer(frames, evaluations))
    messages: list[bytes] = []
    for frame, evaluation in zip(frames, evaluations, strict=True):  # the steps of others between
        messages += await codecs.run(size, partial(stream.answer, [frame], [evaluation]))
    return messages


def parse_call(metadata: Mapping[str, str], method: str) -> StageCall:
    """The call, by the metadata that the control plane adds.

    Raises:
        errors.InvalidArgument: the metadata lacks something.
    """
    try:
        return StageCall(
            method=method,
            position=Position(metadata[headers.POSITION]),
            model=metadata[headers.MODEL],
            stage=metadata[headers.STAGE],
            pipeline=metadata.get(headers.PIPELINE, ""),
            is_transcoded=ORIGINAL_PATH in metadata,
            # Envoy has tried this request before: the first attempt may have killed the process it
            # ran in.
            is_rerun=metadata.get(ATTEMPT, "1") not in ("", "1"),
        )
    except (KeyError, ValueError) as error:
        wanted = f"{headers.MODEL}, {headers.STAGE} and {headers.POSITION}"
        want = f"want {wanted}; call through the gateway"
        raise errors.InvalidArgument(f"stage metadata is not right ({error}), {want}") from None


def find_header(sent: pb.HttpHeaders, name: str) -> str:
    """The header of that name; empty: there is none."""
    for each in sent.headers.headers:
        if each.key == name:
            return str(each.raw_value.decode(errors="replace") or each.value)
    return ""


def body_responses(messages: Sequence[bytes], *, end: bool) -> list[bytes]:
    """The body to go on, in pieces; the last one ends the stream where the client's has ended."""
    body = b"".join(map(prefix_message, messages))
    if not body and not end:
        return []
    # One piece at least: an end without a body is a message as well.
    pieces = range(0, len(body) or 1, CHUNK)
    return [_body_response(body[at : at + CHUNK], end and at + CHUNK >= len(body)) for at in pieces]


def _body_response(piece: bytes, end: bool) -> bytes:
    response = pb.ProcessingResponse()
    streamed = response.request_body.response.body_mutation.streamed_response
    streamed.body = piece
    streamed.end_of_stream = end
    return prefix_message(response.SerializeToString())


def error_response(error: errors.HydroError, metadata: Mapping[str, str]) -> bytes:
    """The response that ends a call with an error, in gRPC and in HTTP; Envoy's log names us."""
    code = errors.STATUS[type(error)][0]
    status = errors.call_status(error, logs.REQUEST_ID.get())
    response = pb.ImmediateResponse(
        status=http_status_pb2.HttpStatus(
            code=_HTTP.get(code, http_status_pb2.InternalServerError)
        ),
        grpc_status=pb.GrpcStatus(status=code.value[0]),
        body=status.message.encode(),
        details=f"{headers.FAILED_IN} {metadata.get(headers.STAGE, 'no stage')}",
    )
    details = base64.b64encode(status.SerializeToString())
    fields = [("grpc-status-details-bin", details)]
    if isinstance(error, errors.Compressed):
        fields.append((ACCEPTED[0], ACCEPTED[1].encode()))
    for name, value in fields:
        added = response.headers.set_headers.add()
        added.header.key, added.header.raw_value = name, value
    return prefix_message(pb.ProcessingResponse(immediate_response=response).SerializeToString())
