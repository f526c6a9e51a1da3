"""What a wire format consists of: a decoder that reads it, and an encoder that writes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.evaluator import Signature
from hydro_services.runtime.offload import DecodableInput


@dataclass(frozen=True, slots=True)
class ReadingStage:
    """The stage that a decoder reads for."""

    signature: Signature
    """Of its model."""
    stage: str
    """As errors name it: `<service>/<model>`."""
    max_bytes: int
    """Of a message, and of what has to be held until it is whole."""
    pipeline: str = ""
    """The pipeline that runs; empty: not known."""


class Decoder(Protocol):
    """Reads one call's messages, or the pieces of its body."""

    def feed(self, pieces: Sequence[bytes]) -> DecodableInput:
        """The frames that these pieces complete, in the encoding of the format.

        Raises:
            errors.HydroError: the call cannot go on; also as frames are asked for.
        """
        ...

    def end(self) -> DecodableInput:
        """What is left when the client has sent all.

        Raises:
            errors.HydroError: as `feed`.
        """
        ...


class Encoder(Protocol):
    """Writes one call's messages, or the pieces of its body."""

    def write(self, frame: pb.Frame) -> list[bytes]:
        """The pieces for a frame, which may be changed.

        Raises:
            errors.HydroError: the answer cannot go on.
        """
        ...

    def end(self) -> list[bytes]:
        """The pieces that close the answer."""
        ...


@dataclass(frozen=True, slots=True)
class WireFormat:
    """A decoder and the encoder that answers it."""

    decoder: Callable[[ReadingStage], Decoder]
    encoder: Callable[[], Encoder]
    content_type: str
    """Of answers."""
    encoding: pb.Encoding = pb.ENCODING_UNSPECIFIED
    """Of the frames that the decoder makes: by it the last stage finds the encoder. Formats of
    gRPC messages need none."""
