"""The HTTP/JSON face at the ends of a chain: pieces of a body to frames, and frames to pieces.

A JSON array is read when it is whole; NDJSON line by line. How the answer is to be written travels
in the frames, so that the last stage need not know how the first was asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.api import httpbody_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from hydro.serving.v1 import frame_pb2 as pb
from hydro.serving.v1 import prediction_service_pb2
from hydro_runtimes.columns import Columns
from hydro_runtimes.evaluator import Failure, Signature
from hydro_services import errors
from hydro_services.codecs import rows, table
from hydro_services.runtime import stage
from hydro_services.runtime.stage import Work

SLICE = 500
"""Rows a frame at most, so that the next stage works on one while this one makes the next."""
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")


class BodySource:
    """Reads pieces of an HTTP body: `hydro.serving.v1.ServeRequest`."""

    def __init__(self, signature: Signature, stage: str, max_bytes: int) -> None:
        self.signature = signature
        self.stage = stage
        self.max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._held = 0
        self._lines: bool | None = None

    def feed(self, messages: Sequence[bytes]) -> list[Work]:
        for message in messages:
            self._take(message)
        return self._whole_lines() if self._lines else []

    def _take(self, message: bytes) -> None:
        try:
            request = prediction_service_pb2.ServeRequest.FromString(message)
        except DecodeError:
            want = "want a hydro.serving.v1.ServeRequest"
            raise errors.InvalidArgument(f"the message cannot be read, {want}") from None
        if self._lines is None:
            self._lines = request.body.content_type.lower().startswith(NDJSON)
        self._pieces.append(request.body.data)
        self._held += len(request.body.data)
        if self._held > self.max_bytes and not (self._lines and b"\n" in request.body.data):
            got = f"the {'line' if self._lines else 'body'} is over {self.max_bytes} bytes"
            raise errors.TooLarge(f"{got}, the most there may be; send fewer rows a request")

    def _whole_lines(self) -> list[Work]:
        body = b"".join(self._pieces)
        whole, newline, rest = body.rpartition(b"\n")
        self._pieces, self._held = [rest], len(rest)
        return self._from_lines(whole) if newline else []

    def _from_lines(self, body: bytes) -> list[Work]:
        parsed = [rows.parse_line(line) for line in body.split(b"\n") if line.strip()]
        slices = range(0, len(parsed), SLICE)
        return [self._work(parsed[at : at + SLICE], pb.ENCODING_NDJSON) for at in slices]

    def end(self) -> list[Work]:
        body = b"".join(self._pieces)
        self._pieces, self._held = [], 0
        if self._lines:
            return self._from_lines(body)
        parsed = rows.parse_array(body)
        slices = range(0, len(parsed) or 1, SLICE)
        work = [self._work(parsed[at : at + SLICE], pb.ENCODING_JSON_ARRAY) for at in slices]
        work[-1].frame.final = True
        return work

    def _work(self, parsed: Sequence[rows.Row | Failure], encoding: pb.Encoding) -> Work:
        unread = {i: row for i, row in enumerate(parsed) if isinstance(row, Failure)}
        good = [row for row in parsed if not isinstance(row, Failure)]
        columns, failed = rows.decode(good, self.signature.inputs)
        failures = _places(unread, failed, len(parsed))
        frame = pb.Frame(encoding=encoding)
        for row in sorted(failures):
            status = stage.status(failures[row], self.stage)
            frame.errors.append(pb.RowError(row=row, status=status))
        frame.table.rows = columns.rows
        for name, column in columns.items():
            table.encode(name, column, frame.table.columns.add())
        names = {field.name for field in self.signature.inputs}
        read = {name: column for name, column in columns.items() if name in names}
        return Work(frame, Columns(read, columns.rows))


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

    def write(self, frame: pb.Frame) -> bytes:
        answers = _answers(frame)
        if frame.encoding == pb.ENCODING_NDJSON:
            return _message(NDJSON[0], rows.lines(answers))
        data = rows.dumps(answers)[1:-1]
        comma = b"," if data and not self._empty else b""
        start, end = b"" if self._open else b"[", b"]" if frame.final else b""
        self._open, self._empty = not frame.final, self._empty and not data
        return _message("application/json", start + comma + data + end)

    def end(self) -> bytes | None:
        return _message("application/json", b"]") if self._open else None


def _message(content_type: str, data: bytes) -> bytes:
    body = httpbody_pb2.HttpBody(content_type=content_type, data=data)
    message: bytes = body.SerializeToString()
    return message


def _answers(frame: pb.Frame) -> list[rows.Row]:
    """A JSON-ready object for each row, errors in their places."""
    count = frame.table.rows
    columns = {column.name: table.values(column, count) for column in frame.table.columns}
    answers = rows.zipped(columns, count)
    if not frame.errors:
        return answers
    return rows.merge(answers, {error.row: _error(error.status) for error in frame.errors})


def _error(status: status_pb2.Status) -> rows.Row:
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        detail.Unpack(info)
    name = errors.code_name(status.code)
    return rows.error(status.code, name, info.reason, status.message, info.metadata)
