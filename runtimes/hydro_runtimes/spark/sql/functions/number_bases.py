"""Functions between numbers and their texts in another base: bin, hex, unhex, conv.

Source: org.apache.spark.sql.catalyst.expressions.mathExpressions, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hydro_runtimes.spark.sql.binding import (
    Function,
    implicit_cast,
    row_function,
)
from hydro_runtimes.spark.sql.functions.bits import as_signed
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    BINARY,
    INT,
    LONG,
    STRING,
    UNKNOWN,
    VOID,
)
from hydro_runtimes.spark.sql.values import (
    Typed,
)


def _bind_hex(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = arguments[0]
    if child.type == STRING:
        return row_function(lambda text: text.encode().hex().upper(), [STRING], STRING).bind(
            arguments, mode
        )
    if child.type == BINARY:
        return row_function(lambda data: data.hex().upper(), [BINARY], STRING).bind(arguments, mode)
    if not child.type.is_number and child.type not in (VOID, UNKNOWN):
        return _bind_hex([implicit_cast(child, STRING, mode)], mode)
    return row_function(lambda x: f"{x & (2**64 - 1):X}", [LONG], STRING).bind(arguments, mode)


def unhex(text: str) -> bytes | None:
    """The bytes of hexadecimal digits; None if a character is not one."""
    try:
        return (
            bytes.fromhex(text.rjust(len(text) + len(text) % 2, "0"))
            if text.isalnum() or not text
            else None
        )
    except ValueError:
        return None


def _convert_base(text: str, base: int, to: int) -> str | None:
    """conv: digits are read as an unsigned bigint, up to the first character that is not a digit.

    Source: org.apache.spark.sql.catalyst.util.NumberConverter.
    """
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    text = text.strip(" ")
    if not text or not 2 <= base <= 36 or not 2 <= abs(to) <= 36:
        return None
    negative = text[0] == "-"
    number = 0
    for char in text[negative:].upper():
        place = digits.find(char) if char else -1
        if not 0 <= place < base:
            break
        number = min(number * base + place, 2**64 - 1)
    if negative and to > 0:
        number = (-number) % 2**64
    if to < 0:
        signed = as_signed(number, 64) if not negative else -number
        negative, number = signed < 0, abs(signed)
    else:
        negative = False
    made = ""
    while number or not made:
        number, rest = divmod(number, abs(to))
        made = digits[rest] + made
    return f"-{made}" if negative else made


NUMBER_BASES: Mapping[str, Function] = {
    "bin": row_function(lambda x: f"{x & (2**64 - 1):b}", [LONG], STRING),
    "conv": row_function(_convert_base, [STRING, INT, INT], STRING),
    "hex": Function(_bind_hex, 1, 1, STRING),
    "unhex": row_function(unhex, [STRING], BINARY),
}
"""By Spark's name, operators by their sign."""
