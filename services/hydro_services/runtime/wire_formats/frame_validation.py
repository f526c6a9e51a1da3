"""Validates frames as clients send them, and makes them as they are inside a chain. Pure."""

from __future__ import annotations

import itertools
import operator
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import Column, Columns, DataType, Dense, Ragged, Strings
from hydro_runtimes.evaluator import Failure, Field
from hydro_services import errors
from hydro_services.codecs import fitting, json_columns, json_spans, proto_columns, typed_values
from hydro_services.codecs.frame_limits import WAY_OUT
from hydro_services.codecs.row_groups import MAX_COLUMNS
from hydro_services.runtime import stage

MAX_ROWS = 1_000_000
"""In a frame."""
_KEPT_BYTES = 64 << 10
"""Text that is kept as Python's strings once it has been checked; they take several times more."""
_LENGTH = struct.Struct("<I")
_SMALL_ROWS = 4096
_SIMPLE = [pb.Column.DESCRIPTOR.fields_by_name[part].number for part in ("name", "type", "values")]
_FITTING = (DataType.BOOL, DataType.INT64, DataType.FLOAT64, DataType.STRING)
"""Types that have every element of their list of `Values`."""
_LISTS = {proto_columns.TYPES[kind]: typed_values.LISTS[kind] for kind in _FITTING}
_DTYPES = {proto_columns.TYPES[kind]: kind.dtype for kind in _FITTING}


_OF_CLIENTS = (pb.ENCODING_RAW, pb.ENCODING_TYPED)
"""Encodings that an answer in frames may have."""


def validate_frame(frame: pb.Frame, name: str) -> Columns | None:
    """Checks a frame, and makes it as it is inside a chain; rows with misfits fail.

    Args:
        frame: changed.
        name: of the stage, for errors.

    Returns:
        Its columns; None where rows have failed.

    Raises:
        errors.InvalidArgument: it does not hold what it says; the message names the column.
        errors.TooLarge: it has too many rows.
    """
    del frame.errors[:]
    # Errors are for answers: a client that sends an answer back must not have its rows fail for
    # them.
    frame.ClearField("failure")
    if frame.encoding not in _OF_CLIENTS:
        frame.encoding = pb.ENCODING_UNSPECIFIED
    # First the form that clients send most; see there.
    columns = _simple_columns(frame.table)
    if columns is not None:
        for column in frame.table.columns:
            proto_columns.lists_to_bytes(column, columns[column.name])
        frame.encoding = frame.encoding or pb.ENCODING_TYPED
        return columns
    # Numbers before content: what follows may take memory in proportion to them.
    _check_table(frame.table)
    columns = _decode_checked(frame.table)
    is_typed = False
    failures: dict[int, Failure] = {}
    for column in frame.table.columns:
        if proto_columns.has_lists(column):
            is_typed = True
            decoded = columns[column.name]
            _add_failures(failures, _find_misfits(column, decoded), columns, column.name)
            proto_columns.lists_to_bytes(column, decoded)
        if column.type == pb.DATA_TYPE_JSON:
            _add_failures(
                failures,
                _find_unreadable_json(columns[column.name], column.name),
                columns,
                column.name,
            )
    if frame.encoding == pb.ENCODING_UNSPECIFIED:
        frame.encoding = pb.ENCODING_TYPED if is_typed else pb.ENCODING_RAW
    if not failures:
        return columns
    stage.drop_rows(frame, failures, name)
    return None


def _add_failures(
    failures: dict[int, Failure], found: Mapping[int, Failure], columns: Columns, name: str
) -> None:
    """Adds failures by row of a column to those by row of the table."""
    places = columns.present.get(name)
    for row, failure in found.items():
        failures.setdefault(row if places is None else int(places[row]), failure)


