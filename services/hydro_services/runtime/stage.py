"""What one model does to a frame: read the inputs, leave out what fails, add the outputs.

Pure functions over the frame's message. Columns that the model does not read stay as the bytes
they came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import grpc
import numpy as np
from google.rpc import status_pb2

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import Column, Columns, DataType, Dense, Ragged
from hydro_runtimes.evaluator import Evaluation, Failure, Field, Signature
from hydro_services import errors
from hydro_services.codecs import cells, table

MAX_ROWS = 1_000_000
"""In a frame; a table without bytes could otherwise claim any number."""


@dataclass(slots=True)
class Work:
    """A frame under way in this stage."""

    frame: pb.Frame
    inputs: Columns
    """What the model reads, of the rows that have not failed."""
    came_failed: int = 0
    """What had failed before this stage, counted as in `failed`."""

    @property
    def failed(self) -> int:
        """Rows that failed, and the frame if it did."""
        return failed(self.frame)


def failed(frame: pb.Frame) -> int:
    """Rows of a frame that failed, and the frame if it did."""
    return len(frame.errors) + frame.HasField("failure")


_NONE: Mapping[str, Column] = {}
_WIDER = {
    DataType.INT64: (DataType.INT32,),
    DataType.FLOAT64: (DataType.FLOAT32, DataType.INT32, DataType.INT64),
    DataType.FLOAT32: (DataType.INT32,),
}
_CODES = {
    "MODEL_FAILED": grpc.StatusCode.INTERNAL,
    "ROW_DROPPED": grpc.StatusCode.FAILED_PRECONDITION,
}


def inputs(
    frame: pb.Frame, signature: Signature, stage: str, read: Mapping[str, Column] = _NONE
) -> Columns:
    """The columns that a model reads, in its own types; rows that have none such fail.

    Args:
        frame: changed where rows fail.
        signature: of the model.
        stage: named in the errors.
        read: all columns of the frame, where they have been decoded already.

    Raises:
        errors.InvalidArgument: a column's bytes do not hold what they say.
    """
    sent = {} if read else {column.name: column for column in frame.table.columns}
    rows = frame.table.rows
    found: dict[str, Column] = {}
    failures: dict[int, Failure] = {}
    for field in signature.inputs:
        column: Column | Failure
        if field.name in read:
            column = read[field.name]
        elif field.name in sent:
            column = table.decode(sent[field.name], rows)
        elif field.optional:
            continue
        else:
            column = _missing(field, read or sent)
        if isinstance(column, Ragged):
            column, uneven = _even(column, field)
            failures |= uneven
        if not isinstance(column, Failure):
            column = _fitted(column, field)
        if isinstance(column, Failure):
            failures |= dict.fromkeys(range(rows), column)
        else:
            found[field.name] = column
            if column.validity is not None and not field.nullable:
                failures |= dict.fromkeys(_nulls(column), _null(field))
    columns = Columns(found, rows)
    if not failures:
        return columns
    drop(frame, failures, stage)
    return columns.take(_kept(rows, failures))


def _even(column: Ragged, field: Field) -> tuple[Column, dict[int, Failure]]:
    """Lists as vectors, where vectors of one size are wanted; lists of another size fail."""
    elements = column.elements
    size = field.shape[0] if len(field.shape) == 1 else -1
    if size < 0 or not isinstance(elements, Dense) or elements.validity is not None:
        return column, {}
    lengths = np.diff(column.offsets)
    fits = lengths == size
    values = np.zeros((column.rows, size), elements.values.dtype)
    values[fits] = elements.values[np.repeat(fits, lengths)].reshape(-1, size)
    uneven = ~fits if column.validity is None else ~fits & column.validity
    want = f"want {cells.wanted(field)}"
    messages = {
        row: f"column '{field.name}': got {lengths[row]} elements, {want}"
        for row in np.flatnonzero(uneven).tolist()
    }
    failures = {row: Failure("WRONG_SHAPE", m, field.name) for row, m in messages.items()}
    return Dense(values, column.validity), failures


def _fitted(column: Column, field: Field) -> Column | Failure:
    if column.type is not field.type:
        if not isinstance(column, Dense) or column.type not in _WIDER.get(field.type, ()):
            return _unfit("WRONG_TYPE", column, field)
        column = Dense(column.values.astype(field.type.dtype), column.validity)
    return column if field.fits(column.shape) else _unfit("WRONG_SHAPE", column, field)


def _unfit(reason: str, column: Column, field: Field) -> Failure:
    got = f"{column.type.value}{list(column.shape) if column.shape else ''}"
    message = f"column '{field.name}': got {got}, want {cells.wanted(field)}"
    return Failure(reason, message, field.name)


def _missing(field: Field, sent: Iterable[str]) -> Failure:
    got = ", ".join(f"'{name}'" for name in sent) or "none"
    message = f"column '{field.name}' is missing, want {cells.wanted(field)}; got {got[:400]}"
    return Failure("MISSING_COLUMN", message, field.name)


def _null(field: Field) -> Failure:
    message = f"column '{field.name}': got null, want {cells.wanted(field)}"
    return Failure("NULL_VALUE", message, field.name)


def _nulls(column: Column) -> list[int]:
    missing: list[int] = np.flatnonzero(~np.asarray(column.validity)).tolist()
    return missing


def outputs(frame: pb.Frame, evaluation: Evaluation, stage: str) -> None:
    """Adds what the model answered to the frame."""
    if evaluation.failures:
        drop(frame, evaluation.failures, stage)
    columns = frame.table.columns
    if not evaluation.outputs.keys().isdisjoint(column.name for column in columns):
        kept = [column for column in columns if column.name not in evaluation.outputs]
        del columns[:]
        columns.extend(kept)
    for name, column in evaluation.outputs.items():
        table.encode(name, column, columns.add())


def drop(frame: pb.Frame, failures: Mapping[int, Failure], stage: str) -> None:
    """Takes rows out of the table and puts an error in their place.

    Args:
        frame: changed.
        failures: by index in the table as it stands.
        stage: named in the errors.
    """
    rows = frame.table.rows
    failed = {error.row for error in frame.errors}
    places = [place for place in range(rows + len(failed)) if place not in failed]
    added = row_errors({places[row]: failure for row, failure in failures.items()}, stage)
    ordered = sorted([*frame.errors, *added], key=lambda error: error.row)
    del frame.errors[:]
    frame.errors.extend(ordered)
    kept = _kept(rows, failures)
    columns = [(c.name, table.decode(c, rows).take(kept)) for c in frame.table.columns]
    frame.table.Clear()
    frame.table.rows = int(kept.sum())
    for name, column in columns:
        table.encode(name, column, frame.table.columns.add())


def _kept(rows: int, failures: Iterable[int]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    mask = np.ones(rows, np.bool_)
    mask[list(failures)] = False
    return mask


def row_errors(failures: Mapping[int, Failure], stage: str) -> list[pb.RowError]:
    """Failures in the places of their rows, in order; most often many rows fail alike."""
    made: dict[Failure, status_pb2.Status] = {}
    for failure in failures.values():
        if failure not in made:
            made[failure] = status(failure, stage)
    return [pb.RowError(row=row, status=made[failures[row]]) for row in sorted(failures)]


def size(frame: pb.Frame) -> int:
    """About how many bytes a frame's columns have."""
    return sum(len(column.data) for column in frame.table.columns)


