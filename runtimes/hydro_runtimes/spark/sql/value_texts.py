"""The texts that values are cast to.

Source: org.apache.spark.sql.catalyst.expressions.ToStringBase, 4.3.0.
"""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from typing import Any

import numpy as np

from hydro_runtimes.spark.sql import java_text, zones
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.interval_texts import text_of_interval
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import BOOLEAN, STRING, SqlType
from hydro_runtimes.spark.sql.values import Value


def text_of(kind: SqlType, value: Any, mode: Mode) -> str:
    """The text that a value, which is not null, is cast to.

    Raises:
        StatementError: the type has none.
    """
    match kind.name:
        case "string":
            return str(value)
        case "boolean":
            return "true" if value else "false"
        case "float":
            return java_text.number_texts(np.array([value], np.float32))[0]
        case "double":
            return java_text.number_texts(np.array([value], np.float64))[0]
        case "decimal":
            # With ANSI Spark writes toPlainString, without it toString.
            return f"{value:f}" if mode.ansi else _scientific_text(value)
        case "date":
            return zones.date_text(int(value))
        case "timestamp":
            return zones.timestamp_text(int(value), mode.zone)
        case "timestamp_ntz":
            return zones.timestamp_text(int(value), UTC)
        case "binary":
            return bytes(value).decode(errors="replace")
        case "array":
            return f"[{', '.join(_text_of_part(kind.parts[0], one, mode) for one in value)}]"
        case "map":
            key, item = kind.parts
            pairs = (
                f"{_text_of_part(key, a, mode)} -> {_text_of_part(item, b, mode)}" for a, b in value
            )
            return f"{{{', '.join(pairs)}}}"
        case "struct":
            return f"{{{', '.join(map(_text_of_part, kind.parts, value, [mode] * len(value)))}}}"
    if kind.is_whole:
        return str(int(value))
    if kind.is_interval:
        return text_of_interval(kind, value)
    raise StatementError(f"{kind} has no text")


def _text_of_part(kind: SqlType, value: Any, mode: Mode) -> str:
    return "null" if value is None else text_of(kind, value, mode)


def _scientific_text(value: Decimal) -> str:
    """The text of BigDecimal.toString: with an exponent if it is below -6."""
    sign, figures, exponent = value.as_tuple()
    digits = "".join(map(str, figures)) or "0"
    power = int(exponent) + len(digits) - 1
    if power >= -6:
        return f"{value:f}"
    after = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{'-' if sign else ''}{digits[0]}{after}E{power:+d}"


def cast_to_text(value: Value, mode: Mode) -> Value:
    kind = value.type
    if kind.is_whole or kind.is_fraction or kind == BOOLEAN:
        texts: list[Any] = list(java_text.number_texts(value.data))
    else:
        texts = [
            "" if gone else text_of(kind, x, mode)
            for x, gone in zip(value.data.tolist(), value.null, strict=True)
        ]
    data = np.empty(len(texts), dtype=object)
    data[:] = texts
    return Value(STRING, data, value.null)
