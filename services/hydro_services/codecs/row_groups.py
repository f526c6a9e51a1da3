"""Rows of JSON in groups that go on as one frame each.

A frame has a place for each of its columns in each of its rows. Rows of few columns are kept apart
from rows of many, so that a frame never takes many times the room of what came.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hydro_runtimes.evaluator import Failure
from hydro_services.codecs.json_rows import Row, have_same_columns

MAX_ROWS = 500
"""In a group, so that the next stage works on one while this one makes the next."""
_SHORT_ROWS, _SHORT_BYTES = 4096, 32 << 10
"""Of rows that are short a frame has more, up to so much text."""
MAX_COLUMNS = 4096
"""In a row and in a frame."""
_FREE = 4 * MAX_ROWS
"""Places of a frame that may be empty in any case."""
_FILLED = 4
"""Beyond those, at least one place in four is filled."""


def rows_in_group(rows: int, size: int) -> int:
    """The most rows of a group, where so many take so many bytes of text."""
    return min(max(MAX_ROWS, rows * _SHORT_BYTES // max(size, 1)), _SHORT_ROWS)


def split_rows(
    rows: Sequence[Row | Failure], most: int = MAX_ROWS
) -> Iterator[list[Row | Failure]]:
    """All rows in order, `most` in a group; a row with too many columns is a failure."""
    for at in range(0, len(rows), most):
        some = rows[at : at + most]
        if _are_alike(some):
            yield list(some)
        else:
            yield from _split_unlike([_check_width(row) for row in some])


def _are_alike(rows: Sequence[Row | Failure]) -> bool:
    first = rows[0]
    if isinstance(first, Failure) or len(first) > MAX_COLUMNS:
        return False
    return set(map(type, rows)) == {dict} and have_same_columns(rows)


def _check_width(row: Row | Failure) -> Row | Failure:
    if isinstance(row, Failure) or len(row) <= MAX_COLUMNS:
        return row
    got = f"the row has {len(row)} columns, want at most {MAX_COLUMNS}"
    return Failure("TOO_MANY_COLUMNS", f"{got}; send a vector as one column, an array of numbers")


def _split_unlike(rows: Sequence[Row | Failure]) -> Iterator[list[Row | Failure]]:
    group: list[Row | Failure] = []
    names: set[str] = set()
    filled = 0
    for row in rows:
        keys = set() if isinstance(row, Failure) else row.keys()
        columns = len(names) + len(keys - names)
        places = columns * (len(group) + 1)
        # Rows that share no column would make a table of rows times columns, mostly empty: its size
        # has to follow what came.
        is_sparse = places > _FREE + _FILLED * (filled + len(keys))
        if group and (columns > MAX_COLUMNS or is_sparse):
            yield group
            group, names, filled = [], set(), 0
        group.append(row)
        names |= keys
        filled += len(keys)
    yield group
