"""Functions of numbers.

Source: org.apache.spark.sql.catalyst.expressions.{mathExpressions, bitwiseExpressions}, 4.3.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from typing import cast as typed_as

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sql.arithmetic import Operator, absolute_value, bind_arithmetic, negate
from hydro_runtimes.spark.sql.binding import (
    Function,
    column_function,
    implicit_cast,
    null_on_error,
    row_function,
)
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.functions.interval_arithmetic import bind_datetime_arithmetic
from hydro_runtimes.spark.sql.logic import coalesce, not_a_number, null_if, unless_nan
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.ordering import bind_extreme
from hydro_runtimes.spark.sql.types import (
    BOOLEAN,
    DATE,
    DOUBLE,
    INT,
    LONG,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    UNKNOWN,
    VOID,
)
from hydro_runtimes.spark.sql.values import (
    Rows,
    Typed,
    Value,
    constant_value,
)

_TIMES = (DATE, TIMESTAMP, TIMESTAMP_NTZ)


def _bind_sign(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = arguments[0]
    if not (child.type.is_months or child.type.is_micros):
        return _double_function(np.sign).bind(arguments, mode)

    def evaluate(rows: Rows) -> Value:
        value = child.evaluate(rows)
        return Value(DOUBLE, np.sign(value.data).astype(np.float64), value.null)

    return Typed(DOUBLE, evaluate, child.foldable)


def _fdlibm(compute: Callable[[float], float]) -> Callable[[Array], Array]:
    """A function of Python's `math`, which rounds as Java's StrictMath more often than numpy's."""

    def of_number(x: float) -> float:
        try:
            return compute(x)
        except ValueError:  # of a number that has none: the answer there is null
            return math.nan
        except OverflowError:
            return -math.inf if compute is math.sinh and x < 0 else math.inf

    return lambda numbers: np.array([of_number(x) for x in numbers.tolist()], dtype=np.float64)


def _double_function(compute: Callable[[Array], Any], above: float | None = None) -> Function:
    """A function of a double; null for numbers up to `above`, of which there is no logarithm."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child = implicit_cast(arguments[0], DOUBLE, mode)

        def evaluate(rows: Rows) -> Value:
            value = child.evaluate(rows)
            null = value.null if above is None else value.null | (value.data <= above)
            return Value(DOUBLE, np.asarray(compute(value.data)), null)

        return Typed(DOUBLE, evaluate, child.foldable)

    return Function(bind, 1, 1, DOUBLE)


def _operator_function(operator: str, safe: bool = False) -> Function:
    """The function of an operator; with `safe` it is null where the operator would be an error."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        return bind_arithmetic(typed_as(Operator, operator), arguments, mode, safe)

    def bind_safe(arguments: Sequence[Typed], mode: Mode) -> Typed:
        ansi = replace(mode, ansi=True)
        if any(side.type.is_interval or side.type in _TIMES for side in arguments):
            found = bind_datetime_arithmetic(operator, arguments, ansi)
            if found is not None:
                return null_on_error(found)
        if all(side.type.is_number for side in arguments):
            return bind(arguments, mode)
        return null_on_error(bind_arithmetic(typed_as(Operator, operator), arguments, mode))

    return Function(bind_safe if safe else bind, 2, 2)


def _math_pow(left: Array, right: Array) -> Array:
    """Math.pow of Java: other than numpy's, 1 ** NaN and 1 ** infinity are NaN."""
    odd = np.isnan(right) | (np.isinf(right) & (np.abs(left) == 1))
    return np.where(odd, np.nan, np.power(left, right))


