"""The client of the gateway: predictions, and streams that outlive a process they run through."""

from __future__ import annotations

import contextlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
)
from functools import partial

import grpc
import grpc.aio
from google.api import httpbody_pb2

from hydro.serving.v1 import frame_pb2 as frame_pb
from hydro.serving.v1 import prediction_service_pb2 as prediction_pb
from hydro.serving.v1 import prediction_service_pb2_grpc as prediction_grpc
from hydro_services import errors, resuming
from hydro_services.client.channel import CHANGE_S, Api, bearer_metadata, convert_errors
from hydro_services.codecs.whole_lines import LineCutter, split_lines

NDJSON = "application/x-ndjson"


class GatewayClient(Api):
    """Predictions; raises what the RPCs of PredictionService are documented with."""

    def __init__(self, channel: grpc.aio.Channel, key: str = "") -> None:
        """`key`: an API key, or a token of whom the pipeline trusts."""
        self._channel = channel
        self._stub = prediction_grpc.PredictionServiceStub(channel)
        self._metadata = bearer_metadata(key)

    async def predict(self, frame: frame_pb.Frame) -> frame_pb.Frame:
        """Sends a frame through the pipeline that it names."""
        return await self.ask(self._stub.Predict, frame, CHANGE_S)

    async def predict_stream(
        self, frames: AsyncIterable[frame_pb.Frame]
    ) -> AsyncGenerator[frame_pb.Frame]:
        """Frames as they come, each answered in order; every frame names the pipeline.

        Goes on when an instance that it runs through dies: frames that were under way there are
        answered with a `failure`, UNAVAILABLE, each in its place; others go to another instance.

        Raises:
            errors.HydroError: nothing was answered at all, or the pipeline was deleted.
        """
        call = partial(self._stub.PredictStream, metadata=self._metadata)
        stream = resuming.ResumingStream(_FRAMES, call, self._channel.channel_ready)
        async with contextlib.aclosing(stream.answers(frames)) as answers:
            with convert_errors():
                async for frame in answers:
                    yield frame

    async def serve(
        self, pipeline: str, pieces: AsyncIterable[bytes], content_type: str
    ) -> AsyncIterator[bytes]:
        """Sends a body of JSON rows in pieces; yields a body of the same type in pieces."""

        async def requests() -> AsyncIterator[prediction_pb.ServeRequest]:
            name = pipeline  # the first message alone names it
            async for piece in pieces:
                yield _serve_request(name, piece, content_type)
                name = ""

        with convert_errors():
            async for body in self._stub.Serve(requests(), metadata=self._metadata):
                yield body.data

    async def serve_lines(
        self, pipeline: str, pieces: AsyncIterable[bytes]
    ) -> AsyncGenerator[bytes]:
        """Sends rows as NDJSON, cut anywhere; yields whole lines, one for each row, in order.

        Goes on as `predict_stream` does: rows that were under way on an instance that dies are
        answered with `{"error": ...}`, UNAVAILABLE, each in its place.

        Raises:
            errors.HydroError: as `predict_stream`.
        """

        async def requests() -> AsyncIterator[prediction_pb.ServeRequest]:
            async for lines in _whole_lines(pieces):
                yield _serve_request(pipeline, lines, NDJSON)

        call = partial(self._stub.Serve, metadata=self._metadata)
        stream = resuming.ResumingStream(_LINES, call, self._channel.channel_ready)
        async with contextlib.aclosing(stream.answers(requests())) as answers:
            with convert_errors():
                async for body in answers:
                    yield body.data


def _serve_request(pipeline: str, piece: bytes, content_type: str) -> prediction_pb.ServeRequest:
    body = httpbody_pb2.HttpBody(content_type=content_type, data=piece)
    return prediction_pb.ServeRequest(pipeline=pipeline, body=body)


async def _whole_lines(pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The lines that each piece completes, as one piece; the last line gets a line end."""
    cutter = LineCutter()
    async for piece in pieces:
        if lines := cutter.feed(piece):
            yield lines
    if last := cutter.end():
        yield last + b"\n"


def _count_rows(body: bytes) -> int:
    """Lines that are not blank, as the runtime counts them."""
    return len(split_lines(body))


def _lost_frame(frame: frame_pb.Frame, places: int, error: errors.HydroError) -> frame_pb.Frame:
    return frame_pb.Frame(id=frame.id, failure=errors.to_status(error))


def _lost_lines(
    request: prediction_pb.ServeRequest, places: int, error: errors.HydroError
) -> httpbody_pb2.HttpBody:
    from hydro_services.codecs import json_rows  # late: numpy is needed only when a stream breaks

    row = errors.row_json(errors.to_status(error))
    return httpbody_pb2.HttpBody(content_type=NDJSON, data=json_rows.write_lines([row] * places))


_FRAMES = resuming.StreamKind(lambda _: 1, lambda _: 1, _lost_frame, in_flight=256)
_LINES = resuming.StreamKind(
    lambda request: _count_rows(request.body.data),
    lambda body: _count_rows(body.data),
    _lost_lines,
    in_flight=20_000,
)
