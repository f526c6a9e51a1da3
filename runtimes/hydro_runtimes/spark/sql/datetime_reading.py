"""Texts read by a pattern: a regular expression finds the fields, which are then resolved.

Source: java.time.format.DateTimeFormatterBuilder, with resolver style STRICT and the locale en-US.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import tzinfo
from functools import lru_cache

from hydro_runtimes.spark.sql import calendar, zones
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.pattern_letters import MONTHS, PatternPart, parse_pattern


@lru_cache(maxsize=256)
def pattern_regex(pattern: str) -> re.Pattern[str]:
    """The regular expression of texts that follow a pattern; a group for each field.

    The name of a group is the letter of its field and a number.

    Raises:
        StatementError: the pattern has a letter that is for writing only.
    """
    parts = parse_pattern(pattern)
    regexes: list[str] = []
    seen: set[str] = set()
    for place, part in enumerate(parts):
        if part.letter == "[":  # what stands in brackets may be missing
            regexes.append("(?:")
        elif part.letter == "]":
            regexes.append(")?")
        elif not part.letter:
            regexes.append(re.escape(part.text))
        else:
            # A number right before another has exactly as many digits as letters: yyyyMMdd.
            after = parts[place + 1].letter if place + 1 < len(parts) else ""
            adjacent = bool(after) and after in "yMLdDHhKkmsS"
            name = f"{part.letter}{len(seen)}"
            seen.add(name)
            regexes.append(f"(?P<{name}>{_part_regex(part, adjacent, pattern)})")
    return re.compile("".join(regexes), re.IGNORECASE)


def _part_regex(part: PatternPart, adjacent: bool, pattern: str) -> str:
    letter, count = part.letter, part.count
    match letter:
        case "y":
            if count == 2:
                return r"\d{2}"
            # Four letters or more mean exactly as many digits; fewer mean at least as many.
            return rf"\d{{{count}}}" if adjacent or count > 3 else rf"\d{{{count},}}"
        case "M" | "L" if count >= 3:
            return "|".join(name[: 3 if count == 3 else 9] for name in MONTHS)
        case "M" | "L" | "d" | "H" | "h" | "K" | "k" | "m" | "s":
            return rf"\d{{{count}}}" if count == 2 or adjacent else r"\d{1,2}"
        case "D":
            return rf"\d{{{count}}}" if count == 3 or adjacent else rf"\d{{{count},3}}"
        case "S":
            return rf"\d{{1,{count}}}" if not adjacent else rf"\d{{{count}}}"
        case "a":
            return "AM|PM"
        case "G":
            return "AD|BC" if count < 4 else "Anno Domini|Before Christ"
        case "X" | "x" | "Z" | "O":
            return r"Z|(?:GMT)?[+-]\d{1,2}(?::?\d{2})?(?::?\d{2})?|GMT"
        case "V" | "z":
            return r"[A-Za-z][A-Za-z0-9_/+:-]*|[+-]\d{2}:\d{2}"
    raise StatementError(f"'{letter}' in '{pattern[:60]}' is only for writing, not for reading")


def resolve_instant(fields: Mapping[str, str], zone: tzinfo) -> int | None:
    given = {name[0].replace("L", "M"): value for name, value in fields.items()}
    days = _resolve_days(given, fields)
    micros = _resolve_micros(given)
    if days is None or micros is None:
        return None
    for letter in "VzXxZO":
        if letter in given:
            try:
                zone = zones.zone_of(given[letter].upper() if letter in "XxZO" else given[letter])
            except StatementError:
                return None
    return zones.instant_of(days * DAY + micros, zone)


def _resolve_days(given: Mapping[str, str], fields: Mapping[str, str]) -> int | None:
    written = given.get("y", "1970")
    year = int(written) + (2000 if "y" in given and len(written) == 2 and _is_short(fields) else 0)
    if given.get("G", "").upper() in ("BC", "BEFORE CHRIST"):
        year = 1 - year
    if "D" in given and "M" not in given:
        of_year = int(given["D"])
        length = 366 if calendar.is_leap(year) else 365
        return calendar.days_of(year, 1, 1) + of_year - 1 if 1 <= of_year <= length else None
    month = _month_number(given.get("M", "1"))
    day = int(given.get("d", "1"))
    return calendar.days_of(year, month, day) if calendar.is_date(year, month, day) else None


def _is_short(fields: Mapping[str, str]) -> bool:
    return any(name[0] == "y" and len(value) == 2 for name, value in fields.items())


def _month_number(text: str) -> int:
    if text.isdigit():
        return int(text)
    return next(i for i, name in enumerate(MONTHS, 1) if name.lower().startswith(text.lower()))


def _resolve_micros(given: Mapping[str, str]) -> int | None:
    """The microseconds of the day; None if a field is out of its range.

    The hour comes from the first of H (0-23), k (1-24), h (1-12 with a) and K (0-11 with a) that is
    there.
    """
    hour = 0
    if "H" in given:
        hour = int(given["H"])
    elif "k" in given:
        hour = int(given["k"]) % 24
        if not 1 <= int(given["k"]) <= 24:
            return None
    elif "h" in given or "K" in given:
        half = int(given.get("h") or given["K"])
        if not (1 <= half <= 12 if "h" in given else 0 <= half <= 11):
            return None
        hour = half % 12 + (12 if given.get("a", "").upper() == "PM" else 0)
    minute, second = int(given.get("m", "0")), int(given.get("s", "0"))
    if hour > 23 or minute > 59 or second > 59:
        return None
    fraction = int(given.get("S", "0")[:6].ljust(6, "0"))
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction
