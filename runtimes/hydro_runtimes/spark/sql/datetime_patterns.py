"""Patterns of dates and times, such as yyyy-MM-dd, to write and to read texts by.

Source: Spark's sql-ref-datetime-pattern, 4.3.0; java.time.format.DateTimeFormatterBuilder, with
resolver style STRICT and the locale en-US.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from hydro_runtimes.spark.sql import calendar, zones
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.errors import StatementError

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_QUARTERS = ("1st quarter", "2nd quarter", "3rd quarter", "4th quarter")
_MAX_LETTERS: Mapping[str, int] = {
    **dict.fromkeys("yS", 9),
    **dict.fromkeys("MLQqEGz", 4),
    **dict.fromkeys("dHhKkms", 2),
    **dict.fromkeys("XxZ", 5),
    **{"D": 3, "F": 1, "a": 1, "V": 2, "O": 4},
}
_PIECE = re.compile(r"([A-Za-z])\1*|'((?:[^']|'')*)'|([\[\]])|([^A-Za-z'\[\]]+)")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of one letter, or what stands as it is."""

    letter: str
    """"" for a text, [ and ] for the bounds of what may be missing."""
    count: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class _Clock:
    """What clocks of a zone show."""

    days: int
    micros: int
    """Of the day."""
    zone: tzinfo
    offset: int
    """Microseconds ahead of UTC."""

    @property
    def hour(self) -> int:
        return self.micros // 3_600_000_000


class DateTimePattern:
    """A pattern, made once."""

    def __init__(self, pattern: str) -> None:
        """Raises StatementError where it is none that Spark takes."""
        self.pattern = pattern
        self._pieces = _parse_pattern(pattern)

    def format_instant(self, micros: int, zone: tzinfo) -> str:
        """The text of an instant in a zone."""
        offset = zones.offset_at(micros, zone)
        days, rest = divmod(micros + offset, DAY)
        clock = _Clock(days, rest, zone, offset)
        # Without an era, years before the first are 0, -1, ...
        of_era = any(piece.letter == "G" for piece in self._pieces)
        return "".join(_format_piece(piece, clock, of_era) for piece in self._pieces)

    def parse_instant(self, text: str, zone: tzinfo) -> int | None:
        """The instant of a text; None where it does not follow the pattern.

        Fields that the pattern lacks are those of 1970-01-01 00:00 in the zone.
        """
        match = _pattern_regex(self.pattern).fullmatch(text)
        if match is None:
            return None
        return _resolve_instant(
            {name: value for name, value in match.groupdict().items() if value}, zone
        )


@lru_cache(maxsize=256)
def datetime_pattern(pattern: str) -> DateTimePattern:
    """The pattern of a text.

    Raises:
        StatementError: it is none that Spark takes.
    """
    return DateTimePattern(pattern)


def _parse_pattern(pattern: str) -> tuple[_Piece, ...]:
    made: list[_Piece] = []
    at = 0
    while at < len(pattern):
        match = _PIECE.match(pattern, at)
        if match is None or set(match[4] or "") & set("{}#"):
            raise _unsupported_part(pattern, pattern[at])
        at = match.end()
        if match[1] is None:
            quoted = match[2]
            text = (quoted.replace("''", "'") or "'") if quoted is not None else match[4] or ""
            made.append(_Piece(match[3] or "", 0, text))
            continue
        letter, count = match[1], len(match[0])
        limit = _MAX_LETTERS.get(letter, 0)
        if (
            count > limit
            or (letter == "V" and count != 2)
            or (letter == "O" and count not in (1, 4))
        ):
            raise _unsupported_part(pattern, match[0])
        made.append(_Piece(letter, count))
    return tuple(made)


def _unsupported_part(pattern: str, part: str) -> StatementError:
    return StatementError(f"'{part}' in the datetime pattern '{pattern[:60]}' is not supported")


def _format_piece(piece: _Piece, clock: _Clock, of_era: bool) -> str:
    letter, count = piece.letter, piece.count
    if letter in ("", "[", "]"):
        return piece.text
    if letter in "yMLdDEQqFG":
        return _date_part(letter, count, clock, of_era)
    if letter in "HhKkmsSa":
        return _time_part(letter, count, clock)
    return _zone_part(letter, count, clock)


