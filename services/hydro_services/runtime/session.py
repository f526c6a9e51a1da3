"""One call's way through one stage, without I/O: bytes of gRPC messages in, bytes out.

A `Source` reads what comes: frames, or at the first stage of `Serve` pieces of an HTTP body. A
`Sink` writes what goes on: frames, or at the last stage of `Serve` pieces of an HTTP body. Between
them each frame has its inputs read, is evaluated by the caller, and has its outputs added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from google.protobuf.message import DecodeError

from hydro.serving.v1 import frame_pb2 as pb
from hydro_envoy.headers import Position
from hydro_runtimes.columns import Columns
from hydro_runtimes.evaluator import Evaluation, Signature
from hydro_services import errors
from hydro_services.codecs import proto_columns, wire
from hydro_services.codecs.grpc_messages import Messages
from hydro_services.runtime import stage
from hydro_services.runtime.body import BodySink, BodySource
from hydro_services.runtime.client_frames import received
from hydro_services.runtime.offload import Arrival
from hydro_services.runtime.stage import Work

SERVE = "/hydro.serving.v1.PredictionService/Serve"


@dataclass(frozen=True, slots=True)
class Call:
    """What a stage is told of a call by its metadata."""

    method: str
    """The path of the client's call, for example `/hydro.serving.v1.PredictionService/Serve`."""
    position: Position
    model: str
    """The key of the model."""
    stage: str
    """As errors name it: `<service>/<model>`."""
    pipeline: str = ""
    """The pipeline that runs; empty: not told."""
    again: bool = False
    """It was begun before, and a process that had it may have ended of it."""


class Source(Protocol):
    """Reads what comes in."""

    def feed(self, messages: Sequence[bytes]) -> Arrival:
        """The frames that these messages complete."""
        ...

    def end(self) -> Arrival:
        """What is left when the client has sent all."""
        ...


class Sink(Protocol):
    """Writes what goes out."""

    def write(self, frame: pb.Frame) -> list[bytes]:
        """The messages for a frame."""
        ...

    def end(self) -> list[bytes]:
        """The messages that close the answer."""
        ...


class Session:
    """One call's way through one stage."""

    def __init__(self, call: Call, signature: Signature, max_bytes: int) -> None:
        self.call = call
        self._signature = signature
        self.apart = call.again
        """What comes may end its process; what comes after the first answer was not begun yet."""
        self._has_answered = False
        self._messages = Messages(max_bytes)
        serve = call.method == SERVE
        self._source: Source = (
            BodySource(signature, call.stage, max_bytes, call.pipeline)
            if serve and call.position.begins
            else FrameSource(signature, call.stage, call.pipeline, from_client=call.position.begins)
        )
        self._sink: Sink = (
            BodySink() if serve and call.position.ends else FrameSink(call.position.ends)
        )

    def feed(self, chunk: bytes, *, ended: bool = False) -> Arrival:
        """The frames that a chunk of the call's bytes completes; `ended`: it is the last.

        They are read as they are asked for, all of them before the next chunk is fed.

        Raises:
            errors.HydroError: the call cannot go on; also as frames are asked for.
        """
        self.apart = self.apart and not self._has_answered
        arrival = self._source.feed(self._messages.feed(chunk))
        if not ended:
            return arrival
        self._messages.end()
        rest = self._source.end()
        return Arrival(chain(arrival.work, rest.work), arrival.size + rest.size)

    def answer(self, work: Sequence[Work], evaluations: Sequence[Evaluation]) -> list[bytes]:
        """The messages that go on, for work that is done."""
        self._has_answered = True
        written: list[bytes] = []
        for done, evaluation in zip(work, evaluations, strict=True):
            written += self._sink.write(self._done(done.frame, evaluation))
        return written

    def _done(self, frame: pb.Frame, evaluation: Evaluation) -> pb.Frame:
        try:
            stage.outputs(frame, self._signature, evaluation, self.call.stage)
        except errors.HydroError as error:
            return pb.Frame(id=frame.id, failure=errors.to_status(error), final=frame.final)
        return frame

    def close(self) -> list[bytes]:
        """The messages that close the answer."""
        return self._sink.end()


class FrameSource:
    """Reads frames, from a client or from the stage before."""

    def __init__(
        self, signature: Signature, stage: str, pipeline: str, *, from_client: bool
    ) -> None:
        self.signature = signature
        self.stage = stage
        self.pipeline = pipeline
        self.from_client = from_client
        self._begun = False

    def feed(self, messages: Sequence[bytes]) -> Arrival:
        return Arrival(map(self._work, messages), sum(map(len, messages)))

    def end(self) -> Arrival:
        return Arrival(iter(()), 0)

    def _work(self, message: bytes) -> Work:
        frame, came_failed = pb.Frame(), 0
        try:
            if self.from_client:
                wire.check_frame(message)
            frame.MergeFromString(message)
            read = self._received(frame) if self.from_client else None
            came_failed = stage.failed(frame)
            inputs = stage.inputs(frame, self.signature, self.stage, read)
        except (DecodeError, errors.HydroError) as error:
            frame, inputs, came_failed = self._failed(frame, error), Columns({}, 0), 0
        self._begun = True
        return Work(frame, inputs, came_failed)

    def _received(self, frame: pb.Frame) -> Columns | None:
        stage.check_pipeline(frame.pipeline, self.pipeline)
        return received(frame, self.stage)

    def _failed(self, frame: pb.Frame, error: DecodeError | errors.HydroError) -> pb.Frame:
        """In its place in a stream that has begun; before that the call fails."""
        if isinstance(error, DecodeError):
            want = "want a hydro.serving.v1.Frame"
            error = errors.InvalidArgument(f"the message cannot be read, {want}", stage=self.stage)
        if not self._begun:
            raise error
        return pb.Frame(id=frame.id, failure=errors.to_status(error))


class FrameSink:
    """Writes frames, to a client or to the next stage."""

    def __init__(self, to_client: bool) -> None:
        self.to_client = to_client

    def write(self, frame: pb.Frame) -> list[bytes]:
        if self.to_client and frame.encoding == pb.ENCODING_TYPED:
            for column in frame.table.columns:
                proto_columns.typed(column, frame.table.rows)
        return [frame.SerializeToString()]

    def end(self) -> list[bytes]:
        return []
