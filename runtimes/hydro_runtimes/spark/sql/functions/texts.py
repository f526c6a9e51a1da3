"""Functions of texts.

Source: org.apache.spark.sql.catalyst.expressions.stringExpressions, 4.3.0;
org.apache.spark.unsafe.types.UTF8String.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydro_runtimes.spark.sql import row_limits
from hydro_runtimes.spark.sql.binding import (
    Bind,
    Function,
    constant_of,
    implicit_cast,
    require_type,
    row_by_row,
    row_function,
)
from hydro_runtimes.spark.sql.decimals import as_number
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.format_strings import bind_format_string
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.number_patterns import number_pattern, round_half_even
from hydro_runtimes.spark.sql.types import (
    BINARY,
    BOOLEAN,
    INT,
    LONG,
    STRING,
    VOID,
    SqlType,
)
from hydro_runtimes.spark.sql.values import (
    Typed,
)

MAX_TEXT = 1 << 20
"""The most characters of a repetition, a padding or a width."""


def text_or_binary(
    of_text: Callable[..., Any],
    of_binary: Callable[..., Any],
    takes: Sequence[SqlType] = (),
    gives: SqlType | None = None,
    least: int | None = None,
) -> Function:
    """A function of a text or of bytes; its answer has the same type, or `gives`."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        kind = BINARY if arguments[0].type == BINARY else STRING
        # lpad and rpad are of bytes only if the padding is, too.
        if len(arguments) == 3 and takes[-1] == STRING and arguments[2].type != BINARY:
            kind = STRING
        compute = of_binary if kind == BINARY else of_text
        rest = [kind if one == STRING else one for one in takes]
        return row_function(compute, [kind, *rest], gives or kind).bind(arguments, mode)

    most = 1 + len(takes)
    return Function(bind, most if least is None else least, most, gives or STRING)


