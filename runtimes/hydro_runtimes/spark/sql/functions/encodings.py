"""Functions of encodings: URLs, base 32, hexadecimal, UTF-8, checksums, bitmaps and AES.

Source: org.apache.spark.sql.catalyst.expressions.{urlExpressions, stringExpressions,
bitmapExpressions, misc} and ExpressionImplUtils, 4.3.0; java.net.URI.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus, unquote_to_bytes

from hydro_runtimes.spark.sql.binding import (
    Function,
    constant_of,
    implicit_cast,
    require_type,
    row_by_row,
    row_function,
)
from hydro_runtimes.spark.sql.errors import NeedsOtherRows, RowError, StatementError
from hydro_runtimes.spark.sql.functions.maths import unhex
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import BINARY, BOOLEAN, DOUBLE, LONG, STRING
from hydro_runtimes.spark.sql.values import Typed

_OTHER = r"\x80-\x{10FFFF}".replace(r"\x{10FFFF}", "\U0010ffff").replace(r"\x80", "\xa0")
_MARKS = r"a-zA-Z0-9_\-!.~'()*,;:$&+=" + _OTHER
_ESCAPE = r"%[0-9a-fA-F]{2}"
_PATH = rf"(?:[{_MARKS}@/]|{_ESCAPE})*"
_QUERY = rf"(?:[{_MARKS}@/?\[\]]|{_ESCAPE})*"
_AUTHORITY = rf"(?:[{_MARKS}@\[\]]|{_ESCAPE})*"
_URI = re.compile(
    rf"(?:(?P<scheme>[a-zA-Z][a-zA-Z0-9+.\-]*):)?"
    rf"(?:(?P<opaque>(?<=:)(?:[{_MARKS}?@]|{_ESCAPE})(?:[{_MARKS}?@/\[\]]|{_ESCAPE})*)"
    rf"|(?://(?P<authority>{_AUTHORITY}))?(?P<path>{_PATH})(?:\?(?P<query>{_QUERY}))?)"
    rf"(?:\#(?P<ref>{_QUERY}))?"
)
_SERVER = re.compile(
    rf"(?:(?P<userinfo>(?:[{_MARKS}]|{_ESCAPE})*)@)?"
    r"(?P<host>(?:[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?\.)*"
    r"[a-zA-Z](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?\.?|(?:\d{1,3}\.){3}\d{1,3}|\[[0-9a-fA-F:.]+\])"
    r"(?::\d*)?"
)


def _parse_url_function(safe: bool) -> Function:
    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        given = [require_type(one, STRING, mode) for one in arguments]
        quiet = safe or not mode.ansi
        return row_by_row(lambda *parts: parse_url(*parts, quiet=quiet), given, STRING)

    def parse_url(url: str, part: str, key: str | None = None, *, quiet: bool) -> str | None:
        if key is not None and part != "QUERY":
            return None
        match = _URI.fullmatch(url)
        if match is None:
            if quiet:
                return None
            raise RowError(f"INVALID_URL: {url[:60]!r} is not a URL; use try_parse_url to get null")
        found = _url_part(match, part)
        if key is None or found is None:
            return found if key is None else None
        pair = re.search(rf"(?:&|^){re.escape(key)}=([^&]*)", found)
        return pair[1] if pair else None

    return Function(bind, 2, 3, STRING)


def _url_part(match: re.Match[str], part: str) -> str | None:
    is_opaque = match["opaque"] is not None
    authority = match["authority"] or None
    server = _SERVER.fullmatch(authority) if authority else None
    match part:
        case "HOST":
            return server["host"] if server else None
        case "USERINFO":
            return server["userinfo"] if server else None
        case "PATH":
            return None if is_opaque else match["path"]
        case "QUERY":
            return match["query"]
        case "REF":
            return match["ref"]
        case "PROTOCOL":
            return match["scheme"]
        case "AUTHORITY":
            return authority
        case "FILE":
            if is_opaque:
                return None
            return match["path"] + (f"?{match['query']}" if match["query"] is not None else "")
    return None


def _url_encode(text: str) -> str:
    """The encoding of java.net.URLEncoder: it keeps a star, and encodes a tilde."""
    return quote_plus(text, safe="*").replace("~", "%7E")


def _url_decode(safe: bool) -> Callable[[str], str | None]:
    def decode_url(text: str) -> str | None:
        if re.search(r"%(?![0-9a-fA-F]{2})", text):
            if safe:
                return None
            raise RowError(f"CANNOT_DECODE_URL: {text[:60]!r} has a % without two digits after it")
        return unquote_to_bytes(text.replace("+", " ")).decode(errors="replace")

    return decode_url


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

        return row_by_row(to_binary, [implicit_cast(arguments[0], STRING, mode)], BINARY)

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


_TAG = 16


def _aes_function(decrypts: bool, safe: bool = False) -> Function:
    """The function aes_encrypt(data, key, mode, padding, iv, aad); aes_decrypt has no iv."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        cipher_of = _load_cipher()
        takes = [BINARY, BINARY, STRING, STRING] + [BINARY] * (1 if decrypts else 2)
        given = [
            implicit_cast(one, kind, mode) for one, kind in zip(arguments, takes, strict=False)
        ]
        if not decrypts and len(given) < 5 and not _is_ecb(given):
            raise NeedsOtherRows("aes_encrypt(...) without an IV answers by chance, but for ECB")

        def run_cipher(data: bytes, key: bytes, *rest: Any) -> bytes | None:
            name, padding = rest[0] if rest else "GCM", rest[1] if rest[1:] else "DEFAULT"
            more = rest[2:]
            try:
                return cipher_of(data, key, name.upper(), padding.upper(), more, decrypts)
            except (ValueError, RowError) as error:
                if safe:
                    return None
                raise RowError(f"INVALID_PARAMETER_VALUE: AES: {error}") from None

        return row_by_row(run_cipher, given, BINARY)

    return Function(bind, 2, 5 if decrypts else 6, BINARY)


