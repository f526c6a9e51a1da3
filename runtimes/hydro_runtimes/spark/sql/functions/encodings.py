"""Functions of encodings: base 32, hexadecimal, UTF-8, checksums and bitmaps.

Source: org.apache.spark.sql.catalyst.expressions.{stringExpressions, bitmapExpressions, misc} and
ExpressionImplUtils, 4.3.0.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydro_runtimes.spark.sql.binding import (
    Function,
    constant_of,
    implicit_cast,
    null_on_error,
    require_type,
    row_by_row,
    row_function,
)
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.number_bases import unhex
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import BINARY, BOOLEAN, DOUBLE, LONG, STRING
from hydro_runtimes.spark.sql.values import Typed


def _to_binary_function(safe: bool) -> Function:
    """The function to_binary(text, 'hex' | 'utf-8' | 'utf8' | 'base64')."""
    readers: Mapping[str, Callable[[str], bytes | None]] = {
        "hex": unhex,
        "utf-8": str.encode,
        "utf8": str.encode,
        "base64": _strict_base64,
    }

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        form = (
            constant_of(require_type(arguments[1], STRING, mode), "the format")
            if arguments[1:]
            else "hex"
        )
        read = readers.get(str(form).lower())
        if read is None and form is not None and not safe:
            raise StatementError(f"the format is {form[:40]!r}, want hex, utf-8 or base64")

        def to_binary(text: str) -> bytes | None:
            made = None if read is None else read(text)
            if made is None and read is not None and not safe:
                raise RowError(
                    f"CONVERSION_INVALID_INPUT: {text[:60]!r} is not {form}; "
                    "use try_to_binary to get null"
                )
            return made

        made = row_by_row(to_binary, [implicit_cast(arguments[0], STRING, mode)], BINARY)
        return null_on_error(made) if safe else made

    return Function(bind, 1, 2, BINARY)


def _strict_base64(text: str) -> bytes | None:
    kept = re.sub(r"\s", "", text)
    if not re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", kept):
        return None
    body = kept.rstrip("=")
    if len(body) % 4 == 1 or (kept != body and len(kept) % 4):
        return None
    return base64.b64decode(body + "=" * (-len(body) % 4))


_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def _from_base32(text: str) -> bytes:
    """The bytes of a text in base 32; other characters and odd bits at the end are ignored."""
    body = (char.upper() for char in text.partition("=")[0] if char.isascii())
    digits = [_BASE32.index(char) for char in body if char in _BASE32]
    if len(digits) == 1:
        return bytes([digits[0] >> 2])
    number = 0
    for digit in digits:
        number = number << 5 | digit
    size = len(digits) * 5 // 8
    return (number >> (len(digits) * 5 - size * 8)).to_bytes(size)


_HMAC = {"SHA-1": "sha1", "SHA1": "sha1", "MD5": "md5", "SHA-224": "sha224", "SHA-256": "sha256"}
_HMAC |= {"SHA-384": "sha384", "SHA-512": "sha512", "SHA224": "sha224", "SHA256": "sha256"}
_HMAC |= {"SHA384": "sha384", "SHA512": "sha512"}


def _hmac_digest(key: bytes, data: bytes, name: str = "SHA-256") -> bytes:
    digest = _HMAC.get(name.upper())
    if digest is None:
        raise RowError(f"INVALID_PARAMETER_VALUE: there is no hash '{name[:40]}'")
    if not key:
        raise RowError("INVALID_PARAMETER_VALUE: the key of the hash is empty")
    return hmac.new(key, data, digest).digest()


def _utf8_function(compute: Callable[[bytes], Any], gives: Any) -> Function:
    """A function of bytes that may not be UTF-8; a text is always valid here."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = arguments[0]
        given = child if child.type == BINARY else implicit_cast(child, STRING, mode)
        return row_by_row(
            lambda value: compute(value if isinstance(value, bytes) else value.encode()),
            [given],
            gives,
        )

    return Function(bind, 1, 1, gives)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _validate_utf8(data: bytes) -> str:
    if not _is_utf8(data):
        raise RowError("INVALID_UTF8_STRING: the bytes are not UTF-8")
    return data.decode()


def _luhn_check(digits: str) -> bool:
    """Whether digits have a valid Luhn checksum. Source: ExpressionImplUtils.isLuhnNumber."""
    if not digits or not (digits.isascii() and digits.isdigit()):
        return False
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits)))
    return sum(x - 9 if x > 9 else x for x in doubled) % 10 == 0


def _jaro_winkler_similarity(first: str, second: str) -> float:
    """The Jaro-Winkler similarity; at most four characters of a common start count.

    Characters are UTF-16 units, as in Java. Source: UTF8String, 4.3.0; commons-text
    JaroWinklerSimilarity.
    """
    one, other = (memoryview(text.encode("utf-16-le")).cast("H") for text in (first, second))
    if one == other:
        return 1.0
    if not one or not other:
        return 0.0
    reach = max(max(len(one), len(other)) // 2 - 1, 0)
    taken, matched = [False] * len(other), []
    for i, char in enumerate(one):
        for j in range(max(0, i - reach), min(len(other), i + reach + 1)):
            if not taken[j] and other[j] == char:
                taken[j] = True
                matched.append(char)
                break
    if not matched:
        return 0.0
    rest = [char for char, used in zip(other, taken, strict=True) if used]
    moved = sum(a != b for a, b in zip(matched, rest, strict=True)) / 2
    same = len(matched)
    jaro = (same / len(one) + same / len(other) + (same - moved) / same) / 3
    start = 0
    while start < min(4, len(one), len(other)) and one[start] == other[start]:
        start += 1
    return jaro + start * 0.1 * (1 - jaro)


_BITS = 8 * 4096
"""The number of bits in a bitmap of Spark: 4096 bytes."""


def _bit_position(value: int) -> int:
    return (value - 1) % _BITS if value > 0 else (-value) % _BITS


def _bucket_number(value: int) -> int:
    return 1 + (value - 1) // _BITS if value > 0 else -(-value // _BITS)


def _quote_text(text: str) -> str:
    inner = text.replace("'", "\\'")
    return f"'{inner}'"


def _bigint_function(compute: Callable[[int], int]) -> Function:
    return row_function(compute, [LONG], LONG)


ENCODINGS: Mapping[str, Function] = {
    "bitmap_bit_position": _bigint_function(_bit_position),
    "bitmap_bucket_number": _bigint_function(_bucket_number),
    "bitmap_count": row_function(
        lambda data: int.from_bytes(data).bit_count(), [BINARY], LONG, exact=True
    ),
    "from_base32": row_function(_from_base32, [STRING], BINARY),
    "hmac": row_function(_hmac_digest, [BINARY, BINARY, STRING], BINARY, least=2),
    "is_valid_utf8": _utf8_function(_is_utf8, BOOLEAN),
    "jaro_winkler_similarity": row_function(_jaro_winkler_similarity, [STRING, STRING], DOUBLE),
    "luhn_check": row_function(_luhn_check, [STRING], BOOLEAN),
    "make_valid_utf8": _utf8_function(lambda data: data.decode(errors="replace"), STRING),
    "quote": row_function(_quote_text, [STRING], STRING),
    "to_base32": row_function(lambda data: base64.b32encode(data).decode(), [BINARY], STRING),
    "to_binary": _to_binary_function(safe=False),
    "try_to_binary": _to_binary_function(safe=True),
    "try_validate_utf8": _utf8_function(
        lambda data: data.decode() if _is_utf8(data) else None, STRING
    ),
    "validate_utf8": _utf8_function(_validate_utf8, STRING),
}
"""By Spark's name."""
