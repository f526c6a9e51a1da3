"""Frames that have become too large for the next stage: in parts, or errors. Pure.

What came as JSON goes on in as many frames as it takes, and a row that is too large alone is an
error in its place. A frame of a client is answered by one frame, so all of it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.evaluator import Failure
from hydro_services import errors
from hydro_services.codecs import proto_columns, proto_encoding
from hydro_services.runtime import row_errors
from hydro_services.runtime.wire_formats.wire_format import Encoder


def write_fitting(frame: pb.Frame, encoder: Encoder, max_bytes: int, stage: str) -> list[bytes]:
    """The messages for a frame, each of `max_bytes` at most.

    Args:
        frame: may be changed.
        encoder: makes messages of it, for the next stage.
        max_bytes: of a message.
        stage: named in errors.

    Raises:
        errors.TooLarge: a frame of a client takes more.
    """
    messages = encoder.write(frame)
    size = sum(map(len, messages))
    if size <= max_bytes:
        return messages
    got = f"with what this stage adds it takes {size} bytes, want at most {max_bytes}"
    if frame.encoding not in row_errors.SHARED:
        raise errors.TooLarge(f"the frame is too large: {got}; send fewer rows", stage=stage)
    messages.clear()
    count = frame.table.rows + row_errors.count_rows(frame.errors)
    if count > 1:
        parts = _halve(frame, count)
        return [each for part in parts for each in write_fitting(part, encoder, max_bytes, stage)]
    failure = Failure("TOO_LARGE", f"the row is too large: {got}; send less in a row")
    failed = row_errors.make_errors({0: failure}, stage, frame.encoding)
    return encoder.write(pb.Frame(encoding=frame.encoding, errors=failed, final=frame.final))


def _halve(frame: pb.Frame, count: int) -> Iterator[pb.Frame]:
    """Two frames of the rows of one."""
    failed = row_errors.find_places(frame.errors)
    columns, middle = proto_columns.decode_table(frame.table), count // 2
    taken = 0
    for start, end in ((0, middle), (middle, count)):
        part = pb.Frame(encoding=frame.encoding, final=frame.final and end == count)
        part.errors.extend(row_errors.cut(frame.errors, start, end))
        well = end - start - int(((failed >= start) & (failed < end)).sum())
        rows = columns.take(np.arange(taken, taken + well))
        taken += well
        part.table.rows = rows.rows
        proto_encoding.add_columns(rows, rows.present, part.table)
        yield part
