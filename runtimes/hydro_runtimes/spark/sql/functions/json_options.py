"""The options of to_json and from_json: how dates and timestamps are written.

Source: org.apache.spark.sql.catalyst.expressions.jsonExpressions, 4.3.0;
org.apache.spark.sql.catalyst.json.JSONOptions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hydro_runtimes.spark.sql import zones
from hydro_runtimes.spark.sql.binding import (
    constant_of,
)
from hydro_runtimes.spark.sql.datetime_patterns import DateTimePattern, datetime_pattern
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.functions.json_texts import SPARK_JSON, Dialect
from hydro_runtimes.spark.sql.mode import Mode
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
DIALECT_OPTIONS = {
    "allowComments": "comments",
    "allowUnquotedFieldNames": "unquoted_names",
    "allowSingleQuotes": "single_quotes",
    "allowNumericLeadingZeros": "leading_zeros",
    "allowNonNumericNumbers": "named_numbers",
    "allowBackslashEscapingAnyCharacter": "any_escape",
    "allowUnquotedControlChars": "control_chars",
}
"""By Spark's name: the field of `Dialect`."""
FORMAT_OPTIONS = ("dateFormat", "timestampFormat", "timestampNTZFormat")


def read_formats(options: Mapping[str, str]) -> Formats:
    formats = Formats(*(options.get(name.lower()) for name in FORMAT_OPTIONS))
    for pattern in formats:
        if pattern is not None:
            datetime_pattern(pattern)
    return formats


def read_dialect(options: Mapping[str, str]) -> Dialect:
    """What a text of JSON may have beyond the standard.

    Raises:
        StatementError: an option is neither true nor false.
    """
    given = {
        field: read_flag(options, name, getattr(SPARK_JSON, field))
        for name, field in DIALECT_OPTIONS.items()
    }
    return Dialect(**given)


def read_flag(options: Mapping[str, str], name: str, default: bool) -> bool:
    """An option that is true or false.

    Raises:
        StatementError: it is neither.
    """
    text = options.get(name.lower(), str(default)).lower()
    if text not in ("true", "false"):
        raise StatementError(f"the option '{name}' is '{text[:40]}', want true or false")
    return text == "true"


def read_zone(options: Mapping[str, str], mode: Mode) -> Mode:
    """The mode with the time zone of the options, if they have one."""
    zone = options.get("timezone")
    return mode if zone is None else Mode(mode.ansi, zones.zone_of(zone))


def read_options(arguments: Sequence[Typed], refused: Sequence[str]) -> Mapping[str, str]:
    """The options of a function, by lower-case names; those that Spark has not count for nothing.

    Raises:
        StatementError: they are not a map of constants, or an option is not supported.
    """
    if not arguments:
        return {}
    pairs = constant_of(arguments[0], "the map of options")
    if arguments[0].type.name != "map" or pairs is None:
        raise StatementError("the options are not a map")
    options = {str(name).lower(): str(value) for name, value in pairs}
    for name in refused:
        if name.lower() in options:
            raise StatementError(f"the option '{name}' is not supported")
    return options
