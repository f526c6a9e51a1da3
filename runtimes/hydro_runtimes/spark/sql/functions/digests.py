"""Digests of bytes, and base 64: md5, sha1, sha2, crc32, base64, unbase64.

Source: org.apache.spark.sql.catalyst.expressions.{misc, hash}, 4.3.0.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from hydro_runtimes.spark.sql.binding import (
    Function,
    row_function,
)
from hydro_runtimes.spark.sql.errors import RowError
from hydro_runtimes.spark.sql.types import (
    BINARY,
    INT,
    LONG,
    STRING,
    SqlType,
)


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


def _bytes_function(binary: Callable[[bytes], Any], gives: SqlType) -> Function:
    """A function of bytes; a text is taken as its UTF-8."""
    return row_function(binary, [BINARY], gives)


DIGESTS: Mapping[str, Function] = {
    "base64": _bytes_function(lambda data: base64.b64encode(data).decode(), STRING),
    "crc32": _bytes_function(zlib.crc32, LONG),
    "md5": _bytes_function(
        lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(), STRING
    ),
    "sha1": _bytes_function(
        lambda data: hashlib.sha1(data, usedforsecurity=False).hexdigest(), STRING
    ),
    "sha2": row_function(_sha2, [BINARY, INT], STRING),
    "unbase64": row_function(_unbase64, [STRING], BINARY),
}
"""By Spark's name."""
