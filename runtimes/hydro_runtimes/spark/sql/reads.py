"""The columns that a statement reads, and those that it uses as numbers."""

from __future__ import annotations

from collections.abc import Iterator

from hydro_runtimes.spark.sql.syntax import (
    Expression,
    FunctionCall,
    Literal,
    Name,
    Operation,
    Select,
    Star,
    walk_nodes,
)

_ARITHMETIC = frozenset(("+", "-", "*", "/", "%", "div", "negate", "positive"))
_OF_NUMBERS = frozenset(
    (
        *("abs", "bround", "cbrt", "ceil", "ceiling", "degrees", "exp", "expm1", "floor", "isnan"),
        *("ln", "log10", "log1p", "log2", "nanvl", "pow", "power", "radians", "rint", "round"),
        *("sign", "signum", "sqrt"),
    )
)
_COMPARISONS = frozenset(("=", "<=>", "<", "<=", ">", ">="))


def names(select: Select) -> Iterator[tuple[str, ...]]:
    """What stands for columns and fields of them: a, s.a, t.s.a."""
    for node in _walk_select(select):
        match node:
            case Name(parts=parts):
                yield parts
            case Star(qualifier=parts) if parts:
                yield parts


def names_in(select: Select) -> Iterator[str]:
    """The names in a statement that may be columns; qualifiers are among them."""
    for parts in names(select):
        yield from parts[:2]


def names_of_numbers(select: Select) -> Iterator[str]:
    """The names of operands of arithmetic, of functions of numbers, or compared with a number."""
    for node in _walk_select(select):
        match node:
            case Operation(operator=operator, sides=sides) if operator in _ARITHMETIC:
                yield from _column_names(sides)
            case Operation(operator=operator, sides=sides) if operator in _COMPARISONS:
                if any(map(_is_number, sides)):
                    yield from _column_names(sides)
            case FunctionCall(name="between", arguments=sides) if any(map(_is_number, sides)):
                yield from _column_names(sides)
            case FunctionCall(name=name, arguments=sides) if name in _OF_NUMBERS:
                yield from _column_names(sides[:1])


def _walk_select(select: Select) -> Iterator[Expression]:
    if select.source is not None:
        yield from _walk_select(select.source)
    for item in select.items:
        yield from walk_nodes(item)
    if select.where is not None:
        yield from walk_nodes(select.where)


def _column_names(sides: tuple[Expression, ...]) -> Iterator[str]:
    return (side.parts[-1] for side in sides if isinstance(side, Name))


def _is_number(side: Expression) -> bool:
    if isinstance(side, Operation) and side.operator == "negate":
        side = side.sides[0]
    return isinstance(side, Literal) and side.type.is_number
