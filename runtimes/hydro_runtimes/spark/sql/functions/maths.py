"""Functions of numbers.

Source: org.apache.spark.sql.catalyst.expressions.{mathExpressions, bitwiseExpressions}, 4.3.0.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any
from typing import cast as typed_as

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sql.arithmetic import Operator, absolute_value, bind_arithmetic, negate
from hydro_runtimes.spark.sql.binding import (
    Function,
    cast_to,
    column_function,
    constant_of,
    implicit_cast,
    null_on_error,
    row_by_row,
    row_function,
)
from hydro_runtimes.spark.sql.decimals import DECIMALS, fit_decimal
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.intervals import bind_datetime_arithmetic
from hydro_runtimes.spark.sql.logic import coalesce, not_a_number, null_if, unless_nan
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.ordering import bind_extreme
from hydro_runtimes.spark.sql.types import (
    BINARY,
    BOOLEAN,
    BYTE,
    DATE,
    DOUBLE,
    INT,
    LONG,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
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

_TIMES = (DATE, TIMESTAMP, TIMESTAMP_NTZ)


def _bind_sign(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = arguments[0]
    if not (child.type.is_months or child.type.is_micros):
        return _double_function(np.sign).bind(arguments, mode)

    def evaluate(rows: Rows) -> Value:
        value = child.evaluate(rows)
        return Value(DOUBLE, np.sign(value.data).astype(np.float64), value.null)

    return Typed(DOUBLE, evaluate, child.foldable)


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


def _bind_shift(
    compute: Callable[[int, int, int], int],
) -> Callable[[Sequence[Typed], Mode], Typed]:
    """Binds a shift of an int or a bigint; the distance counts modulo its number of bits."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        child, distance = arguments[0], implicit_cast(arguments[1], INT, mode)
        kind = LONG if child.type == LONG else INT
        child = implicit_cast(child, kind, mode)
        width = bit_width(kind)

        def shift_bits(number: int, by: int) -> int:
            return _as_signed(compute(number, by % width, width), width)

        return row_function(shift_bits, [kind, INT], kind).bind([child, distance], mode)

    return bind


def _as_signed(number: int, width: int) -> int:
    half = 1 << (width - 1)
    return (number + half) % (1 << width) - half


def _bind_bitwise(compute: Callable[..., Array]) -> Callable[[Sequence[Typed], Mode], Typed]:
    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        kinds = [one.type for one in arguments]
        if STRING in kinds and mode.ansi:
            kinds = [LONG if kind == STRING else kind for kind in kinds]
        whole = [kind for kind in kinds if kind not in (VOID, UNKNOWN)]
        if not all(kind.is_whole for kind in whole):
            raise StatementError(f"{kinds[0]} and {kinds[-1]} have no bits, want whole numbers")
        kind = max(whole, key=bit_width, default=INT)
        return column_function(compute, [kind] * len(arguments), kind).bind(
            [cast_to(one, kind, mode) for one in arguments], mode
        )

    return bind


def _bind_bit_count(arguments: Sequence[Typed], mode: Mode) -> Typed:
    kind = arguments[0].type
    if kind != BOOLEAN and not kind.is_whole and kind != UNKNOWN:
        raise StatementError(f"got {kind}, want a whole number or a boolean")
    # A negative number is counted in the 64 bits of a long, whatever its type.
    return row_function(lambda x: (int(x) & (2**64 - 1)).bit_count(), [kind], INT).bind(
        arguments, mode
    )


