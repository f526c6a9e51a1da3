"""Functions that round: ceil, floor, round, bround.

Source: org.apache.spark.sql.catalyst.expressions.mathExpressions, 4.3.0.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sql.binding import (
    Function,
    cast_to,
    constant_of,
    implicit_cast,
)
from hydro_runtimes.spark.sql.decimals import DECIMALS, fit_decimal
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    DOUBLE,
    INT,
    LONG,
    STRING,
    UNKNOWN,
    VOID,
    as_decimal,
    bit_width,
)
from hydro_runtimes.spark.sql.types import decimal_of as decimal_type
from hydro_runtimes.spark.sql.values import (
    Rows,
    Typed,
    Value,
    constant_value,
    refuse_where,
    value_of,
)


def _bind_floor_or_ceil(
    rounding: str, compute: Callable[[Array], Array]
) -> Callable[[Sequence[Typed], Mode], Typed]:
    """Binds floor or ceil: a decimal of a decimal, else a bigint; to places, a decimal."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = arguments[0]
        if len(arguments) == 2:
            return _round_decimal(child, _places_argument(arguments, mode), rounding, mode)
        if child.type.name == "decimal":
            return _round_decimal(child, 0, rounding, mode) if child.type.scale else child
        if child.type.is_whole:
            return cast_to(child, LONG, mode)
        inner = implicit_cast(child, DOUBLE, mode)

        def evaluate(rows: Rows) -> Value:
            value = inner.evaluate(rows)
            made = compute(np.where(np.isnan(value.data), 0.0, value.data))
            over = (made >= 2.0**63) | (made < -(2.0**63))
            largest = np.where(made > 0, np.iinfo(np.int64).max, np.iinfo(np.int64).min)
            inside = np.where(over, 0.0, made).astype(np.int64)
            held = Value(LONG, np.where(over, largest, inside), value.null)
            if not mode.ansi:
                return held
            return refuse_where(held, over, rows, "ARITHMETIC_OVERFLOW in bigint", safe=False)

        return Typed(LONG, evaluate, inner.foldable)

    return bind


def _places_argument(arguments: Sequence[Typed], mode: Mode) -> int | None:
    """The second argument, which must be constant; 0 if there is none."""
    if len(arguments) < 2:
        return 0
    if not arguments[1].type.is_number and arguments[1].type not in (STRING, VOID):
        raise StatementError(f"the number of places is {arguments[1].type}, want a whole number")
    whole = arguments[1] if mode.ansi else cast_to(arguments[1], INT, mode)
    places = constant_of(whole, "the number of places")
    if places is not None and not isinstance(places, int):
        raise StatementError(f"the number of places is {places!r}, want a whole number")
    return places


def _round_decimal(child: Typed, places: int | None, rounding: str, mode: Mode) -> Typed:
    """A decimal rounded to so many places; other types are cast to decimals first.

    Source: RoundBase.dataType.
    """
    exact = child if child.type.name == "decimal" else _cast_to_decimal(child, mode)
    precision, scale = exact.type.precision, exact.type.scale
    whole = precision - scale
    if places is not None and places < 0:
        kind = decimal_type(max(whole + 1, 1 - places), 0)
    else:
        digits = min(scale, places or 0)
        kind = decimal_type(
            max(whole + 1 + digits, 1) if scale > digits or places is not None else precision,
            digits,
        )
    if kind.precision > 38:
        kind = decimal_type(38, kind.scale)

    def evaluate(rows: Rows) -> Value:
        if places is None:
            return constant_value(kind, None, rows.count)
        made = []
        for number in exact.evaluate(rows).to_list():
            if number is not None:
                step = Decimal(1).scaleb(-places)
                number = number.quantize(step, rounding, DECIMALS)
                number = fit_decimal(number, kind)
            made.append(number)
        return value_of(kind, made)

    return Typed(kind, evaluate, exact.foldable)


def _cast_to_decimal(child: Typed, mode: Mode) -> Typed:
    if child.type == STRING:
        return cast_to(child, decimal_type(38, 18), mode)
    kind = as_decimal(child.type if child.type.is_number else DOUBLE)
    return cast_to(implicit_cast(child, kind, mode), kind, mode)


def _bind_round(rounding: str) -> Callable[[Sequence[Typed], Mode], Typed]:
    """Binds round or bround: a double is rounded by its shortest text, a whole number to tens."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child, places = arguments[0], _places_argument(arguments, mode)
        if child.type.name == "decimal":
            return _round_decimal(child, places, rounding, mode)
        if child.type in (STRING, VOID):
            child = implicit_cast(child, DOUBLE, mode)
        kind = child.type
        if not kind.is_number and kind != UNKNOWN:
            raise StatementError(f"got {kind}, want a number")

        def evaluate(rows: Rows) -> Value:
            if places is None:
                return constant_value(kind, None, rows.count)
            value = child.evaluate(rows)
            if kind.is_whole:
                return _round_whole(value, places, rounding, rows, mode)
            data = value.data.copy()
            for row in np.flatnonzero(np.isfinite(data) & ~value.null).tolist():
                data[row] = _round_double(float(data[row]), places, rounding)
            return Value(kind, data, value.null)

        return Typed(kind, evaluate, child.foldable)

    return bind


def _round_double(number: float, places: int, rounding: str) -> float:
    """Rounds the shortest text of a double, which a float has been widened to.

    So 0.13f is 0.12999999523162842 here, as in Spark (RoundBase: BigDecimal(f.toDouble)).
    """
    exact = Decimal(repr(number))
    if places > 400 or -int(exact.as_tuple().exponent) <= places:
        return number
    with decimal.localcontext(prec=800):
        return float(exact.quantize(Decimal(1).scaleb(-max(places, -400)), rounding))


def _round_whole(value: Value, places: int, rounding: str, rows: Rows, mode: Mode) -> Value:
    if places >= 0:
        return value
    limit = 1 << (bit_width(value.type) - 1)
    step = Decimal(1).scaleb(min(-places, 40))
    made, over = [], np.zeros(rows.count, bool)
    for row, number in enumerate(value.data.tolist()):
        found = int(Decimal(number).quantize(step, rounding, DECIMALS))
        over[row] = not -limit <= found < limit
        made.append((found + limit) % (2 * limit) - limit)
    rounded = Value(value.type, np.array(made, value.type.dtype), value.null)
    if not mode.ansi:
        return rounded
    return refuse_where(rounded, over, rows, f"ARITHMETIC_OVERFLOW in {value.type}", safe=False)


ROUNDING: Mapping[str, Function] = {
    "bround": Function(_bind_round(decimal.ROUND_HALF_EVEN), 1, 2),
    "ceil": Function(_bind_floor_or_ceil(decimal.ROUND_CEILING, np.ceil), 1, 2),
    "floor": Function(_bind_floor_or_ceil(decimal.ROUND_FLOOR, np.floor), 1, 2),
    "round": Function(_bind_round(decimal.ROUND_HALF_UP), 1, 2),
}
"""By Spark's name, operators by their sign."""
