"""JSON rows to columns and back.

A row that lacks a column that a model needs, has one of a wrong type, or has one that the model
makes, fails by itself. Columns that no model declares come along.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from hydro_runtimes.columns import Array, Column, Columns
from hydro_runtimes.evaluator import Evaluation, Failure, Field, Signature
from hydro_services.codecs import json_columns, json_merging, json_spans, json_values, naming
from hydro_services.errors import InvalidArgument

Row = dict[str, Any]


def parse_array(body: bytes) -> list[Row | Failure]:
    """The rows of a JSON array; a failure in the place of one that cannot be taken.

    Raises:
        InvalidArgument: not JSON, not an array, or an element that is not an object.
    """
    return [row for some in read_array(body) if some for row in some[0]]


SomeRows = tuple[list[Row | Failure], int]
"""Rows, and the bytes of their text."""


def read_array(body: bytes | bytearray) -> Iterator[SomeRows | None]:
    """The rows of `parse_array`, some at a time, each time in some milliseconds.

    The first rows come when the whole body has been found to be JSON; None: a step without rows.

    Raises:
        InvalidArgument: not JSON, not an array, or an element that is not an object.
    """
    if len(body) <= json_spans.SPAN_BYTES:
        yield _check_rows(_parse_small(body), 0), len(body)
        return
    text = memoryview(body)
    spans: list[tuple[int, int]] = []
    count = 0
    # Twice over a large body: first all of it is checked, so that nobody is answered half of an
    # array that turns out not to be JSON, then the rows are made, a span at a time.
    for start, end in json_spans.split_spans(text):
        count += len(_check_rows(json_spans.parse_span(text[start:end]), count))
        spans.append((start, end))
        yield None
    yield from _join_spans(text, spans)


def _join_spans(text: memoryview, spans: Iterable[tuple[int, int]]) -> Iterator[SomeRows | None]:
    """The rows of spans, of some together where a span has few; None: a step without rows."""
    rows: list[Row | Failure] = []
    size = 0
    for start, end in spans:
        rows += json_spans.parse_span(text[start:end])
        size += end - start
        if len(rows) >= json_spans.FEW_ROWS or size >= json_spans.JOINED_BYTES:
            yield rows, size
            rows, size = [], 0
        else:
            yield None
    if rows:
        yield rows, size


def _parse_small(body: bytes | bytearray) -> list[Any]:
    try:
        rows = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _parse_odd(body, error)
    if not isinstance(rows, list):
        raise InvalidArgument(
            f"the body is {_describe_kind(rows)}, want a JSON array of row objects"
        )
    return rows


def _parse_odd(body: bytes | bytearray, error: orjson.JSONDecodeError) -> list[Any]:
    """The elements of an array, where one of them is JSON that cannot be taken."""
    try:
        text = memoryview(body)
        spans = list(json_spans.split_spans(text))
        return [row for start, end in spans for row in json_spans.parse_span(text[start:end])]
    except InvalidArgument:
        raise json_spans.malformed_json(error) from None


def _check_rows(found: list[Any], before: int) -> list[Row | Failure]:
    """Checks that all elements are row objects; the first is element `before` of the array."""
    if not set(map(type, found)) <= {dict, Failure}:
        at = next(i for i, row in enumerate(found) if type(row) not in (dict, Failure))
        got = f"element {before + at} is {_describe_kind(found[at])}"
        raise InvalidArgument(f"{got}, want a row object", row=str(before + at))
    return found


def parse_line(line: json_spans.Text) -> Row | Failure:
    """The row of a line of NDJSON, or why there is none."""
    try:
        row = json_spans.parse_element(line)
    except InvalidArgument as error:
        return Failure("INVALID_ARGUMENT", error.message)
    if not isinstance(row, dict | Failure):
        return Failure("INVALID_ARGUMENT", f"the line is {_describe_kind(row)}, want a row object")
    return row


def decode_rows(rows: Sequence[Row], signature: Signature) -> tuple[Columns, Mapping[int, Failure]]:
    """Columns of the rows that are well, and the failures of the others by their index.

    Declared columns come first, in their order and type; then the rest, by the type of their
    values. A column is of those rows alone that have its key.
    """
    named = naming.group_rows(rows, signature)
    if len(named) == 1:
        return _decode_alike(rows, named[0][1])
    parts: list[tuple[Array, Evaluation]] = []
    for at, own in named:
        columns, failures = _decode_alike([rows[i] for i in at.tolist()], own)
        parts.append((at, Evaluation(columns, failures, columns.present)))
    answer = json_merging.merge_answers_as_json(parts, len(rows))
    return Columns(
        answer.outputs, len(rows) - len(answer.failures), answer.present
    ), answer.failures


def _decode_alike(
    rows: Sequence[Row], signature: Signature
) -> tuple[Columns, Mapping[int, Failure]]:
    """As `decode_rows`, where all rows name the inputs alike."""
    try:
        return _decode_at_once(rows, signature), {}
    # Only now is each row looked at by itself: nearly all batches are right, and pay nothing for
    # this.
    except json_columns.ODD:
        failures = _Faults(signature).find_all(rows)
    good = [row for i, row in enumerate(rows) if i not in failures]
    return _decode_at_once(good, signature), failures


def _decode_at_once(rows: Sequence[Row], signature: Signature) -> Columns:
    """All rows at once; raises where any row is not plainly right."""
    columns: dict[str, Column] = {}
    present: dict[str, Array] = {}
    for field in signature.inputs:
        try:
            columns[field.name] = json_columns.parse_column(
                [row[field.name] for row in rows], field
            )
        # The common case first, without a test for each row: a missing key says that some row lacks
        # it.
        except KeyError:
            at = _rows_with_field(rows, field, signature)
            if at:
                columns[field.name] = json_columns.parse_column(
                    [rows[i][field.name] for i in at], field
                )
                present[field.name] = np.array(at)
    _add_undeclared(rows, signature.reads, columns, present)
    if not signature.adds.isdisjoint(columns):
        raise ValueError("a column that the model makes")
    return Columns(columns, len(rows), present)


def _rows_with_field(rows: Sequence[Row], field: Field, signature: Signature) -> list[int]:
    """The rows that have a field which others lack.

    Raises:
        KeyError: a row may not lack it.
    """
    at = [i for i, row in enumerate(rows) if field.name in row]
    is_null = signature.absent_is_null and not any(map(signature.reads.isdisjoint, rows))
    if len(at) == len(rows) or not (field.optional or is_null):
        raise KeyError(field.name)
    return at


def _add_undeclared(
    rows: Sequence[Row],
    declared: Container[str],
    columns: dict[str, Column],
    present: dict[str, Array],
) -> None:
    """Adds the columns that no field declares."""
    if have_same_columns(rows):
        for name in rows[0] if rows else ():
            if name not in declared:
                columns[name] = json_columns.infer_column([row[name] for row in rows])
        return
    rest: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        for name in row:
            if name not in declared:
                rest.setdefault(name, []).append(i)
    for name, at in rest.items():
        columns[name] = json_columns.infer_column([rows[i][name] for i in at])
        if len(at) < len(rows):
            present[name] = np.array(at)


def have_same_columns(rows: Sequence[Any]) -> bool:
    """All rows have the same columns; most often they have them in one order."""
    # Tuples of keys compare in C; the sets of the slow way are built only where orders differ.
    if len(set(map(tuple, rows))) <= 1:
        return True
    first = rows[0].keys()
    return all(row.keys() == first for row in rows)


class _Faults:
    """Why rows cannot be taken. What follows from names alone is found once for all such rows."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._by_names: dict[tuple[str, ...], tuple[Sequence[Field], Failure | None]] = {}

    def find_all(self, rows: Sequence[Row]) -> dict[int, Failure]:
        """The first fault of each row that has one, by index."""
        if rows and have_same_columns(rows):
            fields, failure = self._look_at_names(rows[0])
            if failure and not fields:
                return dict.fromkeys(range(len(rows)), failure)
        return {i: f for i, row in enumerate(rows) if (f := self._find(row))}

    def _find(self, row: Row) -> Failure | None:
        names = tuple(row)
        if names not in self._by_names:
            self._by_names[names] = self._look_at_names(row)
        fields, failure = self._by_names[names]
        for field in fields:
            if found := json_columns.find_fault(row[field.name], field):
                return found
        if failure:
            return failure
        rest = (name for name in row if name not in self._signature.reads)
        return next(
            (f for name in rest if (f := json_columns.find_undeclared_fault(name, row[name]))), None
        )

    def _look_at_names(self, row: Row) -> tuple[Sequence[Field], Failure | None]:
        """The fields whose values are to be looked at, and what is at fault where these are not."""
        signature, there = self._signature, []
        if not signature.adds.isdisjoint(row):
            made = (f.name for f in signature.outputs if f.name in row and not f.replaces)
            return (), column_exists(next(made))
        has_others = signature.absent_is_null and not signature.reads.isdisjoint(row)
        for field in signature.inputs:
            if field.name in row:
                there.append(field)
            elif not (field.optional or has_others):
                return there, missing_column(field, row)
        return there, None


