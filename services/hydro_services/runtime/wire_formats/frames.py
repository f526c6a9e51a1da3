"""Frames, one a gRPC message: from and to a client, and from stage to stage."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import Columns
from hydro_services import errors
from hydro_services.codecs import frame_limits, proto_columns
from hydro_services.runtime import stage
from hydro_services.runtime.offload import DecodableInput
from hydro_services.runtime.stage import FrameInStage
from hydro_services.runtime.wire_formats.frame_validation import validate_frame
from hydro_services.runtime.wire_formats.wire_format import ReadingStage, WireFormat

GRPC = "application/grpc"
MAX_JSON_VALUES = 400_000
"""Of an answer that is made JSON by Envoy, which takes some 0.1 us for each."""


class StageDecoder:
    """Reads frames of the stage before."""

    def __init__(self, reader: ReadingStage) -> None:
        self.reader = reader
        self._has_begun = False

    def feed(self, messages: Sequence[bytes]) -> DecodableInput:
        return DecodableInput(map(self._read_message, messages), sum(map(len, messages)))

    def end(self) -> DecodableInput:
        return DecodableInput(iter(()), 0)

    def _read_message(self, message: bytes) -> FrameInStage:
        frame, came_failed, reader = pb.Frame(), 0, self.reader
        try:
            columns = self._parse(message, frame)
            came_failed = stage.count_failed(frame)
            inputs = stage.read_inputs(frame, reader.signature, reader.stage, columns)
        except (DecodeError, errors.HydroError) as error:
            frame, inputs, came_failed = self._fail_frame(frame, error), Columns({}, 0), 0
        self._has_begun = True
        return FrameInStage(frame, inputs, came_failed)

    def _parse(self, message: bytes, frame: pb.Frame) -> Columns | None:
        """Fills the frame; its columns, where all of them have been decoded."""
        frame.MergeFromString(message)
        return None

    def _fail_frame(self, frame: pb.Frame, error: DecodeError | errors.HydroError) -> pb.Frame:
        """In its place in a stream that has begun; before that the call fails."""
        if isinstance(error, DecodeError):
            want = "want a hydro.serving.v1.Frame"
            error = errors.InvalidArgument(
                f"the message cannot be read, {want}", stage=self.reader.stage
            )
        if not self._has_begun:
            raise error
        return pb.Frame(id=frame.id, failure=errors.to_status(error))


class ClientDecoder(StageDecoder):
    """Reads frames of a client, who may send anything."""

    def _parse(self, message: bytes, frame: pb.Frame) -> Columns | None:
        frame_limits.check_frame(message)
        frame.MergeFromString(message)
        stage.check_pipeline(frame.pipeline, self.reader.pipeline)
        return validate_frame(frame, self.reader.stage)


class StageEncoder:
    """Writes frames to the next stage."""

    def write(self, frame: pb.Frame) -> list[bytes]:
        return [frame.SerializeToString()]

    def end(self) -> list[bytes]:
        return []


class ClientEncoder(StageEncoder):
    """Writes frames to a client, with lists of protobuf where the client asked for them."""

    def write(self, frame: pb.Frame) -> list[bytes]:
        if frame.encoding == pb.ENCODING_TYPED:
            for column in frame.table.columns:
                proto_columns.bytes_to_lists(column, frame.table.rows)
        return [frame.SerializeToString()]


class JsonClientEncoder(ClientEncoder):
    """Writes a frame that Envoy's transcoder makes JSON of, all at once, while others wait."""

    def write(self, frame: pb.Frame) -> list[bytes]:
        messages = super().write(frame)
        count = sum([_count_listed(column) for column in frame.table.columns])
        if count > MAX_JSON_VALUES:
            got = (
                f"the answer has {count} values, want at most {MAX_JSON_VALUES} in a frame as JSON"
            )
            raise errors.TooLarge(f"{got}; send fewer rows, or rows to Serve, or frames over gRPC")
        return messages


def _count_listed(column: pb.Column) -> int:
    if column.HasField("elements"):
        return _count_listed(column.elements)
    values = column.values
    return len(values.strings) + len(values.doubles) + len(values.integers) + len(values.bools)


BETWEEN_STAGES = WireFormat(StageDecoder, StageEncoder, GRPC)
FORMAT = WireFormat(ClientDecoder, ClientEncoder, GRPC)
