"""Rows that failed, as messages in the places of the rows. Pure.

Most often many rows fail alike. In a frame that ends as JSON neighbours that do share a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import grpc
import numpy as np
from google.rpc import status_pb2

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import Array
from hydro_runtimes.evaluator import Failure
from hydro_services import errors

_CODES = {
    "MODEL_FAILED": grpc.StatusCode.INTERNAL,
    "ROW_DROPPED": grpc.StatusCode.FAILED_PRECONDITION,
}
SHARED = (pb.ENCODING_JSON_ARRAY, pb.ENCODING_NDJSON)
"""Encodings of frames that no client sees as they are."""


def count_rows(failed: Iterable[pb.RowError]) -> int:
    """How many rows have failed."""
    return sum([error.rows or 1 for error in failed])


def find_places(failed: Iterable[pb.RowError]) -> Array:
    """The places of the rows that have failed, among all rows; int64, ascending."""
    spans = [(error.row, error.row + (error.rows or 1)) for error in failed]
    return np.concatenate([np.empty(0, np.int64), *(np.arange(*span) for span in spans)])


def cut(failed: Iterable[pb.RowError], start: int, end: int) -> Iterator[pb.RowError]:
    """The errors of the rows from `start` to `end`, whose places count from there."""
    for error in failed:
        first, stop = max(error.row, start), min(error.row + (error.rows or 1), end)
        if first < stop:
            rows = stop - first if stop - first > 1 else 0
            yield pb.RowError(row=first - start, rows=rows, status=error.status)


def make_errors(
    failures: Mapping[int, Failure], stage: str, encoding: pb.Encoding
) -> list[pb.RowError]:
    """Failures in the places of their rows, in order.

    Args:
        failures: by place.
        stage: named in the errors.
        encoding: of the frame.
    """
    templates: dict[tuple[str | None, ...], pb.RowError] = {}
    made: list[pb.RowError] = []
    for row, failure, rows in _runs(failures, share=encoding in SHARED):
        kind = (failure.reason, failure.stage, failure.column)
        if kind not in templates:
            templates[kind] = pb.RowError(status=make_status(failure, stage))
        error = pb.RowError()
        error.CopyFrom(templates[kind])
        error.row, error.status.message = row, _valid_text(failure.message)
        if rows > 1:
            error.rows = rows
        made.append(error)
    return made


def _runs(failures: Mapping[int, Failure], *, share: bool) -> Iterator[tuple[int, Failure, int]]:
    """The first row of each run of neighbours that fail alike, why, and how many they are."""
    start, last, rows = 0, None, 0
    for row in sorted(failures):
        failure = failures[row]
        if last and share and row == start + rows and (failure is last or failure == last):
            rows += 1
            continue
        if last:
            yield start, last, rows
        start, last, rows = row, failure, 1
    if last:
        yield start, last, rows


def make_status(failure: Failure, stage: str) -> status_pb2.Status:
    """A row's failure as google.rpc.Status; its metadata names stage, part of the model, column."""
    facts = {"stage": stage, "part": failure.stage, "column": failure.column}
    metadata = {key: value for key, value in facts.items() if value}
    code = _CODES.get(failure.reason, grpc.StatusCode.INVALID_ARGUMENT)
    return errors.make_status(code, _valid_text(failure.message), failure.reason, metadata)


def _valid_text(text: str) -> str:
    """A model's own message may have text that is not Unicode."""
    return text.encode(errors="replace").decode()
