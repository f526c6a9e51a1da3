"""Constants of a statement: numbers, texts, dates, timestamps and intervals.

Source: org.apache.spark.sql.catalyst.parser.AstBuilder and IntervalUtils, 4.3.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from hydro_runtimes.spark import java
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.syntax import Literal
from hydro_runtimes.spark.sql.types import (
    BINARY,
    BYTE,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    INTERVAL,
    LONG,
    MICROS,
    MONTHS,
    SHORT,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    SqlType,
    bits,
    decimal,
)

_WHOLE: Mapping[str, SqlType] = {"L": LONG, "S": SHORT, "Y": BYTE}
_MICROS: Mapping[str, int] = {
    "WEEK": 7 * 86_400_000_000,
    "DAY": 86_400_000_000,
    "HOUR": 3_600_000_000,
    "MINUTE": 60_000_000,
    "SECOND": 1_000_000,
    "MILLISECOND": 1_000,
    "MICROSECOND": 1,
}
_MONTHS: Mapping[str, int] = {"YEAR": 12, "QUARTER": 3, "MONTH": 1}
_AMOUNT = re.compile(r"\s*([+-]?\d*\.?\d+)\s*([a-zA-Z]+)\s*")
_YEAR_MONTH = re.compile(r"\s*([+-]?)(\d+)-(\d+)\s*")
_DAY_TIME = re.compile(r"\s*([+-]?)(?:(\d+)\s+)?(\d+)(?::(\d+))?(?::(\d+)(\.\d+)?)?\s*")


def text(value: str) -> Literal:
    """A text."""
    return Literal(STRING, value, value)


def number(written: str) -> Literal:
    """A number as written, with its sign and suffix.

    Raises:
        StatementError: it does not fit its type.
    """
    upper = written.upper()
    if upper.endswith("BD"):
        return _decimal(upper[:-2])
    if upper[-1] in "DF" and not upper.startswith("0X"):
        value = float(upper[:-1])
        kind = DOUBLE if upper[-1] == "D" else FLOAT
        return Literal(kind, value, java.decimal(repr(value)))
    if upper[-1] in _WHOLE:
        return _whole(upper[:-1], _WHOLE[upper[-1]])
    if "E" in upper:
        return _double(upper)
    if "." in upper:
        return _decimal(upper)
    for kind in (INT, LONG):
        if _fits(int(upper), kind):
            return _whole(upper, kind)
    return _decimal(upper)


def binary(digits: str) -> Literal:
    """X'1F'.

    Raises:
        StatementError: not hexadecimal.
    """
    try:
        value = bytes.fromhex(digits.rjust(len(digits) + len(digits) % 2, "0"))
    except ValueError:
        raise StatementError(f"X'{digits[:40]}' is not hexadecimal") from None
    return Literal(BINARY, value, f"X'{value.hex().upper()}'")


def typed(word: str, value: str) -> Literal:
    """DATE '...', TIMESTAMP '...': read when the statement is typed, in the session's zone."""
    kind = {"DATE": DATE, "TIMESTAMP_NTZ": TIMESTAMP_NTZ}.get(word, TIMESTAMP)
    return Literal(kind, value, f"{word} '{value}'")


def interval(parts: Sequence[tuple[str, str]]) -> Literal:
    """INTERVAL amount unit [amount unit ...]; a unit may be a range, as YEAR TO MONTH.

    Raises:
        StatementError: a unit that there is not, or an amount that is not one.
    """
    if len(parts) == 1 and " TO " in parts[0][1]:
        return _range(*parts[0])
    months = micros = 0
    units: list[str] = []
    for amount, name in parts:
        unit = name.removesuffix("S")
        if not re.fullmatch(r"\s*[+-]?\s*\d*\.?\d+\s*", amount):
            raise StatementError(f"INTERVAL '{amount}' is not a number of {name}")
        value = Decimal(re.sub(r"\s", "", amount))
        if unit in _MONTHS and value == value.to_integral_value():
            months += int(value) * _MONTHS[unit]
        elif unit in _MICROS and (unit == "SECOND" or value == value.to_integral_value()):
            micros += int(value * _MICROS[unit])
        else:
            raise StatementError(f"INTERVAL {amount} {name} is not supported")
        units.append(unit)
    return _interval(months, micros, units)


def interval_text(value: str) -> Literal:
    """INTERVAL '3 days 2 hours'.

    Raises:
        StatementError: it is not so written.
    """
    rest = value.strip().lower().removeprefix("interval ")
    parts: list[tuple[str, str]] = []
    while rest:
        match = _AMOUNT.match(rest)
        if match is None:
            raise StatementError(f"INTERVAL '{value}' is not a list of amounts and units")
        parts.append((match[1], match[2].upper()))
        rest = rest[match.end() :]
    return interval(parts)


def _interval(months: int, micros: int, units: Sequence[str]) -> Literal:
    if months and micros:
        return Literal(INTERVAL, (months, 0, micros), "INTERVAL")
    if any(unit in _MONTHS for unit in units):
        return Literal(MONTHS, months, f"INTERVAL '{months}' MONTH")
    if set(units) == {"DAY"}:
        return Literal(MICROS, micros, f"INTERVAL '{micros // _MICROS['DAY']}' DAY")
    if len(units) == 1 and units[0] in ("HOUR", "MINUTE"):
        return Literal(MICROS, micros, f"INTERVAL '{micros // _MICROS[units[0]]:02d}' {units[0]}")
    return Literal(MICROS, micros, f"INTERVAL '{micros / 1_000_000:g}' SECOND")


def _range(value: str, unit: str) -> Literal:
    if match := _YEAR_MONTH.fullmatch(value):
        months = int(match[2]) * 12 + int(match[3])
        months = -months if match[1] == "-" else months
        return Literal(MONTHS, months, f"INTERVAL '{value}' {unit}")
    match = _DAY_TIME.fullmatch(value)
    start, _, end = unit.partition(" TO ")
    names = ("DAY", "HOUR", "MINUTE", "SECOND")
    if match is None or start not in names or end not in names:
        raise StatementError(f"INTERVAL '{value}' {unit} is not supported")
    given = [group for group in match.groups()[1:5] if group is not None]
    wanted = names[names.index(start) : names.index(end) + 1]
    if len(given) != len(wanted):
        raise StatementError(f"INTERVAL '{value}' is not {unit}")
    micros = sum(int(x) * _MICROS[name] for x, name in zip(given, wanted, strict=True))
    micros += int(Decimal(match[6] or "0") * 1_000_000)
    micros = -micros if match[1] == "-" else micros
    return Literal(MICROS, micros, f"INTERVAL '{value}' {unit}")


def _whole(digits: str, kind: SqlType) -> Literal:
    value = int(digits)
    if not _fits(value, kind):
        raise StatementError(f"{digits} does not fit into {kind}")
    return Literal(kind, value, str(value))


def _fits(value: int, kind: SqlType) -> bool:
    limit = 1 << (bits(kind) - 1)
    return -limit <= value < limit


def _double(digits: str) -> Literal:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise StatementError(f"{digits} does not fit into double")
    return Literal(DOUBLE, value, java.decimal(repr(value)))


def _decimal(digits: str) -> Literal:
    value = Decimal(digits)
    _, figures, exponent = value.as_tuple()
    scale = max(-int(exponent), 0)
    precision = max(len(figures) + max(int(exponent), 0), scale)
    if precision > 38:
        raise StatementError(f"{digits} has more than 38 digits")
    return Literal(decimal(precision, scale), value, f"{value:f}")