def _pad_text(left: bool) -> Callable[..., str]:
    def pad_text(text: str, length: int, fill: str = " ") -> str:
        missing = max(length - len(text), 0)
        if fill and missing > MAX_TEXT:
            raise RowError(f"the text would have more than {MAX_TEXT} characters, the limit here")
        added = (fill * (missing // len(fill) + 1))[:missing] if fill else ""
        return (added + text if left else text + added)[: max(length, 0)]

    return pad_text


def _pad_bytes(left: bool) -> Callable[..., bytes]:
    def pad_bytes(data: bytes, length: int, fill: bytes = b"\0") -> bytes:
        missing = max(length - len(data), 0)
        if fill and missing > MAX_TEXT:
            raise RowError(f"the value would have more than {MAX_TEXT} bytes, the limit here")
        added = (fill * (missing // len(fill) + 1))[:missing] if fill else b""
        return (added + data if left else data + added)[: max(length, 0)]

    return pad_bytes


def _repeat_text(text: str, times: int) -> str:
    if times * len(text) > MAX_TEXT:
        raise RowError(f"the text would have more than {MAX_TEXT} characters, the limit here")
    return text * times


def _replace_text(text: str, old: str, new: str = "") -> str:
    if not old:
        return text
    if len(new) > len(old):
        row_limits.check_size(text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


def _translate_chars(text: str, old: str, new: str) -> str:
    table = {ord(c): new[i] if i < len(new) else None for i, c in reversed([*enumerate(old)])}
    return text.translate(table)


def _title_words(text: str) -> str:
    """The text in lower case, but the first character of each word in title case."""
    return " ".join(word[:1].title() + word[1:] for word in text.lower().split(" "))


def _trim_chars(left: bool, right: bool) -> Callable[..., str]:
    def trim_text(chars: str, text: str) -> str:
        text = text.lstrip(chars) if left and chars else text
        return text.rstrip(chars) if right and chars else text

    return trim_text


def _char_of_code(code: int) -> str:
    return "" if code < 0 else chr(code & 0xFF)


def _code_of_first(text: str) -> int:
    return ord(text[0]) if text else 0


def _bind_format_number(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds format_number: commas between thousands, rounded half even; null for negative places.

    Source: org.apache.spark.sql.catalyst.expressions.FormatNumber, 4.3.0.
    """
    child, places = arguments
    if not child.type.is_number and child.type != VOID:
        raise StatementError(f"got {child.type}, want a number")
    if places.type not in (INT, STRING, VOID):
        raise StatementError(f"the places are {places.type}, want int or a pattern")
    kind = child.type
    if places.type == STRING:
        return row_by_row(
            lambda value, pattern: number_pattern(pattern).format_number(
                as_number(kind, value), value
            ),
            [child, places],
            STRING,
        )

    def format_number(value: Any, digits: int) -> str | None:
        if digits < 0:
            return None
        if digits > MAX_TEXT:
            raise RowError(f"{digits} places are more than {MAX_TEXT}, the limit here")
        number = as_number(kind, value)
        if number is None:
            return {"nan": "NaN", "inf": "∞", "-inf": "-∞"}[str(float(value))]
        exact = Decimal(value) if isinstance(value, float) else number
        return f"{round_half_even(number, exact, digits):,f}"

    return row_by_row(format_number, [child, implicit_cast(places, INT, mode)], STRING)


def _mask_chars(
    text: str, upper: str | None, lower: str | None, digit: str | None, other: str | None
) -> str:
    def mask_char(char: str) -> str:
        kind = (
            upper
            if char.isupper()
            else lower
            if char.islower()
            else digit
            if char.isdigit()
            else other
        )
        return char if kind is None else kind

    return "".join(map(mask_char, text))


def _bind_mask(arguments: Sequence[Typed], mode: Mode) -> Typed:
    chars: list[str | None] = ["X", "x", "n", None]
    for place, one in enumerate(arguments[1:]):
        char = chars[place] = constant_of(require_type(one, STRING, mode), "a mask")
        if char is not None and len(char) != 1:
            raise StatementError(f"a mask is {char[:40]!r}, want one character")
    masked = row_function(lambda text: _mask_chars(text, *chars), [STRING], STRING, exact=True)
    return masked.bind(arguments[:1], mode)


def _trim_functions(left: bool, right: bool) -> Mapping[str, Function]:
    name = "trim" if left and right else "ltrim" if left else "rtrim"
    chars = _trim_chars(left, right)
    return {
        name: row_function(lambda text: chars(" ", text), [STRING], STRING),
        f"{name} from": row_function(chars, [STRING, STRING], STRING),
    }


def _trim_both(text: str, chars: str = " ") -> str:
    return text.strip(chars) if chars else text


def _length_function(kind: str) -> Function:
    measure: Mapping[str, tuple[Callable[[str], int], Callable[[bytes], int]]] = {
        "char": (len, len),
        "octet": (lambda text: len(text.encode()), len),
        "bit": (lambda text: 8 * len(text.encode()), lambda data: 8 * len(data)),
    }
    return text_or_binary(*measure[kind], gives=INT)


def _blank_text(count: int) -> str:
    return _repeat_text(" ", max(count, 0))


def text_function(function: Bind, least: int, most: int, gives: SqlType = STRING) -> Function:
    return Function(function, least, most, gives)


TEXTS: Mapping[str, Function] = {
    **_trim_functions(True, True),
    **_trim_functions(True, False),
    **_trim_functions(False, True),
    "ascii": row_function(_code_of_first, [STRING], INT),
    "bit_length": _length_function("bit"),
    "btrim": row_function(_trim_both, [STRING, STRING], STRING, least=1),
    "char": row_function(_char_of_code, [LONG], STRING),
    "contains": text_or_binary(
        lambda text, part: part in text, lambda data, part: part in data, [STRING], BOOLEAN
    ),
    "endswith": text_or_binary(str.endswith, bytes.endswith, [STRING], BOOLEAN),
    "format_string": text_function(bind_format_string, 1, 1000),
    "format_number": text_function(_bind_format_number, 2, 2),
    "initcap": row_function(_title_words, [STRING], STRING),
    "length": _length_function("char"),
    "lower": row_function(str.lower, [STRING], STRING),
    "lpad": text_or_binary(_pad_text(True), _pad_bytes(True), [INT, STRING], least=2),
    "mask": text_function(_bind_mask, 1, 5),
    "octet_length": _length_function("octet"),
    "repeat": row_function(_repeat_text, [STRING, INT], STRING),
    "replace": row_function(
        _replace_text,
        [STRING, STRING, STRING],
        STRING,
        least=2,
    ),
    "rpad": text_or_binary(_pad_text(False), _pad_bytes(False), [INT, STRING], least=2),
    "space": row_function(_blank_text, [INT], STRING),
    "startswith": text_or_binary(str.startswith, bytes.startswith, [STRING], BOOLEAN),
    "translate": row_function(_translate_chars, [STRING, STRING, STRING], STRING),
    "upper": row_function(str.upper, [STRING], STRING),
}
"""By Spark's name."""
