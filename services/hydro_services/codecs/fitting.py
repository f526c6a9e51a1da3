"""Makes columns fit the fields of a model: rows whose value does not fit fail.

A column that no earlier stage declared has the type that its values happened to have. Here it is
read by its field, value by value, as the first stage would have read it: what a row becomes never
depends on the rows beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from hydro_runtimes.columns import Array, Column, DataType, Dense, Ragged, Sparse, Strings
from hydro_runtimes.evaluator import Failure, Field
from hydro_services.codecs import json_columns, json_values
from hydro_services.errors import InvalidArgument

_NUMBERS = (DataType.INT32, DataType.INT64, DataType.FLOAT32, DataType.FLOAT64)
MAX_ALIKE = 4096
"""Rows of a frame that may fail for one column; if more do, the frame fails."""
_NONE: Mapping[int, Failure] = {}


def fit_column(column: Column, field: Field) -> tuple[Column, Mapping[int, Failure]]:
    """The column in a field's type, and the failures of rows that do not fit, by index.

    The value in the place of a row that fails has no meaning.

    Raises:
        InvalidArgument: more than `MAX_ALIKE` rows have a value of a wrong type.
    """
    # No look at any value: type and shape say it.
    if is_exact(column, field):
        return column, _NONE
    if len(column.shape) != len(field.shape):
        return _reread_values(column, field)
    failures: dict[int, Failure] = {}
    if column.type is not field.type:
        is_number = column.type in _NUMBERS and field.type in _NUMBERS
        if isinstance(column, Sparse | Strings) or not is_number:
            return _reread_values(column, field)
        failures = _find_misfits(column, field)
        column = _cast_numbers(column, field.type)
    for row, reason, got in _find_faults(column, field):
        failures.setdefault(row, json_columns.wrong_value(reason, got, field))
    return column, failures


def is_exact(column: Column, field: Field) -> bool:
    """The column is of the field's type and shape, without lists, sparse vectors and nulls."""
    if column.validity is not None or isinstance(column, Ragged | Sparse):
        return False
    return column.type is field.type and field.fits(column.shape)


def fail_whole_frame(failure: Failure, where: str) -> InvalidArgument:
    """The one error for a large frame in which a column is at fault in many rows."""
    column = {"column": failure.column} if failure.column else {}
    return InvalidArgument(f"{failure.message}, in {where} rows", **column)


def _find_misfits(column: Dense | Ragged, field: Field) -> dict[int, Failure]:
    """The rows with numbers that another type of numbers does not have."""
    flat: Column = column
    while isinstance(flat, Ragged):
        flat = flat.elements
    assert isinstance(flat, Dense), "texts are no numbers"
    found, _ = element_rows(column, np.flatnonzero(~_fits_type(flat.values.ravel(), field.type)))
    rows = np.unique(found)
    # Messages are made from values that are listed in Python: of many rows the first is enough,
    # because then the frame fails as a whole.
    few = rows if len(rows) <= MAX_ALIKE else rows[:1]
    listed = zip(few.tolist(), json_values.list_values(column.take(few)), strict=True)
    failures = {
        row: fault for row, value in listed if (fault := json_columns.find_fault(value, field))
    }
    if len(few) < len(rows):
        where = f"{len(rows)} of {column.rows}"
        raise fail_whole_frame(next(iter(failures.values())), where)
    return failures


def _fits_type(values: Array, kind: DataType) -> Array:
    """Which numbers another type can hold; an integer becomes the nearest float, as in JSON."""
    if kind is DataType.FLOAT64:
        return np.ones(len(values), np.bool_)
    if kind is DataType.FLOAT32:
        with np.errstate(over="ignore"):
            # By way of float64, as a number of JSON would come: rounding an int64 directly may
            # differ.
            cast = values.astype(np.float64).astype(np.float32)
        fits: Array = ~np.isinf(cast) | np.isinf(values)
        return fits
    bits = 8 * kind.dtype.itemsize - 1
    if values.dtype.kind == "i":
        fits = (values >= -(2**bits)) & (values <= 2**bits - 1)
    else:
        # Below, not up to: 2**63 - 1 is no float64, the nearest is 2**63, which an int64 does not
        # hold.
        fits = (np.floor(values) == values) & (values >= -(2.0**bits)) & (values < 2.0**bits)
    return fits


