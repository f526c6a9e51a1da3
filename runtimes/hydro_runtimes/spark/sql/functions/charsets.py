"""encode and decode: texts and their bytes in a character set.

Source: org.apache.spark.sql.catalyst.expressions.stringExpressions, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydro_runtimes.spark.sql.binding import (
    Function,
    row_function,
)
from hydro_runtimes.spark.sql.errors import RowError
from hydro_runtimes.spark.sql.logic import case_when
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.ordering import null_safe_equal
from hydro_runtimes.spark.sql.types import (
    BINARY,
    STRING,
    SqlType,
)
from hydro_runtimes.spark.sql.values import (
    Typed,
    constant_value,
)


def _bind_decode(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds decode(bytes, charset) or decode(x, search, result, ..., default)."""
    if len(arguments) == 2:
        return _charset_function(bytes.decode, BINARY, STRING).bind(arguments, mode)
    child, *rest = arguments
    pairs = list(zip(rest[::2], rest[1::2], strict=False))
    default = rest[-1] if len(rest) % 2 else _null_text()
    tests = [null_safe_equal((child, search), mode) for search, _ in pairs]
    return case_when(tests, [*(result for _, result in pairs), default], mode)


def _null_text() -> Typed:
    return Typed(STRING, lambda rows: constant_value(STRING, None, rows.count), foldable=True)


_CHARSETS = {"US-ASCII", "ISO-8859-1", "UTF-8", "UTF-16BE", "UTF-16LE", "UTF-16", "UTF-32"}


def _charset_function(change: Callable[..., Any], takes: SqlType, gives: SqlType) -> Function:
    def compute(value: Any, name: str) -> Any:
        if name.upper() not in _CHARSETS:
            raise RowError(f"INVALID_PARAMETER_VALUE: '{name}' is not a charset that Spark knows")
        try:
            if not value:  # no mark of the order of bytes either
                return change(value, "utf-8")
            if name.upper() == "UTF-16" and gives == BINARY:
                return b"\xfe\xff" + change(value, "utf-16be")
            return change(value, name.lower(), "strict")
        except UnicodeError:
            raise RowError(f"MALFORMED_CHARACTER_CODING: the value is not {name}") from None

    return row_function(compute, [takes, STRING], gives)


CHARSETS: Mapping[str, Function] = {
    "decode": Function(_bind_decode, 2, 1000),
    "encode": _charset_function(str.encode, STRING, BINARY),
}
"""By Spark's name."""