def _simple_columns(sent: pb.Table) -> Columns | None:
    """The columns of a small frame, where each is a list with a value of its type in every row.

    Nothing of them is left to be checked. None: some are not so simple, or are at fault. Most
    clients send such frames; to look at each column once takes half of the time.
    """
    rows, columns = sent.rows, sent.columns
    if not 0 < rows <= _SMALL_ROWS or not 0 < len(columns) <= MAX_COLUMNS:
        return None
    decoded: dict[str, Column] = {}
    for column in columns:
        parts = column.ListFields()
        # ListFields gives the fields that are set, in the order of their numbers.
        if [part.number for part, _ in parts] != _SIMPLE:
            return None
        (_, name), (_, kind), (_, values) = parts
        lists = values.ListFields()
        if kind not in _LISTS or len(lists) != 1:
            return None
        ((listed, elements),) = lists
        if listed.name != _LISTS[kind] or len(elements) != rows:
            return None
        is_text = kind == pb.DATA_TYPE_STRING
        decoded[name] = (
            Strings(list(elements)) if is_text else Dense(np.array(elements, _DTYPES[kind]))
        )
    return Columns(decoded, rows) if len(decoded) == len(columns) else None


def _check_table(sent: pb.Table) -> None:
    rows = sent.rows
    if rows > MAX_ROWS:
        got = f"got a frame of {rows} rows, want at most {MAX_ROWS}"
        raise errors.TooLarge(f"{got}; send fewer rows a message")
    if len(sent.columns) > MAX_COLUMNS:
        got = f"got a frame of {len(sent.columns)} columns, want at most {MAX_COLUMNS}"
        raise errors.InvalidArgument(f"{got}; {WAY_OUT}")
    names = [column.name for column in sent.columns]
    if len(set(names)) < len(names):
        got = f"columns {', '.join(names)}"[:400]
        raise errors.InvalidArgument(f"{got} are not distinct, want each name once")


def _carried_bytes(column: pb.Column) -> int:
    """Bytes of data, or as many values, of a column and of the lists within it."""
    lists = [len(listed) for _, listed in column.values.ListFields()]
    inner = _carried_bytes(column.elements) if column.HasField("elements") else 0
    return len(column.data) + len(column.offsets) + sum(lists) + inner


def _decode_checked(sent: pb.Table) -> Columns:
    """The columns, all of whose bytes are right."""
    _check_columns(sent.columns, _check_parts)
    columns = proto_columns.decode_table(sent)
    # A row has to bring a byte in some column: `rows` is a number, and 100,000 rows of nothing
    # would cost a client six bytes.
    if all(lack > 0 for lack in _rows_without_bytes(sent)):
        got = f"got a frame that claims {sent.rows} rows"
        raise errors.InvalidArgument(f"{got}, want bytes for each of them in a column")
    packed = (column for column in sent.columns if not proto_columns.has_lists(column))
    _check_columns(packed, lambda column: _check_text(columns[column.name]))
    return columns


def _rows_without_bytes(sent: pb.Table) -> Iterator[int]:
    """How many rows have no byte yet, after none of the columns, the first, the second ..."""
    carried = map(_carried_bytes, sent.columns)
    return itertools.accumulate(carried, operator.sub, initial=sent.rows)


def _check_columns(columns: Iterable[pb.Column], check: Callable[[pb.Column], None]) -> None:
    column = pb.Column()
    try:
        for column in columns:
            check(column)
    except ValueError as error:
        message = f"column '{column.name}': {error}"
        raise errors.InvalidArgument(message, column=column.name) from None


_PLAIN = frozenset({"name", "type", "shape", "data", "values", "present"})
"""The parts of most columns, none of which is at odds with another."""


