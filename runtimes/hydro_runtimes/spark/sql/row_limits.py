"""How much the functions of a statement may produce for one row, whatever the row asks for.

A text of ten characters can ask for a billion characters, and an array of arrays for more. What a
function produces beyond its arguments is added up for the row, over all functions and elements.
"""

from __future__ import annotations

from typing import Any

from hydro_runtimes.spark.sql.errors import RowError
from hydro_runtimes.spark.sql.values import Rows

MAX_MADE = 1 << 26
"""Characters and bytes for a row; an element of an array counts as 32 of them."""
_ELEMENT = 32
_FREE = 64
"""The size up to which an answer is not counted, so that small answers cost no time."""


def size_of(value: Any) -> int:
    """The size of a text, of bytes or of an array, all of whose elements count the same; else 0."""
    kind = type(value)
    if kind is list:
        return _ELEMENT * len(value)
    return len(value) if kind is str or kind is bytes else 0


def deep_size(value: Any) -> int:
    """As `size_of`, plus what is within arrays; it stops just over the limit."""
    total, waiting = 0, [value]
    while waiting and total <= MAX_MADE:
        one = waiting.pop()
        total += size_of(one)
        if isinstance(one, list | tuple):
            waiting += one
    return total


def check_size(made: int) -> None:
    """Checks the size of an answer before it is made.

    Raises:
        RowError: it is too large.
    """
    if made > MAX_MADE:
        raise RowError(_TOO_MUCH)


def is_over_limit(rows: Rows, row: int) -> bool:
    """Whether a row has produced too much already; then it gets an error."""
    place = int(rows.index[row])
    if rows.made_sizes.get(place, 0) <= MAX_MADE:
        return False
    rows.errors.setdefault(place, _TOO_MUCH)
    return True


def count_made(rows: Rows, row: int, made: int) -> bool:
    """Adds a size to that of a row; whether the row is over the limit, and so got an error."""
    if made <= _FREE:
        return False
    place = int(rows.index[row])
    rows.made_sizes[place] = rows.made_sizes.get(place, 0) + made
    return is_over_limit(rows, row)


_TOO_MUCH = (
    f"the row would have more than {MAX_MADE} characters made of it, an element of an array "
    f"being {_ELEMENT} of them, the limit here"
)
