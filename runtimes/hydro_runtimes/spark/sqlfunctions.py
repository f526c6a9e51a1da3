"""The functions of SQL, on values of whole columns.

Source: org.apache.spark.sql.catalyst.expressions, 4.3.0.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Mapping

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sqltexts import TEXT_FUNCTIONS
from hydro_runtimes.spark.sqlvalues import (
    Function,
    Kind,
    Rows,
    Value,
    cast,
    common,
    constant,
    is_number,
    refused,
)


def _real(compute: Callable[[Array], Array], above: float = -np.inf) -> Function:
    """A function of a double; null up to `above`, where logarithms are not defined."""

    def call(values: list[Value], rows: Rows) -> Value:
        (value,) = (cast(one, "float64", rows) for one in values)
        null = value.null | (value.data <= above) if above > -np.inf else value.null
        return Value("float64", compute(value.data), null)

    return call


def arithmetic(operator: str) -> Function:
    """+, -, * in the common type of both sides; an overflow of whole numbers is an error."""
    compute = {"+": np.add, "-": np.subtract, "*": np.multiply}[operator]

    def call(values: list[Value], rows: Rows) -> Value:
        kind = _numeric(values)
        left, right = (cast(value, kind, rows) for value in values)
        null = left.null | right.null
        if kind in ("unknown", "null"):
            return Value(kind, left.data, null)
        if not kind.startswith("int"):
            return Value(kind, compute(left.data, right.data), null)
        wide = compute(left.data.astype(object), right.data.astype(object))
        limits = np.iinfo(kind)
        bad = np.array([not limits.min <= one <= limits.max for one in wide], dtype=bool)
        held = np.where(bad, 0, wide).astype(kind)
        message = f"ARITHMETIC_OVERFLOW: the result does not fit into {kind}"
        return refused(Value(kind, held, null), bad, rows, message, safe=False)

    return call


def divide(values: list[Value], rows: Rows) -> Value:
    """In doubles; by zero is an error."""
    left, right = (cast(value, "float64", rows) for value in values)
    made = Value("float64", left.data / right.data, left.null | right.null)
    return refused(made, right.data == 0, rows, "DIVIDE_BY_ZERO: got 0 as divisor", safe=False)


def divide_whole(values: list[Value], rows: Rows) -> Value:
    """Of bigints, towards zero; by zero is an error."""
    left, right = (cast(value, "int64", rows) for value in values)
    zero = right.data == 0
    divisor = np.where(zero, 1, right.data)
    made = (left.data - np.fmod(left.data, divisor)) // divisor
    value = Value("int64", made, left.null | right.null)
    return refused(value, zero, rows, "DIVIDE_BY_ZERO: got 0 as divisor", safe=False)


def remainder(values: list[Value], rows: Rows) -> Value:
    """With the sign of the left side; by zero is an error."""
    kind = _numeric(values)
    left, right = (cast(value, kind, rows) for value in values)
    if kind in ("unknown", "null"):
        return Value(kind, left.data, left.null | right.null)
    zero = right.data == 0
    made = np.fmod(left.data, np.where(zero, np.ones_like(right.data), right.data))
    value = Value(kind, made, left.null | right.null)
    return refused(value, zero, rows, "REMAINDER_BY_ZERO: got 0 as divisor", safe=False)


def positive_remainder(values: list[Value], rows: Rows) -> Value:
    """With the sign of the right side where the left one is below 0."""
    first = remainder(values, rows)
    divisor = cast(values[1], first.kind, rows)
    below = Value(first.kind, first.data + divisor.data, first.null)
    again = remainder([below, divisor], rows)
    return Value(first.kind, np.where(first.data < 0, again.data, first.data), first.null)


def negative(values: list[Value], rows: Rows) -> Value:
    """A change of sign; -(-2147483648) is an error."""
    return _signed(values[0], np.negative, rows)


def absolute(values: list[Value], rows: Rows) -> Value:
    """The absolute value; that of the least whole number is an error."""
    return _signed(values[0], np.abs, rows)


def compare(operator: str) -> Function:
    """=, <, <=, >, >=, <> in the common type; NaN equals itself and is above all numbers."""

    def call(values: list[Value], rows: Rows) -> Value:
        kind = common([value.kind for value in values])
        left, right = (cast(value, kind, rows) for value in values)
        order = _order(left, right)
        made = {
            "=": order == 0,
            "<>": order != 0,
            "<": order < 0,
            "<=": order <= 0,
            ">": order > 0,
            ">=": order >= 0,
        }[operator]
        return Value("bool", made, left.null | right.null)

    return call


def same(values: list[Value], rows: Rows) -> Value:
    """<=>: as =, but null equals null and nothing else."""
    equal = compare("=")(values, rows)
    both = values[0].null & values[1].null
    return Value("bool", np.where(equal.null, both, equal.data), np.zeros(rows.count, bool))


def extreme(sign: int) -> Function:
    """Greatest (1) or least (-1) of what is not null."""

    def call(values: list[Value], rows: Rows) -> Value:
        kind = common([value.kind for value in values])
        best, *others = (cast(value, kind, rows) for value in values)
        for other in others:
            better = best.null | (~other.null & (sign * _order(other, best) > 0))
            null = np.where(better, other.null, best.null)
            best = Value(kind, np.where(better, other.data, best.data), null)
        return best

    return call


def rounded(values: list[Value], rows: Rows) -> Value:
    """Half up, of the shortest decimal text of a double; whole numbers stay."""
    value, places = values[0], int(values[1].data[0]) if len(values) > 1 and rows.count else 0
    if not value.kind.startswith("float"):
        return value
    data = value.data.copy()
    for row in np.flatnonzero(np.isfinite(data) & ~value.null).tolist():
        with decimal.localcontext(prec=400):
            exact = decimal.Decimal(str(data[row]))
            step = decimal.Decimal(1).scaleb(-places)
            data[row] = float(exact.quantize(step, rounding=decimal.ROUND_HALF_UP))
    return Value(value.kind, data, value.null)


def whole(compute: Callable[[Array], Array]) -> Function:
    """Floor and ceil: a bigint, held within its range."""

    def call(values: list[Value], rows: Rows) -> Value:
        value = cast(values[0], "float64", rows) if not _is_whole(values[0]) else values[0]
        if value.kind.startswith("int"):
            return cast(value, "int64", rows)
        made = compute(value.data)
        limits = np.iinfo(np.int64)
        inside = np.where((np.abs(made) < 2.0**63), made, 0.0).astype(np.int64)
        held = np.where(
            made >= 2.0**63, limits.max, np.where(made < -(2.0**63), limits.min, inside)
        )
        return Value("int64", held, value.null)

    return call


def power(values: list[Value], rows: Rows) -> Value:
    """As Math.pow of Java, where NaN and 1 to an infinite power give NaN."""
    left, right = (cast(value, "float64", rows) for value in values)
    made = np.power(left.data, right.data)
    odd = np.isnan(right.data) | (np.isinf(right.data) & (np.abs(left.data) == 1))
    return Value("float64", np.where(odd, np.nan, made), left.null | right.null)


def logarithm(values: list[Value], rows: Rows) -> Value:
    """log(base, x); null where either is not above 0."""
    base, value = (cast(one, "float64", rows) for one in values)
    null = base.null | value.null | (base.data <= 0) | (value.data <= 0)
    return Value("float64", np.log(value.data) / np.log(base.data), null)


def is_nan(values: list[Value], rows: Rows) -> Value:
    """False for null."""
    value = cast(values[0], "float64", rows)
    return Value("bool", np.isnan(value.data) & ~value.null, np.zeros(rows.count, bool))


def nanvl(values: list[Value], rows: Rows) -> Value:
    """The first, or the second where the first is NaN."""
    first, second = (cast(value, "float64", rows) for value in values)
    other = np.isnan(first.data) & ~first.null
    null = np.where(other, second.null, first.null)
    return Value("float64", np.where(other, second.data, first.data), null)


def _numeric(values: list[Value]) -> Kind:
    """The type of an operation on numbers: texts are read as numbers."""
    kind = common([value.kind for value in values])
    if kind == "string":
        return "float64"
    if not is_number(kind) and kind not in ("null", "unknown"):
        raise ValueError(f"got {kind}, want numbers")
    return kind


def _signed(value: Value, compute: Callable[[Array], Array], rows: Rows) -> Value:
    if value.kind == "string":
        value = cast(value, "float64", rows)
    if not is_number(value.kind):
        return value
    made = Value(value.kind, compute(value.data), value.null)
    if not value.kind.startswith("int"):
        return made
    bad = value.data == np.iinfo(value.data.dtype).min
    return refused(made, bad, rows, f"ARITHMETIC_OVERFLOW in {value.kind}", safe=False)


def _order(left: Value, right: Value) -> Array:
    """int8, (rows,): below 0, 0 or above 0 as the left side is less, equal or more."""
    a, b = left.data, right.data
    order = (a > b).astype(np.int8) - (a < b).astype(np.int8)
    if left.kind.startswith("float"):
        order = np.where(np.isnan(a) | np.isnan(b), np.isnan(a) * 1 - np.isnan(b) * 1, order)
    return np.asarray(order)


def _is_whole(value: Value) -> bool:
    return value.kind.startswith("int")


def _pair(compute: Callable[[Array, Array], Array]) -> Function:
    """A function of two doubles; null where either is."""

    def call(values: list[Value], rows: Rows) -> Value:
        left, right = (cast(value, "float64", rows) for value in values)
        return Value("float64", compute(left.data, right.data), left.null | right.null)

    return call


def _number(value: float) -> Function:
    return lambda values, rows: constant("float64", value, rows.count)


def _cbrt(values: Array) -> Array:
    return np.asarray(np.cbrt(values))


FUNCTIONS: Mapping[str, tuple[Function, int, int]] = {
    **TEXT_FUNCTIONS,
    "abs": (absolute, 1, 1),
    "acos": (_real(np.arccos), 1, 1),
    "asin": (_real(np.arcsin), 1, 1),
    "atan": (_real(np.arctan), 1, 1),
    "atan2": (_pair(np.arctan2), 2, 2),
    "cbrt": (_real(_cbrt), 1, 1),
    "ceil": (whole(np.ceil), 1, 1),
    "cos": (_real(np.cos), 1, 1),
    "cosh": (_real(np.cosh), 1, 1),
    "e": (_number(math.e), 0, 0),
    "degrees": (_real(np.degrees), 1, 1),
    "exp": (_real(np.exp), 1, 1),
    "expm1": (_real(np.expm1), 1, 1),
    "floor": (whole(np.floor), 1, 1),
    "greatest": (extreme(1), 2, 1000),
    "hypot": (_pair(np.hypot), 2, 2),
    "isnan": (is_nan, 1, 1),
    "least": (extreme(-1), 2, 1000),
    "ln": (_real(np.log, 0.0), 1, 1),
    "log": (logarithm, 2, 2),
    "log10": (_real(np.log10, 0.0), 1, 1),
    "log1p": (_real(np.log1p, -1.0), 1, 1),
    "log2": (_real(np.log2, 0.0), 1, 1),
    "nanvl": (nanvl, 2, 2),
    "negative": (negative, 1, 1),
    "pi": (_number(math.pi), 0, 0),
    "pmod": (positive_remainder, 2, 2),
    "positive": (lambda values, rows: values[0], 1, 1),
    "pow": (power, 2, 2),
    "radians": (_real(np.radians), 1, 1),
    "rint": (_real(np.rint), 1, 1),
    "round": (rounded, 1, 2),
    "sign": (_real(np.sign), 1, 1),
    "sin": (_real(np.sin), 1, 1),
    "sinh": (_real(np.sinh), 1, 1),
    "sqrt": (_real(np.sqrt), 1, 1),
    "tan": (_real(np.tan), 1, 1),
    "tanh": (_real(np.tanh), 1, 1),
}
"""Name to the function, and the least and most numbers of its arguments."""
