"""format_string: as java.util.Formatter of JDK 17 prints what Spark hands to it.

Spark hands over what its rows hold: a date is the number of its day, a timestamp that of its
microseconds, and a decimal is no number to Java.

Source: org.apache.spark.sql.catalyst.expressions.FormatString, 4.3.0; java.util.Formatter, 17.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NoReturn

from hydro_runtimes.spark.sql.binding import implicit_cast, try_row
from hydro_runtimes.spark.sql.decimals import DECIMALS, as_number
from hydro_runtimes.spark.sql.errors import RowError
from hydro_runtimes.spark.sql.functions.hashes import murmur_bytes
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import BOOLEAN, STRING, SqlType, bit_width
from hydro_runtimes.spark.sql.value_texts import text_of
from hydro_runtimes.spark.sql.values import Rows, Typed, Value, evaluate_where, value_of

MAX_WIDTH = 1 << 20
"""Characters that a width or a precision may make."""
_PART = re.compile(r"%(?:(\d+)\$)?([-#+ 0,(<]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])|%")
_FLAGS = {"d": "-+ 0,(", "x": "-#+ 0(", "o": "-#+ 0(", "f": "-#+ 0,(", "e": "-#+ 0(", "g": "-+ 0,("}
_FLAGS |= {"a": "-#+ 0", "s": "-", "b": "-", "h": "-", "c": "-", "%": "-", "n": ""}
"""By conversion, those that it takes."""
_INTEGERS = ("date", "timestamp", "timestamp_ntz")
"""Types whose values are numbers in a row of Spark."""


@dataclass(frozen=True, slots=True)
class _Part:
    """%[index$][flags][width][.precision]conversion."""

    text: str
    flags: str
    width: int | None
    precision: int | None
    letter: str

    def fail(self, why: str) -> NoReturn:
        raise RowError(f"{self.text[:60]} {why}")


def bind_format_string(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """format_string(form, values...); null where the form is."""
    kinds = [one.type for one in arguments[1:]]
    given = [implicit_cast(arguments[0], STRING, mode), *arguments[1:]]

    def evaluate(rows: Rows) -> Value:
        forms = given[0].evaluate(rows)
        others = [evaluate_where(one, rows, ~forms.null).to_list() for one in given[1:]]
        made: list[Any] = []
        for row, form in enumerate(forms.to_list()):
            values = [_boxed(kind, column[row]) for kind, column in zip(kinds, others, strict=True)]
            made.append(
                None
                if form is None
                else try_row(rows, row, _format_text, form, kinds, values, mode)
            )
        return value_of(STRING, made)

    return Typed(STRING, evaluate, all(one.foldable for one in given))


def _boxed(kind: SqlType, value: Any) -> Any:
    return int(value) if value is not None and _is_integer(kind) else value


def _is_integer(kind: SqlType) -> bool:
    return kind.is_whole or kind.name in _INTEGERS or kind.is_months or kind.is_micros


def _bits(kind: SqlType) -> int:
    if kind.is_whole:
        return bit_width(kind)
    return 32 if kind.name == "date" or kind.is_months else 64


def _format_text(form: str, kinds: Sequence[SqlType], values: Sequence[Any], mode: Mode) -> str:
    made: list[str] = []
    at = before = 0
    last: int | None = None
    for match in _PART.finditer(form):
        made.append(form[before : match.start()])
        before = match.end()
        part = _part_of(match)
        if part.letter == "n":
            made.append("\n")
        elif part.letter == "%":
            made.append(_justify("%", part))
        else:
            # Java's three ways: the same value again, a value by its number, or the next one. Only
            # the last one moves on.
            place = last if "<" in part.flags else int(match[1]) - 1 if match[1] else at
            at += not match[1] and "<" not in part.flags
            if place is None or not 0 <= place < len(values):
                part.fail("has no value")
            last = place
            made.append(_format_value(part, kinds[place], values[place], mode))
    return "".join((*made, form[before:]))


def _part_of(match: re.Match[str]) -> _Part:
    _, flags, width, precision, letter = match.groups()
    text = match[0]
    if letter is None:
        raise RowError(f"'{match.string[match.start() :][:10]}' is no conversion; write %% for %")
    size, digits = (None if one is None else int(one) for one in (width, precision))
    part = _Part(text, flags, size, digits, letter)
    taken = _FLAGS.get(letter if letter in "%n" else letter.lower())
    # Java has capitals of some conversions only; t and T are those of times.
    if taken is None or letter in "DFNOTt":
        part.fail("is no conversion of Java, or one of times, which is not supported")
    if max(size or 0, digits or 0) > MAX_WIDTH:
        part.fail(f"asks for more than {MAX_WIDTH} characters, the limit here")
    if wrong := set(flags) - set(taken) - set("" if letter == "n" else "<"):
        part.fail(f"does not take the flag '{sorted(wrong)[0]}'")
    if len(set(flags)) < len(flags) or {"-", "0"} <= set(flags) or {"+", " "} <= set(flags):
        part.fail("has flags that contradict each other")
    if size is None and ("-" in flags or "0" in flags):
        part.fail("wants a width")
    if digits is not None and letter.lower() in "dxoc%n":
        part.fail("takes no precision")
    if letter == "n" and size is not None:
        part.fail("takes no width")
    return part


def _format_value(part: _Part, kind: SqlType, value: Any, mode: Mode) -> str:
    lower = part.letter.lower()
    if lower == "b":
        text = "false" if value is None or (kind == BOOLEAN and not value) else "true"
    elif value is None:
        text = "null"
    elif lower == "s":
        text = str(value) if _is_integer(kind) else text_of(kind, value, replace(mode, ansi=False))
    elif lower == "h":
        text = format(_hash_code(part, kind, value) & 0xFFFFFFFF, "x")
    elif lower == "c":
        text = _character(part, kind, value)
    else:
        number = _format_number(part, kind, value)
        return _justify(number.upper() if part.letter.isupper() else number, part)
    if part.precision is not None:
        text = _cut(text, part.precision)
    return _justify(text.upper() if part.letter.isupper() else text, part)


def _hash_code(part: _Part, kind: SqlType, value: Any) -> int:
    """As Object.hashCode of what Spark hands over."""
    if kind == BOOLEAN:
        # Boolean.hashCode; two primes of Java's own.
        return 1231 if value else 1237
    if kind == STRING:
        return murmur_bytes(value.encode(), 42)
    if kind.name == "float":
        return int(struct.unpack("<i", struct.pack("<f", value))[0])
    if kind.name == "double":
        value = struct.unpack("<q", struct.pack("<d", value))[0]
    elif not _is_integer(kind):
        part.fail(f"does not take {kind}")
    elif _bits(kind) <= 32:
        return int(value)
    # Long.hashCode: the upper half over the lower one, of the bits without a sign.
    return int(value ^ ((value & (1 << 64) - 1) >> 32))


def _character(part: _Part, kind: SqlType, value: Any) -> str:
    if not _is_integer(kind) or _bits(kind) > 32:
        part.fail(f"does not take {kind}")
    if not 0 <= value <= 0x10FFFF:
        part.fail(f"got {value}, which is no character")
    return chr(value)


def _format_number(part: _Part, kind: SqlType, value: Any) -> str:
    lower = part.letter.lower()
    if lower in "dxo":
        if not _is_integer(kind):
            part.fail(f"does not take {kind}")
        if lower == "d":
            return _signed(
                part, f"{abs(value):,d}" if "," in part.flags else str(abs(value)), value < 0
            )
        if wrong := set(part.flags) & set("+ ("):
            part.fail(f"does not take the flag '{sorted(wrong)[0]}'")
        prefix = {"x": "0x", "o": "0"}[lower] if "#" in part.flags else ""
        digits = format(value & ((1 << _bits(kind)) - 1), lower)
        return prefix + (
            digits.rjust((part.width or 0) - len(prefix), "0") if "0" in part.flags else digits
        )
    if not kind.is_fraction:
        part.fail(f"does not take {kind}")
    if lower == "a":
        return _hexadecimal(part, float(value))
    number = as_number(kind, value)
    if number is None:
        return _not_finite(part, float(value))
    digits = _fraction(part, abs(number), 6 if part.precision is None else part.precision)
    return _signed(part, digits, number.is_signed() or str(float(value))[0] == "-")


def _not_finite(part: _Part, value: float) -> str:
    if value != value:
        return "NaN"
    return _signed(
        _Part(part.text, part.flags.replace("0", ""), None, None, "f"), "Infinity", value < 0
    )


def _signed(part: _Part, digits: str, is_negative: bool) -> str:
    """With its sign, and zeros up to the width."""
    flags = part.flags
    before, after = (
        ("-", "") if is_negative else ("+" if "+" in flags else " " if " " in flags else "", "")
    )
    if is_negative and "(" in flags:
        before, after = "(", ")"
    if "0" in flags:
        digits = digits.rjust((part.width or 0) - len(before) - len(after), "0")
    return before + digits + after


def _fraction(part: _Part, number: Decimal, precision: int) -> str:
    lower = part.letter.lower()
    if lower == "g":
        precision = precision or 1
        rounded = DECIMALS.plus(number) if not number else _significant(number, precision)
        small = not number or (Decimal("0.0001") <= rounded < Decimal(10) ** precision)
        power = rounded.adjusted() if number else 0
        lower, precision = ("f", precision - 1 - power) if small else ("e", precision - 1)
    if lower == "f":
        rounded = number.quantize(Decimal(1).scaleb(-precision), ROUND_HALF_UP, DECIMALS)
        text = format(rounded, ",f" if "," in part.flags else "f")
        return text + "." if "#" in part.flags and not precision else text
    rounded = _significant(number, precision + 1)
    power = rounded.adjusted() if number else 0
    digits = "".join(map(str, rounded.as_tuple().digits)).ljust(precision + 1, "0")
    point = "." if precision or "#" in part.flags else ""
    sign = "-" if power < 0 else "+"
    return f"{digits[0]}{point}{digits[1 : precision + 1]}e{sign}{abs(power):02d}"


def _significant(number: Decimal, digits: int) -> Decimal:
    if not number:
        return number
    step = Decimal(1).scaleb(number.adjusted() - digits + 1)
    return number.quantize(step, ROUND_HALF_UP, DECIMALS)


def _hexadecimal(part: _Part, value: float) -> str:
    if part.precision is not None:
        part.fail("with a precision is not supported")
    if value in (float("inf"), float("-inf")) or value != value:
        return _not_finite(part, value)
    sign, text = ("-", value.hex()[1:]) if value.hex()[0] == "-" else ("", value.hex())
    digits, _, power = text.partition("p")
    whole, _, fraction = digits.partition(".")
    made = f"{whole}.{fraction.rstrip('0') or '0'}p{int(power)}"
    return _signed(part, made, bool(sign))


def _cut(text: str, units: int) -> str:
    """So many units of UTF-16 of a text; half a character is a question mark in UTF-8."""
    # Java counts UTF-16, in which some characters are two units.
    raw = text.encode("utf-16-le")[: 2 * units]
    return raw.decode("utf-16-le", "surrogatepass").encode("utf-8", "replace").decode()


def _justify(text: str, part: _Part) -> str:
    missing = (part.width or 0) - len(text.encode("utf-16-le")) // 2
    if missing <= 0:
        return text
    return text + " " * missing if "-" in part.flags else " " * missing + text
