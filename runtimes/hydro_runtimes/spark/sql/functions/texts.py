"""Functions of texts.

Source: org.apache.spark.sql.catalyst.expressions.stringExpressions, 4.3.0;
org.apache.spark.unsafe.types.UTF8String.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydro_runtimes.spark.sql import row_limits
from hydro_runtimes.spark.sql.binding import (
    Bind,
    Function,
    cast_to_common_type,
    constant_of,
    implicit_cast,
    require_type,
    row_by_row,
    row_function,
)
from hydro_runtimes.spark.sql.decimals import as_number
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.format_strings import bind_format_string
from hydro_runtimes.spark.sql.logic import case_when, is_null
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.number_patterns import number_pattern, round_half_even
from hydro_runtimes.spark.sql.ordering import null_safe_equal
from hydro_runtimes.spark.sql.types import (
    BINARY,
    BOOLEAN,
    INT,
    LONG,
    STRING,
    VOID,
    SqlType,
    array_of,
)
from hydro_runtimes.spark.sql.values import (
    Rows,
    Typed,
    Value,
    constant_value,
    value_of,
)

MAX_TEXT = 1 << 20
"""The most characters of a repetition, a padding or a width."""
MAX_PAIRS = 1 << 24
"""The most pairs of characters that levenshtein compares, at 0.2 us each."""


def _text_or_binary(
    of_text: Callable[..., Any],
    of_binary: Callable[..., Any],
    takes: Sequence[SqlType] = (),
    gives: SqlType | None = None,
    least: int | None = None,
) -> Function:
    """A function of a text or of bytes; its answer has the same type, or `gives`."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        kind = BINARY if arguments[0].type == BINARY else STRING
        compute = of_binary if kind == BINARY else of_text
        rest = [kind if one == STRING else one for one in takes]
        return row_function(compute, [kind, *rest], gives or kind).bind(arguments, mode)

    most = 1 + len(takes)
    return Function(bind, most if least is None else least, most, gives or STRING)


