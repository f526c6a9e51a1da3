"""What one model does to a frame: read the inputs, leave out what fails, add the outputs.

Pure functions over the frame's message. Columns that the model does not read stay as the bytes
they came in.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import Array, Column, Columns
from hydro_runtimes.evaluator import Evaluation, Failure, Field, Signature
from hydro_services import errors
from hydro_services.codecs import fitting, json_merging, naming, proto_columns, proto_encoding
from hydro_services.codecs import json_rows as codec
from hydro_services.runtime import row_errors

_STEP = 4096
"""Errors that are copied in one step, which holds the interpreter."""
MAX_FAILED = 65_536
"""Rows of a frame that may fail each by itself; each takes some 200 bytes of the answer."""


@dataclass(slots=True)
class FrameInStage:
    """A frame under way in this stage."""

    frame: pb.Frame
    inputs: Columns
    """What the model reads, of the rows that have not failed."""
    came_failed: int = 0
    """What had failed before this stage, counted as in `count_failed`."""

    @property
    def failed_count(self) -> int:
        """Rows that failed, and the frame if it did."""
        return count_failed(self.frame)


def count_failed(frame: pb.Frame) -> int:
    """Rows of a frame that failed, and the frame if it did."""
    return row_errors.count_rows(frame.errors) + frame.HasField("failure")


def read_inputs(
    frame: pb.Frame, signature: Signature, stage: str, read: Columns | None = None
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
    columns = read
    if columns is None:
        columns = proto_columns.decode_table(frame.table, _relevant_names(frame.table, signature))
    # The path of nearly all rows; what follows costs a look at every column for each group of rows.
    exact = _exact_inputs(columns, signature)
    if exact is not None:
        return exact
    # The first failure of a row stands: a column too many, before inputs, in their order.
    failures = _fail_existing_outputs(columns, signature)
    parts = []
    for rows, own in naming.group_columns(columns, signature):
        some = columns if len(rows) == columns.rows else columns.take(rows)
        # Failures count rows of the part; errors count rows of the table.
        part, found = _fit_inputs(frame.table, some, rows, own)
        parts.append((rows, naming.rename_inputs(part, own, signature)))
        for row, failure in found.items():
            # The first failure stands: an answer does not depend on how rows were grouped.
            failures.setdefault(int(rows[row]), failure)
    taken = parts[0][1] if len(parts) == 1 else json_merging.merge_columns(parts, columns.rows)
    if failures:
        kept = _mask_kept(columns.rows, failures)
        drop_rows(frame, failures, stage)
        # The model is given only rows that it can answer; the others have their errors already.
        taken = taken.take(kept)
    return naming.make_regular(taken, signature)


def _exact_inputs(columns: Columns, signature: Signature) -> Columns | None:
    """The inputs, where all rows have them as the model names and types them, or lack them alike.

    Nearly all frames are so, and need nothing of what is done for others. None: this one is not.
    """
    if not signature.adds.isdisjoint(columns):
        return None
    inputs: dict[str, Column] = {}
    for field in signature.inputs:
        name = field.name
        if name not in columns:
            if not field.optional:
                return None
        elif name in columns.present or not fitting.is_exact(columns[name], field):
            return None
        else:
            inputs[name] = columns[name]
    if signature.ignores_case and len(inputs) < min(len(columns), len(signature.inputs)):
        return None  # One of the others may be the input that is not there by its own name.
    return Columns(inputs, columns.rows)


def _relevant_names(sent: pb.Table, signature: Signature) -> Container[str]:
    """The names of columns that bear upon what a model reads and writes."""
    names = signature.reads | signature.writes
    if not signature.ignores_case:
        return names
    lower = {name.lower() for name in signature.reads}
    return names | {column.name for column in sent.columns if column.name.lower() in lower}


def _fit_inputs(
    sent: pb.Table, columns: Columns, at: Array, signature: Signature
) -> tuple[Columns, dict[int, Failure]]:
    """What a model reads of some rows, in its own types, and the failures of those that have none.

    Args:
        sent: the whole table.
        columns: of the rows.
        at: where the rows are in the table.
        signature: in the names of the rows.
    """
    inputs: dict[str, Column] = {}
    failures: dict[int, Failure] = {}
    bare = _rows_without_inputs(columns, signature)
    for field in signature.inputs:
        if field.name in columns:
            inputs[field.name], faults = fitting.fit_column(columns[field.name], field)
            # A column that some rows lack counts only those that have it.
            places = columns.present.get(field.name)
            for row, failure in faults.items():
                failures.setdefault(row if places is None else int(places[row]), failure)
        if not field.optional and (field.name not in columns or field.name in columns.present):
            for row, failure in _fail_missing(sent, columns, at, field).items():
                if bare is None or row in bare:
                    failures.setdefault(row, failure)
    return Columns(inputs, columns.rows, columns.present), failures


def _fail_existing_outputs(columns: Columns, signature: Signature) -> dict[int, Failure]:
    """The rows that bring a column which the model makes."""
    failures: dict[int, Failure] = {}
    if signature.adds.isdisjoint(columns):
        return failures
    for field in signature.outputs:
        if field.name in columns and not field.replaces:
            rows = columns.present.get(field.name, range(columns.rows))
            failures = {
                **dict.fromkeys(map(int, rows), codec.column_exists(field.name)),
                **failures,
            }
    return failures


def _rows_without_inputs(columns: Columns, signature: Signature) -> set[int] | None:
    """The rows that have no input at all, where others may lack some; None where none may."""
    if not signature.absent_is_null:
        return None
    if not columns.present:
        return set(range(columns.rows)) if signature.reads.isdisjoint(columns) else set()
    lacking = np.ones(columns.rows, np.bool_)
    for name in signature.reads:
        if name in columns:
            lacking[columns.present.get(name, slice(None))] = False
    return set(np.flatnonzero(lacking).tolist())


def _fail_missing(
    sent: pb.Table, columns: Columns, at: Array, field: Field
) -> Mapping[int, Failure]:
    """The rows that lack a column, as in `_fit_inputs`.

    Raises:
        errors.InvalidArgument: a large frame lacks it.
    """
    # One error for the frame instead of thousands of the same: the answer would be larger than what
    # was sent.
    if field.name not in columns and sent.rows == columns.rows > fitting.MAX_ALIKE:
        lack = codec.missing_column(field, [column.name for column in sent.columns])
        raise fitting.fail_whole_frame(lack, f"all {columns.rows}")
    lacking = np.ones(columns.rows, np.bool_)
    lacking[columns.present.get(field.name, [])] = False
    rows = np.flatnonzero(lacking).tolist()
    whole = [column.name for column in sent.columns if not column.present]
    if len(whole) == len(sent.columns):
        return dict.fromkeys(rows, codec.missing_column(field, whole))
    places = {c.name: proto_columns.decode_present(c, sent.rows) for c in sent.columns}
    has = {name: None if of is None else set(of.tolist()) for name, of in places.items()}
    return {
        row: codec.missing_column(
            field, [name for name, of in has.items() if of is None or at[row] in of]
        )
        for row in rows
    }


def add_outputs(frame: pb.Frame, signature: Signature, evaluation: Evaluation, stage: str) -> None:
    """Adds what the model answered to the frame, in which nothing else has such a name."""
    if evaluation.failures:
        drop_rows(frame, evaluation.failures, stage)
    columns = frame.table.columns
    if replaced := set(signature.replaced([column.name for column in columns])):
        # A column that the model replaces leaves first: no frame has two columns of one name.
        kept = [column for column in columns if column.name not in replaced]
        del columns[:]
        columns.extend(kept)
    proto_encoding.add_columns(evaluation.outputs, evaluation.present, frame.table)


def drop_rows(frame: pb.Frame, failures: Mapping[int, Failure], stage: str) -> None:
    """Takes rows out of the table and puts an error in their place.

    Args:
        frame: changed.
        failures: by index in the table as it stands.
        stage: named in the errors.

    Raises:
        errors.InvalidArgument: so many rows fail that the frame does; it is as it was.
    """
    if len(failures) > MAX_FAILED:
        first = next(iter(failures.values()))
        got = f"{len(failures)} rows of a frame fail, want at most {MAX_FAILED}"
        raise errors.InvalidArgument(
            f"{got}; send fewer rows a message; the first: {first.message}"
        )
    rows = frame.table.rows
    # The table has no rows where others have failed before; errors count the rows of the client.
    failed = row_errors.find_places(frame.errors)
    places = np.setdiff1d(np.arange(rows + len(failed)), failed, assume_unique=True).tolist()
    by_place = {places[row]: failure for row, failure in failures.items()}
    added = row_errors.make_errors(by_place, stage, frame.encoding)
    ordered = sorted([*frame.errors, *added], key=lambda error: error.row)
    del frame.errors[:]
    # Not all at once: a copy in C holds the interpreter until it is made.
    for at in range(0, len(ordered), _STEP):
        frame.errors.extend(ordered[at : at + _STEP])
    kept = _mask_kept(rows, failures)
    columns = proto_columns.decode_table(frame.table).take(kept)
    frame.table.Clear()
    frame.table.rows = columns.rows
    proto_encoding.add_columns(columns, columns.present, frame.table)


def _mask_kept(rows: int, failures: Iterable[int]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    mask = np.ones(rows, np.bool_)
    mask[list(failures)] = False
    return mask


def check_pipeline(named: str, running: str) -> None:
    """Checks the pipeline that a message names, if it names one and the running one is known.

    Raises:
        errors.InvalidArgument: it names another.
    """
    if named and running and named != running:
        got = f"got a message for pipeline '{named[:64]}' in a call of pipeline '{running}'"
        raise errors.InvalidArgument(f"{got}, want the same or none; open another call for it")
