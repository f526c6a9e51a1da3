"""Instants written by a pattern.

Source: java.time.format.DateTimeFormatterBuilder, with the locale en-US.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from hydro_runtimes.spark.sql import calendar, zones
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.pattern_letters import DAYS, MONTHS, PatternPart

_QUARTERS = ("1st quarter", "2nd quarter", "3rd quarter", "4th quarter")


@dataclass(frozen=True, slots=True)
class _Clock:
    """What the clocks of a zone show at an instant."""

    days: int
    micros: int
    """Since the start of the day."""
    zone: tzinfo
    offset: int
    """Microseconds ahead of UTC."""

    @property
    def hour(self) -> int:
        return self.micros // 3_600_000_000


def write_parts(parts: Sequence[PatternPart], micros: int, zone: tzinfo) -> str:
    """The text of an instant in a zone, by the parts of a pattern.

    Args:
        parts: of the pattern.
        micros: microseconds since 1970-01-01 00:00 UTC.
        zone: whose clocks are shown.

    Raises:
        StatementError: a part cannot be written here.
    """
    offset = zones.offset_at(micros, zone)
    days, rest = divmod(micros + offset, DAY)
    clock = _Clock(days, rest, zone, offset)
    # With an era, years before the first are 1 BC, 2 BC, ...; without one they are 0, -1, ...
    has_era = any(part.letter == "G" for part in parts)
    return "".join(_format_part(part, clock, has_era) for part in parts)


def _format_part(part: PatternPart, clock: _Clock, has_era: bool) -> str:
    letter, count = part.letter, part.count
    if letter in ("", "[", "]"):
        return part.text
    if letter in "yMLdDEQqFG":
        return _date_part(letter, count, clock, has_era)
    if letter in "HhKkmsSa":
        return _time_part(letter, count, clock)
    return _zone_part(letter, count, clock)


def _date_part(letter: str, count: int, clock: _Clock, has_era: bool) -> str:
    year, month, day = calendar.date_of(clock.days)
    match letter:
        case "y":
            shown = 1 - year if has_era and year < 1 else year
            if count == 2:
                return f"{shown % 100 if has_era else abs(shown) % 100:02d}"
            # SignStyle.EXCEEDS_PAD: with four letters or more, a longer year has a plus.
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
    # The forms of X and x by the number of letters: 1 +hh[mm], 2 +hhmm, 3 +hh:mm, 4 +hhmm[ss], and
    # 5 +hh:mm[:ss]. Z, ZZ and ZZZ are as xx, and ZZZZZ as XXX.
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