def _is_ecb(given: Sequence[Typed]) -> bool:
    return len(given) > 2 and str(constant_of(given[2], "the mode")).upper() == "ECB"


def _load_cipher() -> Callable[..., bytes]:
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives import padding as paddings
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise StatementError(
            "AES needs the package cryptography: pip install 'hydro-serving[mtls]'"
        ) from None

    def apply_cipher(
        data: bytes, key: bytes, name: str, padding: str, more: Sequence[bytes], decrypts: bool
    ) -> bytes:
        if len(key) not in (16, 24, 32):
            raise RowError(f"the key has {len(key)} bytes, want 16, 24 or 32")
        if name not in ("GCM", "CBC", "ECB") or padding not in (
            ("DEFAULT", "NONE") if name == "GCM" else ("DEFAULT", "PKCS")
        ):
            raise RowError(f"the mode {name} with the padding {padding} is not supported")
        iv = (
            b"" if name == "ECB" else (data[: 12 if name == "GCM" else 16] if decrypts else more[0])
        )
        body = data[len(iv) :] if decrypts else data
        if name == "GCM":
            aad = more[0 if decrypts else 1] if len(more) > (0 if decrypts else 1) else b""
            box = AESGCM(key)
            try:
                return box.decrypt(iv, body, aad) if decrypts else iv + box.encrypt(iv, body, aad)
            except InvalidTag:
                raise RowError("the data or the key is not right") from None
        cipher = Cipher(algorithms.AES(key), modes.ECB() if name == "ECB" else modes.CBC(iv))
        block = paddings.PKCS7(128)
        if decrypts:
            turned, open_ = cipher.decryptor(), block.unpadder()
            plain = turned.update(body) + turned.finalize()
            return open_.update(plain) + open_.finalize()
        turned_on, pad = cipher.encryptor(), block.padder()
        padded = pad.update(body) + pad.finalize()
        return iv + turned_on.update(padded) + turned_on.finalize()

    return apply_cipher


def _quote_text(text: str) -> str:
    inner = text.replace("'", "\\'")
    return f"'{inner}'"


def _bigint_function(compute: Callable[[int], int]) -> Function:
    return row_function(compute, [LONG], LONG)


ENCODINGS: Mapping[str, Function] = {
    "aes_decrypt": _aes_function(decrypts=True),
    "aes_encrypt": _aes_function(decrypts=False),
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
    "parse_url": _parse_url_function(safe=False),
    "quote": row_function(_quote_text, [STRING], STRING),
    "to_base32": row_function(lambda data: base64.b32encode(data).decode(), [BINARY], STRING),
    "to_binary": _to_binary_function(safe=False),
    "try_aes_decrypt": _aes_function(decrypts=True, safe=True),
    "try_parse_url": _parse_url_function(safe=True),
    "try_to_binary": _to_binary_function(safe=True),
    "try_url_decode": row_function(_url_decode(safe=True), [STRING], STRING),
    "try_validate_utf8": _utf8_function(
        lambda data: data.decode() if _is_utf8(data) else None, STRING
    ),
    "url_decode": row_function(_url_decode(safe=False), [STRING], STRING),
    "url_encode": row_function(_url_encode, [STRING], STRING),
    "validate_utf8": _utf8_function(_validate_utf8, STRING),
}
"""By Spark's name."""
