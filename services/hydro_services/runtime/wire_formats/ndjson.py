"""NDJSON: a row object a line, read and answered line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hydro.serving.v1 import frame_pb2 as pb
from hydro_services import errors
from hydro_services.codecs import json_rows, json_spans, row_groups
from hydro_services.codecs.whole_lines import LineCutter, split_lines
from hydro_services.runtime.offload import DecodableInput
from hydro_services.runtime.stage import FrameInStage
from hydro_services.runtime.wire_formats import json_frames
from hydro_services.runtime.wire_formats.wire_format import ReadingStage, WireFormat


class LineDecoder:
    """Reads lines as they are completed."""

    def __init__(self, reader: ReadingStage) -> None:
        self.reader = reader
        self._lines = LineCutter()

    def feed(self, pieces: Sequence[bytes]) -> DecodableInput:
        lines = b"".join([self._cut_lines(piece) for piece in pieces])
        return DecodableInput(self._read_frames(lines), len(lines))

    def _cut_lines(self, piece: bytes) -> bytes:
        # The limit is of a line that is not complete: complete ones are read and leave.
        completed = piece.rfind(b"\n") + 1
        if self._lines.held_bytes + (completed or len(piece)) > self.reader.max_bytes:
            got = f"the line is over {self.reader.max_bytes} bytes"
            raise errors.TooLarge(f"{got}, the most there may be; send fewer rows a request")
        return self._lines.feed(piece)

    def end(self) -> DecodableInput:
        line = self._lines.end()
        return DecodableInput(self._read_frames(line), len(line))

    def _read_frames(self, text: bytes) -> Iterator[FrameInStage | None]:
        """The frames of whole lines, read a span at a time."""
        at, view = 0, memoryview(text)
        while at < len(text):
            # As many whole lines as a span has; a line that is longer is a span by itself.
            end = text.rfind(b"\n", at, at + json_spans.SPAN_BYTES) + 1
            end = end or text.find(b"\n", at) + 1 or len(text)
            lines = _split_lines(view[at:end])
            most = row_groups.rows_in_group(len(lines), end - at)
            for first in range(0, len(lines), most):
                rows = list(map(json_rows.parse_line, lines[first : first + most]))
                yield from json_frames.read_rows(rows, FORMAT.encoding, self.reader, most)
            yield None
            at = end


def _split_lines(text: memoryview) -> Sequence[json_spans.Text]:
    """The lines that are not blank, of whole lines; what is longer than a span is one line."""
    if len(text) > json_spans.SPAN_BYTES:
        return [] if json_spans.is_blank(text) else [text]
    return split_lines(bytes(text))


class LineEncoder:
    """Writes lines, an error as a line of its own."""

    def write(self, frame: pb.Frame) -> list[bytes]:
        return [json_rows.write_lines(rows) for rows in json_frames.answer_parts(frame) if rows]

    def end(self) -> list[bytes]:
        return []


FORMAT = WireFormat(LineDecoder, LineEncoder, "application/x-ndjson", pb.ENCODING_NDJSON)
