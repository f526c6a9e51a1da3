"""The texts of intervals, and the interval literals of statements.

Source: org.apache.spark.sql.catalyst.util.IntervalUtils, 4.3.0; CalendarInterval.toString.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.types import MICRO_UNITS, MONTH_UNITS, SqlType, interval_of

MICROS_OF: Mapping[str, int] = {
    "week": 7 * DAY,
    "day": DAY,
    "hour": 3_600_000_000,
    "minute": 60_000_000,
    "second": 1_000_000,
    "millisecond": 1_000,
    "microsecond": 1,
}
MONTHS_OF: Mapping[str, int] = {"year": 12, "month": 1}
_STANDS_FOR: Mapping[str, str] = {"week": "day", "millisecond": "second", "microsecond": "second"}
_INT, _LONG = 2**31, 2**63
_PART = re.compile(r"\s*([+-]?)\s*(\d*)(?:\.(\d{0,9}))?\s+([a-z]+)(?=\s|$)")
_NUMBERS = {
    "day": r"(?P<day>\d{1,9})",
    "hour": r"(?P<hour>\d{1,10})",
    "minute": r"(?P<minute>\d{1,12})",
    "second": r"(?P<second>\d{1,13})(?:\.(?P<fraction>\d{1,9}))?",
}
_JOINTS = {"hour": " ", "minute": ":", "second": ":"}
_MOST = {"hour": 23, "minute": 59, "second": 59}


def text_of_interval(kind: SqlType, value: Any) -> str:
    """INTERVAL '1-2' YEAR TO MONTH, INTERVAL '3 02:00:00' DAY TO SECOND, or 1 months 3 days."""
    if kind.is_months:
        return _interval_words(kind, _months_text(kind, value))
    if kind.is_micros:
        return _interval_words(kind, _micros_text(kind, value))
    return calendar_text(*value)


def calendar_text(months: int, days: int, micros: int) -> str:
    """1 years 2 months 3 days 4 hours 5 minutes 6.5 seconds, without units that are 0."""
    years, months = truncating_divmod(months, 12)
    hours, rest = truncating_divmod(micros, 3_600_000_000)
    minutes, rest = truncating_divmod(rest, 60_000_000)
    parts = zip(
        (years, months, days, hours, minutes),
        ("years", "months", "days", "hours", "minutes"),
        strict=True,
    )
    texts = [f"{amount} {unit}" for amount, unit in parts if amount]
    if rest:
        texts.append(f"{_seconds_text(rest)} seconds")
    return " ".join(texts) or "0 seconds"


def truncating_divmod(number: int, by: int) -> tuple[int, int]:
    """The quotient, rounded towards 0, and the remainder, as / and % of Java."""
    whole = abs(number) // by
    whole = whole if number >= 0 else -whole
    return whole, number - whole * by


def interval_constant(parts: Sequence[tuple[str, str]]) -> tuple[SqlType, int]:
    """The type and value of amounts with their units: INTERVAL 3 DAYS 2 HOURS.

    Raises:
        StatementError: there is no such unit, months and days are mixed, or a value does not fit.
    """
    months, days, micros = calendar_interval(f"{amount} {unit}" for amount, unit in parts)
    units = [unit.lower().removesuffix("s") for _, unit in parts]
    names = [_STANDS_FOR.get(unit, unit) for unit in units]
    if all(name in MONTH_UNITS for name in names):
        return _interval_spanning(names, MONTH_UNITS), months
    if any(name in MONTH_UNITS for name in names):
        raise StatementError(
            "an INTERVAL mixes months and days, want one of both; make_interval() mixes them"
        )
    total = days * DAY + micros
    if not -_LONG <= total < _LONG:
        raise StatementError("the INTERVAL does not fit")
    return _interval_spanning(names, MICRO_UNITS), total


def calendar_interval(parts: Iterable[str]) -> tuple[int, int, int]:
    """Months, days and microseconds of texts such as "3 days" or "-1.5 seconds".

    Raises:
        StatementError: a text is not an amount and a unit.
    """
    months = days = micros = 0
    for part in parts:
        match = _PART.fullmatch(part.lower())
        unit = match[4].removesuffix("s") if match else ""
        if (
            match is None
            or not (match[2] or match[3])
            or (match[3] is not None and unit != "second")
        ):
            raise StatementError(f"INTERVAL '{part.strip()[:60]}' is not an amount and a unit")
        sign = -1 if match[1] == "-" else 1
        amount = sign * int(match[2] or 0)
        if unit in MONTHS_OF:
            months += amount * MONTHS_OF[unit]
        elif unit in ("day", "week"):
            days += amount * (7 if unit == "week" else 1)
        elif unit in MICROS_OF:
            micros += amount * MICROS_OF[unit] + sign * int((match[3] or "")[:6].ljust(6, "0"))
        else:
            raise StatementError(f"INTERVAL has no unit '{match[4]}'")
    if not (-_INT <= months < _INT and -_INT <= days < _INT and -_LONG <= micros < _LONG):
        raise StatementError("the INTERVAL does not fit")
    return months, days, micros


def split_amounts(text: str) -> list[tuple[str, str]]:
    """The amounts and units of a text such as "3 days 2 hours".

    Raises:
        StatementError: it is not a list of amounts and units.
    """
    rest = re.sub(r"^interval(?=\s)", "", text.strip().lower())
    parts: list[tuple[str, str]] = []
    at = 0
    while rest[at:].strip():
        match = _PART.match(rest, at)
        if match is None:
            raise StatementError(f"INTERVAL '{text[:60]}' is not a list of amounts and units")
        parts.append((match[0].rpartition(match[4])[0].strip(), match[4]))
        at = match.end()
    if not parts:
        raise StatementError(f"INTERVAL '{text[:60]}' is not a list of amounts and units")
    return parts


def read_interval(text: str, kind: SqlType) -> int | None:
    """The value of '1-2' or '3 02:00:00' in the units of a type; None if it is not of this form."""
    if kind.is_months:
        return _read_months(text, kind)
    return _read_micros(text, kind)


def strip_interval_words(text: str, kind: SqlType) -> str | None:
    """The text within INTERVAL '...' DAY TO SECOND; the text itself if it has no such words.

    None if the words name other units than those of the type.
    """
    match = re.fullmatch(
        r"interval\s+([+-])?'([^']*)'\s+(\w+(?:\s+to\s+\w+)?)", text.strip(), re.IGNORECASE
    )
    if match is None:
        return text.strip()
    units = " ".join(match[3].lower().split())
    if f"interval {units}" != kind.name:
        return None
    inner = match[2].strip()
    if match[1] != "-":
        return inner
    return inner[1:] if inner.startswith("-") else f"-{inner.removeprefix('+')}"


def _read_months(text: str, kind: SqlType) -> int | None:
    form = r"([+-]?)(\d{1,9})-(\d{1,2})" if kind.units == MONTH_UNITS else r"([+-]?)(\d{1,10})()"
    match = re.fullmatch(form, text.strip())
    if match is None or int(match[3] or 0) > 11:
        return None
    step = 1 if kind.units[0] == "month" else 12
    months = int(match[2]) * step + int(match[3] or 0)
    months = -months if match[1] == "-" else months
    return months if -_INT <= months < _INT else None


def _read_micros(text: str, kind: SqlType) -> int | None:
    units = units_between(*kind.units)
    form = "".join(
        ("" if place == 0 else _JOINTS[unit]) + _NUMBERS[unit] for place, unit in enumerate(units)
    )
    match = re.fullmatch(rf"(?P<sign>[+-]?){form}", text.strip())
    if match is None:
        return None
    given = {unit: int(match[unit]) for unit in units}
    if any(given[unit] > _MOST[unit] for unit in units[1:]):
        return None
    micros = sum(amount * MICROS_OF[unit] for unit, amount in given.items())
    if "second" in given:
        micros += int((match["fraction"] or "")[:6].ljust(6, "0"))
    micros = -micros if match["sign"] == "-" else micros
    return micros if -_LONG <= micros < _LONG else None


def units_between(first: str, last: str) -> Sequence[str]:
    """The units from days to seconds that lie between two, both included."""
    return MICRO_UNITS[MICRO_UNITS.index(first) : MICRO_UNITS.index(last) + 1]


def _interval_spanning(names: Sequence[str], units: Sequence[str]) -> SqlType:
    places = [units.index(name) for name in names]
    return interval_of(units[min(places)], units[max(places)])


def _interval_words(kind: SqlType, inner: str) -> str:
    return f"INTERVAL '{inner}' {kind.name.removeprefix('interval ').upper()}"


def _months_text(kind: SqlType, months: int) -> str:
    if kind.units == ("month", "month"):
        return str(months)
    years = f"{'-' if months < 0 else ''}{abs(months) // 12}"
    return years if kind.units == ("year", "year") else f"{years}-{abs(months) % 12}"


def _micros_text(kind: SqlType, micros: int) -> str:
    rest = abs(micros)
    parts = ["-" if micros < 0 else ""]
    for place, unit in enumerate(units_between(*kind.units)):
        if place:
            parts.append(_JOINTS[unit])
        if unit == "second":
            parts.append(("0" if rest < 10_000_000 else "") + _seconds_text(rest))
            continue
        amount, rest = divmod(rest, MICROS_OF[unit])
        parts.append(f"{amount:02d}" if unit != "day" else str(amount))
    return "".join(parts)


def _seconds_text(micros: int) -> str:
    return f"{Decimal(micros).scaleb(-6).normalize():f}"
