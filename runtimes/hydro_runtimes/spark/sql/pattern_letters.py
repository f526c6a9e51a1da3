"""The parts of a pattern of dates and times: runs of letters, and texts.

Source: Spark's sql-ref-datetime-pattern, 4.3.0;
org.apache.spark.sql.catalyst.util.DateTimeFormatterHelper.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

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
_MAX_LETTERS: Mapping[str, int] = {
    **dict.fromkeys("yS", 9),
    **dict.fromkeys("MLQqEGz", 4),
    **dict.fromkeys("dHhKkms", 2),
    **dict.fromkeys("XxZ", 5),
    **{"D": 3, "F": 1, "a": 1, "V": 2, "O": 4},
}
"""The most letters in a run; letters that are not here are refused."""
_PART = re.compile(r"([A-Za-z])\1*|'((?:[^']|'')*)'|([\[\]])|([^A-Za-z'\[\]]+)")


@dataclass(frozen=True, slots=True)
class PatternPart:
    """A run of one letter, such as yyyy, or a text that stands for itself."""

    letter: str
    """"" for a text; [ and ] are the bounds of what may be missing."""
    count: int
    text: str = ""


def parse_pattern(pattern: str) -> tuple[PatternPart, ...]:
    made: list[PatternPart] = []
    at = 0
    while at < len(pattern):
        match = _PART.match(pattern, at)
        if match is None or set(match[4] or "") & set("{}#"):
            raise _unsupported_part(pattern, pattern[at])
        at = match.end()
        if match[1] is None:
            quoted = match[2]
            text = (quoted.replace("''", "'") or "'") if quoted is not None else match[4] or ""
            made.append(PatternPart(match[3] or "", 0, text))
            continue
        # VV is the only form of a zone's name, and O and OOOO those of an offset with GMT.
        letter, count = match[1], len(match[0])
        limit = _MAX_LETTERS.get(letter, 0)
        if (
            count > limit
            or (letter == "V" and count != 2)
            or (letter == "O" and count not in (1, 4))
        ):
            raise _unsupported_part(pattern, match[0])
        made.append(PatternPart(letter, count))
    return tuple(made)


def _unsupported_part(pattern: str, part: str) -> StatementError:
    return StatementError(f"'{part}' in the datetime pattern '{pattern[:60]}' is not supported")
