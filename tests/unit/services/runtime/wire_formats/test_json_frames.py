"""An answer in JSON is the same however many parts it is written in."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import DataType
from hydro_runtimes.evaluator import Field, Signature
from hydro_services.runtime.wire_formats import json_array, json_frames, ndjson
from hydro_services.runtime.wire_formats.wire_format import ReadingStage, WireFormat

SIGNATURE = Signature(
    (
        Field("text", DataType.STRING),
        Field("vector", DataType.FLOAT64, (-1,), nullable=True, optional=True),
        Field("words", DataType.STRING, (-1,), nullable=True, optional=True),
    ),
    (),
)
SPARSE = {"type": "sparse", "size": 3, "indices": [1], "values": [2.5]}
ROWS = st.lists(
    st.fixed_dictionaries(
        {"text": st.sampled_from(["", "a", "x" * 40, 1])},
        optional={
            "vector": st.sampled_from([None, [], [1.5, None], SPARSE, [0, 1, 2], "no vector"]),
            "words": st.sampled_from([None, [], ["a", None], ["b" * 30]]),
            "other": st.sampled_from([None, 1, 1.5, {"a": [1]}, "text"]),
            "more": st.booleans(),
        },
    ),
    max_size=12,
)


def written(format: WireFormat, frame: pb.Frame, piece_bytes: int) -> bytes:
    with (
        patch.object(json_frames, "PIECE_BYTES", piece_bytes),
        patch.object(json_array, "PIECE_BYTES", piece_bytes),
    ):
        encoder = format.encoder()
        return b"".join([*encoder.write(frame), *encoder.end()])


@pytest.mark.parametrize("format", [json_array.FORMAT, ndjson.FORMAT])
@given(rows=ROWS, piece_bytes=st.integers(1, 400))
def test_parts_together_are_the_answer(
    format: WireFormat, rows: list[dict[str, Any]], piece_bytes: int
) -> None:
    reader = ReadingStage(SIGNATURE, "s/m", 1 << 20)
    frame = json_frames.read_group(rows, format.encoding, reader).frame
    frame.final = True
    answer = written(format, frame, piece_bytes)
    assert answer == written(format, frame, 1 << 20)
    lines = answer.splitlines() if format is ndjson.FORMAT else json.loads(answer)
    assert len(lines) == len(rows)


@given(rows=ROWS, piece_bytes=st.integers(1, 400))
def test_a_part_has_about_as_many_bytes_as_it_may(
    rows: list[dict[str, Any]], piece_bytes: int
) -> None:
    reader = ReadingStage(SIGNATURE, "s/m", 1 << 20)
    frame = json_frames.read_group(rows, pb.ENCODING_NDJSON, reader).frame
    with patch.object(json_frames, "PIECE_BYTES", piece_bytes):
        parts = [len(part) for part in json_frames.answer_parts(frame)]
    assert sum(parts) == len(rows)
    most = max(1, len(rows) * piece_bytes // max(frame.ByteSize(), 1))
    assert frame.ByteSize() <= piece_bytes or max(parts, default=0) <= most
