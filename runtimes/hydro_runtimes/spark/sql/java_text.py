"""Java's texts of values: Double.toString and the like, which Spark casts to.

Source: java.lang.Double.toString (JDK 19 and later: the shortest text that reads back), as Spark
casts numbers to strings.
"""

from __future__ import annotations

import numpy as np

from hydro_runtimes.columns import Array


def number_texts(values: Array) -> list[str]:
    """The text of each number or boolean."""
    if values.dtype.kind == "b":
        return ["true" if value else "false" for value in values.tolist()]
    if values.dtype.kind in "iu":
        return [str(value) for value in values.tolist()]
    if values.dtype == np.float32:
        return [double_text(_two_digits(str(value), value)) for value in values]
    return [double_text(_two_digits(repr(value), value)) for value in values.tolist()]


def _two_digits(text: str, value: float | np.float32) -> str:
    """Java writes two digits or more, which matters where one is all the precision there is."""
    if text[-4:-1] in ("e-4", "-32") and "." not in text:
        return (
            f"{float(value):.1e}" if abs(float(value)) < float(np.finfo(type(value)).tiny) else text
        )
    return text


def double_text(text: str) -> str:
    """Java's form of Python's shortest text of a double: 1.0E7, 9.999E-4, NaN, -Infinity."""
    if text in _NAMES:
        return _NAMES[text]
    sign, text = ("-", text[1:]) if text[0] == "-" else ("", text)
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return f"{sign}0.0"
    power = int(exponent or 0) + len(whole) - (len(whole + fraction) - len(digits)) - 1
    digits = digits.rstrip("0") or "0"
    if -3 <= power < 7:
        return sign + _without_exponent(digits, power)
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{power}"


def _without_exponent(digits: str, power: int) -> str:
    if power < 0:
        return f"0.{'0' * (-power - 1)}{digits}"
    digits = digits.ljust(power + 1, "0")
    return f"{digits[: power + 1]}.{digits[power + 1 :] or '0'}"


def sortable_bits(values: Array) -> Array:
    """int64 that compare as Double.compare does: -0.0 below 0.0, NaN above all."""
    bits = np.where(np.isnan(values), np.nan, values).view(np.int64)
    return bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF)


_NAMES = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
