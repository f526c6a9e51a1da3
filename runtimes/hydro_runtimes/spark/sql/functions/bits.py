"""Functions of the bits of whole numbers, and their operators.

Source: org.apache.spark.sql.catalyst.expressions.bitwiseExpressions, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.sql.binding import (
    Function,
    cast_to,
    column_function,
    implicit_cast,
    row_by_row,
    row_function,
)
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import (
    BOOLEAN,
    BYTE,
    INT,
    LONG,
    STRING,
    UNKNOWN,
    VOID,
    bit_width,
)
from hydro_runtimes.spark.sql.values import (
    Typed,
)


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
            return as_signed(compute(number, by % width, width), width)

        return row_function(shift_bits, [kind, INT], kind).bind([child, distance], mode)

    return bind


def as_signed(number: int, width: int) -> int:
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


BITS: Mapping[str, Function] = {
    "&": Function(_bind_bitwise(np.bitwise_and), 2, 2),
    "<<": Function(_bind_shift(lambda x, by, width: x << by), 2, 2),
    ">>": Function(_bind_shift(lambda x, by, width: x >> by), 2, 2),
    ">>>": Function(_bind_shift(lambda x, by, width: (x & ((1 << width) - 1)) >> by), 2, 2),
    "^": Function(_bind_bitwise(np.bitwise_xor), 2, 2),
    "bit_count": Function(_bind_bit_count, 1, 1, INT),
    "bit_get": Function(_bind_bit_get, 2, 2, BYTE),
    "|": Function(_bind_bitwise(np.bitwise_or), 2, 2),
    "~": Function(_bind_bitwise(np.bitwise_not), 1, 1),
}
"""By Spark's name, operators by their sign."""
