"""Functions that read and write dates and timestamps by a pattern.

Source: org.apache.spark.sql.catalyst.expressions.datetimeExpressions and
org.apache.spark.sql.catalyst.util.DateTimeUtils, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo

from hydro_runtimes.spark.sql import zones
from hydro_runtimes.spark.sql.binding import (
    Function,
    cast_to,
    constant_of,
    implicit_cast,
    require_type,
    row_by_row,
)
from hydro_runtimes.spark.sql.calendar import DAY
from hydro_runtimes.spark.sql.datetime_patterns import DateTimePattern, datetime_pattern
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.interval_texts import truncating_divmod
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    DATE,
    LONG,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    UNKNOWN,
    VOID,
    SqlType,
)
from hydro_runtimes.spark.sql.values import Typed, constant_value

_TIMES = (TIMESTAMP, TIMESTAMP_NTZ)
_DEFAULT = "yyyy-MM-dd HH:mm:ss"


def _bind_date_format(arguments: Sequence[Typed], mode: Mode) -> Typed:
    given = [
        implicit_cast(arguments[0], TIMESTAMP, mode),
        implicit_cast(arguments[1], STRING, mode),
    ]
    if given[1].foldable and (pattern := constant_of(given[1], "the pattern")) is not None:
        datetime_pattern(pattern)  # refused when the statement is loaded, not at each row
    return row_by_row(
        lambda at, p: _compile_pattern(p).format_instant(at, mode.zone), given, STRING
    )


def _compile_pattern(pattern: str) -> DateTimePattern:
    try:
        return datetime_pattern(pattern)
    except StatementError as error:
        raise RowError(f"INVALID_DATETIME_PATTERN: {error}") from None


def _pattern_argument(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """The pattern: the second argument, or Spark's default."""
    if len(arguments) > 1:
        return require_type(arguments[1], STRING, mode)
    return Typed(STRING, lambda rows: constant_value(STRING, _DEFAULT, rows.count), foldable=True)


def _parse_by_pattern(text: str, pattern: str, zone: tzinfo, quiet: bool) -> int | None:
    try:
        found = _compile_pattern(pattern).parse_instant(text, zone)
    except StatementError as error:
        raise RowError(f"INVALID_DATETIME_PATTERN: {error}") from None
    if found is None and not quiet:
        raise RowError(
            f"CANNOT_PARSE_TIMESTAMP: {text[:60]!r} is not of the form '{pattern}'; "
            "use try_to_timestamp to get null"
        )
    return found


def _moment_function(kind: SqlType, safe: bool = False) -> Function:
    """The function to_date or to_timestamp: a cast, or reading by a pattern."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = arguments[0]
        if child.type not in (STRING, VOID, UNKNOWN, DATE, *_TIMES):
            if child.type.is_number and kind == TIMESTAMP:
                if len(arguments) > 1:
                    raise StatementError(f"a pattern is for texts, got {child.type}")
            else:
                child = implicit_cast(child, STRING, mode)
        if len(arguments) == 1 or child.type not in (STRING, VOID):
            return cast_to(child, kind, mode, safe)
        pattern = arguments[1]
        quiet = safe or not mode.ansi
        zone = UTC if kind == TIMESTAMP_NTZ else mode.zone

        def read_text(text: str, form: str) -> int | None:
            found = _parse_by_pattern(text, form, zone, quiet)
            if found is None or kind != DATE:
                return found
            return zones.local_of(found, zone) // DAY

        given = [implicit_cast(child, STRING, mode), implicit_cast(pattern, STRING, mode)]
        return row_by_row(read_text, given, kind)

    return Function(bind, 1, 2, kind)


def _bind_unix_timestamp(arguments: Sequence[Typed], mode: Mode) -> Typed:
    if not arguments:
        raise StatementError("without an argument it depends on the time, not on the row")
    child = arguments[0]
    form = _pattern_argument(arguments, mode)
    if child.type == TIMESTAMP_NTZ:
        return row_by_row(lambda at: truncating_divmod(at, 1_000_000)[0], [child], LONG)
    if child.type in (DATE, TIMESTAMP):
        # Rounded towards 0; a cast to bigint rounds down.
        return row_by_row(
            lambda at: truncating_divmod(at, 1_000_000)[0], [cast_to(child, TIMESTAMP, mode)], LONG
        )

    def seconds_of_text(text: str, pattern: str) -> int | None:
        at = _parse_by_pattern(text, pattern, mode.zone, not mode.ansi)
        return None if at is None else at // 1_000_000

    return row_by_row(seconds_of_text, [require_type(child, STRING, mode), form], LONG)


def _bind_from_unixtime(arguments: Sequence[Typed], mode: Mode) -> Typed:
    return row_by_row(
        lambda seconds, form: _compile_pattern(form).format_instant(
            _wrap_long(seconds * 1_000_000), mode.zone
        ),
        [implicit_cast(arguments[0], LONG, mode), _pattern_argument(arguments, mode)],
        STRING,
    )


def _wrap_long(number: int) -> int:
    """The number as a long of Java, which wraps."""
    return (number + 2**63) % 2**64 - 2**63


DATETIME_TEXTS: Mapping[str, Function] = {
    "date_format": Function(_bind_date_format, 2, 2, STRING),
    "from_unixtime": Function(_bind_from_unixtime, 1, 2, STRING),
    "to_date": _moment_function(DATE),
    "to_timestamp": _moment_function(TIMESTAMP),
    "to_timestamp_ltz": _moment_function(TIMESTAMP),
    "to_timestamp_ntz": _moment_function(TIMESTAMP_NTZ),
    "to_unix_timestamp": Function(_bind_unix_timestamp, 1, 2, LONG),
    "try_to_date": _moment_function(DATE, safe=True),
    "try_to_timestamp": _moment_function(TIMESTAMP, safe=True),
    "unix_timestamp": Function(_bind_unix_timestamp, 0, 2, LONG),
}
"""By Spark's name."""
