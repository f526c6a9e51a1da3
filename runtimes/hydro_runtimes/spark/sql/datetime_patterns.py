"""Patterns of dates and times, such as yyyy-MM-dd, by which texts are written and read.

Source: Spark's sql-ref-datetime-pattern, 4.3.0.
"""

from __future__ import annotations

from datetime import tzinfo
from functools import lru_cache

from hydro_runtimes.spark.sql.datetime_reading import pattern_regex, resolve_instant
from hydro_runtimes.spark.sql.datetime_writing import write_parts
from hydro_runtimes.spark.sql.pattern_letters import parse_pattern


class DateTimePattern:
    """A pattern, which is parsed once."""

    def __init__(self, pattern: str) -> None:
        """Raises StatementError if Spark does not accept the pattern."""
        self.pattern = pattern
        self._parts = parse_pattern(pattern)

    def format_instant(self, micros: int, zone: tzinfo) -> str:
        """The text of an instant (microseconds since 1970-01-01 00:00 UTC) in a zone."""
        return write_parts(self._parts, micros, zone)

    def parse_instant(self, text: str, zone: tzinfo) -> int | None:
        """The instant of a text; None if it does not follow the pattern.

        Fields that the pattern lacks are those of 1970-01-01 00:00 in the zone.
        """
        match = pattern_regex(self.pattern).fullmatch(text)
        if match is None:
            return None
        return resolve_instant(
            {name: value for name, value in match.groupdict().items() if value}, zone
        )


@lru_cache(maxsize=256)
def datetime_pattern(pattern: str) -> DateTimePattern:
    """The parsed pattern, from a cache.

    Raises:
        StatementError: Spark does not accept it.
    """
    return DateTimePattern(pattern)
