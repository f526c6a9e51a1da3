"""The settings that change the meaning of a statement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo


@dataclass(frozen=True, slots=True)
class Mode:
    """The settings of the session that a statement is evaluated with."""

    ansi: bool
    zone: tzinfo
    """spark.sql.session.timeZone."""
    utf8_words: bool = True
