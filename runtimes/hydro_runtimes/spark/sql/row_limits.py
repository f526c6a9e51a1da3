"""How much the functions of a statement may make of one row, whatever the row asks for.

A text of ten characters can ask for a billion, and an array of arrays for more. What a function
makes beyond what it is given counts for its row, through all functions and all elements of arrays.
"""

from __future__ import annotations

from typing import Any

from hydro_runtimes.spark.sql.errors import RowError
from hydro_runtimes.spark.sql.values import Rows

MAX_MADE = 1 << 26
"""Characters and bytes, an element of an array being 32 of them."""
_ELEMENT = 32
_FREE = 64
"""Of an answer that is not counted."""


def size_of(value: Any) -> int:
    """Of a text, of bytes or of an array, whose elements count whatever they are; else 0."""
    kind = type(value)
    if kind is list:
        return _ELEMENT * len(value)
    return len(value) if kind is str or kind is bytes else 0


def deep_size(value: Any) -> int:
    """As `size`, with what is in arrays; no more than just over the limit."""
    total, waiting = 0, [value]
    while waiting and total <= MAX_MADE:
        one = waiting.pop()
        total += size_of(one)
        if isinstance(one, list | tuple):
            waiting += one
    return total


def check_size(made: int) -> None:
    """What a function is about to make.

    Raises:
        RowError: it is too much.
    """
    if made > MAX_MADE:
        raise RowError(_TOO_MUCH)


def is_over_limit(rows: Rows, row: int) -> bool:
    """A row has made too much already; then it is in error."""
    place = int(rows.index[row])
    if rows.made_sizes.get(place, 0) <= MAX_MADE:
        return False
    rows.errors.setdefault(place, _TOO_MUCH)
    return True


def count_made(rows: Rows, row: int, made: int) -> bool:
    """Counts what is made of a row; whether that is too much, and the row in error."""
    if made <= _FREE:
        return False
    place = int(rows.index[row])
    rows.made_sizes[place] = rows.made_sizes.get(place, 0) + made
    return is_over_limit(rows, row)


_TOO_MUCH = (
    f"the row would have more than {MAX_MADE} characters made of it, an element of an array "
    f"being {_ELEMENT} of them, the limit here"
)