def _bind_log(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds log(x) and log(base, x); null if either is not above 0."""
    if len(arguments) == 1:
        return _double_function(np.log, 0.0).bind(arguments, mode)
    base, child = (implicit_cast(one, DOUBLE, mode) for one in arguments)

    def evaluate(rows: Rows) -> Value:
        a, b = base.evaluate(rows), child.evaluate(rows)
        null = a.null | b.null | (a.data <= 0) | (b.data <= 0)
        return Value(DOUBLE, np.log(b.data) / np.log(a.data), null)

    return Typed(DOUBLE, evaluate, base.foldable and child.foldable)


def _constant_function(number: float) -> Function:
    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        return Typed(DOUBLE, lambda rows: constant_value(DOUBLE, number, rows.count), foldable=True)

    return Function(bind, 0, 0, DOUBLE)


def _width_bucket(value: float, low: float, high: float, count: int) -> int | None:
    """The number of the bucket, of `count` equal ones between two bounds; 0 or count + 1 outside.

    Source: WidthBucket.computeBucketNumber.
    """
    if count <= 0 or count == 2**63 - 1 or math.isnan(value) or low == high:
        return None
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    lower, upper = min(low, high), max(low, high)
    if low < high:
        if value < lower:
            return 0
        return count + 1 if value >= upper else int(count * (value - lower) / (upper - lower)) + 1
    if value > upper:
        return 0
    return count + 1 if value <= lower else int(count * (upper - value) / (upper - lower)) + 1


def _factorial(number: int) -> int | None:
    return math.factorial(number) if 0 <= number <= 20 else None


def _bind_zeroifnull(arguments: Sequence[Typed], mode: Mode) -> Typed:
    zero = Typed(INT, lambda rows: constant_value(INT, 0, rows.count), foldable=True, literal=True)
    return coalesce([arguments[0], zero], mode)


def _bind_nullifzero(arguments: Sequence[Typed], mode: Mode) -> Typed:
    zero = Typed(INT, lambda rows: constant_value(INT, 0, rows.count), foldable=True, literal=True)
    return null_if([arguments[0], zero], mode)


def _bind_positive(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = arguments[0]
    if child.type in (STRING, VOID):
        return implicit_cast(child, DOUBLE, mode)
    if not (child.type.is_number or child.type.is_interval or child.type == UNKNOWN):
        raise StatementError(f"got {child.type}, want a number")
    return child


def _reciprocal(compute: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: 1.0 / compute(x)


def _cube_root(x: Array) -> Array:
    return np.asarray(np.cbrt(x))


MATHS: Mapping[str, Function] = {
    "%": _operator_function("%"),
    "*": _operator_function("*"),
    "+": _operator_function("+"),
    "-": _operator_function("-"),
    "/": _operator_function("/"),
    "abs": Function(absolute_value, 1, 1),
    "acos": _double_function(np.arccos),
    "acosh": _double_function(np.arccosh),
    "asin": _double_function(np.arcsin),
    "asinh": _double_function(_fdlibm(math.asinh)),
    "atan": _double_function(np.arctan),
    "atan2": column_function(lambda y, x: np.arctan2(y + 0.0, x + 0.0), [DOUBLE, DOUBLE], DOUBLE),
    "atanh": _double_function(lambda x: 0.5 * (np.log1p(x) - np.log1p(-x))),
    "cbrt": _double_function(_cube_root),
    "cos": _double_function(np.cos),
    "cosh": _double_function(_fdlibm(math.cosh)),
    "cot": _double_function(_reciprocal(np.tan)),
    "csc": _double_function(_reciprocal(np.sin)),
    "degrees": _double_function(np.degrees),
    "div": _operator_function("div"),
    "e": _constant_function(math.e),
    "exp": _double_function(np.exp),
    "expm1": _double_function(_fdlibm(math.expm1)),
    "factorial": row_function(_factorial, [INT], LONG),
    "greatest": Function(bind_extreme(1), 2, 1000),
    "hypot": column_function(np.hypot, [DOUBLE, DOUBLE], DOUBLE),
    "isnan": Function(not_a_number, 1, 1, BOOLEAN),
    "least": Function(bind_extreme(-1), 2, 1000),
    "ln": _double_function(np.log, 0.0),
    "log": Function(_bind_log, 1, 2, DOUBLE),
    "log10": _double_function(_fdlibm(math.log10), 0.0),
    "log1p": _double_function(_fdlibm(math.log1p), -1.0),
    "log2": _double_function(lambda x: np.log(x) / np.log(2.0), 0.0),
    "mod": _operator_function("%"),
    "nanvl": Function(unless_nan, 2, 2),
    "negate": Function(lambda arguments, mode: negate(arguments[0], mode), 1, 1),
    "nullifzero": Function(_bind_nullifzero, 1, 1),
    "pi": _constant_function(math.pi),
    "pmod": _operator_function("pmod"),
    "positive": Function(_bind_positive, 1, 1),
    "pow": column_function(_math_pow, [DOUBLE, DOUBLE], DOUBLE),
    "radians": _double_function(np.radians),
    "rint": _double_function(np.rint),
    "sec": _double_function(_reciprocal(np.cos)),
    "sign": Function(_bind_sign, 1, 1, DOUBLE),
    "sin": _double_function(np.sin),
    "sinh": _double_function(_fdlibm(math.sinh)),
    "sqrt": _double_function(np.sqrt),
    "tan": _double_function(np.tan),
    "tanh": _double_function(_fdlibm(math.tanh)),
    "try_add": _operator_function("+", safe=True),
    "try_divide": _operator_function("/", safe=True),
    "try_mod": _operator_function("%", safe=True),
    "try_multiply": _operator_function("*", safe=True),
    "try_subtract": _operator_function("-", safe=True),
    "width_bucket": row_function(_width_bucket, [DOUBLE, DOUBLE, DOUBLE, LONG], LONG),
    "zeroifnull": Function(_bind_zeroifnull, 1, 1),
}
"""By Spark's name, operators by their sign."""
