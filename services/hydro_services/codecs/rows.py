"""JSON rows to columns and back.

A row that lacks a column that a model needs, or has one of a wrong type, fails by itself.
Columns that no model declares come along.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from hydro_runtimes.columns import Column, Columns
from hydro_runtimes.evaluator import Failure, Field
from hydro_services.codecs import cells, json_array
from hydro_services.errors import InvalidArgument

Row = dict[str, Any]


def parse_array(body: bytes) -> list[Row | Failure]:
    """The rows of a JSON array; a failure in the place of one that cannot be taken.

    Raises:
        InvalidArgument: not JSON, not an array, or an element that is not an object.
    """
    return [row for some in read_array(body) for row in some or ()]


def read_array(body: bytes) -> Iterator[list[Row | Failure] | None]:
    """The rows of `parse_array`, some at a time, each time in some milliseconds.

    Nothing is given before all has been found to be JSON: None stands for a step on the way there.

    Raises:
        InvalidArgument: not JSON, not an array, or an element that is not an object.
    """
    if len(body) <= json_array.SPAN_BYTES:
        yield _rows(_parse_small(body), 0)
        return
    spans: list[tuple[int, int]] = []
    count = 0
    for start, end in json_array.spans(body):
        count += len(_rows(json_array.parse_span(body[start:end]), count))
        spans.append((start, end))
        yield None
    for start, end in spans:
        yield json_array.parse_span(body[start:end])


def _parse_small(body: bytes) -> list[Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _parse_odd(body, error)
    if not isinstance(found, list):
        raise InvalidArgument(f"the body is {_kind(found)}, want a JSON array of row objects")
    return found


def _parse_odd(body: bytes, error: orjson.JSONDecodeError) -> list[Any]:
    """The elements of an array, where one of them is JSON that cannot be taken."""
    try:
        spans = list(json_array.spans(body))
        return [row for start, end in spans for row in json_array.parse_span(body[start:end])]
    except InvalidArgument:
        raise json_array.malformed(error) from None


def _rows(found: list[Any], before: int) -> list[Row | Failure]:
    """What is read, all of it row objects; the first is element `before` of the array."""
    if not set(map(type, found)) <= {dict, Failure}:
        at = next(i for i, row in enumerate(found) if type(row) not in (dict, Failure))
        got = f"element {before + at} is {_kind(found[at])}"
        raise InvalidArgument(f"{got}, want a row object", row=str(before + at))
    return found


def parse_line(line: bytes) -> Row | Failure:
    """The row of a line of NDJSON, or why there is none."""
    try:
        row = json_array.parse_element(line)
    except InvalidArgument as error:
        return Failure("INVALID_ARGUMENT", error.message)
    if not isinstance(row, dict | Failure):
        return Failure("INVALID_ARGUMENT", f"the line is {_kind(row)}, want a row object")
    return row


def decode(rows: Sequence[Row], inputs: Sequence[Field]) -> tuple[Columns, Mapping[int, Failure]]:
    """Columns of the rows that are well, and the failures of the others by their index.

    Declared columns come first, in their order and type; then the rest, by the type of their
    values. A declared column that is optional and in no row is left out.
    """
    try:
        return _quick(rows, inputs), {}
    except (ValueError, KeyError, TypeError, OverflowError):
        failures = {i: f for i, row in enumerate(rows) if (f := _fault(row, inputs))}
    good = [row for i, row in enumerate(rows) if i not in failures]
    present = {f.name for f in inputs if any(f.name in row for row in good)}
    fields = [f for f in inputs if not f.optional or f.name in present]
    columns = {f.name: cells.column([row.get(f.name) for row in good], f) for f in fields}
    return Columns({**columns, **_rest(good, columns)}, len(good)), failures


def _quick(rows: Sequence[Row], inputs: Sequence[Field]) -> Columns:
    """All rows at once; raises where any row is not plainly right."""
    columns: dict[str, Column] = {}
    for field in inputs:
        if field.optional and rows and not any(field.name in row for row in rows):
            continue
        values = [row[field.name] for row in rows]
        if None in values and not field.nullable:
            raise ValueError("null")
        columns[field.name] = found = cells.column(values, field)
        if rows and not field.fits(found.shape):
            raise ValueError("shape")
    return Columns({**columns, **_rest(rows, columns)}, len(rows))


def _rest(rows: Sequence[Row], declared: Mapping[str, object]) -> dict[str, Column]:
    first = rows[0].keys() if rows else ()
    same = all(row.keys() == first for row in rows)
    names: Iterable[str] = first if same else dict.fromkeys(name for row in rows for name in row)
    return {
        name: cells.inferred([row.get(name) for row in rows])
        for name in names
        if name not in declared
    }


def _fault(row: Row, inputs: Sequence[Field]) -> Failure | None:
    for field in inputs:
        if field.name not in row:
            if field.optional:
                continue
            got = ", ".join(f"'{name}'" for name in row) or "none"
            message = f"column '{field.name}' is missing, want {cells.wanted(field)}; got {got}"
            return Failure("MISSING_COLUMN", _cut(message), field.name)
        if found := cells.fault(row[field.name], field):
            return replace(found, column=field.name)
    return None


def _cut(message: str) -> str:
    return message if len(message) <= 500 else message[:497] + "..."


def encode(columns: Columns) -> list[Row]:
    """JSON-ready rows, one object each, in order."""
    return zipped({name: cells.values(c) for name, c in columns.items()}, columns.rows)


def zipped(columns: Mapping[str, Sequence[Any]], rows: int) -> list[Row]:
    """Rows from the JSON-ready values of columns."""
    if not columns:
        return [{} for _ in range(rows)]
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def merge(rows: Sequence[Any], failed: Mapping[int, Any]) -> list[Any]:
    """Answers and errors, each in its place."""
    if not failed:
        return list(rows)
    remaining = iter(rows)
    return [failed[i] if i in failed else next(remaining) for i in range(len(rows) + len(failed))]


def error(
    code: int, status: str, reason: str, message: str, metadata: Mapping[str, str | None]
) -> Row:
    """The object that stands in the place of a row that failed."""
    facts = {key: metadata[key] for key in sorted(metadata) if metadata[key] is not None}
    return {
        "error": {"code": code, "status": status, "reason": reason, "message": message, **facts}
    }


def dumps(rows: Sequence[Any]) -> bytes:
    """The rows as a JSON array; doubles at full precision."""
    return orjson.dumps(rows)


def lines(rows: Sequence[Any]) -> bytes:
    """The rows as NDJSON."""
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")
