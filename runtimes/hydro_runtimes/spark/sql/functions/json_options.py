"""The options of to_json and from_json: how dates and timestamps are written.

Source: org.apache.spark.sql.catalyst.expressions.jsonExpressions, 4.3.0;
org.apache.spark.sql.catalyst.json.JSONOptions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hydro_runtimes.spark.sql.binding import (
    constant_of,
)
from hydro_runtimes.spark.sql.datetime_patterns import DateTimePattern, datetime_pattern
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.types import (
    SqlType,
)
from hydro_runtimes.spark.sql.values import Typed


class Formats(NamedTuple):
    """Patterns of times in JSON; None for that of ISO 8601."""

    date: str | None = None
    timestamp: str | None = None
    timestamp_ntz: str | None = None

    def of_type(self, kind: SqlType) -> DateTimePattern | None:
        """The pattern for values of a type, if one is given."""
        text = getattr(self, kind.name) if kind.name in self._fields else None
        return None if text is None else datetime_pattern(text)


ISO_FORMATS = Formats()
FORMAT_OPTIONS = ("dateFormat", "timestampFormat", "timestampNTZFormat")


def read_formats(options: Mapping[str, str]) -> Formats:
    formats = Formats(*(options.get(name.lower()) for name in FORMAT_OPTIONS))
    for pattern in formats:
        if pattern is not None:
            datetime_pattern(pattern)
    return formats


def read_options(arguments: Sequence[Typed], known: Sequence[str]) -> Mapping[str, str]:
    """The options of a function, by lower-case names.

    Raises:
        StatementError: they are not a map of constants, or an option is not supported.
    """
    if not arguments:
        return {}
    pairs = constant_of(arguments[0], "the map of options")
    if arguments[0].type.name != "map" or pairs is None:
        raise StatementError("the options are not a map")
    options = {str(name).lower(): str(value) for name, value in pairs}
    unknown = sorted(set(options) - {name.lower() for name in known})
    if unknown:
        raise StatementError(f"the option '{unknown[0]}' is not supported, want {', '.join(known)}")
    return options
