"""Arithmetic on numbers: + - * / % DIV pmod, signs and absolute values.

Source: org.apache.spark.sql.catalyst.expressions.{arithmetic, DecimalPrecisionTypeCoercion},
4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from typing import Any, Literal, TypeAlias

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sql.binding import cast_to
from hydro_runtimes.spark.sql.coercion import wider_type
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
    SqlType,
    adjusted_decimal,
    as_decimal,
    bit_width,
    decimal_of,
)
from hydro_runtimes.spark.sql.values import (
    Rows,
    Typed,
    Value,
    evaluate_where,
    refuse_where,
    value_of,
)

Operator: TypeAlias = Literal["+", "-", "*", "/", "%", "div", "pmod"]
_DIVIDE = Context(prec=39, rounding=ROUND_HALF_UP, Emin=-10000, Emax=10000)
_DIGITS_34 = Context(prec=34, rounding=ROUND_HALF_EVEN, Emin=-10000, Emax=10000)
_DIVISIONS = ("/", "%", "div", "pmod")
_ZERO: Mapping[str, str] = {
    "%": "REMAINDER_BY_ZERO: the divisor is 0; use try_mod to get null",
    "pmod": "REMAINDER_BY_ZERO: the divisor is 0",
}
_DIVIDE_BY_ZERO = "DIVIDE_BY_ZERO: the divisor is 0; use try_divide to get null"


def bind_arithmetic(
    operator: Operator, sides: Sequence[Typed], mode: Mode, safe: bool = False
) -> Typed:
    """An operation on two numbers.

    Args:
        operator: with the sides left and right of it.
        sides: numbers, or texts of them.
        mode: with ANSI, an overflow and a division by zero are errors.
        safe: of try_add, try_divide and others: null instead of these errors.

    Raises:
        StatementError: Spark has no such operation on these types.
    """
    kind = _operand_type(operator, [side.type for side in sides], mode)
    if safe:
        mode = replace(mode, ansi=True)  # an overflow is detected, and gives null
    if kind == UNKNOWN:
        return Typed(_result_type(operator, UNKNOWN), sides[0].evaluate)
    if kind.name == "decimal":
        return _decimal_arithmetic(operator, sides, mode, safe)
    left, right = (cast_to(side, kind, mode) for side in sides)
    result = _result_type(operator, kind)
    foldable = left.foldable and right.foldable
    compute = _divide_numbers if operator in _DIVISIONS else _add_or_multiply

    def evaluate(rows: Rows) -> Value:
        a, b = _evaluate_sides(operator, left, right, rows)
        return compute(operator, a, b, result, rows, mode, safe or not mode.ansi)

    return Typed(result, evaluate, foldable)


def negate(child: Typed, mode: Mode) -> Typed:
    """The number with the other sign; with ANSI, the least whole number is an error.

    Raises:
        StatementError: the child is not a number.
    """
    return _change_sign(child, mode, np.negative, _minus_decimal)


def _minus_decimal(number: Decimal) -> Decimal:
    """The negative of a decimal, rounded to 34 digits as by Scala's BigDecimal.unary_-."""
    return DECIMALS.minus(_DIGITS_34.plus(number))


