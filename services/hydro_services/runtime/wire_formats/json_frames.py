"""Rows of JSON as frames, and frames as answers in JSON, for the formats that are JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.evaluator import Failure
from hydro_services import errors
from hydro_services.codecs import json_rows, naming, proto_columns, proto_encoding, row_groups
from hydro_services.runtime import row_errors
from hydro_services.runtime.stage import FrameInStage
from hydro_services.runtime.wire_formats.http_body import PIECE_BYTES
from hydro_services.runtime.wire_formats.wire_format import ReadingStage


def read_rows(
    rows: Sequence[json_rows.Row | Failure],
    encoding: pb.Encoding,
    reader: ReadingStage,
    most: int = row_groups.MAX_ROWS,
) -> Iterator[FrameInStage]:
    """The frames of rows, `most` in each; a failure stands in the place of an unreadable row."""
    for group in row_groups.split_rows(rows, most):
        yield read_group(group, encoding, reader)


def read_group(
    rows: Sequence[json_rows.Row | Failure], encoding: pb.Encoding, reader: ReadingStage
) -> FrameInStage:
    """The frame of some rows."""
    unread = _find_unread(rows)
    good = [row for row in rows if not isinstance(row, Failure)]
    columns, failed = json_rows.decode_rows(good, reader.signature)
    failures = _failure_places(unread, failed, len(rows))
    frame = pb.Frame(encoding=encoding)
    if failures:
        frame.errors.extend(row_errors.make_errors(failures, reader.stage, encoding))
    frame.table.rows = columns.rows
    proto_encoding.add_columns(columns, columns.present, frame.table)
    return FrameInStage(frame, naming.select_inputs(columns, reader.signature))


def _find_unread(rows: Sequence[json_rows.Row | Failure]) -> Mapping[int, Failure]:
    if Failure not in set(map(type, rows)):
        return {}
    return {i: row for i, row in enumerate(rows) if isinstance(row, Failure)}


def _failure_places(
    unread: Mapping[int, Failure], failed: Mapping[int, Failure], count: int
) -> Mapping[int, Failure]:
    """Failures by place among all rows, where `failed` counts only those that could be read."""
    if not unread:
        return failed
    read = [place for place in range(count) if place not in unread]
    return {**unread, **{read[row]: failure for row, failure in failed.items()}}


def answer_parts(frame: pb.Frame) -> Iterator[list[json_rows.Row]]:
    """JSON-ready objects for the rows, errors in their places, in parts of about `PIECE_BYTES`.

    A part has one row at least. To make and to write its objects holds the interpreter, and they
    take many times the room of the frame's bytes.
    """
    size, errors = frame.ByteSize(), _error_rows(frame.errors)
    if size <= PIECE_BYTES:
        yield json_rows.merge_failed(_answered_rows(frame.table), errors)
        return
    columns, taken = proto_columns.decode_table(frame.table), 0
    count = columns.rows + len(errors)
    step = max(1, count * PIECE_BYTES // size)
    for first in range(0, count, step):
        places = range(first, min(first + step, count))
        failed = {place - first: errors[place] for place in places if place in errors}
        well = len(places) - len(failed)
        rows = json_rows.encode_rows(columns.take(slice(taken, taken + well)))
        taken += well
        yield json_rows.merge_failed(rows, failed)


def _answered_rows(table: pb.Table) -> list[json_rows.Row]:
    """All at once."""
    columns = {
        column.name: proto_columns.decode_values(column, table.rows) for column in table.columns
    }
    places = {
        c.name: at
        for c in table.columns
        if c.present and (at := proto_columns.decode_present(c, table.rows)) is not None
    }
    return json_rows.zip_columns(columns, table.rows, places)


def _error_rows(failed: Sequence[pb.RowError]) -> dict[int, Any]:
    """The objects in the places of rows that failed; most often many fail but for the message."""
    facts_by_kind: dict[tuple[int | bytes, ...], dict[str, Any]] = {}
    rows: dict[int, Any] = {}
    for error in failed:
        status = error.status
        kind = (status.code, *[detail.value for detail in status.details])
        if kind not in facts_by_kind:
            facts_by_kind[kind] = errors.row_json(status)["error"]
        row: Any = {"error": {**facts_by_kind[kind], "message": status.message}}
        if error.rows:
            row = orjson.Fragment(orjson.dumps(row))
        rows.update(dict.fromkeys(range(error.row, error.row + (error.rows or 1)), row))
    return rows
