"""HTTP bodies, which Envoy's transcoder brings in pieces: `ServeRequest` and `HttpBody`.

The content type of the first piece says which format the body is of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from google.api import httpbody_pb2
from google.protobuf.message import DecodeError

from hydro.serving.v1 import frame_pb2 as pb
from hydro.serving.v1 import prediction_service_pb2
from hydro_services import errors
from hydro_services.runtime import stage
from hydro_services.runtime.offload import DecodableInput
from hydro_services.runtime.wire_formats.wire_format import (
    Decoder,
    Encoder,
    ReadingStage,
    WireFormat,
)

ANY = ""
"""The content type, in the table, of the format for bodies of a type that is not in it."""
PIECE_BYTES = 1 << 20
"""Of an answer in one message: the transcoder holds a message until it is whole, up to the limit of
a request, and an answer may be longer than that."""

Formats: TypeAlias = Mapping[tuple[str, str], WireFormat]
"""By the method of the call and the content type."""


class BodyDecoder:
    """Reads the pieces of a body by their format."""

    def __init__(self, formats: Formats, method: str, reader: ReadingStage) -> None:
        self._formats = formats
        self._method = method
        self._reader = reader
        self._decoder: Decoder | None = None

    def feed(self, messages: Sequence[bytes]) -> DecodableInput:
        pieces = [self._unwrap(message) for message in messages]
        return self._decoder.feed(pieces) if self._decoder else DecodableInput(iter(()), 0)

    def _unwrap(self, message: bytes) -> bytes:
        try:
            request = prediction_service_pb2.ServeRequest.FromString(message)
        except DecodeError:
            want = "want a hydro.serving.v1.ServeRequest"
            raise errors.InvalidArgument(f"the message cannot be read, {want}") from None
        stage.check_pipeline(request.pipeline, self._reader.pipeline)
        if self._decoder is None:
            self._decoder = self._open_decoder(request.body.content_type)
        data: bytes = request.body.data
        return data

    def _open_decoder(self, content_type: str) -> Decoder:
        """Raises InvalidArgument where there is no format for this type."""
        kind = content_type.partition(";")[0].strip().lower()
        wire_format = self._formats.get((self._method, kind))
        wire_format = wire_format or self._formats.get((self._method, ANY))
        if wire_format is None:
            want = ", ".join(sorted(kind for of, kind in self._formats if of == self._method))
            raise errors.InvalidArgument(f"got content type '{kind[:80]}', want {want}")
        return wire_format.decoder(self._reader)

    def end(self) -> DecodableInput:
        if self._decoder is None:
            self._decoder = self._open_decoder(ANY)
        return self._decoder.end()


class BodyEncoder:
    """Writes the pieces of a body in the format that the frames' encoding names."""

    def __init__(self, formats: Formats, method: str) -> None:
        self._formats = formats
        self._method = method
        self._content_type = ""
        self._encoder: Encoder | None = None

    def write(self, frame: pb.Frame) -> list[bytes]:
        if frame.HasField("failure"):  # Its rows are not known, so none can stand for them.
            raise errors.Internal(f"a part of the answer was lost: {frame.failure.message}")
        if self._encoder is None:
            wire_format = self._find_format(frame.encoding)
            self._encoder, self._content_type = wire_format.encoder(), wire_format.content_type
        return self._wrap(self._encoder.write(frame))

    def end(self) -> list[bytes]:
        return self._wrap(self._encoder.end()) if self._encoder else []

    def _find_format(self, encoding: pb.Encoding) -> WireFormat:
        for (method, _), wire_format in self._formats.items():
            if method == self._method and wire_format.encoding == encoding:
                return wire_format
        # The process of the last stage is older than that of the first.
        raise errors.Internal(f"encoding {encoding} of the answer is not known to this stage")

    def _wrap(self, pieces: Sequence[bytes]) -> list[bytes]:
        return [
            _body_message(self._content_type, piece[at : at + PIECE_BYTES])
            for piece in pieces
            for at in range(0, len(piece) or 1, PIECE_BYTES)
        ]


def _body_message(content_type: str, data: bytes) -> bytes:
    body = httpbody_pb2.HttpBody(content_type=content_type, data=data)
    message: bytes = body.SerializeToString()
    return message
