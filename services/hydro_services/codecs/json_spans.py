"""Cuts the text of a JSON array into spans of whole elements, without parsing it.

A parser holds the interpreter until it has read all, and makes objects that take many times the
size of the text. Spans are parsed one at a time, and an element that cannot be parsed costs no
other.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

from hydro_runtimes.evaluator import Failure
from hydro_services.errors import InvalidArgument

SPAN_BYTES = 128 << 10
"""Of text that is parsed at once, which takes up to 10 ms; a single element may be longer."""
FEW_ROWS = 100
"""Spans of fewer rows are joined: what comes after costs some 20 us a column for a frame of one row
and for one of many."""
JOINED_BYTES = 1 << 20
"""Of text whose rows are held as objects at once."""
MAX_VALUES = 1_000_000
"""In one element, with all nested ones: more would hold the interpreter for over 100 ms."""
_ASKED_BYTES = 1 << 20
"""An element longer than this is not read a second time to find out whether it is JSON."""

_QUOTE, _OPEN, _CLOSE, _COMMA = 1, 2, 3, 4
_KINDS = np.zeros(256, np.uint8)
for _characters, _kind in ((b'"', _QUOTE), (b"[{", _OPEN), (b"]}", _CLOSE), (b",", _COMMA)):
    _KINDS[list(_characters)] = _kind
_STEPS = np.array([0, 0, 1, -1, 0], np.int8)
_BEGIN = re.compile(rb"[ \t\r\n]*\[")
_OBJECT = re.compile(rb"[ \t\r\n]*\{")
Text: TypeAlias = bytes | memoryview
"""A view of what is large: slices of it are not copies."""


@dataclass(frozen=True, slots=True)
class _Marks:
    """Brackets and commas of a piece of text that are not within strings."""

    places: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.uint8]
    depths: npt.NDArray[np.int64]
    """How many arrays and objects are open after each."""

    def commas(self) -> npt.NDArray[np.int64]:
        """Where the elements of the outermost array end."""
        ends: npt.NDArray[np.int64] = self.places[(self.kinds == _COMMA) & (self.depths == 1)]
        return ends

    def end(self) -> int | None:
        """Where the outermost array ends."""
        ends = self.places[self.depths <= 0]
        return int(ends[0]) if len(ends) else None


def split_spans(text: Text) -> Iterator[tuple[int, int]]:
    """Where spans of whole elements begin and end; together they are the array.

    Raises:
        InvalidArgument: the text is not an array, or does not end.
    """
    start = _find_start(text)
    # An empty array has one blank span, which is right; a blank beside a comma is not.
    only = True
    for marks in _scan_marks(text):
        commas, end = marks.commas(), marks.end()
        if end is not None:
            # What follows the array's end is no part of it, and `_check_end` refuses it.
            commas = commas[commas < end]
        if len(commas):
            yield start, _check_filled(text, start, int(commas[-1]))
            start, only = int(commas[-1]) + 1, False
        if end is not None:
            _check_end(text, end)
            yield start, end if only else _check_filled(text, start, end)
            return
    raise InvalidArgument("malformed JSON: the array does not end, want `]` after its last row")


def split_elements(span: Text) -> Iterator[Text]:
    """The texts of the elements of a span."""
    start = 0
    for marks in _scan_marks(span, depth=1):
        for comma in marks.commas().tolist():
            yield span[start:comma]
            start = comma + 1
    yield span[start:]


def parse_span(span: Text) -> list[Any]:
    """The values of the elements of a span; a `Failure` in the place of one that cannot be read.

    Raises:
        InvalidArgument: an element is not JSON.
    """
    if len(span) <= 2 * SPAN_BYTES:
        try:
            # All of a span in one call: a call for each element costs more than the parsing.
            values: list[Any] = orjson.loads(b"[" + span + b"]")
        except orjson.JSONDecodeError:
            pass
        else:
            return values
    return [] if is_blank(span) else [parse_element(element) for element in split_elements(span)]


def parse_element(text: Text) -> Any:
    """The value of one element, or a `Failure` where it is JSON that cannot be taken.

    Raises:
        InvalidArgument: it is not JSON.
    """
    if _has_too_many(text):
        got = f"the row holds more than {MAX_VALUES} values"
        return Failure("TOO_LARGE", f"{got}, the most there may be; send numbers as typed frames")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # orjson refuses some JSON: integers beyond 64 bits, deep nesting, half surrogates. That is
        # a row which fails, while text that is not JSON fails the request.
        if not _OBJECT.match(text) or not _is_json(text):
            raise malformed_json(error) from None
        # Without the position, which is in a part of the text that the client does not know.
        return Failure("INVALID_ARGUMENT", f"the row cannot be read: {error.msg}")


def is_blank(text: Text) -> bool:
    """The text has nothing but white space."""
    return not any(piece.strip(b" \t\r\n") for piece in _split_pieces(text))


def malformed_json(error: orjson.JSONDecodeError) -> InvalidArgument:
    """The error for text that is not JSON."""
    want = "want a JSON array of row objects, or one object a line (application/x-ndjson)"
    return InvalidArgument(f"malformed JSON: {error}; {want}")


def _is_json(text: Text) -> bool:
    """Whether a text is JSON that another parser may take, brackets in it being in pairs."""
    if len(text) > _ASKED_BYTES:
        return True
    try:
        json.loads(bytes(text).decode("utf-8", "replace"), parse_constant=_refuse_constant)
    except json.JSONDecodeError:
        return False
    except (RecursionError, ValueError):  # Too deep, or an integer of thousands of digits.
        return True
    return True


def _refuse_constant(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is not JSON", name, 0)


def _has_too_many(text: Text) -> bool:
    # A value takes a byte at least, and a separator: it cannot have more values than bytes.
    if len(text) <= MAX_VALUES:
        return False
    # Counts in strings, too, so it is too high if anything: only then is it counted exactly.
    rough = (sum(map(piece.count, (b",", b"[", b"{"))) for piece in _split_pieces(text))
    if sum(rough) <= MAX_VALUES:
        return False
    counts = (int((marks.kinds != _CLOSE).sum()) for marks in _scan_marks(text))
    return any(total > MAX_VALUES for total in itertools.accumulate(counts))


def _split_pieces(text: Text) -> Iterator[bytes]:
    """A call over all of a long text would hold the interpreter for long."""
    return (bytes(text[at : at + SPAN_BYTES]) for at in range(0, len(text), SPAN_BYTES))


def _find_start(text: Text) -> int:
    if not (begin := _BEGIN.match(text)):
        raise InvalidArgument("the body is not a JSON array, want a JSON array of row objects")
    return begin.end()


def _check_end(text: Text, end: int) -> None:
    if text[end : end + 1] != b"]" or not is_blank(text[end + 1 :]):
        raise InvalidArgument("malformed JSON: want nothing after the end of the array")


def _check_filled(text: Text, start: int, end: int) -> int:
    if is_blank(text[start:end]):
        raise InvalidArgument("malformed JSON: want an element before and after each comma")
    return end


def _scan_marks(text: Text, depth: int = 0) -> Iterator[_Marks]:
    """All marks, a piece of the text at a time; `depth` before it."""
    inside, escaped = 0, False
    for number, piece in enumerate(_split_pieces(text)):
        # The first character of this piece is the escaped one, whatever it is.
        if escaped:
            piece = b" " + piece[1:]
        escaped = False
        if b"\\" in piece:
            # Pairs first, from the left: then a backslash before a quote is one that escapes it.
            piece = piece.replace(b"\\\\", b"  ")
            escaped = piece.endswith(b"\\")
            piece = piece.replace(b'\\"', b"  ")
        kinds = _KINDS[np.frombuffer(piece, np.uint8)]
        places = np.flatnonzero(kinds)
        kinds = kinds[places]
        # Odd after an opening quote, even after a closing one: what has an even number before it is
        # outside of strings. All without a loop in Python over the characters.
        quotes = inside + np.cumsum(kinds == _QUOTE)
        inside = int(quotes[-1]) & 1 if len(quotes) else inside
        outside = (quotes % 2 == 0) & (kinds != _QUOTE)
        places, kinds = places[outside], kinds[outside]
        depths = depth + np.cumsum(_STEPS[kinds], dtype=np.int64)
        depth = int(depths[-1]) if len(depths) else depth
        yield _Marks(places + number * SPAN_BYTES, kinds, depths)