def _check_parts(column: pb.Column) -> None:
    if column.type != pb.DATA_TYPE_BOOL and _PLAIN.issuperset(
        [part.name for part, _ in column.ListFields()]
    ):
        return
    parts = ("indices", "sizes", "element_validity")
    if not column.offsets and (stray := [part for part in parts if getattr(column, part)]):
        raise ValueError(f"got {' and '.join(stray)} without offsets")
    if column.HasField("elements"):
        own = ("data", "element_validity", "indices", "sizes")
        if column.HasField("values") or not column.offsets or any(getattr(column, p) for p in own):
            raise ValueError("got elements beside others, want them alone, with offsets")
        _check_parts(column.elements)
    booleans = {"validity": column.validity, "element_validity": column.element_validity}
    if column.type == pb.DATA_TYPE_BOOL:
        booleans["data"] = column.data
    for part, data in booleans.items():
        if data and np.frombuffer(data, np.uint8).max() > 1:
            raise ValueError(f"got bytes other than 0 and 1 in {part}")


def _check_text(column: Column) -> None:
    if isinstance(column, Ragged):
        _check_text(column.elements)
    elif isinstance(column, Strings):
        # Reading them is the check, and small ones are needed as texts right after it.
        if len(column.packed) <= _KEPT_BYTES:
            len(column.values)
        else:
            _check_packed(column.packed, column.rows)


def _check_packed(packed: bytes, rows: int) -> None:
    """As `columns.unpack_texts`, but keeps no text."""
    at, count = 0, 0
    for start, at in _texts(packed, rows):
        packed[start:at].decode()
        count += 1
    if at != len(packed) or count != rows:
        raise ValueError(f"packed texts: got {count} in {len(packed)} bytes, want {rows}")


def _texts(packed: bytes, rows: int) -> Iterator[tuple[int, int]]:
    """Where each text of packed ones begins and ends."""
    at, end, count = 0, len(packed), 0
    while at + 4 <= end and count < rows:
        (length,) = _LENGTH.unpack_from(packed, at)
        at += 4 + length
        count += 1
        yield at - length, at


def _find_unreadable_json(decoded: Column, name: str) -> dict[int, Failure]:
    """Failures of rows whose text is not JSON, or more than may be in a row; a null is neither."""
    flat = decoded
    while isinstance(flat, Ragged):
        flat = flat.elements
    assert isinstance(flat, Strings), "JSON is text"
    texts = memoryview(flat.packed)
    spans = enumerate(_texts(flat.packed, flat.rows))
    found = {i: said for i, (a, b) in spans if (said := _is_unreadable(texts[a:b]))}
    rows, elements = fitting.element_rows(decoded, np.fromiter(found, np.int64))
    failures: dict[int, Failure] = {}
    for row, element in zip(rows.tolist(), elements.tolist(), strict=True):
        reason, got = found[element]
        failures.setdefault(row, Failure(reason, f"column '{name}': {got}, want JSON", name))
    return failures


def _is_unreadable(text: json_spans.Text) -> tuple[str, str] | None:
    try:
        value = json_spans.parse_element(text)
    except errors.InvalidArgument:
        return "WRONG_TYPE", "got text that is not JSON"
    return (value.reason, value.message) if isinstance(value, Failure) else None


def _find_misfits(column: pb.Column, decoded: Column) -> dict[int, Failure]:
    """Failures of rows whose numbers do not fit the column's type; a null may be anything."""
    flat, inner = decoded, column
    while isinstance(flat, Ragged):
        flat = flat.elements
        inner = inner.elements if inner.HasField("elements") else inner
    if not isinstance(flat, Dense) or not flat.values.size:
        return {}
    found = typed_values.find_misfits(inner, flat.type, flat.values.size)
    listed = typed_values.typed_list(inner, flat.type, flat.values.size)
    wanted = json_columns.describe_field(Field(column.name, flat.type))
    failures: dict[int, Failure] = {}
    for row, element in zip(
        *(each.tolist() for each in fitting.element_rows(decoded, found)), strict=True
    ):
        if row not in failures:
            message = f"column '{column.name}': got {listed[element]}, want {wanted}"
            failures[row] = Failure("WRONG_TYPE", message, column.name)
    return failures