def _bind_bit_get(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child, place = arguments
    if not (child.type.is_whole or child.type in (VOID, UNKNOWN)):
        raise StatementError(f"got {child.type}, want a whole number")
    width = bit_width(child.type) if child.type.is_whole else 64

    def bit_at(number: int, at: int) -> int:
        if not 0 <= at < width:
            raise RowError(
                f"INVALID_PARAMETER_VALUE.BIT_POSITION_RANGE: there is no bit {at} of {width}"
            )
        return (number >> at) & 1

    return row_by_row(bit_at, [cast_to(child, LONG, mode), implicit_cast(place, INT, mode)], BYTE)


def _factorial(number: int) -> int | None:
    return math.factorial(number) if 0 <= number <= 20 else None


def _bind_hex(arguments: Sequence[Typed], mode: Mode) -> Typed:
    child = arguments[0]
    if child.type == STRING:
        return row_function(lambda text: text.encode().hex().upper(), [STRING], STRING).bind(
            arguments, mode
        )
    if child.type == BINARY:
        return row_function(lambda data: data.hex().upper(), [BINARY], STRING).bind(arguments, mode)
    if not child.type.is_number and child.type not in (VOID, UNKNOWN):
        return _bind_hex([implicit_cast(child, STRING, mode)], mode)
    return row_function(lambda x: f"{x & (2**64 - 1):X}", [LONG], STRING).bind(arguments, mode)


def unhex(text: str) -> bytes | None:
    """The bytes of hexadecimal digits; None if a character is not one."""
    try:
        return (
            bytes.fromhex(text.rjust(len(text) + len(text) % 2, "0"))
            if text.isalnum() or not text
            else None
        )
    except ValueError:
        return None


def _convert_base(text: str, base: int, to: int) -> str | None:
    """conv: digits are read as an unsigned bigint, up to the first character that is not a digit.

    Source: org.apache.spark.sql.catalyst.util.NumberConverter.
    """
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    text = text.strip(" ")
    if not text or not 2 <= base <= 36 or not 2 <= abs(to) <= 36:
        return None
    negative = text[0] == "-"
    number = 0
    for char in text[negative:].upper():
        place = digits.find(char) if char else -1
        if not 0 <= place < base:
            break
        number = min(number * base + place, 2**64 - 1)
    if negative and to > 0:
        number = (-number) % 2**64
    if to < 0:
        signed = _as_signed(number, 64) if not negative else -number
        negative, number = signed < 0, abs(signed)
    else:
        negative = False
    made = ""
    while number or not made:
        number, rest = divmod(number, abs(to))
        made = digits[rest] + made
    return f"-{made}" if negative else made


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
    "&": Function(_bind_bitwise(np.bitwise_and), 2, 2),
    "*": _operator_function("*"),
    "+": _operator_function("+"),
    "-": _operator_function("-"),
    "/": _operator_function("/"),
    "<<": Function(_bind_shift(lambda x, by, width: x << by), 2, 2),
    ">>": Function(_bind_shift(lambda x, by, width: x >> by), 2, 2),
    ">>>": Function(_bind_shift(lambda x, by, width: (x & ((1 << width) - 1)) >> by), 2, 2),
    "^": Function(_bind_bitwise(np.bitwise_xor), 2, 2),
    "abs": Function(absolute_value, 1, 1),
    "acos": _double_function(np.arccos),
    "acosh": _double_function(np.arccosh),
    "asin": _double_function(np.arcsin),
    "asinh": _double_function(np.arcsinh),
    "atan": _double_function(np.arctan),
    "atan2": column_function(lambda y, x: np.arctan2(y + 0.0, x + 0.0), [DOUBLE, DOUBLE], DOUBLE),
    "atanh": _double_function(lambda x: 0.5 * (np.log1p(x) - np.log1p(-x))),
    "bin": row_function(lambda x: f"{x & (2**64 - 1):b}", [LONG], STRING),
    "bit_count": Function(_bind_bit_count, 1, 1, INT),
    "bit_get": Function(_bind_bit_get, 2, 2, BYTE),
    "bround": Function(_bind_round(decimal.ROUND_HALF_EVEN), 1, 2),
    "cbrt": _double_function(_cube_root),
    "ceil": Function(_bind_floor_or_ceil(decimal.ROUND_CEILING, np.ceil), 1, 2),
    "conv": row_function(_convert_base, [STRING, INT, INT], STRING),
    "cos": _double_function(np.cos),
    "cosh": _double_function(np.cosh),
    "cot": _double_function(_reciprocal(np.tan)),
    "csc": _double_function(_reciprocal(np.sin)),
    "degrees": _double_function(np.degrees),
    "div": _operator_function("div"),
    "e": _constant_function(math.e),
    "exp": _double_function(np.exp),
    "expm1": _double_function(np.expm1),
    "factorial": row_function(_factorial, [INT], LONG),
    "floor": Function(_bind_floor_or_ceil(decimal.ROUND_FLOOR, np.floor), 1, 2),
    "greatest": Function(bind_extreme(1), 2, 1000),
    "hex": Function(_bind_hex, 1, 1, STRING),
    "hypot": column_function(np.hypot, [DOUBLE, DOUBLE], DOUBLE),
    "isnan": Function(not_a_number, 1, 1, BOOLEAN),
    "least": Function(bind_extreme(-1), 2, 1000),
    "ln": _double_function(np.log, 0.0),
    "log": Function(_bind_log, 1, 2, DOUBLE),
    "log10": _double_function(np.log10, 0.0),
    "log1p": _double_function(np.log1p, -1.0),
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
    "round": Function(_bind_round(decimal.ROUND_HALF_UP), 1, 2),
    "sec": _double_function(_reciprocal(np.cos)),
    "sign": Function(_bind_sign, 1, 1, DOUBLE),
    "sin": _double_function(np.sin),
    "sinh": _double_function(np.sinh),
    "sqrt": _double_function(np.sqrt),
    "tan": _double_function(np.tan),
    "tanh": _double_function(np.tanh),
    "try_add": _operator_function("+", safe=True),
    "try_divide": _operator_function("/", safe=True),
    "try_mod": _operator_function("%", safe=True),
    "try_multiply": _operator_function("*", safe=True),
    "try_subtract": _operator_function("-", safe=True),
    "unhex": row_function(unhex, [STRING], BINARY),
    "width_bucket": row_function(_width_bucket, [DOUBLE, DOUBLE, DOUBLE, LONG], LONG),
    "zeroifnull": Function(_bind_zeroifnull, 1, 1),
    "|": Function(_bind_bitwise(np.bitwise_or), 2, 2),
    "~": Function(_bind_bitwise(np.bitwise_not), 1, 1),
}
"""By Spark's name, operators by their sign."""
