"""Columns that came in, as the fields of a model: rows whose value does not fit fail.

A column that no earlier stage declared has the type that its values happened to have. Here it is
read by its field, value by value, as the first stage would have read it: what a row becomes never
depends on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import orjson

from hydro_runtimes.columns import Array, Column, DataType, Dense, Ragged, Sparse, Strings
from hydro_runtimes.evaluator import Failure, Field
from hydro_services.codecs import cells
from hydro_services.errors import InvalidArgument

Numbers = TypeVar("Numbers", Dense, Ragged)

_WIDER = {
    DataType.INT64: (DataType.INT32,),
    DataType.FLOAT64: (DataType.FLOAT32, DataType.INT32, DataType.INT64),
    DataType.FLOAT32: (DataType.INT32,),
}
"""Types all of whose values have one of the key: an integer as a float is the nearest one, as it is
where a client writes it as JSON."""
MAX_ALIKE = 4096
"""Rows of a frame that may fail for one column that is at fault in all; of more, the frame does."""
_NONE: Mapping[int, Failure] = {}


def fitted(column: Column, field: Field) -> tuple[Column, Mapping[int, Failure]]:
    """The column in a field's type, and the failures of rows that do not fit, by index.

    What stands in the place of a row that fails means nothing.
    """
    is_plain = column.validity is None and not isinstance(column, Ragged | Sparse)
    if is_plain and column.type is field.type and field.fits(column.shape):
        return column, _NONE
    if len(column.shape) != len(field.shape):
        return _reread(column, field)
    if column.type is not field.type:
        if isinstance(column, Sparse | Strings) or column.type not in _WIDER.get(field.type, ()):
            return _reread(column, field)
        column = _widened(column, field.type)
    failures: dict[int, Failure] = {}
    for row, reason, got in _faults(column, field):
        failures.setdefault(row, cells.wrong(reason, got, field))
    return column, failures


def failed_all(failure: Failure, rows: int) -> InvalidArgument:
    """What a large frame is told of a column that is at fault in all its rows: one error."""
    column = {"column": failure.column} if failure.column else {}
    return InvalidArgument(f"{failure.message}, in all {rows} rows", **column)


def _widened(column: Dense | Ragged, kind: DataType) -> Dense | Ragged:
    if isinstance(column, Dense):
        return Dense(column.values.astype(kind.dtype), column.validity)
    elements = column.elements
    assert not isinstance(elements, Strings), "a text is not widened"
    return Ragged(column.offsets, _widened(elements, kind), column.validity)


def _reread(column: Column, field: Field) -> tuple[Column, Mapping[int, Failure]]:
    """By its values, as if they had come as JSON."""
    listed, unreadable = _json(column, field)
    if column.rows > MAX_ALIKE:
        return _all_reread(column, listed, field), unreadable
    found, failures = cells.read(listed, field)
    return found, {**failures, **unreadable}


def _all_reread(column: Column, listed: Sequence[Any], field: Field) -> Column:
    """Of a large frame: looking for each row at fault would take a second for 100,000 of them.

    Raises:
        InvalidArgument: a value does not fit.
    """
    try:
        return cells.column(listed, field)
    except cells.ODD:
        got = f"{column.type.value}{list(column.shape) or ''}"
        raise failed_all(cells.wrong("WRONG_TYPE", got, field), column.rows) from None


def _json(column: Column, field: Field) -> tuple[Sequence[Any], dict[int, Failure]]:
    valid = [True] * column.rows if column.validity is None else column.validity.tolist()
    if isinstance(column, Dense) and field.type is DataType.STRING:  # NaN is no text
        pairs = zip(column.values.tolist(), valid, strict=True)
        return [value if is_valid else None for value, is_valid in pairs], {}
    if column.type is not DataType.JSON or not isinstance(column, Strings):
        return cells.values(column), {}
    values: list[Any] = []
    failures: dict[int, Failure] = {}
    for row, text in enumerate(column.values):
        try:
            values.append(orjson.loads(text) if valid[row] else None)
        except orjson.JSONDecodeError:
            values.append(None)
            failures[row] = cells.wrong("WRONG_TYPE", "text that is not JSON", field)
    return values, failures


def _faults(column: Column, field: Field) -> Iterator[tuple[int, str, str]]:
    """Rows that do not fit, with the reason and what was got; the outer lists first."""
    rows = np.arange(column.rows)
    depth = 1
    while True:
        valid = column.validity
        if valid is not None:
            got = "null" if depth == 1 else "a list with null"
            yield from ((row, "NULL_VALUE", got) for row in _chosen(rows, ~valid, field.nullable))
            column, rows = column.take(valid), rows[valid]
        if depth > len(field.shape):
            return
        lengths = _lengths(column)
        want = field.shape[depth - 1]
        for at in np.flatnonzero((lengths != want) & (want >= 0)).tolist():
            yield int(rows[at]), "WRONG_SHAPE", cells.sized(int(lengths[at]), depth)
        if isinstance(column, Sparse):
            if column.element_validity is not None:
                of = np.repeat(rows, np.diff(column.offsets))
                null = _chosen(of, ~column.element_validity, field.nullable)
                yield from ((row, "NULL_VALUE", "a list with null") for row in null)
            return
        rows = np.repeat(rows, lengths)
        column = _inner(column)
        depth += 1


def _chosen(rows: Array, mask: Array, nullable: bool) -> list[int]:
    chosen: list[int] = [] if nullable else rows[mask].tolist()
    return chosen


def _lengths(column: Column) -> Array:
    """Of each row's list or vector: int64, (rows,)."""
    if isinstance(column, Ragged):
        return column.lengths
    if isinstance(column, Sparse) and column.sizes is not None:
        return column.sizes
    return np.full(column.rows, column.shape[0])


def _inner(column: Column) -> Column:
    if isinstance(column, Ragged):
        return column.elements
    assert isinstance(column, Dense), "texts and sparse vectors have no lists in them"
    return Dense(column.values.reshape(-1, *column.shape[1:]))
