"""The plan of a statement for columns whose types are known: the rows it keeps, what it computes.

Source: org.apache.spark.sql.catalyst.plans.logical.{Project, Filter}, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.expressions import Compiler
from hydro_runtimes.spark.sql.logic import require_condition
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.resolution import Column, Outside, Scope, resolve_name
from hydro_runtimes.spark.sql.structs import drop_fields
from hydro_runtimes.spark.sql.syntax import Alias, Expression, Name, Select, Star
from hydro_runtimes.spark.sql.types import UNKNOWN, VOID, SqlType
from hydro_runtimes.spark.sql.values import Rows, Typed, Value


@dataclass(frozen=True, slots=True)
class Item:
    """A column of the answer of a SELECT."""

    name: str
    typed: Typed
    source: str | None
    """The column of the batch of which it is a copy; None if it is computed."""
    is_named: bool = False
    """The statement names it, and does not only have it among others in a *."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A SELECT over the columns of a batch, or over another SELECT."""

    inner: Plan | None
    items: tuple[Item, ...]
    where: Typed | None
    takes_all: bool
    """Whether it has a * over the batch, which may have columns that are not known on loading."""
    spreads: bool = False
    """It has s.*, and it is not known which fields s has."""

    def evaluate_items(self, rows: Rows) -> tuple[Rows, Mapping[str, Value]]:
        """The rows that WHERE keeps, and by name the values of the items for them.

        Items that are copies of columns have no value here: the columns are used as they are.
        """
        if self.inner is not None:
            rows = self.inner.rows_with_items(rows)
        rows = self._filter_rows(rows)
        values = {
            item.name: item.typed.evaluate(rows) for item in self.items if item.source is None
        }
        return rows, values

    def rows_with_items(self, rows: Rows) -> Rows:
        """The rows that WHERE keeps, with the items as columns, for the SELECT around this one."""
        if self.inner is not None:
            rows = self.inner.rows_with_items(rows)
        rows = self._filter_rows(rows)
        values = {
            self.item_key(place): item.typed.evaluate(rows) for place, item in enumerate(self.items)
        }
        return rows.with_columns(values)

    def item_key(self, place: int) -> str:
        """The key of an item's values, for the SELECT around this one."""
        return f"{id(self)} {place}"

    def _filter_rows(self, rows: Rows) -> Rows:
        if self.where is None:
            return rows
        kept = self.where.evaluate(rows)
        return rows.take(kept.data & ~kept.null)


def plan_of(
    select: Select, columns: Mapping[str, SqlType], mode: Mode, outside: Outside | None = None
) -> Plan:
    """The plan of a statement.

    Args:
        select: the statement.
        columns: the columns of the batch with their types, in order.
        mode: of the session.
        outside: the rows that come in, while not all of their columns are known.

    Raises:
        StatementError: a name is unknown or ambiguous, or types do not fit.
    """
    inner = None if select.source is None else plan_of(select.source, columns, mode, outside)
    table = select.alias
    if inner is None:
        given = [Column(name, name, kind, table) for name, kind in columns.items()]
    else:
        given = [
            Column(item.name, inner.item_key(place), item.typed.type, table)
            for place, item in enumerate(inner.items)
        ]
    sees_all = inner is None or inner.takes_all
    if select.names:
        if outside is not None and sees_all:
            given = [replace(column, table=table) for column in outside.all_columns()]
        given = _rename_columns(given, select.names)
        sees_all = False  # under other names, and there are no others
    scope = Scope(given, table, outside=outside if sees_all else None)
    stars = [node for node in select.items if isinstance(node, Star)]
    keeps = not all(_is_struct(node, scope) for node in stars)
    scope = replace(scope, has_all=keeps)
    compiler = Compiler(mode)
    where = None
    if select.where is not None:
        where = compiler.compile(select.where, scope)
        if where.type == VOID:
            raise StatementError("WHERE NULL is not a condition, want a boolean")
        where = require_condition(where, mode)
    items = _plan_items(select.items, scope, compiler, inner)
    spreads = any(_is_unknown(node, scope, compiler) for node in stars)
    if inner is not None:
        spreads = spreads or (keeps and inner.spreads)
    return Plan(inner, items, where, sees_all and keeps, spreads)


