"""What a parsed statement consists of.

Source: SqlBaseParser.g4 of Spark 4.3.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from hydro_runtimes.spark.sql.types import SqlType


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant, as a value of its type holds it; None for null."""

    type: SqlType
    value: Any
    text: str
    """As Spark shows it in the name of a column."""


@dataclass(frozen=True, slots=True)
class Name:
    """A column, or a field of one: a.b.c."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Star:
    """All columns, of a table or struct where it is qualified."""

    qualifier: tuple[str, ...] = ()
    without: tuple[tuple[str, ...], ...] = ()
    """EXCEPT of these names."""
    replaced: tuple[tuple[str, Expression], ...] = ()
    """Columns that have another value in their place."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function."""

    name: str
    """In lower case."""
    arguments: tuple[Expression, ...]
    written: str = ""
    """The name as the statement has it, for messages."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator with one or two sides."""

    operator: str
    """Such as +, AND, <=>; "not", "negate" and "~" have one side."""
    sides: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Cast:
    """CAST, or TRY_CAST where it is safe."""

    child: Expression
    type: SqlType
    safe: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """CASE, without a subject: that has become comparisons."""

    branches: tuple[tuple[Expression, Expression], ...]
    otherwise: Expression | None


@dataclass(frozen=True, slots=True)
class In:
    """Whether the child is one of the options."""

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
    """LIKE ANY and LIKE ALL: one, or each, of several tests."""

    operator: str
    """OR or AND."""
    tests: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Lambda:
    """A function that is an argument: (a, b) -> body."""

    names: tuple[str, ...]
    body: Expression


@dataclass(frozen=True, slots=True)
class Element:
    """child[key]."""

    child: Expression
    key: Expression


@dataclass(frozen=True, slots=True)
class FieldOf:
    """child.name, where the child is no name."""

    child: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Alias:
    """An expression under a name."""

    child: Expression
    name: str


Expression: TypeAlias = (
    Literal
    | Name
    | Star
    | Call
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
    """None: the rows that come in, __THIS__."""
    alias: str | None
    """The name of the source; __THIS__ where it has no other."""
    where: Expression | None
    names: tuple[str, ...] = ()
    """Of the columns of the source, where it has others than its own: FROM (...) AS t(a, b)."""


def child_nodes(node: Expression) -> Iterator[Expression]:
    """The expressions right below a node."""
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