def _date_part(letter: str, count: int, clock: _Clock, of_era: bool) -> str:
    year, month, day = calendar.date_of(clock.days)
    match letter:
        case "y":
            shown = 1 - year if of_era and year < 1 else year
            if count == 2:
                return f"{shown % 100 if of_era else abs(shown) % 100:02d}"
            sign = "-" if shown < 0 else "+" if count >= 4 and shown > 10**count - 1 else ""
            return f"{sign}{abs(shown):0{count}d}"
        case "M" | "L":
            return (
                f"{month:0{count}d}" if count < 3 else MONTHS[month - 1][: 3 if count == 3 else 9]
            )
        case "d":
            return f"{day:0{count}d}"
        case "D":
            return f"{calendar.day_of_year(clock.days):0{count}d}"
        case "E":
            return DAYS[calendar.weekday_of(clock.days)][: 3 if count < 4 else 9]
        case "F":
            return str((day - 1) % 7 + 1)
        case "G":
            era = "AD" if year > 0 else "BC"
            return era if count < 4 else {"AD": "Anno Domini", "BC": "Before Christ"}[era]
    quarter = (month + 2) // 3
    if count < 3:
        return f"{quarter:0{count}d}"
    return f"Q{quarter}" if count == 3 else _QUARTERS[quarter - 1]


def _time_part(letter: str, count: int, clock: _Clock) -> str:
    hour = clock.hour
    if letter == "S":
        return f"{clock.micros % 1_000_000:06d}000"[:count]
    if letter == "a":
        return "AM" if hour < 12 else "PM"
    number = {
        "H": hour,
        "k": hour or 24,
        "K": hour % 12,
        "h": hour % 12 or 12,
        "m": clock.micros // 60_000_000 % 60,
        "s": clock.micros // 1_000_000 % 60,
    }[letter]
    return f"{number:0{count}d}"


def _zone_part(letter: str, count: int, clock: _Clock) -> str:
    if letter == "V":
        return _zone_name(clock.zone)
    if letter == "z":
        return _zone_short(clock, count)
    seconds = clock.offset // 1_000_000
    sign, rest = ("-", -seconds) if seconds < 0 else ("+", seconds)
    hours, minutes, odd = rest // 3600, rest // 60 % 60, rest % 60
    if letter == "O" or (letter == "Z" and count == 4):
        if not seconds:
            return "GMT"
        if count == 4:
            return f"GMT{sign}{hours:02d}:{minutes:02d}"
        return f"GMT{sign}{hours}" + (f":{minutes:02d}" if minutes else "")
    if (letter == "X" or (letter == "Z" and count == 5)) and not seconds:
        return "Z"
    form = {"Z": {5: 3}}.get(letter, {}).get(count, 2 if letter == "Z" else count)
    if form == 1:
        return f"{sign}{hours:02d}" + (f"{minutes:02d}" if minutes else "")
    colon = ":" if form in (3, 5) else ""
    more = f"{colon}{odd:02d}" if form >= 4 and odd else ""
    return f"{sign}{hours:02d}{colon}{minutes:02d}{more}"


def _zone_name(zone: tzinfo) -> str:
    return "UTC" if zone is UTC else str(getattr(zone, "key", zone)).removeprefix("UTC") or "Z"


def _zone_short(clock: _Clock, count: int) -> str:
    if count == 4:
        raise StatementError("the datetime pattern 'zzzz' (full names of zones) is not supported")
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        days=clock.days, microseconds=clock.micros - clock.offset
    )
    return instant.astimezone(clock.zone).tzname() or "UTC"


@lru_cache(maxsize=256)
def _pattern_regex(pattern: str) -> re.Pattern[str]:
    pieces = _parse_pattern(pattern)
    parts: list[str] = []
    seen: set[str] = set()
    for place, piece in enumerate(pieces):
        if piece.letter == "[":
            parts.append("(?:")
        elif piece.letter == "]":
            parts.append(")?")
        elif not piece.letter:
            parts.append(re.escape(piece.text))
        else:
            after = pieces[place + 1].letter if place + 1 < len(pieces) else ""
            adjacent = bool(after) and after in "yMLdDHhKkmsS"
            name = f"{piece.letter}{len(seen)}"
            seen.add(name)
            parts.append(f"(?P<{name}>{_piece_regex(piece, adjacent, pattern)})")
    return re.compile("".join(parts), re.IGNORECASE)


def _piece_regex(piece: _Piece, adjacent: bool, pattern: str) -> str:
    letter, count = piece.letter, piece.count
    match letter:
        case "y":
            if count == 2:
                return r"\d{2}"
            # A year of four digits takes more only with a plus before it.
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


def _resolve_instant(fields: Mapping[str, str], zone: tzinfo) -> int | None:
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
    """Of the day; None where a field is out of its range."""
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