def element_rows(column: Column, elements: Array) -> tuple[Array, Array]:
    """The rows of elements that are not null, and those elements."""
    if isinstance(column, Ragged):
        places, elements = element_rows(column.elements, elements)
        # From the right: empty lists share their offset with the next, which has the element.
        rows = np.searchsorted(column.offsets, places, "right") - 1
    else:
        rows = elements // max(int(np.prod(column.shape)), 1)
    if column.validity is None:
        return rows, elements
    valid = column.validity[rows]
    return rows[valid], elements[valid]


def _cast_numbers(column: Dense | Ragged, kind: DataType) -> Dense | Ragged:
    """The numbers in another type; numbers that do not fit become arbitrary ones."""
    if isinstance(column, Dense):
        values = column.values
        with np.errstate(all="ignore"):
            if kind is DataType.FLOAT32:
                values = values.astype(np.float64)  # as a number of JSON becomes one
            return Dense(values.astype(kind.dtype), column.validity)
    elements = column.elements
    assert not isinstance(elements, Strings), "a text is no number"
    return Ragged(column.offsets, _cast_numbers(elements, kind), column.validity)


def _reread_values(column: Column, field: Field) -> tuple[Column, Mapping[int, Failure]]:
    """Reads the values again, as if they had come as JSON."""
    listed, unreadable = _json_values(column, field)
    try:
        return json_columns.parse_column(listed, field), unreadable
    except json_columns.ODD:
        failures = dict(itertools.islice(json_columns.find_faults(listed, field), MAX_ALIKE + 1))
    if len(failures) > MAX_ALIKE:  # Looking for 100,000 takes a second.
        raise fail_whole_frame(next(iter(failures.values())), f"over {MAX_ALIKE} of {column.rows}")
    return json_columns.parse_column(json_columns.replace_failed(listed, failures, field), field), {
        **failures,
        **unreadable,
    }


def _json_values(column: Column, field: Field) -> tuple[Sequence[Any], dict[int, Failure]]:
    valid = [True] * column.rows if column.validity is None else column.validity.tolist()
    if isinstance(column, Dense) and field.type is DataType.STRING:  # NaN is no text
        pairs = zip(column.values.tolist(), valid, strict=True)
        return [value if is_valid else None for value, is_valid in pairs], {}
    if column.type is not DataType.JSON or not isinstance(column, Strings):
        return json_values.list_values(column), {}
    values: list[Any] = []
    failures: dict[int, Failure] = {}
    for row, text in enumerate(column.values):
        try:
            values.append(orjson.loads(text) if valid[row] else None)
        except orjson.JSONDecodeError:
            values.append(None)
            failures[row] = json_columns.wrong_value("WRONG_TYPE", "text that is not JSON", field)
    return values, failures


def _find_faults(column: Column, field: Field) -> Iterator[tuple[int, str, str]]:
    """Rows that do not fit, with the reason and what was got; outer lists before inner ones."""
    rows = np.arange(column.rows)
    depth = 1
    while True:
        valid = column.validity
        if valid is not None:
            got = "null" if depth == 1 else "a list with null"
            yield from (
                (row, "NULL_VALUE", got) for row in _null_rows(rows, ~valid, field.nullable)
            )
            # Under a null there is nothing to be found wrong.
            column, rows = column.take(valid), rows[valid]
        if depth > len(field.shape):
            return
        lengths = _row_lengths(column)
        want = field.shape[depth - 1]
        for at in np.flatnonzero((lengths != want) & (want >= 0)).tolist():
            yield (
                int(rows[at]),
                "WRONG_SHAPE",
                json_columns.describe_length(int(lengths[at]), depth),
            )
        if isinstance(column, Sparse):
            if column.element_validity is not None:
                of = np.repeat(rows, np.diff(column.offsets))
                null = _null_rows(of, ~column.element_validity, field.nullable)
                yield from ((row, "NULL_VALUE", "a list with null") for row in null)
            return
        rows = np.repeat(rows, lengths)
        column = _inner_elements(column)
        depth += 1


def _null_rows(rows: Array, mask: Array, nullable: bool) -> list[int]:
    chosen: list[int] = [] if nullable else rows[mask].tolist()
    return chosen


def _row_lengths(column: Column) -> Array:
    """Of each row's list or vector: int64, (rows,)."""
    if isinstance(column, Ragged):
        return column.lengths
    if isinstance(column, Sparse) and column.sizes is not None:
        return column.sizes
    return np.full(column.rows, column.shape[0])


def _inner_elements(column: Column) -> Column:
    if isinstance(column, Ragged):
        return column.elements
    assert isinstance(column, Dense), "texts and sparse vectors have no lists in them"
    rows, length, *inner = column.values.shape
    return Dense(column.values.reshape(rows * length, *inner))
