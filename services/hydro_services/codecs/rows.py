"""JSON rows to columns and back.

A row that lacks a column that a model needs, or has one of a wrong type, fails by itself.
Columns that no model declares come along.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from hydro_runtimes.columns import Column, Columns
from hydro_runtimes.evaluator import Failure, Field
from hydro_services.codecs import cells
from hydro_services.errors import InvalidArgument

Row = dict[str, Any]


def parse_array(body: bytes) -> list[Row]:
    """The rows of a JSON array.

    Raises:
        InvalidArgument: not JSON, not an array, or an element that is not an object.
    """
    rows = parse(body)
    if not isinstance(rows, list):
        raise InvalidArgument(f"the body is {_kind(rows)}, want a JSON array of row objects")
    if not set(map(type, rows)) <= {dict}:
        at = next(i for i, row in enumerate(rows) if type(row) is not dict)
        raise InvalidArgument(f"element {at} is {_kind(rows[at])}, want a row object", row=str(at))
    return rows


def parse_line(line: bytes) -> Row | Failure:
    """The row of a line of NDJSON, or why there is none."""
    try:
        row = parse(line)
    except InvalidArgument as error:
        return Failure("INVALID_ARGUMENT", error.message)
    if not isinstance(row, dict):
        return Failure("INVALID_ARGUMENT", f"the line is {_kind(row)}, want a row object")
    return row


def parse(body: bytes) -> Any:
    """The JSON value.

    Raises:
        InvalidArgument: not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        want = "want a JSON array of row objects, or one object a line (application/x-ndjson)"
        raise InvalidArgument(f"malformed JSON: {error}; {want}") from None


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
