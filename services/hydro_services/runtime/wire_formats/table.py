"""The table of wire formats."""

from __future__ import annotations

from hydro_services import errors
from hydro_services.runtime.wire_formats import frames, http_body, json_array, ndjson
from hydro_services.runtime.wire_formats.frames import GRPC
from hydro_services.runtime.wire_formats.http_body import ANY
from hydro_services.runtime.wire_formats.wire_format import (
    Decoder,
    Encoder,
    ReadingStage,
    WireFormat,
)

SERVICE = "hydro.serving.v1.PredictionService"
PREDICT, PREDICT_STREAM, SERVE = (
    f"/{SERVICE}/{method}" for method in ("Predict", "PredictStream", "Serve")
)
FORMATS: dict[tuple[str, str], WireFormat] = {
    (PREDICT, GRPC): frames.FORMAT,
    (PREDICT_STREAM, GRPC): frames.FORMAT,
    (SERVE, "application/json"): json_array.FORMAT,
    (SERVE, "application/x-ndjson"): ndjson.FORMAT,
    (SERVE, "application/ndjson"): ndjson.FORMAT,
    (SERVE, "application/jsonl"): ndjson.FORMAT,
    (SERVE, "application/jsonlines"): ndjson.FORMAT,
    (SERVE, ANY): json_array.FORMAT,
}
"""By the path of the client's call and the content type, in lower case and without parameters.

A method takes gRPC messages of one format, or else HTTP bodies, which `google.api.HttpBody` brings
together with their content type. The gateway lets answers to NDJSON leave before they are whole:
a content type whose answers are to leave so is named in its gateway.lua too.
"""


def known_methods() -> frozenset[str]:
    """The paths of all calls that the end of a chain answers."""
    return frozenset(method for method, _ in FORMATS)


def has_bodies(method: str) -> bool:
    """HTTP clients call the method, through Envoy's transcoder."""
    return (method, GRPC) not in FORMATS


def open_decoder(method: str, reader: ReadingStage) -> Decoder:
    """What reads a client's call.

    Raises:
        errors.Unimplemented: there is no such method.
    """
    if message_format := FORMATS.get((method, GRPC)):
        return message_format.decoder(reader)
    _check_method(method)
    return http_body.BodyDecoder(FORMATS, method, reader)


def open_encoder(method: str, *, is_transcoded: bool = False) -> Encoder:
    """What writes the answer to a client's call.

    Args:
        method: of the call.
        is_transcoded: Envoy makes JSON of the answer.

    Raises:
        errors.Unimplemented: there is no such method.
    """
    if method == PREDICT and is_transcoded:
        return frames.JsonClientEncoder()
    if message_format := FORMATS.get((method, GRPC)):
        return message_format.encoder()
    _check_method(method)
    return http_body.BodyEncoder(FORMATS, method)


def _check_method(method: str) -> None:
    if (method, ANY) not in FORMATS and method not in known_methods():
        raise errors.Unimplemented(f"no method {method} here")
