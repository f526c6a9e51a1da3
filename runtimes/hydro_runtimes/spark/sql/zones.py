"""Time zones, and the texts of dates and timestamps that Spark casts from and to.

Source: java.time.ZoneId; org.apache.spark.sql.catalyst.util.{SparkDateTimeUtils,
TimestampFormatter}, 4.3.0.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hydro_runtimes.spark.sql import calendar
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.errors import StatementError

_EPOCH = datetime(1970, 1, 1)
_FIRST, _LAST = calendar.days_of(1, 1, 2) * DAY, calendar.days_of(9999, 12, 30) * DAY
_OFFSET = re.compile(r"(?:UTC|GMT|UT)?([+-])(?!\d{3}$|\d{5}$)(\d{1,2})(?::?(\d{2}))?(?::?(\d{2}))?")
_DATE = re.compile(r"([+-]?\d{4,7})(?:-(\d{1,2})(?:-(\d{1,2})(?:[ T].*)?)?)?", re.DOTALL)
_TIMESTAMP = re.compile(
    r"([+-]?\d{4,6})(?:-(\d{1,2})(?:-(\d{1,2})"
    r"(?:[ T](?:(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:\.(\d*))?)?)?)? *([^\d ].*)?)?)?)?"
)
_CLOCK = re.compile(r"T?\d{1,2}:")
_TRIMMED = "".join(map(chr, [*range(33), 127]))
"""The blanks and control characters that Spark trims from texts (UTF8String.trimAll)."""


@lru_cache(maxsize=1024)
def zone_of(name: str) -> tzinfo:
    """A zone by its name or offset: Europe/Berlin, UTC, Z, +02:00, GMT-8.

    Raises:
        StatementError: there is no such zone.
    """
    # One object for all of them: `zone is UTC` is the quick way everywhere else.
    if name in ("Z", "UTC", "GMT", "UT", "Etc/UTC"):
        return UTC
    if match := _OFFSET.fullmatch(name):
        hours, minutes, seconds = (int(match[i] or 0) for i in (2, 3, 4))
        offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
        # 18 hours is java.time's limit.
        if offset <= timedelta(hours=18) and minutes < 60 and seconds < 60:
            return timezone(-offset if match[1] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise StatementError(f"there is no time zone '{name[:60]}'") from None


def offset_at(micros: int, zone: tzinfo) -> int:
    """Microseconds by which the clocks of a zone are ahead of UTC at an instant."""
    if zone is UTC:
        return 0
    # Python's datetime ends at the years 1 and 9999; beyond them, the offset is that of the ends.
    instant = _EPOCH + timedelta(microseconds=min(max(micros, _FIRST), _LAST))
    return _offset_micros(instant.replace(tzinfo=UTC).astimezone(zone).utcoffset())


def local_of(micros: int, zone: tzinfo) -> int:
    """What the clocks of a zone show at an instant, as microseconds since 1970-01-01 00:00."""
    return micros + offset_at(micros, zone)


def instant_of(local: int, zone: tzinfo, offset: int | None = None) -> int:
    """The instant at which the clocks of a zone show this; both in microseconds since 1970.

    Of two instants it is the earlier one, unless the later one has the given offset (microseconds
    ahead of UTC). If the clocks skip this time, the instant is later by the length of the gap.
    Source: java.time.ZonedDateTime.ofLocal.
    """
    if zone is UTC:
        return local
    shown = (_EPOCH + timedelta(microseconds=min(max(local, _FIRST), _LAST))).replace(tzinfo=zone)
    # fold=0 is the offset before a change, fold=1 that after it. In an overlap the former gives the
    # earlier instant; in a gap it moves the time on by the gap's length, as java.time does.
    first, second = (_offset_micros(shown.replace(fold=fold).utcoffset()) for fold in (0, 1))
    return local - (second if offset == second < first else first)


def day_start(days: int, zone: tzinfo) -> int:
    """The instant at which a day begins in a zone."""
    return instant_of(days * DAY, zone)


def date_text(days: int) -> str:
    """2020-01-31; a year outside of 0 to 9999 has a sign."""
    year, month, day = calendar.date_of(days)
    return f"{_year_text(year)}-{month:02d}-{day:02d}"


def timestamp_text(micros: int, zone: tzinfo) -> str:
    """2020-01-31 10:11:12.5; the fraction has no zeros at its end."""
    # Floored, so that times before 1970 have a positive rest.
    days, rest = divmod(local_of(micros, zone), DAY)
    seconds, fraction = divmod(rest, 1_000_000)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    after = f".{fraction:06d}".rstrip("0") if fraction else ""
    return f"{date_text(days)} {clock}{after}"


def parse_date(text: str) -> int | None:
    """The days of 2020-01-31, 2020-01 or 2020; a time of day is ignored. None if it is no date."""
    match = _DATE.fullmatch(text.strip(_TRIMMED))
    if match is None:
        return None
    year, month, day = int(match[1]), int(match[2] or 1), int(match[3] or 1)
    if not calendar.is_date(year, month, day):
        return None
    days = calendar.days_of(year, month, day)
    return days if calendar.MIN_DAY <= days <= calendar.MAX_DAY else None


def parse_clock(text: str, zone: tzinfo) -> int | None:
    """What clocks show at 2020-01-31 10:11:12.5, ignoring a zone; None if it is no timestamp."""
    match = _TIMESTAMP.fullmatch(text.strip(_TRIMMED))
    if match is None or (match[8] and parse_timestamp(text, zone) is None):
        return None
    whole = text.strip(_TRIMMED)
    return parse_timestamp(whole[: match.start(8)] if match[8] else whole, UTC)


def parse_timestamp(text: str, zone: tzinfo) -> int | None:
    """The instant of 2020-01-31 10:11:12.5+02:00 or a part of it; None if it is no timestamp.

    A time without a date is one of today, as in Spark.

    Args:
        text: with a zone or without one.
        zone: of a text without one.
    """
    text = text.strip(_TRIMMED)
    if _CLOCK.match(text):
        text = f"{datetime.now(zone):%Y-%m-%d} {text.removeprefix('T')}"
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    year, month, day = int(match[1]), int(match[2] or 1), int(match[3] or 1)
    hour, minute, second = (int(match[i] or 0) for i in (4, 5, 6))
    if not calendar.is_date(year, month, day) or hour > 23 or minute > 59 or second > 59:
        return None
    # Digits beyond microseconds are cut off, not rounded, as Spark does.
    fraction = int((match[7] or "0")[:6].ljust(6, "0"))
    if match[8]:
        if match[4] is None:
            return None
        try:
            zone = zone_of(match[8].strip())
        except StatementError:
            return None
    seconds = hour * 3600 + minute * 60 + second
    local = calendar.days_of(year, month, day) * DAY + seconds * 1_000_000 + fraction
    found = instant_of(local, zone)
    # Spark has microseconds in a long: years up to 294,247.
    return found if -(2**63) <= found < 2**63 else None


def trim_text(text: str) -> str:
    """The text without blanks and control characters at both ends (UTF8String.trimAll)."""
    return text.strip(_TRIMMED)


def _year_text(year: int) -> str:
    if 0 <= year <= 9999:
        return f"{year:04d}"
    return f"+{year}" if year > 0 else f"-{-year:04d}"


def _offset_micros(offset: timedelta | None) -> int:
    return round((offset or timedelta()).total_seconds() * 1_000_000)