def absolute_value(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """The absolute value.

    Raises:
        StatementError: the argument is not a number.
    """
    return _change_sign(arguments[0], mode, np.abs, lambda x: x if x >= 0 else _minus_decimal(x))


def _evaluate_sides(operator: str, left: Typed, right: Typed, rows: Rows) -> tuple[Value, Value]:
    """The values of both sides.

    Where the side that is evaluated first is null, the other is not evaluated, so that its errors
    do not count. A divisor is evaluated first.
    Source: BinaryExpression.eval and DivModLike.eval, 4.3.0.
    """
    first, second = (right, left) if operator in _DIVISIONS else (left, right)
    # As with a / 0 beside a null: the divisor is looked at first, and a null dividend hides its
    # error.
    settled = first.evaluate(rows)
    other = evaluate_where(second, rows, ~settled.null)
    return (other, settled) if operator in _DIVISIONS else (settled, other)


def _operand_type(operator: str, kinds: Sequence[SqlType], mode: Mode) -> SqlType:
    """The type to which both sides are converted."""
    one, other = kinds
    if kinds == [VOID, VOID]:
        return LONG if operator == "div" else DOUBLE
    if STRING in kinds and not mode.ansi and operator != "div":
        # Without ANSI a text in arithmetic is a double, even beside a whole number.
        one, other = (DOUBLE if kind == STRING else kind for kind in kinds)
    kind = wider_type(one, other, mode.ansi)
    if kind is None or kind == STRING or not (kind.is_number or kind == UNKNOWN):
        raise StatementError(f"{kinds[0]} {operator} {kinds[1]} is not supported")
    if operator == "/" and not (kind.is_fraction or kind.name == "decimal"):
        return DOUBLE if kind != UNKNOWN else kind
    if operator == "/" and kind.name == "float":
        return DOUBLE
    if operator == "div":
        if kind.is_fraction:
            raise StatementError(f"{kinds[0]} div {kinds[1]} is not supported, want whole numbers")
        return LONG if kind.is_whole else kind
    return kind


def _result_type(operator: str, kind: SqlType) -> SqlType:
    return LONG if operator == "div" else kind


def _add_or_multiply(
    operator: str, a: Value, b: Value, kind: SqlType, rows: Rows, mode: Mode, safe: bool
) -> Value:
    """+, - or *; without ANSI a result that does not fit wraps, as in Java."""
    compute = {"+": np.add, "-": np.subtract, "*": np.multiply}[operator]
    null = a.null | b.null
    # NumPy wraps as Java does; whether it has wrapped is looked at afterwards.
    made: Array = compute(a.data, b.data)
    if kind.is_fraction or (not mode.ansi and not safe):
        return Value(kind, made, null)
    over = _find_overflow(operator, a.data, b.data, made, kind)
    if not mode.ansi and over.any():
        return Value(kind, made, null)
    message = f"ARITHMETIC_OVERFLOW: the result does not fit into {kind}"
    return refuse_where(Value(kind, made, null), over & ~null, rows, message, safe)


def _find_overflow(operator: str, a: Array, b: Array, made: Array, kind: SqlType) -> Array:
    """Whether the results wrapped: bool, (rows,)."""
    if kind == LONG:
        # A result below 2^62 as a double cannot have wrapped. Python's own integers, which are
        # slow, are used for the exact check only if one is larger.
        wide = {"+": np.add, "-": np.subtract, "*": np.multiply}[operator]
        guess = np.abs(wide(a.astype(np.float64), b.astype(np.float64)))
        if not (guess >= 2.0**62).any():
            return np.zeros(len(made), dtype=bool)
        exact = wide(a.astype(object), b.astype(object))
    else:
        exact = {"+": np.add, "-": np.subtract, "*": np.multiply}[operator](
            a.astype(np.int64), b.astype(np.int64)
        )
    return np.asarray(exact != made, dtype=bool)


def _divide_numbers(
    operator: str, a: Value, b: Value, kind: SqlType, rows: Rows, mode: Mode, safe: bool
) -> Value:
    zero = b.data == 0
    # 1 in the place of 0: NumPy would warn, and for whole numbers answer 0.
    divisor = np.where(zero, np.ones_like(b.data), b.data)
    if operator == "/":
        made: Array = a.data / divisor
    elif operator == "div":
        # Java rounds towards 0, NumPy's // down: the remainder, which has the dividend's sign, is
        # taken off first.
        made = (a.data - np.fmod(a.data, divisor)) // divisor
    else:
        made = np.fmod(a.data, divisor)
        if operator == "pmod":
            # In Java, bytes and shorts are added as ints: only the answer is narrowed.
            wide = made.astype(np.int32) if kind.name in ("tinyint", "smallint") else made
            made = np.where(made < 0, np.fmod(wide + divisor, divisor), made)
    value = Value(kind, made.astype(kind.dtype), a.null | b.null)
    message = _ZERO.get(operator, _DIVIDE_BY_ZERO)
    if operator == "div" and kind == LONG:
        # The only quotient that does not fit: 2**63.
        least = (a.data == np.iinfo(np.int64).min) & (b.data == -1)
        if mode.ansi:
            value = refuse_where(value, least, rows, "ARITHMETIC_OVERFLOW in bigint", safe)
    return refuse_where(value, zero, rows, message, safe)


def _decimal_arithmetic(operator: str, sides: Sequence[Typed], mode: Mode, safe: bool) -> Typed:
    one, other = (_decimal_type(side) for side in sides)
    left, right = cast_to(sides[0], one, mode), cast_to(sides[1], other, mode)
    kind = _decimal_result(operator, one, other)
    compute = _DECIMAL[operator]
    quiet = safe or not mode.ansi

    def evaluate(rows: Rows) -> Value:
        a, b = _evaluate_sides(operator, left, right, rows)
        null = a.null | b.null
        made: list[Any] = [None] * rows.count
        over, zero = np.zeros(rows.count, bool), np.zeros(rows.count, bool)
        for row in np.flatnonzero(~null).tolist():
            x, y = a.data[row], b.data[row]
            # Before it is computed: Python's Decimal would raise, and end the batch.
            if operator in _DIVISIONS and not y:
                zero[row] = True
                continue
            made[row] = _fit_result(compute(x, y), kind)
            over[row] = made[row] is None
        if not quiet:
            rows.note_errors(
                over, f"NUMERIC_VALUE_OUT_OF_RANGE: the result does not fit into {kind}"
            )
            rows.note_errors(zero, _ZERO.get(operator, _DIVIDE_BY_ZERO))
        return value_of(kind, made)

    return Typed(kind, evaluate, left.foldable and right.foldable)


def _fit_result(number: Decimal, kind: SqlType) -> Any:
    if kind == LONG:  # of div, in ANSI mode, too: BigDecimal.longValue keeps the lowest 64 bits
        return (int(number) + 2**63) % 2**64 - 2**63
    return fit_decimal(number, kind)


def _positive_remainder(x: Decimal, y: Decimal) -> Decimal:
    rest = DECIMALS.remainder(x, y)
    return DECIMALS.remainder(DECIMALS.add(rest, y), y) if rest < 0 else rest


_DECIMAL: Mapping[str, Callable[[Decimal, Decimal], Decimal]] = {
    "+": DECIMALS.add,
    "-": DECIMALS.subtract,
    "*": DECIMALS.multiply,
    "/": _DIVIDE.divide,
    "%": DECIMALS.remainder,
    "div": DECIMALS.divide_int,
    "pmod": _positive_remainder,
}


def _decimal_type(side: Typed) -> SqlType:
    """The type of a side as a decimal; a literal 5 is decimal(1,0), and not decimal(10,0)."""
    if side.type == VOID:
        return decimal_of(1, 0)
    if side.literal and side.type in (INT, LONG):
        value = side.evaluate(Rows.from_columns({}, 1)).data[0]
        return decimal_of(len(str(abs(int(value)))), 0)
    return as_decimal(side.type)


def _decimal_result(operator: str, one: SqlType, other: SqlType) -> SqlType:
    # The rules of DecimalPrecision: enough digits for every result, then cut to 38 of them.
    p1, s1, p2, s2 = one.precision, one.scale, other.precision, other.scale
    match operator:
        case "+" | "-":
            scale = max(s1, s2)
            return adjusted_decimal(max(p1 - s1, p2 - s2) + scale + 1, scale)
        case "*":
            return adjusted_decimal(p1 + p2 + 1, s1 + s2)
        case "/":
            # Spark's MINIMUM_ADJUSTED_SCALE: a quotient keeps six decimal places at least.
            scale = max(6, s1 + p2 + 1)
            return adjusted_decimal(p1 - s1 + s2 + scale, scale)
        case "div":
            return LONG
    scale = max(s1, s2)
    return adjusted_decimal(min(p1 - s1, p2 - s2) + scale, scale)


def _change_sign(
    child: Typed,
    mode: Mode,
    compute: Callable[[Array], Array],
    of_decimal: Callable[[Decimal], Decimal],
) -> Typed:
    if child.type in (STRING, VOID):
        child = cast_to(child, DOUBLE, mode)
    kind = child.type
    if not (kind.is_number or kind == UNKNOWN or kind.is_months or kind.is_micros):
        raise StatementError(f"got {kind}, want a number")

    def evaluate(rows: Rows) -> Value:
        value = child.evaluate(rows)
        if kind.name == "decimal":
            exact = [
                None if x is None else fit_decimal(of_decimal(x), kind) for x in value.to_list()
            ]
            made = value_of(kind, exact)
            over = made.null & ~value.null
            rows.note_errors(
                over, f"NUMERIC_VALUE_OUT_OF_RANGE: the result does not fit into {kind}"
            )
            return made
        signed = Value(kind, compute(value.data), value.null)
        if not kind.is_whole or not mode.ansi:
            return signed
        least = value.data == -(1 << (bit_width(kind) - 1))
        return refuse_where(signed, least, rows, f"ARITHMETIC_OVERFLOW in {kind}", safe=False)

    return Typed(kind, evaluate, child.foldable, child.literal)
