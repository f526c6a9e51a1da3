"""The types that expressions of different types are cast to, in ANSI mode and without it.

Source: org.apache.spark.sql.catalyst.analysis.{TypeCoercion, AnsiTypeCoercion}, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from hydro_runtimes.spark.sql.types import (
    DATE,
    DOUBLE,
    FLOAT,
    LONG,
    MICRO_UNITS,
    MONTH_UNITS,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    UNKNOWN,
    VOID,
    SqlType,
    array_of,
    as_decimal,
    bit_width,
    decimal_of,
    interval_of,
    map_of,
    struct_of,
)

_TIMES = (TIMESTAMP, TIMESTAMP_NTZ)


def common_type(kinds: Iterable[SqlType], ansi: bool) -> SqlType | None:
    """The type of which all values can be, as of coalesce, CASE and array; None if there is none.

    Source: TypeCoercion.findWiderCommonType, 4.3.0.
    """
    return _fold_types(kinds, lambda one, other: wider_type(one, other, ansi))


def common_type_without_texts(kinds: Iterable[SqlType], ansi: bool) -> SqlType | None:
    """As `common_type`, but texts have no type in common with others: for greatest and least.

    Source: TypeCoercion.findWiderTypeWithoutStringPromotion, 4.3.0.
    """
    return _fold_types(kinds, lambda one, other: _tightest_common_type(one, other, ansi))


def compared_type(one: SqlType, other: SqlType, ansi: bool) -> SqlType | None:
    """The type in which two values are compared; None if they cannot be compared."""
    if one.is_nested and other.is_nested:
        return tightest_type(one, with_names_of(other, one), ansi)
    if ansi or STRING not in (one, other) or one == other:
        return wider_type(one, other, ansi)
    rest = other if one == STRING else one
    # Null beside a text: both sides are texts, and the comparison is null.
    if rest == VOID:
        return STRING
    if rest.name == "decimal":
        return DOUBLE
    return None if rest.is_nested or rest.is_interval else rest


def with_names_of(kind: SqlType, other: SqlType) -> SqlType:
    """The type with the fields' names of another, where nothing else differs.

    Where values are compared no one looks at the names; but structs of other names have no type in
    common, so that nothing is cast.

    Source: DataType.equalsStructurally; TypeCoercion.findTypeForComplex, 4.3.0.
    """
    return other if _is_alike(kind, other) else kind


def _is_alike(one: SqlType, other: SqlType) -> bool:
    """Whether two types differ in the names of fields at most."""
    if len(one.parts) != len(other.parts) or not all(map(_is_alike, one.parts, other.parts)):
        return False
    return replace(one, parts=(), names=()) == replace(other, parts=(), names=())


def tightest_type(one: SqlType, other: SqlType, ansi: bool) -> SqlType | None:
    """The type that holds the values of both exactly; None if there is none.

    Source: TypeCoercion.findTightestCommonType, 4.3.0.
    """
    if one.is_nested and one.name == other.name:
        return _common_nested(one, other, lambda a, b: tightest_type(a, b, ansi))
    if one.is_number and other.is_number and "decimal" in (one.name, other.name) and one != other:
        whole, exact = (one, other) if other.name == "decimal" else (other, one)
        holds = as_decimal(whole)
        digits = exact.precision - exact.scale
        return exact if whole.is_whole and digits >= holds.precision else None
    return _tightest_common_type(one, other, ansi)


def wider_without_texts(one: SqlType, other: SqlType, ansi: bool) -> SqlType | None:
    """As `wider_type`, but texts have no type in common with others, even within arrays."""
    if one.is_nested and one.name == other.name:
        return _common_nested(one, other, lambda a, b: wider_without_texts(a, b, ansi))
    return _tightest_common_type(one, other, ansi)


def wider_type(one: SqlType, other: SqlType, ansi: bool) -> SqlType | None:
    """The type of which two values can be; None if there is none.

    Source: TypeCoercion.findWiderTypeForTwo, 4.3.0.
    """
    found = _tightest_common_type(one, other, ansi)
    if found is not None:
        return found
    if STRING in (one, other):
        rest = other if one == STRING else one
        return _ansi_type_beside_text(rest) if ansi else _type_beside_text(rest)
    return None


def _ansi_type_beside_text(rest: SqlType) -> SqlType | None:
    if rest.is_whole:
        return LONG
    if rest.is_number:
        return DOUBLE
    return None if rest.is_nested or rest.is_interval else rest


def _type_beside_text(rest: SqlType) -> SqlType | None:
    return None if rest.is_nested or rest.name in ("binary", "boolean", "vector") else STRING


def _tightest_common_type(one: SqlType, other: SqlType, ansi: bool) -> SqlType | None:
    if one == other or other == VOID:
        return one
    if one == VOID:
        return other
    if UNKNOWN in (one, other):
        return UNKNOWN
    if one.is_number and other.is_number:
        return _wider_number(one, other, ansi)
    # A date becomes midnight of the session's zone, so the other side's type stands.
    if DATE in (one, other) and (one in _TIMES or other in _TIMES):
        return other if one == DATE else one
    if one in _TIMES and other in _TIMES:
        return TIMESTAMP
    if one.name == other.name and one.is_nested:
        return _common_nested(one, other, lambda a, b: wider_type(a, b, ansi))
    if one.is_months and other.is_months:
        return _wider_interval(one, other, MONTH_UNITS)
    if one.is_micros and other.is_micros:
        return _wider_interval(one, other, MICRO_UNITS)
    return None


def _wider_interval(one: SqlType, other: SqlType, units: Sequence[str]) -> SqlType:
    """The interval of all units of both."""
    places = [units.index(unit) for kind in (one, other) for unit in kind.units]
    return interval_of(units[min(places)], units[max(places)])


def _wider_number(one: SqlType, other: SqlType, ansi: bool) -> SqlType:
    if one.is_whole and other.is_whole:
        return max(one, other, key=bit_width)
    if DOUBLE in (one, other):
        return DOUBLE
    if FLOAT in (one, other):
        rest = other if one == FLOAT else one
        # A float has 24 bits, too few for an int. With ANSI the two become doubles.
        return DOUBLE if ansi or rest.name == "decimal" else FLOAT
    return wider_decimal(as_decimal(one), as_decimal(other))


def wider_decimal(one: SqlType, other: SqlType) -> SqlType:
    """The decimal that holds the values of both.

    Source: DecimalPrecisionTypeCoercion.widerDecimalType.
    """
    scale = max(one.scale, other.scale)
    whole = max(one.precision - one.scale, other.precision - other.scale)
    return decimal_of(whole + scale, scale) if whole + scale <= 38 else decimal_of(38, scale)


def _common_nested(
    one: SqlType, other: SqlType, pair: Callable[[SqlType, SqlType], SqlType | None]
) -> SqlType | None:
    if len(one.parts) != len(other.parts):
        return None
    if [name.lower() for name in one.names] != [name.lower() for name in other.names]:
        return None
    parts = [pair(a, b) for a, b in zip(one.parts, other.parts, strict=True)]
    whole = [part for part in parts if part is not None]
    # One pair without a common type is enough: there is no type for the whole.
    if len(whole) != len(parts):
        return None
    match one.name:
        case "array":
            return array_of(whole[0])
        case "map":
            return map_of(whole[0], whole[1])
    return struct_of(list(zip(one.names, whole, strict=True)))


def _fold_types(
    kinds: Iterable[SqlType], pair: Callable[[SqlType, SqlType], SqlType | None]
) -> SqlType | None:
    found: SqlType | None = VOID
    for kind in kinds:
        if found is None:
            return None
        found = pair(found, kind)
    return found
