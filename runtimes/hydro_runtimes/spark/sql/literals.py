"""The literals of a statement: numbers, texts, dates, timestamps and intervals.

Source: org.apache.spark.sql.catalyst.parser.AstBuilder and IntervalUtils, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from hydro_runtimes.spark.sql import java_text
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.interval_texts import (
    interval_constant,
    read_interval,
    split_amounts,
    text_of_interval,
)
from hydro_runtimes.spark.sql.syntax import Literal
from hydro_runtimes.spark.sql.types import (
    BINARY,
    BYTE,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    LONG,
    MICRO_UNITS,
    MONTH_UNITS,
    SHORT,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    SqlType,
    bit_width,
    decimal_of,
    interval_of,
)

_WHOLE: Mapping[str, SqlType] = {"L": LONG, "S": SHORT, "Y": BYTE}


def text_literal(value: str) -> Literal:
    """A literal of a text."""
    return Literal(STRING, value, value)


def number_literal(written: str) -> Literal:
    """A number, with its sign and suffix (L, S, Y, F, D, BD).

    Without a suffix it is an int, else a bigint, else a decimal; with an exponent it is a double.

    Raises:
        StatementError: it does not fit its type.
    """
    upper = written.upper()
    if upper.endswith("BD"):
        return _decimal_literal(upper[:-2])
    if upper[-1] in "DF" and not upper.startswith("0X"):
        value = float(upper[:-1])
        kind = DOUBLE if upper[-1] == "D" else FLOAT
        return Literal(kind, value, java_text.double_text(repr(value)))
    if upper[-1] in _WHOLE:
        return _whole_literal(upper[:-1], _WHOLE[upper[-1]])
    if "E" in upper:
        return _double_literal(upper)
    if "." in upper:
        return _decimal_literal(upper)
    for kind in (INT, LONG):
        if _fits_type(int(upper), kind):
            return _whole_literal(upper, kind)
    return _decimal_literal(upper)


def binary_literal(digits: str) -> Literal:
    """X'1F'.

    Raises:
        StatementError: the digits are not hexadecimal.
    """
    try:
        value = bytes.fromhex(digits.rjust(len(digits) + len(digits) % 2, "0"))
    except ValueError:
        raise StatementError(f"X'{digits[:40]}' is not hexadecimal") from None
    return Literal(BINARY, value, f"X'{value.hex().upper()}'")


def datetime_literal(word: str, value: str) -> Literal:
    """DATE '...' or TIMESTAMP '...'; its text is read, in the session's zone, on compiling."""
    kind = {"DATE": DATE, "TIMESTAMP_NTZ": TIMESTAMP_NTZ}.get(word, TIMESTAMP)
    return Literal(kind, value, f"{word} '{value}'")


def interval_literal(parts: Sequence[tuple[str, str]]) -> Literal:
    """INTERVAL amount unit [amount unit ...]; a unit may be a range, as YEAR TO MONTH.

    Raises:
        StatementError: there is no such unit, or an amount is not a number.
    """
    if len(parts) == 1 and " TO " in parts[0][1]:
        kind, value = _interval_range(*parts[0])
    else:
        kind, value = interval_constant(parts)
    return Literal(kind, value, text_of_interval(kind, value))


def interval_literal_of_text(value: str) -> Literal:
    """INTERVAL '3 days 2 hours'.

    Raises:
        StatementError: it is not a list of amounts and units.
    """
    return interval_literal(split_amounts(value))


def _interval_range(value: str, unit: str) -> tuple[SqlType, int]:
    first, _, last = unit.lower().partition(" to ")
    for units in (MONTH_UNITS, MICRO_UNITS):
        if first in units and last in units and units.index(first) < units.index(last):
            kind = interval_of(first, last)
            found = read_interval(value, kind)
            if found is not None:
                return kind, found
    raise StatementError(f"INTERVAL '{value[:60]}' is not {unit}")


def _whole_literal(digits: str, kind: SqlType) -> Literal:
    value = int(digits)
    if not _fits_type(value, kind):
        raise StatementError(f"{digits} does not fit into {kind}")
    return Literal(kind, value, str(value))


def _fits_type(value: int, kind: SqlType) -> bool:
    limit = 1 << (bit_width(kind) - 1)
    return -limit <= value < limit


def _double_literal(digits: str) -> Literal:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise StatementError(f"{digits} does not fit into double")
    return Literal(DOUBLE, value, java_text.double_text(repr(value)))


def _decimal_literal(digits: str) -> Literal:
    value = Decimal(digits)
    _, figures, exponent = value.as_tuple()
    scale = max(-int(exponent), 0)
    precision = max(len(figures) + max(int(exponent), 0), scale)
    if precision > 38:
        raise StatementError(f"{digits} has more than 38 digits")
    # As BigDecimal.toString: 1E-7, but 100 for 1E2.
    text = str(value) if int(exponent) < 0 else f"{value:f}"
    return Literal(decimal_of(precision, scale), value, text)
