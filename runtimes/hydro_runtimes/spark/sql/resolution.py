"""What a name in a statement stands for.

Source: org.apache.spark.sql.catalyst.expressions.AttributeSeq.resolve and
org.apache.spark.sql.catalyst.analysis.{ColumnResolutionHelper, LiteralFunctionResolution}, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.functions import function_named
from hydro_runtimes.spark.sql.types import SqlType
from hydro_runtimes.spark.sql.values import Typed

_NAMED_FUNCTIONS = frozenset(
    ("current_date", "current_time", "current_timestamp", "current_user", "localtime")
    + ("session_user", "user")
)
"""Functions that stand without brackets where no column has the name."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a name may stand for."""

    name: str
    key: str
    """The key under which `Rows` hold its values."""
    type: SqlType
    table: str | None
    """The name of its table, if it has one."""


class Outside(Protocol):
    """Rows of which not all columns are known."""

    def column(self, name: str) -> Column:
        """The column of a name that stands for nothing else."""
        ...

    def all_columns(self) -> Sequence[Column]:
        """All columns, in order.

        Raises:
            StatementError: not all of them are known.
        """
        ...

    def may_have(self, name: str) -> None:
        """Notes that a column of this name, if there is one, comes before an alias."""
        ...


@dataclass(frozen=True, slots=True)
class Scope:
    """What names in an expression may stand for."""

    columns: Sequence[Column]
    table: str | None = None
    """The name of what is read, if it has one."""
    variables: Sequence[Column] = ()
    """The variables of the lambda functions around the expression, innermost first."""
    aliases: Mapping[str, Typed | None] | None = None
    """Aliases of earlier items of the same SELECT, in lower case; None for one given twice."""
    outside: Outside | None = None
    """The rows that come in, while it is not known which columns they have."""
    has_all: bool = False
    """Whether all of their columns are among the items of the same SELECT."""


def resolve_name(parts: tuple[str, ...], scope: Scope) -> tuple[Column | Typed, tuple[str, ...]]:
    """What a name stands for, and the fields of a struct that follow.

    The order of precedence is Spark's: a variable of a lambda function, a column with its table, a
    column, an alias of an earlier item of the same SELECT.

    Args:
        parts: of the name: a.b.c has three.
        scope: what it may stand for.

    Raises:
        StatementError: the name stands for nothing, or for several columns.
    """
    names = [part.lower() for part in parts]
    for variable in scope.variables:
        if variable.name.lower() == names[0]:
            return variable, parts[1:]
    if len(parts) > 1:
        qualified = [
            column
            for column in scope.columns
            if (column.table or "").lower() == names[0] and column.name.lower() == names[1]
        ]
        if qualified:
            return _require_one(qualified, parts), parts[2:]
    plain = [column for column in scope.columns if column.name.lower() == names[0]]
    if plain:
        return _require_one(plain, parts), parts[1:]
    if scope.aliases and names[0] in scope.aliases:
        if scope.outside is not None and not scope.has_all:
            scope.outside.may_have(parts[0])
        aliased = scope.aliases[names[0]]
        if aliased is None:
            raise StatementError(f"'{parts[0]}' is ambiguous: two columns have the name")
        return aliased, parts[1:]
    if len(parts) == 1 and names[0] in _NAMED_FUNCTIONS:
        function_named(names[0], parts[0])
    if scope.outside is not None:
        start = 1 if len(parts) > 1 and names[0] == (scope.table or "").lower() else 0
        return scope.outside.column(parts[start]), parts[start + 1 :]
    known = ", ".join(f"'{column.name}'" for column in scope.columns) or "none"
    raise StatementError(f"there is no column '{'.'.join(parts)}', want one of {known[:300]}")


def _require_one(found: Sequence[Column], parts: tuple[str, ...]) -> Column:
    if len(found) > 1:
        names = ", ".join(f"'{column.name}'" for column in found)
        raise StatementError(f"'{'.'.join(parts)}' is ambiguous: {names}")
    return found[0]
