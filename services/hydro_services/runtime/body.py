"""The HTTP/JSON face at the ends of a chain: pieces of a body to frames, and frames to pieces.

A JSON array is read when it is whole; NDJSON line by line. How the answer is to be written travels
in the frames, so that the last stage need not know how the first was asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.api import httpbody_pb2
from google.protobuf.message import DecodeError

from hydro.serving.v1 import frame_pb2 as pb
from hydro.serving.v1 import prediction_service_pb2
from hydro_runtimes.evaluator import Failure, Signature
from hydro_services import errors
from hydro_services.codecs import json_array, json_rows, naming, proto_columns, row_groups
from hydro_services.runtime import stage
from hydro_services.runtime.offload import Arrival
from hydro_services.runtime.stage import Work

NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")
PIECE_BYTES = 1 << 20
"""Of an answer in one message: the transcoder holds a message until it is whole, up to the limit of
a request, and an answer may be longer than that."""


class BodySource:
    """Reads pieces of an HTTP body: `hydro.serving.v1.ServeRequest`."""

    def __init__(
        self, signature: Signature, stage: str, max_bytes: int, pipeline: str = ""
    ) -> None:
        self.signature = signature
        self.stage = stage
        self.max_bytes = max_bytes
        self.pipeline = pipeline
        self._rest = bytearray()
        self._lines: bool | None = None

    def feed(self, messages: Sequence[bytes]) -> Arrival:
        whole = b"".join([self._take(message) for message in messages])
        return Arrival(self._from_lines(whole), len(whole))

    def _take(self, message: bytes) -> bytes:
        """Keeps a piece; the lines that it completes, where the body is lines."""
        try:
            request = prediction_service_pb2.ServeRequest.FromString(message)
        except DecodeError:
            want = "want a hydro.serving.v1.ServeRequest"
            raise errors.InvalidArgument(f"the message cannot be read, {want}") from None
        stage.check_pipeline(request.pipeline, self.pipeline)
        if self._lines is None:
            self._lines = request.body.content_type.lower().startswith(NDJSON)
        data: bytes = request.body.data
        end = data.rfind(b"\n") + 1 if self._lines else 0
        if len(self._rest) + (end or len(data)) > self.max_bytes:
            got = f"the {'line' if self._lines else 'body'} is over {self.max_bytes} bytes"
            raise errors.TooLarge(f"{got}, the most there may be; send fewer rows a request")
        if not end:
            self._rest += data
            return b""
        whole = b"".join((self._rest, data[:end]))
        self._rest = bytearray(data[end:])
        return whole

    def _from_lines(self, body: bytes | bytearray) -> Iterator[Work | None]:
        at, text = 0, memoryview(body)
        while at < len(body):
            end = body.rfind(b"\n", at, at + json_array.SPAN_BYTES) + 1
            end = end or body.find(b"\n", at) + 1 or len(body)
            lines = _lines(text[at:end])
            for first in range(0, len(lines), row_groups.MAX_ROWS):
                part = lines[first : first + row_groups.MAX_ROWS]
                yield from self._frames(list(map(json_rows.parse_line, part)), pb.ENCODING_NDJSON)
            yield None
            at = end

    def end(self) -> Arrival:
        body, self._rest = self._rest, bytearray()
        frames = self._from_lines(body) if self._lines else self._from_array(body)
        return Arrival(frames, len(body))

    def _from_array(self, body: bytes | bytearray) -> Iterator[Work | None]:
        """The frames of an array, the last of which says so; it is read whole before the first."""
        last: Work | None = None
        for parsed in json_rows.read_array(body):
            if parsed is None:
                yield None
                continue
            for work in self._frames(parsed, pb.ENCODING_JSON_ARRAY):
                if last:
                    yield last
                last = work
        last = last or self._work([], pb.ENCODING_JSON_ARRAY)
        last.frame.final = True
        yield last

    def _frames(
        self, parsed: Sequence[json_rows.Row | Failure], encoding: pb.Encoding
    ) -> Iterator[Work]:
        for group in row_groups.groups(parsed):
            yield self._work(group, encoding)

    def _work(self, parsed: Sequence[json_rows.Row | Failure], encoding: pb.Encoding) -> Work:
        unread = {i: row for i, row in enumerate(parsed) if isinstance(row, Failure)}
        good = [row for row in parsed if not isinstance(row, Failure)]
        columns, failed = json_rows.decode(good, self.signature)
        failures = _places(unread, failed, len(parsed))
        frame = pb.Frame(encoding=encoding)
        if failures:
            frame.errors.extend(stage.row_errors(failures, self.stage))
        frame.table.rows = columns.rows
        proto_columns.write(columns, columns.present, frame.table)
        return Work(frame, naming.inputs(columns, self.signature))


def _lines(text: memoryview) -> list[json_array.Text]:
    """The lines that are not blank, of whole lines; what is longer than a span is one line."""
    if len(text) > json_array.SPAN_BYTES:
        return [] if json_array.is_blank(text) else [text]
    return [line for line in bytes(text).split(b"\n") if line.strip()]


def _places(
    unread: Mapping[int, Failure], failed: Mapping[int, Failure], count: int
) -> Mapping[int, Failure]:
    """Failures by place among all rows, where `failed` counts only those that could be read."""
    if not unread:
        return failed
    read = [place for place in range(count) if place not in unread]
    return {**unread, **{read[row]: failure for row, failure in failed.items()}}


class BodySink:
    """Writes pieces of an HTTP body: `google.api.HttpBody`."""

    def __init__(self) -> None:
        self._open = False
        self._empty = True

    def write(self, frame: pb.Frame) -> list[bytes]:
        if frame.HasField("failure"):  # Its rows are not known, so none can stand for them.
            raise errors.Internal(f"a part of the answer was lost: {frame.failure.message}")
        answers, size = _answers(frame), frame.ByteSize()
        if frame.encoding == pb.ENCODING_NDJSON:
            return [
                message
                for some in _parts(answers, size)
                for message in _messages(NDJSON[0], json_rows.lines(some))
            ]
        start, end = b"" if self._open else b"[", b"]" if frame.final else b""
        comma = b"," if answers and not self._empty else b""
        self._open, self._empty = not frame.final, self._empty and not answers
        pieces = [memoryview(json_rows.dumps(some))[1:-1] for some in _parts(answers, size)]
        kind = "application/json"
        if size <= PIECE_BYTES:
            return _messages(kind, b"".join((start, comma, b",".join(pieces), end)))
        written = _messages(kind, start + comma) if start + comma else []
        for number, piece in enumerate(pieces):  # without a copy of all of a large row
            written += _messages(kind, b",") if number else []
            written += _messages(kind, piece)
        return written + (_messages(kind, end) if end else [])

    def end(self) -> list[bytes]:
        return _messages("application/json", b"]") if self._open else []


def _parts(answers: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Answers in parts of about `PIECE_BYTES`, one row at least: each holds the interpreter."""
    step = max(1, len(answers) * PIECE_BYTES // max(size, PIECE_BYTES))
    return [answers[at : at + step] for at in range(0, len(answers), step)]


def _messages(content_type: str, data: bytes | memoryview) -> list[bytes]:
    pieces = range(0, len(data) or 1, PIECE_BYTES)
    return [_message(content_type, bytes(data[at : at + PIECE_BYTES])) for at in pieces]


def _message(content_type: str, data: bytes) -> bytes:
    body = httpbody_pb2.HttpBody(content_type=content_type, data=data)
    message: bytes = body.SerializeToString()
    return message


def _answers(frame: pb.Frame) -> list[json_rows.Row]:
    """A JSON-ready object for each row, errors in their places."""
    count = frame.table.rows
    columns = {column.name: proto_columns.values(column, count) for column in frame.table.columns}
    places = {
        c.name: at
        for c in frame.table.columns
        if c.present and (at := proto_columns.present(c, count)) is not None
    }
    answers = json_rows.zipped(columns, count, places)
    if not frame.errors:
        return answers
    return json_rows.merge(answers, _errors(frame.errors))


def _errors(failed: Sequence[pb.RowError]) -> dict[int, Any]:
    """The objects in the places of rows that failed; most often many fail alike."""
    made: dict[bytes, json_rows.Row] = {}
    found: dict[int, json_rows.Row] = {}
    for error in failed:
        key = error.status.SerializeToString(deterministic=True)
        if key not in made:
            made[key] = errors.row_json(error.status)
        found[error.row] = made[key]
    return found
