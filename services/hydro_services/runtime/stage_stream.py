"""One call's way through one stage, without I/O: bytes of gRPC messages in, bytes out.

At the ends of a chain a source reads what the client sent, and a sink writes what it gets, in the
format of the call (`edges`); between stages both are those of frames. Between source and sink each
frame has its inputs read, is evaluated by the caller, and has its outputs added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from hydro.serving.v1 import frame_pb2 as pb
from hydro_envoy.headers import Position
from hydro_runtimes.evaluator import Evaluation, Signature
from hydro_services import errors
from hydro_services.codecs.grpc_messages import MessageCutter
from hydro_services.runtime import stage
from hydro_services.runtime.offload import Arrival
from hydro_services.runtime.stage import Work
from hydro_services.runtime.wire_formats import table
from hydro_services.runtime.wire_formats.frames import BETWEEN_STAGES
from hydro_services.runtime.wire_formats.wire_format import ReadingStage, Sink, Source


@dataclass(frozen=True, slots=True)
class StageCall:
    """A call, by the metadata that its stage gets."""

    method: str
    """The path of the client's call, for example `/hydro.serving.v1.PredictionService/Serve`."""
    position: Position
    model: str
    """The key of the model."""
    stage: str
    """As errors name it: `<service>/<model>`."""
    pipeline: str = ""
    """The pipeline that runs; empty: not known."""
    again: bool = False
    """The call was begun before, and may have ended the process that had it."""


class Session:
    """One call's way through one stage."""

    def __init__(self, call: StageCall, signature: Signature, max_bytes: int) -> None:
        self.call = call
        self._signature = signature
        self.apart = call.again
        """What comes may end its process; what comes after the first answer was not begun yet."""
        self._has_answered = False
        self._messages = MessageCutter(max_bytes)
        reader = ReadingStage(signature, call.stage, max_bytes, call.pipeline)
        self._source: Source = (
            table.open_source(call.method, reader)
            if call.position.begins
            else BETWEEN_STAGES.source(reader)
        )
        self._sink: Sink = (
            table.open_sink(call.method) if call.position.ends else BETWEEN_STAGES.sink()
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
            written += self._sink.write(self._add_outputs(done.frame, evaluation))
        return written

    def _add_outputs(self, frame: pb.Frame, evaluation: Evaluation) -> pb.Frame:
        try:
            stage.add_outputs(frame, self._signature, evaluation, self.call.stage)
        except errors.HydroError as error:
            return pb.Frame(id=frame.id, failure=errors.to_status(error), final=frame.final)
        return frame

    def close(self) -> list[bytes]:
        """The messages that close the answer."""
        return self._sink.end()