def status(failure: Failure, stage: str) -> status_pb2.Status:
    """A row's failure as google.rpc.Status; its metadata names stage, part of the model, column."""
    facts = {"stage": stage, "part": failure.stage, "column": failure.column}
    metadata = {key: value for key, value in facts.items() if value}
    code = _CODES.get(failure.reason, grpc.StatusCode.INVALID_ARGUMENT)
    # A model may tell of text that is not Unicode.
    message = failure.message.encode(errors="replace").decode()
    return errors.status(code, message, failure.reason, metadata)


def check_pipeline(named: str, running: str) -> None:
    """A message may name the pipeline that runs, or none; no names where what runs is not told.

    Raises:
        errors.InvalidArgument: it names another.
    """
    if named and running and named != running:
        got = f"got a message for pipeline '{named[:64]}' in a call of pipeline '{running}'"
        raise errors.InvalidArgument(f"{got}, want the same or none; open another call for it")


def received(frame: pb.Frame) -> Mapping[str, Column]:
    """Checks a frame that comes from a client, and makes it as it is inside a chain.

    Returns:
        Its columns.

    Raises:
        errors.InvalidArgument: it does not hold what it says; the message names the column.
        errors.TooLarge: it has too many rows.
    """
    rows = frame.table.rows
    names = [column.name for column in frame.table.columns]
    if rows > MAX_ROWS:
        got = f"got a frame of {rows} rows, want at most {MAX_ROWS}"
        raise errors.TooLarge(f"{got}; send fewer rows a message")
    if len(set(names)) < len(names):
        raise errors.InvalidArgument(f"columns {names} are not distinct, want each name once")
    wants_typed = False
    columns: dict[str, Column] = {}
    for name, column in zip(names, frame.table.columns, strict=True):
        columns[name] = decoded = table.decode(column, rows)
        if column.HasField("values"):
            wants_typed = True
            table.raw(column, decoded)
        else:
            table.check_text(decoded, name)
    if frame.encoding == pb.ENCODING_UNSPECIFIED:
        frame.encoding = pb.ENCODING_TYPED if wants_typed else pb.ENCODING_RAW
    del frame.errors[:]
    frame.ClearField("failure")
    return columns