def _bind_concat(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds concat: all texts or arrays one after the other; null if one is."""
    if any(one.type.name == "array" for one in arguments):
        return _bind_concat_arrays(arguments, mode)
    if arguments and all(one.type == BINARY for one in arguments):
        return row_by_row(lambda *parts: b"".join(parts), arguments, BINARY)
    given = [implicit_cast(one, STRING, mode) for one in arguments]
    return row_by_row(lambda *parts: "".join(parts), given, STRING)


def _bind_concat_arrays(arguments: Sequence[Typed], mode: Mode) -> Typed:
    given = cast_to_common_type(arguments, mode)
    return row_by_row(lambda *lists: [x for one in lists for x in one], given, given[0].type)


def _bind_concat_ws(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds concat_ws: texts, and those in arrays, with a separator and without nulls."""
    separator = implicit_cast(arguments[0], STRING, mode)
    texts = array_of(STRING)
    others = [
        implicit_cast(one, texts if one.type.name == "array" else STRING, mode)
        for one in arguments[1:]
    ]

    def evaluate(rows: Rows) -> Value:
        between = separator.evaluate(rows).to_list()
        columns = [one.evaluate(rows).to_list() for one in others]
        made: list[str | None] = []
        for row, joint in enumerate(between):
            parts: list[str] = []
            for column in columns:
                value = column[row]
                found = value if isinstance(value, list) else [value]
                parts += [text for text in found if text is not None]
            size = 0 if joint is None else len(joint) * len(parts)
            is_well = joint is not None and not row_limits.count_made(rows, row, size)
            made.append(joint.join(parts) if is_well else None)
        return value_of(STRING, made)

    return Typed(STRING, evaluate, separator.foldable and all(one.foldable for one in others))


def _bind_elt(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds elt(n, first, second, ...): if there is no n-th, null, or with ANSI an error."""
    kind = BINARY if all(one.type == BINARY for one in arguments[1:]) else STRING
    given = [
        implicit_cast(arguments[0], INT, mode),
        *(implicit_cast(one, kind, mode) for one in arguments[1:]),
    ]

    def evaluate(rows: Rows) -> Value:
        places, *columns = (one.evaluate(rows).to_list() for one in given)
        made: list[Any] = []
        for row, place in enumerate(places):
            inside = place is not None and 1 <= place <= len(columns)
            made.append(columns[place - 1][row] if inside else None)
            if mode.ansi and place is not None and not inside:
                rows.errors.setdefault(int(rows.index[row]), _out_of_bounds(place, len(columns)))
        return value_of(kind, made)

    return Typed(kind, evaluate)


def _out_of_bounds(place: int, size: int) -> str:
    return f"INVALID_ARRAY_INDEX: the index {place} is out of bounds, there are {size} elements"


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


def _overlay_at(text: Any, new: Any, place: int, length: int = -1) -> Any:
    size = len(new) if length < 0 else length
    return _substring_of(text, 1, place - 1) + new + _substring_of(text, place + size, 2**31 - 1)


def _bind_overlay(arguments: Sequence[Typed], mode: Mode) -> Typed:
    kinds = {one.type for one in arguments[:2]}
    if BINARY in kinds and STRING in kinds:
        raise StatementError("overlay(...) wants two texts, or two binaries")
    kind = BINARY if BINARY in kinds else STRING
    return row_function(_overlay_at, [kind, kind, INT, INT], kind, least=3).bind(arguments, mode)


def _title_words(text: str) -> str:
    """The text in lower case, but the first character of each word in title case."""
    return " ".join(word[:1].title() + word[1:] for word in text.lower().split(" "))


def _trim_chars(left: bool, right: bool) -> Callable[..., str]:
    def trim_text(chars: str, text: str) -> str:
        text = text.lstrip(chars) if left and chars else text
        return text.rstrip(chars) if right and chars else text

    return trim_text


def _levenshtein_distance(one: str, other: str, limit: int | None = None) -> int:
    if limit is not None and limit < 0:
        return -1
    if len(one) * len(other) > MAX_PAIRS:
        got = f"levenshtein of texts of {len(one)} and {len(other)} characters"
        raise RowError(f"{got} compares more than {MAX_PAIRS} pairs of them, the limit here")
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return -1 if limit is not None and row[-1] > limit else row[-1]


def _bind_levenshtein(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds levenshtein(one, other, limit); a limit that is null counts as 0."""
    given = list(arguments)
    if len(given) > 2:
        limit = implicit_cast(given[2], INT, mode)
        zero = Typed(INT, lambda rows: constant_value(INT, 0, rows.count), foldable=True)
        given[2] = case_when([is_null(limit, wanted=True)], [zero, limit], mode)
    return row_function(_levenshtein_distance, [STRING, STRING, INT], INT, least=2).bind(
        given, mode
    )


_SOUNDEX = dict(zip("AEIOUYHWBFPVCGJKQSXZDTLMNR", "00000077111122222222334556", strict=True))
"""7 stands for H and W: letters of one code on both sides of them count once."""


def _soundex_code(text: str) -> str:
    """The Soundex code of a text. Source: UTF8String.soundex, 4.3.0."""
    if not text or not (text[0].isascii() and text[0].isalpha()):
        return text
    code, last = text[0].upper(), _SOUNDEX[text[0].upper()]
    for char in text[1:]:
        upper = char.upper() if char.isascii() else ""
        digit = _SOUNDEX.get(upper)
        if digit is None:
            last = "0"
            continue
        if digit not in "07" and digit != last:
            code += digit
            if len(code) == 4:
                return code
        if digit != "7":
            last = digit
    return code.ljust(4, "0")


def _char_of_code(code: int) -> str:
    return "" if code < 0 else chr(code & 0xFF)


def _code_of_first(text: str) -> int:
    return ord(text[0]) if text else 0


def _find_in_set(word: str, words: str) -> int:
    parts = words.split(",")
    return parts.index(word) + 1 if "," not in word and word in parts else 0


def _sha2(data: bytes, width: int) -> str | None:
    name = {0: "sha256", 224: "sha224", 256: "sha256", 384: "sha384", 512: "sha512"}.get(width)
    return None if name is None else hashlib.new(name, data).hexdigest()


_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def _unbase64(text: str) -> bytes:
    """The bytes of a text in base64; other characters are ignored, as by Base64.getMimeDecoder."""
    body, pad, after = text.partition("=")
    digits = "".join(char for char in body if char in _BASE64)
    odd = len(digits) % 4
    is_bad = odd == 1 or (pad and (odd == 0 or (odd == 2 and not after.startswith("="))))
    if is_bad or (pad and any(char in _BASE64 for char in after)):
        raise RowError("CONVERSION_INVALID_INPUT: the text is not base64")
    return base64.b64decode(digits + "=" * (-odd % 4))


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


def _bind_decode(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds decode(bytes, charset) or decode(x, search, result, ..., default)."""
    if len(arguments) == 2:
        return _charset_function(bytes.decode, BINARY, STRING).bind(arguments, mode)
    child, *rest = arguments
    pairs = list(zip(rest[::2], rest[1::2], strict=False))
    default = rest[-1] if len(rest) % 2 else _null_text()
    tests = [null_safe_equal((child, search), mode) for search, _ in pairs]
    return case_when(tests, [*(result for _, result in pairs), default], mode)


def _null_text() -> Typed:
    return Typed(STRING, lambda rows: constant_value(STRING, None, rows.count), foldable=True)


_CHARSETS = {"US-ASCII", "ISO-8859-1", "UTF-8", "UTF-16BE", "UTF-16LE", "UTF-16", "UTF-32"}


def _charset_function(change: Callable[..., Any], takes: SqlType, gives: SqlType) -> Function:
    def compute(value: Any, name: str) -> Any:
        if name.upper() not in _CHARSETS:
            raise RowError(f"INVALID_PARAMETER_VALUE: '{name}' is not a charset that Spark knows")
        try:
            if not value:  # no mark of the order of bytes either
                return change(value, "utf-8")
            if name.upper() == "UTF-16" and gives == BINARY:
                return b"\xfe\xff" + change(value, "utf-16be")
            return change(value, name.lower(), "strict")
        except UnicodeError:
            raise RowError(f"MALFORMED_CHARACTER_CODING: the value is not {name}") from None

    return row_function(compute, [takes, STRING], gives)


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
    return _text_or_binary(*measure[kind], gives=INT)


def _right_chars(text: str, count: int) -> str:
    return text[-count:] if count > 0 else ""


def _left_chars(text: Any, count: int) -> Any:
    return text[: max(count, 0)]


def _blank_text(count: int) -> str:
    return _repeat_text(" ", max(count, 0))


def _bytes_function(binary: Callable[[bytes], Any], gives: SqlType) -> Function:
    """A function of bytes; a text is taken as its UTF-8."""
    return row_function(binary, [BINARY], gives)


def _text_function(function: Bind, least: int, most: int, gives: SqlType = STRING) -> Function:
    return Function(function, least, most, gives)


TEXTS: Mapping[str, Function] = {
    **_trim_functions(True, True),
    **_trim_functions(True, False),
    **_trim_functions(False, True),
    "ascii": row_function(_code_of_first, [STRING], INT),
    "base64": _bytes_function(lambda data: base64.b64encode(data).decode(), STRING),
    "bit_length": _length_function("bit"),
    "btrim": row_function(_trim_both, [STRING, STRING], STRING, least=1),
    "char": row_function(_char_of_code, [LONG], STRING),
    "concat": Function(_bind_concat, 0, 1000),
    "concat_ws": _text_function(_bind_concat_ws, 1, 1000),
    "contains": _text_or_binary(
        lambda text, part: part in text, lambda data, part: part in data, [STRING], BOOLEAN
    ),
    "crc32": _bytes_function(zlib.crc32, LONG),
    "decode": Function(_bind_decode, 2, 1000),
    "elt": _text_function(_bind_elt, 2, 1000),
    "encode": _charset_function(str.encode, STRING, BINARY),
    "endswith": _text_or_binary(str.endswith, bytes.endswith, [STRING], BOOLEAN),
    "find_in_set": row_function(_find_in_set, [STRING, STRING], INT),
    "format_string": _text_function(bind_format_string, 1, 1000),
    "format_number": _text_function(_bind_format_number, 2, 2),
    "initcap": row_function(_title_words, [STRING], STRING),
    "instr": row_function(lambda text, part: _locate_text(part, text), [STRING, STRING], INT),
    "left": _text_or_binary(_left_chars, _left_chars, [INT]),
    "length": _length_function("char"),
    "levenshtein": _text_function(_bind_levenshtein, 2, 3, INT),
    "locate": _text_function(_bind_locate, 2, 3, INT),
    "lower": row_function(str.lower, [STRING], STRING),
    "lpad": _text_or_binary(_pad_text(True), _pad_bytes(True), [INT, STRING], least=2),
    "mask": _text_function(_bind_mask, 1, 5),
    "md5": _bytes_function(
        lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(), STRING
    ),
    "octet_length": _length_function("octet"),
    "overlay": _text_function(_bind_overlay, 3, 4),
    "repeat": row_function(_repeat_text, [STRING, INT], STRING),
    "replace": row_function(
        _replace_text,
        [STRING, STRING, STRING],
        STRING,
        least=2,
    ),
    "right": row_function(_right_chars, [STRING, INT], STRING),
    "rpad": _text_or_binary(_pad_text(False), _pad_bytes(False), [INT, STRING], least=2),
    "sha1": _bytes_function(
        lambda data: hashlib.sha1(data, usedforsecurity=False).hexdigest(), STRING
    ),
    "sha2": row_function(_sha2, [BINARY, INT], STRING),
    "soundex": row_function(_soundex_code, [STRING], STRING, exact=True),
    "space": row_function(_blank_text, [INT], STRING),
    "split_part": row_function(_split_part, [STRING, STRING, INT], STRING),
    "startswith": _text_or_binary(str.startswith, bytes.startswith, [STRING], BOOLEAN),
    "substring": _text_or_binary(_substring_of, _substring_of, [INT, INT], least=2),
    "substring_index": row_function(_substring_index, [STRING, STRING, INT], STRING),
    "translate": row_function(_translate_chars, [STRING, STRING, STRING], STRING),
    "unbase64": row_function(_unbase64, [STRING], BINARY),
    "upper": row_function(str.upper, [STRING], STRING),
}
"""By Spark's name."""
