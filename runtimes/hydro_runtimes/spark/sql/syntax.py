"""The nodes of a parsed statement.

Source: SqlBaseParser.g4 of Spark 4.3.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from hydro_runtimes.spark.sql.types import SqlType


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant, held as `values.Value` holds values of its type; None for null."""

    type: SqlType
    value: Any
    text: str
    """The text that Spark writes for it in the name of a column."""


@dataclass(frozen=True, slots=True)
class Name:
    """A column, or a field of one: a.b.c."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Star:
    """*: all columns, or those of a table or struct if it is qualified."""

    qualifier: tuple[str, ...] = ()
    without: tuple[tuple[str, ...], ...] = ()
    """The names after EXCEPT."""
    replaced: tuple[tuple[str, Expression], ...] = ()
    """Columns whose values are replaced, as by |> SET."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of a function."""

    name: str
    """In lower case."""
    arguments: tuple[Expression, ...]
    written: str = ""
    """The name as the statement writes it, for messages."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator with one or two sides."""

    operator: str
    """Such as +, AND, <=>; "not", "negate" and "~" have one side."""
    sides: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Cast:
    """CAST; TRY_CAST if it is safe."""

    child: Expression
    type: SqlType
    safe: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """CASE; a subject has been turned into comparisons."""

    branches: tuple[tuple[Expression, Expression], ...]
    otherwise: Expression | None


@dataclass(frozen=True, slots=True)
class In:
    """IN: whether the child equals one of the options."""

    child: Expression
    options: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """LIKE, ILIKE or RLIKE."""

    operator: str
    child: Expression
    pattern: Expression
    escape: str = "\\"


@dataclass(frozen=True, slots=True)
class Quantified:
    """LIKE ANY and LIKE ALL: whether one of several tests is true, or all are."""

    operator: str
    """OR or AND."""
    tests: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Lambda:
    """A lambda function: (a, b) -> body."""

    names: tuple[str, ...]
    body: Expression


@dataclass(frozen=True, slots=True)
class Element:
    """child[key]."""

    child: Expression
    key: Expression


@dataclass(frozen=True, slots=True)
class FieldOf:
    """child.name, if the child is not a name itself."""

    child: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Alias:
    """child AS name."""

    child: Expression
    name: str


Expression: TypeAlias = (
    Literal
    | Name
    | Star
    | FunctionCall
    | Operation
    | Cast
    | Case
    | In
    | Like
    | Quantified
    | Lambda
    | Element
    | FieldOf
    | Alias
)


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT items FROM source WHERE condition."""

    items: tuple[Expression, ...]
    source: Select | None
    """None means the batch, __THIS__."""
    alias: str | None
    """The name of the source; __THIS__ if it has no alias."""
    where: Expression | None
    names: tuple[str, ...] = ()
    """The names of the source's columns, if they are given: FROM (...) AS t(a, b)."""


def child_nodes(node: Expression) -> Iterator[Expression]:
    """The expressions directly below a node."""
    for field in fields(node):
        yield from _expressions(getattr(node, field.name))


def walk_nodes(node: Expression) -> Iterator[Expression]:
    """A node and all expressions below it."""
    yield node
    for child in child_nodes(node):
        yield from walk_nodes(child)


def _expressions(value: Any) -> Iterator[Expression]:
    if isinstance(value, tuple):
        for part in value:
            yield from _expressions(part)
    elif isinstance(value, Expression):
        yield value