def _rename_columns(columns: Sequence[Column], names: Sequence[str]) -> list[Column]:
    if len(columns) != len(names):
        raise StatementError(f"got {len(names)} names for {len(columns)} columns, want as many")
    return [replace(column, name=name) for column, name in zip(columns, names, strict=True)]


def _plan_items(
    nodes: Sequence[Expression], scope: Scope, compiler: Compiler, inner: Plan | None
) -> tuple[Item, ...]:
    made: list[Item] = []
    aliases: dict[str, Typed | None] = {}
    for node in nodes:
        here = replace(scope, aliases=aliases)
        if isinstance(node, Star):
            made += _expand_star(node, here, compiler, inner)
            continue
        typed = compiler.compile(node, here)
        name = compiler.output_name(node)
        made.append(Item(name, typed, _source_of(node, here, inner), is_named=True))
        if isinstance(node, Alias):
            # An alias that is given twice is ambiguous for later items.
            aliases[name.lower()] = None if name.lower() in aliases else typed
    return tuple(made)


def _expand_star(node: Star, scope: Scope, compiler: Compiler, inner: Plan | None) -> list[Item]:
    for name in (*(parts[0] for parts in node.without), *(name for name, _ in node.replaced)):
        if not _is_struct(node, scope):
            resolve_name((name,), scope)
    left_out = {parts[0].lower() for parts in node.without if len(parts) == 1}
    fields = [parts for parts in node.without if len(parts) > 1]
    replaced = {name.lower(): part for name, part in node.replaced}
    if _is_struct(node, scope):
        child = compiler.compile(Name(node.qualifier), scope)
        if child.type != UNKNOWN and child.type.name != "struct":
            raise StatementError(f"{'.'.join(node.qualifier)}.* is of {child.type}, want a struct")
        names = [name for name in child.type.names if name.lower() not in left_out]
        return [
            Item(name, compiler.compile(Name((*node.qualifier, name)), scope), None)
            for name in names
        ]
    made: list[Item] = []
    for one in scope.columns:
        name = one.name.lower()
        dropped = [parts[1:] for parts in fields if parts[0].lower() == name]
        if name in replaced:
            made.append(Item(one.name, compiler.compile(replaced[name], scope), None))
        elif dropped:
            made.append(
                Item(one.name, drop_fields(_read_column(one), dropped, compiler.mode), None)
            )
        elif name not in left_out:
            made.append(Item(one.name, _read_column(one), _origin_of(one, inner)))
    return made


def _read_column(column: Column) -> Typed:
    return Typed(column.type, _column_reader(column.key))


def _column_reader(key: str) -> Callable[[Rows], Value]:
    return lambda rows: rows.read_column(key)


def _is_struct(node: Star, scope: Scope) -> bool:
    """Whether this is s.* of a struct column, and not of a table."""
    name = node.qualifier
    return len(name) > 1 or (len(name) == 1 and name[0].lower() != (scope.table or "").lower())


def _is_unknown(node: Star, scope: Scope, compiler: Compiler) -> bool:
    """s.* of a struct whose fields are not known."""
    return _is_struct(node, scope) and compiler.compile(Name(node.qualifier), scope).type == UNKNOWN


def _source_of(node: Expression, scope: Scope, inner: Plan | None) -> str | None:
    """The column of the batch of which an item is a copy; None if it is computed."""
    child = node.child if isinstance(node, Alias) else node
    if not isinstance(child, Name):
        return None
    found, fields = resolve_name(child.parts, scope)
    if fields or not isinstance(found, Column):
        return None
    return _origin_of(found, inner)


def _origin_of(column: Column, inner: Plan | None) -> str | None:
    if inner is None:
        return column.key
    places = range(len(inner.items))
    return next((inner.items[i].source for i in places if inner.item_key(i) == column.key), None)