def column_exists(name: str) -> Failure:
    """The failure of a row that has a column of the name of one that a model makes."""
    message = (
        f"column '{name}': got one, and the model makes one of this name; rename yours, or declare "
        'in the model\'s metadata.json that its output replaces it ("replaces": true)'
    )
    return Failure("COLUMN_EXISTS", message, name)


def missing_column(field: Field, row: Iterable[str]) -> Failure:
    """The failure of a row that lacks a column; `row` are the names of those that it has."""
    got = _shorten(", ".join(f"'{name}'" for name in sorted(row)) or "none", 400)
    message = (
        f"column '{field.name}' is missing, want {json_columns.describe_field(field)}; got {got}"
    )
    return Failure("MISSING_COLUMN", message, field.name)


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def encode_rows(columns: Columns) -> list[Row]:
    """JSON-ready rows, one object each, in order."""
    listed = {name: json_values.list_values(column) for name, column in columns.items()}
    return zip_columns(listed, columns.rows, columns.present)


def zip_columns(
    columns: Mapping[str, Sequence[Any]], rows: int, present: Mapping[str, Array]
) -> list[Row]:
    """Rows from the JSON-ready values of columns; `present` as in `Columns`."""
    if not columns or present:
        answers: list[Row] = [{} for _ in range(rows)]
        for name, values in columns.items():
            places = present[name].tolist() if name in present else range(rows)
            for place, value in zip(places, values, strict=True):
                answers[place][name] = value
        return answers
    # By zip, row by row in C: this is what an answer of JSON mostly costs.
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def merge_failed(rows: Sequence[Any], failed: Mapping[int, Any]) -> list[Any]:
    """Answers and errors, each in its place."""
    if not failed:
        return list(rows)
    remaining = iter(rows)
    return [failed[i] if i in failed else next(remaining) for i in range(len(rows) + len(failed))]


def write_array(rows: Sequence[Any]) -> bytes:
    """The rows as a JSON array; doubles at full precision."""
    return orjson.dumps(rows)


def write_lines(rows: Sequence[Any]) -> bytes:
    """The rows as NDJSON."""
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _describe_kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")
