"""What takes many times its bytes once it is parsed is refused before."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from hydro.serving.v1 import frame_pb2 as pb
from hydro_envoy.headers import Position
from hydro_runtimes.evaluator import Signature
from hydro_services import errors
from hydro_services.codecs import frame_limits
from hydro_services.codecs.grpc_messages import prefix_message
from hydro_services.runtime.stage_stream import StageCall, StageStream
from hydro_services.runtime.wire_formats.table import PREDICT_STREAM


def read(message: bytes) -> None:
    """Reads a client's message, as its first stage does.

    Raises:
        errors.HydroError: the call fails.
    """
    call = StageCall(PREDICT_STREAM, Position.ONLY, "m", "s/m")
    list(
        StageStream(call, Signature((), ()), 64 << 20)
        .feed(prefix_message(message), ended=True)
        .frames
    )


@pytest.mark.parametrize(
    ("message", "said"),
    [
        pytest.param(b"\x12\x00" * 50_000, "over 4096 columns", id="columns"),
        pytest.param(b"\x2a\x00" * 1_200_000, "fields", id="unknown"),
        pytest.param(b"\x12\x07\x2a\x05\x0a\x03abc" * 8_000, "over 4096 columns", id="with values"),
    ],
)
def test_a_table_of_many_small_things_is_refused_unparsed(message: bytes, said: str) -> None:
    with pytest.raises((errors.InvalidArgument, errors.TooLarge), match=said):
        read(pb.Frame(table=pb.Table()).SerializeToString() + wrapped(3, message))


def wrapped(number: int, data: bytes) -> bytes:
    """A field of protobuf with a message."""
    size, length = len(data), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def test_errors_and_lists_beyond_the_limits_are_refused_unparsed() -> None:
    with pytest.raises(errors.InvalidArgument, match="errors"):
        read(wrapped(4, b"") * 50_000 + wrapped(4, bytes(2)))
    with pytest.raises(errors.TooLarge, match="numbers in `values`"):
        read(wrapped(3, wrapped(2, wrapped(5, wrapped(4, bytes(frame_limits.MAX_LISTED + 1))))))


@given(st.binary(max_size=60).map(lambda data: data + bytes(frame_limits.SMALL_BYTES)))
def test_garbage_of_any_size_is_for_the_parser(message: bytes) -> None:
    try:
        frame_limits.check_frame(message)
        pb.Frame.FromString(message)
    except (errors.InvalidArgument, errors.TooLarge, DecodeError):
        pass
