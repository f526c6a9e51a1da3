"""One call's way through one stage, without I/O: bytes of gRPC messages in, bytes out.

At the ends of a chain a decoder reads what the client sent, and an encoder writes what it gets, in
the format of the call (`wire_formats`); between stages both are those of frames. Between decoder
and encoder each frame has its inputs read, is evaluated by the caller, and has its outputs added.
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
from hydro_services.runtime.frame_size import write_fitting
from hydro_services.runtime.offload import DecodableInput
from hydro_services.runtime.stage import FrameInStage
from hydro_services.runtime.wire_formats import table
from hydro_services.runtime.wire_formats.frames import BETWEEN_STAGES
from hydro_services.runtime.wire_formats.wire_format import Decoder, Encoder, ReadingStage


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
    is_transcoded: bool = False
    """It came as JSON, and Envoy makes JSON of the answer."""
    is_rerun: bool = False
    """The call was started before in a process that died; evaluate it in isolation."""


class StageStream:
    """One call's way through one stage."""

    def __init__(self, call: StageCall, signature: Signature, max_bytes: int) -> None:
        self.call = call
        self._signature = signature
        self.is_rerun = call.is_rerun
        """As of the call, until its first answer: what comes after that was not started before."""
        self._has_answered = False
        self._max_bytes = max_bytes
        self._messages = MessageCutter(max_bytes)
        reader = ReadingStage(signature, call.stage, max_bytes, call.pipeline)
        self._decoder: Decoder = (
            table.open_decoder(call.method, reader)
            if call.position.begins
            else BETWEEN_STAGES.decoder(reader)
        )
        self._encoder: Encoder = (
            table.open_encoder(call.method, is_transcoded=call.is_transcoded)
            if call.position.ends
            else BETWEEN_STAGES.encoder()
        )

    def feed(self, chunk: bytes, *, ended: bool = False) -> DecodableInput:
        """The frames that a chunk of the call's bytes completes; `ended`: it is the last.

        They are read as they are asked for, all of them before the next chunk is fed.

        Raises:
            errors.HydroError: the call cannot go on; also as frames are asked for.
        """
        # Envoy only tries again what has not been answered, so all that comes later comes for the
        # first time.
        self.is_rerun = self.is_rerun and not self._has_answered
        decodable = self._decoder.feed(self._messages.feed(chunk))
        if not ended:
            return decodable
        # A message that is cut short by the end of the stream is an error, not an end.
        self._messages.end()
        rest = self._decoder.end()
        return DecodableInput(chain(decodable.frames, rest.frames), decodable.size + rest.size)

    def answer(
        self, frames: Sequence[FrameInStage], evaluations: Sequence[Evaluation]
    ) -> list[bytes]:
        """The messages that go on, for frames that have been evaluated."""
        written: list[bytes] = []
        for frame, evaluation in zip(frames, evaluations, strict=True):
            written += self._write(self._add_outputs(frame.frame, evaluation))
            self._has_answered = True
        return written

    def _write(self, frame: pb.Frame) -> list[bytes]:
        if self.call.position.ends:
            return self._encoder.write(frame)
        try:
            return write_fitting(frame, self._encoder, self._max_bytes, self.call.stage)
        except errors.TooLarge as error:
            if not self._has_answered:
                raise
            return self._encoder.write(pb.Frame(id=frame.id, failure=errors.to_status(error)))

    def _add_outputs(self, frame: pb.Frame, evaluation: Evaluation) -> pb.Frame:
        try:
            stage.add_outputs(frame, self._signature, evaluation, self.call.stage)
        except errors.HydroError as error:
            return pb.Frame(id=frame.id, failure=errors.to_status(error), final=frame.final)
        return frame

    def close(self) -> list[bytes]:
        """The messages that close the answer."""
        return self._encoder.end()
