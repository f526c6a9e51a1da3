"""Patterns of numbers such as #,##0.00, by which java.text.DecimalFormat writes (locale en-US).

Source: java.text.DecimalFormat.{applyPattern, subformat}, JDK 17; it rounds half even.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Any

from hydro_runtimes.spark.sql.decimals import DECIMALS
from hydro_runtimes.spark.sql.errors import RowError

_DEFAULT = "#,###,###,###,###,###,##0"


@dataclass(frozen=True, slots=True)
class _SubPattern:
    """A half of a pattern; a semicolon divides those for positive and for negative numbers."""

    prefix: str
    suffix: str
    least_whole: int
    most_whole: int
    least_fraction: int
    most_fraction: int
    group: int
    """The number of digits between commas; 0 means no commas."""
    exponent: int
    """The least digits of the exponent; 0 means no exponent."""
    scale: int
    """The power of ten that the number is multiplied by: 2 with %, 3 with the per mille sign."""


@dataclass(frozen=True, slots=True)
class NumberPattern:
    """A pattern, which is parsed once."""

    positive: _SubPattern
    negative_prefix: str
    negative_suffix: str

    def format_number(self, number: Decimal | None, value: Any) -> str:
        """The text of a number.

        Args:
            number: the decimal of its shortest text; None for NaN and infinities.
            value: the number itself.
        """
        part = self.positive
        if number is None:
            if value != value:
                return "NaN"
            body, negative = "∞", value < 0
        else:
            exact = Decimal(value) if isinstance(value, float) else number
            body, negative = _format_body(part, number, exact)
        if negative:
            return f"{self.negative_prefix}{body}{self.negative_suffix}"
        return f"{part.prefix}{body}{part.suffix}"


@lru_cache(maxsize=256)
def number_pattern(pattern: str) -> NumberPattern:
    """The parsed pattern, from a cache.

    Raises:
        RowError: Java does not accept it.
    """
    halves = _split_halves(pattern or _DEFAULT)
    positive = _parse_half(halves[0], pattern)
    if len(halves) == 1:
        return NumberPattern(positive, f"-{positive.prefix}", positive.suffix)
    other = _parse_half(halves[1], pattern)
    if (other.prefix, other.suffix) == (positive.prefix, positive.suffix):
        return NumberPattern(positive, f"-{positive.prefix}", positive.suffix)
    return NumberPattern(positive, other.prefix, other.suffix)


def round_half_even(number: Decimal, exact: Decimal, places: int) -> Decimal:
    """The number rounded half even to so many places.

    Java decides by the exact value of a double whether it lies in the middle (JDK-7131459): 0.125
    does, and 0.145 does not.
    """
    if -int(number.as_tuple().exponent) <= places:
        return number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN, DECIMALS)
    return exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN, DECIMALS)


def _split_halves(pattern: str) -> list[str]:
    quoted = False
    for at, char in enumerate(pattern):
        quoted ^= char == "'"
        if char == ";" and not quoted:
            return [pattern[:at], pattern[at + 1 :]]
    return [pattern]


def _bad_pattern(pattern: str) -> RowError:
    return RowError(f"'{pattern[:60]}' is not a pattern of numbers, such as '#,##0.00'")


def _parse_half(text: str, pattern: str) -> _SubPattern:
    prefix, at, scale = _parse_affix(text, 0, pattern)
    start = at
    while at < len(text) and text[at] in "#0,.":
        at += 1
    form = text[start:at]
    exponent = 0
    if text[at : at + 1] == "E":
        zeros = len(text[at + 1 :]) - len(text[at + 1 :].lstrip("0"))
        if not zeros or not form:
            raise _bad_pattern(pattern)
        exponent, at = zeros, at + 1 + zeros
    suffix, end, scale_after = _parse_affix(text, at, pattern)
    if end != len(text):
        raise _bad_pattern(pattern)
    part = _parse_digits(form, pattern)
    if exponent and part.group:
        raise _bad_pattern(pattern)
    return replace(
        part, prefix=prefix, suffix=suffix, exponent=exponent, scale=scale or scale_after
    )


def _parse_affix(text: str, at: int, pattern: str) -> tuple[str, int, int]:
    made, scale, quoted = "", 0, False
    while at < len(text):
        char = text[at]
        if char == "'":
            if text[at + 1 : at + 2] == "'":
                made, at = made + "'", at + 2
                continue
            quoted = not quoted
        elif not quoted and char in "#0,.":
            break
        elif not quoted and char in "%\u2030":
            if scale:
                raise _bad_pattern(pattern)
            scale, made = 2 if char == "%" else 3, made + char
        elif not quoted and char == "\xa4":
            made += "$"
        else:
            made += char
        at += 1
    return made, at, scale


def _parse_digits(form: str, pattern: str) -> _SubPattern:
    whole, _, fraction = form.partition(".")
    digits = whole.replace(",", "")
    group = len(whole) - whole.rfind(",") - 1 if "," in whole else 0
    zeros = digits.lstrip("#")
    zeros_after = fraction.rstrip("#")
    if set(zeros) - {"0"} or set(zeros_after) - {"0"} or "," in fraction or "." in fraction:
        raise _bad_pattern(pattern)
    if "," in whole and not group:
        raise _bad_pattern(pattern)
    least = len(zeros)
    if "." in form and not zeros and not zeros_after and digits + fraction:
        # "#.##" has at least a digit before the point, and ".##" one after it.
        least, zeros_after = (1, "") if digits else (0, "0")
    return _SubPattern("", "", least, len(digits), len(zeros_after), len(fraction), group, 0, 0)


def _format_body(part: _SubPattern, number: Decimal, exact: Decimal) -> tuple[str, bool]:
    """The digits of a number, and whether it is negative."""
    number, exact = (DECIMALS.scaleb(one, part.scale) for one in (number, exact))
    negative = number.is_signed()
    number, exact = number.copy_abs(), exact.copy_abs()
    if part.exponent:
        return _format_scientific(part, number), negative
    return _format_plain(part, round_half_even(number, exact, part.most_fraction)), negative


def _format_plain(part: _SubPattern, number: Decimal) -> str:
    whole, _, fraction = f"{number:f}".partition(".")
    whole = whole.lstrip("0").rjust(part.least_whole, "0")
    kept = fraction[: part.least_fraction] + fraction[part.least_fraction :].rstrip("0")
    if not whole and not kept:
        whole = "0"
    if part.group:
        first = len(whole) % part.group
        pieces = [whole[:first]] if first else []
        whole = ",".join(
            [*pieces, *(whole[i : i + part.group] for i in range(first, len(whole), part.group))]
        )
    return f"{whole}.{kept}" if kept else whole


def _format_scientific(part: _SubPattern, number: Decimal) -> str:
    power = number.adjusted() if number else 0
    if part.most_whole > part.least_whole and part.most_whole > 1:
        shift = power // part.most_whole * part.most_whole
        least_whole = 1
    else:
        shift = power - (part.least_whole - 1 if part.least_whole or part.least_fraction else 0)
        if not part.least_whole:
            shift = power + 1
        least_whole = part.least_whole
    digits = max(part.most_whole + part.most_fraction, 1)
    scaled = DECIMALS.scaleb(number, -shift)
    if number:
        places = max(digits - 1 - scaled.adjusted(), 0)
        scaled = scaled.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN, DECIMALS)
    else:
        shift = 0
    whole, _, fraction = f"{scaled:f}".partition(".")
    whole = whole.lstrip("0").rjust(least_whole, "0")
    kept = fraction[: part.least_fraction].ljust(part.least_fraction, "0")
    kept += fraction[part.least_fraction :].rstrip("0")
    sign = "-" if shift < 0 else ""
    return f"{whole}{'.' if kept else ''}{kept}E{sign}{str(abs(shift)).rjust(part.exponent, '0')}"
