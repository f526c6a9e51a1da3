"""Functions of parts of a text: where they are, and what stands in a place.

Source: org.apache.spark.sql.catalyst.expressions.stringExpressions, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydro_runtimes.spark.sql.binding import (
    Function,
    implicit_cast,
    row_function,
)
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.texts import text_function, text_or_binary
from hydro_runtimes.spark.sql.logic import case_when, is_null
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    BINARY,
    INT,
    STRING,
)
from hydro_runtimes.spark.sql.values import (
    Typed,
    constant_value,
)


def _substring_of(text: Any, place: int, length: int = 2**31 - 1) -> Any:
    """A part of a text; the place counts from 1, or from the end if negative.

    Source: UTF8String.substringSQL, 4.3.0.
    """
    start = place - 1 if place > 0 else len(text) + place if place < 0 else 0
    return text[max(start, 0) : max(start + length, 0)]


def _substring_index(text: str, delimiter: str, count: int) -> str:
    """What precedes the n-th delimiter; below 0, what follows the n-th one from the end."""
    if not count or not delimiter:
        return ""
    if count > 0:
        at = -1
        for _ in range(count):
            at = text.find(delimiter, at + 1)
            if at < 0:
                return text
        return text[:at]
    at = len(text)
    for _ in range(-count):
        # From the end, matches may overlap, as in UTF8String.subStringIndex.
        at = text.rfind(delimiter, 0, max(at + len(delimiter) - 1, 0))
        if at < 0:
            return text
    return text[at + len(delimiter) :]


def _split_part(text: str, delimiter: str, place: int) -> str:
    if place == 0:
        raise RowError("INVALID_INDEX_OF_ZERO: the index is 0, want 1 or more, or -1 and less")
    parts = text.split(delimiter) if delimiter else [text]
    at = place - 1 if place > 0 else len(parts) + place
    return parts[at] if 0 <= at < len(parts) else ""


def _locate_text(part: str, text: str, start: int = 1) -> int:
    """The place of a part, from 1; 0 if it is not found. An empty part is found at 1, always."""
    if start <= 0:
        return 0
    return text.find(part, start - 1) + 1 if part else 1


def _bind_locate(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds locate(part, text, start), which is 0 if the start is null."""
    texts = row_function(_locate_text, [STRING, STRING, INT], INT, least=2)
    if len(arguments) == 2:
        return texts.bind(arguments, mode)
    start = implicit_cast(arguments[2], INT, mode)
    zero = Typed(INT, lambda rows: constant_value(INT, 0, rows.count), foldable=True)
    return case_when([is_null(start, wanted=True)], [zero, texts.bind(arguments, mode)], mode)


def _overlay_at(text: Any, new: Any, place: int, length: int = -1) -> Any:
    size = len(new) if length < 0 else length
    return _substring_of(text, 1, place - 1) + new + _substring_of(text, place + size, 2**31 - 1)


def _bind_overlay(arguments: Sequence[Typed], mode: Mode) -> Typed:
    kinds = {one.type for one in arguments[:2]}
    if BINARY in kinds and STRING in kinds:
        raise StatementError("overlay(...) wants two texts, or two binaries")
    kind = BINARY if BINARY in kinds else STRING
    return row_function(_overlay_at, [kind, kind, INT, INT], kind, least=3).bind(arguments, mode)


def _find_in_set(word: str, words: str) -> int:
    parts = words.split(",")
    return parts.index(word) + 1 if "," not in word and word in parts else 0


def _right_chars(text: str, count: int) -> str:
    return text[-count:] if count > 0 else ""


def _left_chars(text: Any, count: int) -> Any:
    return text[: max(count, 0)]


SUBSTRINGS: Mapping[str, Function] = {
    "find_in_set": row_function(_find_in_set, [STRING, STRING], INT),
    "instr": row_function(lambda text, part: _locate_text(part, text), [STRING, STRING], INT),
    "left": text_or_binary(_left_chars, _left_chars, [INT]),
    "locate": text_function(_bind_locate, 2, 3, INT),
    "overlay": text_function(_bind_overlay, 3, 4),
    "right": row_function(_right_chars, [STRING, INT], STRING),
    "split_part": row_function(_split_part, [STRING, STRING, INT], STRING),
    "substring": text_or_binary(_substring_of, _substring_of, [INT, INT], least=2),
    "substring_index": row_function(_substring_index, [STRING, STRING, INT], STRING),
}
"""By Spark's name."""
