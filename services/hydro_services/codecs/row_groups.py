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
MAX_COLUMNS = 4096
"""In a row and in a frame."""
_FREE = 4 * MAX_ROWS
"""Places of a frame that may be empty in any case."""
_FILLED = 4
"""Beyond those, at least one place in four is filled."""


def split_rows(rows: Sequence[Row | Failure]) -> Iterator[list[Row | Failure]]:
    """All rows in order; a row with too many columns is a failure in its place."""
    for at in range(0, len(rows), MAX_ROWS):
        some = rows[at : at + MAX_ROWS]
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
