"""Decimals as Spark holds them, and numbers that are fitted into a type.

Source: org.apache.spark.sql.types.Decimal, 4.3.0.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

from hydro_runtimes.spark.sql import zones
from hydro_runtimes.spark.sql.types import DATE, STRING, TIMESTAMP, SqlType

DECIMALS = Context(prec=400, Emin=-10000, Emax=10000)


def as_number(kind: SqlType, value: Any) -> Decimal | None:
    """The decimal of a value; None for NaN, infinities and texts that are not numbers.

    A double becomes the decimal of its shortest text, as BigDecimal.valueOf does.
    """
    if kind == STRING:
        text = zones.trim_text(value)
        if not set(text) <= set("0123456789.eE+-"):
            return None
        try:
            return DECIMALS.create_decimal(text)
        except InvalidOperation:
            return None
    if kind.is_fraction:
        return Decimal(repr(value)) if math.isfinite(value) else None
    if kind == TIMESTAMP:
        return Decimal(value) / 1_000_000
    if kind == DATE:
        return None
    return value if isinstance(value, Decimal) else Decimal(int(value))


def fit_decimal(number: Decimal, kind: SqlType) -> Decimal | None:
    """The number with the scale of a decimal type, rounded half up; None if it does not fit."""
    if not number.is_finite() or number.adjusted() > 40:
        return None
    fitted = number.quantize(Decimal(1).scaleb(-kind.scale), ROUND_HALF_UP, DECIMALS)
    if fitted.is_zero():
        return abs(fitted)  # BigDecimal has no -0
    return fitted if fitted.adjusted() < kind.precision - kind.scale else None


def nearest_micros(seconds: float) -> int:
    """Seconds as microseconds; one that does not fit a bigint becomes the nearest that does."""
    micros = seconds * 1_000_000
    if math.isinf(micros):
        return nearest_long(2**64 if micros > 0 else -(2**64))
    return nearest_long(int(micros))


def nearest_long(number: int) -> int:
    """The bigint nearest to a whole number."""
    return max(-(2**63), min(2**63 - 1, number))
