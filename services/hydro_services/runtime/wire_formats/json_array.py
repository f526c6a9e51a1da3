"""A JSON array of row objects, read when it is whole, and answered by an array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hydro.serving.v1 import frame_pb2 as pb
from hydro_services import errors
from hydro_services.codecs import json_rows, row_groups
from hydro_services.runtime.offload import DecodableInput
from hydro_services.runtime.stage import FrameInStage
from hydro_services.runtime.wire_formats import json_frames
from hydro_services.runtime.wire_formats.http_body import PIECE_BYTES
from hydro_services.runtime.wire_formats.wire_format import ReadingStage, WireFormat


class ArrayDecoder:
    """Keeps the body until it is whole."""

    def __init__(self, reader: ReadingStage) -> None:
        self.reader = reader
        self._body = bytearray()

    def feed(self, pieces: Sequence[bytes]) -> DecodableInput:
        for piece in pieces:
            if len(self._body) + len(piece) > self.reader.max_bytes:
                got = f"the body is over {self.reader.max_bytes} bytes"
                raise errors.TooLarge(f"{got}, the most there may be; send fewer rows a request")
            self._body += piece
        return DecodableInput(iter(()), 0)

    def end(self) -> DecodableInput:
        body, self._body = self._body, bytearray()
        return DecodableInput(self._read_frames(body), len(body))

    def _read_frames(self, body: bytearray) -> Iterator[FrameInStage | None]:
        """The frames of an array, the last of which says so; it is read whole before the first."""
        last: FrameInStage | None = None
        for found in json_rows.read_array(body):
            if found is None:
                yield None
                continue
            rows, size = found
            most = row_groups.rows_in_group(len(rows), size)
            for frame in json_frames.read_rows(rows, FORMAT.encoding, self.reader, most):
                if last:
                    yield last
                last = frame
        last = last or json_frames.read_group([], FORMAT.encoding, self.reader)
        last.frame.final = True
        yield last


class ArrayEncoder:
    """Opens the array with the first frame, and closes it with the final one, or at the end."""

    def __init__(self) -> None:
        self._is_open = False
        self._is_empty = True

    def write(self, frame: pb.Frame) -> list[bytes]:
        parts = [
            memoryview(json_rows.write_array(rows))[1:-1]
            for rows in json_frames.answer_parts(frame)
            if rows
        ]
        start, end = b"" if self._is_open else b"[", b"]" if frame.final else b""
        comma = b"," if parts and not self._is_empty else b""
        self._is_open, self._is_empty = not frame.final, self._is_empty and not parts
        if sum(map(len, parts)) <= PIECE_BYTES:
            return [b"".join((start, comma, b",".join(parts), end))]
        pieces = [start + comma, *_cut_parts(parts), end]
        return [piece for piece in pieces if piece]

    def end(self) -> list[bytes]:
        return [b"]"] if self._is_open else []


def _cut_parts(parts: Sequence[memoryview]) -> Iterator[bytes]:
    """Parts with commas between them, without a copy of all of a large row."""
    for number, part in enumerate(parts):
        if number:
            yield b","
        for at in range(0, len(part), PIECE_BYTES):
            yield bytes(part[at : at + PIECE_BYTES])


FORMAT = WireFormat(ArrayDecoder, ArrayEncoder, "application/json", pb.ENCODING_JSON_ARRAY)
