"""Counts the fields of a frame before it is parsed: a parser makes an object of each.

Two bytes can be a column, an error or an empty text, each of which takes more than a hundred bytes
once it is parsed. A frame of too many is refused; bytes that are not a message are left to the
parser.
Source: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from hydro_services.codecs.row_groups import MAX_COLUMNS
from hydro_services.errors import InvalidArgument, TooLarge

SMALL_BYTES = 64 << 10
"""Of a message that cannot become large."""
MAX_FIELDS = 1_100_000
"""Of protobuf in a frame, a text in `Values.strings` being one."""
MAX_LISTED = 4_000_000
"""Numbers and booleans in `values` of a frame: 1 to 10 bytes each, 8 once they are parsed."""
_TABLE, _ERRORS, _FAILURE = 3, 4, 6
_COLUMNS, _VALUES, _ELEMENTS = 2, 5, 10
_INTEGERS, _BOOLS = 3, 4
_VARINT, _I64, _LENGTH, _I32 = 0, 1, 2, 5
_FIXED = {_I64: 8, _I32: 4, 3: 0, 4: 0}
_Field = tuple[int, int, int]
"""Its number, and where its content begins and ends."""


def check_frame(message: bytes) -> None:
    """Refuses a frame of a client that would take many times its size.

    Raises:
        InvalidArgument: it has too many columns, or errors, which are for answers.
        TooLarge: it has too many fields, or numbers in lists of protobuf.
    """
    # Nothing so small becomes large: this spares nearly all frames the walk.
    if len(message) <= SMALL_BYTES:
        return
    try:
        fields = sum(1 for _ in islice(_walk_frame(message), MAX_FIELDS))
    # Not a message: whoever parses it next says so, with the right error.
    except IndexError:
        return
    if fields == MAX_FIELDS:
        got = f"got a frame of over {MAX_FIELDS} fields"
        raise TooLarge(f"{got}; send fewer rows a message, or texts packed in `data`")


def _walk_frame(message: bytes) -> Iterator[_Field]:
    columns = listed = 0
    for field in _walk_fields(message, 0, len(message)):
        yield field
        number, start, end = field
        # In front of the parser, which makes an object of each: a frame of nothing but errors takes
        # many times its bytes.
        if number in (_ERRORS, _FAILURE) and end > start:
            raise InvalidArgument("got errors in a frame, which are for answers; leave them out")
        if number != _TABLE:
            continue
        for inner in _walk_fields(message, start, end):
            yield inner
            if inner[0] != _COLUMNS:
                continue
            columns += 1
            if columns > MAX_COLUMNS:
                raise InvalidArgument(f"got a frame of over {MAX_COLUMNS} columns; {WAY_OUT}")
            for part, in_values in _walk_column(message, inner[1], inner[2]):
                yield part
                listed += _count_numbers(message, part) if in_values else 0
                _check_listed(listed)


def _walk_column(message: bytes, start: int, end: int) -> Iterator[tuple[_Field, bool]]:
    """The fields of a column and of the columns within it, each with whether it is a list."""
    # A list instead of recursion: a client decides how deep it nests.
    inside = [(start, end)]
    while inside:
        for part in _walk_fields(message, *inside.pop()):
            yield part, False
            if part[0] == _ELEMENTS:
                inside.append(part[1:])
            elif part[0] == _VALUES:
                yield from ((each, True) for each in _walk_fields(message, *part[1:]))


WAY_OUT = "send a vector as one column, with a shape or offsets"


def _check_listed(listed: int) -> None:
    if listed > MAX_LISTED:
        got = f"got over {MAX_LISTED} numbers in `values`"
        raise TooLarge(f"{got}; send fewer rows a message, or numbers as bytes in `data`")


def _count_numbers(message: bytes, field: _Field) -> int:
    """Numbers and booleans in a list of `Values`: the last byte of each has no eighth bit."""
    number, start, end = field
    if number not in (_INTEGERS, _BOOLS):
        return 0
    return int((np.frombuffer(message, np.uint8, end - start, start) < 128).sum())


def _walk_fields(message: bytes, at: int, end: int) -> Iterator[_Field]:
    """The fields of a message within a message.

    Raises:
        IndexError: the bytes are not a message.
    """
    while at < end:
        tag, at = _read_varint(message, at)
        kind, start = tag & 7, at
        if kind == _LENGTH:
            length, start = _read_varint(message, at)
            at = start + length
        elif kind == _VARINT:
            _, at = _read_varint(message, at)
        else:
            # A kind that is not known leads behind the end, which is found below.
            at += _FIXED.get(kind, len(message))
        if at > end:
            raise IndexError
        yield tag >> 3, start, at


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while (byte := message[at]) >= 128:
        value |= (byte & 127) << shift
        shift += 7
        at += 1
        # Ten bytes at most, as protobuf has it; otherwise a client makes integers of any size.
        if shift > 63:
            raise IndexError
    return value | byte << shift, at + 1
