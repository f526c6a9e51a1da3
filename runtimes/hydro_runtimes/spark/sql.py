"""Statements of SQL over the rows of a batch: parsed by sqlglot, worked out here.

A library for SQL would answer faster than Spark's rules allow: they differ from it in division,
casts, NaN, logarithms and errors, row by row. So the statement is parsed by a library, what is not
known to be the same as in Spark is refused when the model is loaded, and the rest is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from hydro_runtimes.columns import Column
from hydro_runtimes.spark.batch import Batch, Where, WrongColumn
from hydro_runtimes.spark.saved import Saved
from hydro_runtimes.spark.schema import LABEL, NUMERIC, UNKNOWN, Known, Schema
from hydro_runtimes.spark.sqlexpressions import (
    Expression,
    compile_expression,
    name_of,
    numeric_columns,
    text_columns,
)
from hydro_runtimes.spark.sqlvalues import (
    Rows,
    Value,
    constant,
    data_type,
    kind_of,
    of_column,
    to_column,
)

_MAX_STATEMENT = 100_000


@dataclass(frozen=True)
class _Item:
    """A column of the answer."""

    name: str
    source: str | None
    """The column that it is, as it stands."""
    expression: Expression | None


@dataclass(frozen=True)
class SQLTransformer:
    """SELECT ... FROM __THIS__ WHERE ..., in Spark's ANSI mode; rows that WHERE leaves out drop.

    Numbers with a point (1.5) are doubles here and decimals in Spark: the same beside a double.

    Source: org.apache.spark.ml.feature.SQLTransformer, 4.3.0.
    """

    where: Where
    items: tuple[_Item, ...]
    """In order; one without a source and an expression stands for all columns."""
    condition: Expression | None
    reads: tuple[str, ...]

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> SQLTransformer:
        try:
            select = _parse(saved.text("statement"))
            items = tuple(_item(node) for node in select.expressions)
            where = select.args.get("where")
            condition = compile_expression(where.this) if where is not None else None
            reads = tuple(dict.fromkeys(name_of(node) for node in select.find_all(exp.Column)))
            names = {name.lower(): name for name in schema.columns}
            reads = tuple(names.get(name.lower(), name) for name in reads)
            wanted = dict.fromkeys((name.lower() for name in text_columns(select)), LABEL)
            wanted |= dict.fromkeys((name.lower() for name in numeric_columns(select)), NUMERIC)
            for name in reads:
                schema.want(saved, name, wanted.get(name.lower(), UNKNOWN))
            _declare(schema, items, condition)
        except (ValueError, SqlglotError, RecursionError) as error:
            message = str(error).splitlines()[0] if str(error) else "too deeply nested"
            raise saved.invalid(f"param 'statement': {message}") from error
        return cls(Where(saved.uid, "statement"), items, condition, reads)

    def transform(self, batch: Batch) -> Batch:
        try:
            return self._select(batch)
        except ValueError as error:
            raise WrongColumn(self.where.invalid(str(error))) from error

    def _select(self, batch: Batch) -> Batch:
        if self.condition is not None:
            batch = self._filter(batch, self.condition)
        rows = _rows(batch)
        columns: dict[str, Column] = {}
        names = {name.lower(): name for name in batch.columns}
        for item in self.items:
            if item.source is not None:
                columns[item.name] = batch.columns[names[item.source.lower()]]
            elif item.expression is not None:
                columns[item.name] = to_column(item.expression(rows))
            else:
                columns.update(batch.columns)
        done = Batch(columns, batch.rows, batch.kept, batch.failures)
        return done.without({row: self.where.invalid(text) for row, text in rows.errors.items()})

    def _filter(self, batch: Batch, condition: Expression) -> Batch:
        rows = _rows(batch)
        kept = condition(rows)
        failures = {row: self.where.invalid(text) for row, text in rows.errors.items()}
        for row in np.flatnonzero(kept.null | ~kept.data.astype(bool)).tolist():
            failures.setdefault(row, self.where.dropped("WHERE is not true"))
        return batch.without(failures)


def _rows(batch: Batch) -> Rows:
    values = {name.lower(): of_column(column) for name, column in batch.columns.items()}
    known = {name: value for name, value in values.items() if value is not None}
    return Rows(known, np.arange(batch.rows))


def _parse(statement: str) -> exp.Select:
    """The statement, which may select and filter and nothing else."""
    if len(statement) > _MAX_STATEMENT:
        raise ValueError(f"has {len(statement)} characters, want at most {_MAX_STATEMENT}")
    select = sqlglot.parse_one(statement, read="spark")
    if not isinstance(select, exp.Select):
        raise ValueError(f"is {type(select).__name__.upper()}, want SELECT")
    for part, value in select.args.items():
        if value and part not in ("expressions", "from_", "where"):
            raise ValueError(f"has {part.strip('_').upper()}: only SELECT, FROM, WHERE are known")
    source = select.args.get("from_")
    table = source.this if source is not None else None
    if not isinstance(table, exp.Table) or table.name != "__THIS__" or table.args.get("joins"):
        raise ValueError("reads another table than __THIS__")
    return select


def _item(node: exp.Expr) -> _Item:
    if isinstance(node, exp.Star):
        if any(node.args.values()):
            raise ValueError("has * with EXCEPT or REPLACE, which is not known")
        return _Item("*", None, None)
    if isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
        return _Item("*", None, None)
    inner = node.this if isinstance(node, exp.Alias) else node
    if isinstance(inner, exp.Column):
        return _Item(node.alias_or_name, name_of(inner), None)
    if not isinstance(node, exp.Alias):
        raise ValueError(f"'{node.sql('spark')}' has no name: give it one with AS")
    return _Item(node.alias, None, compile_expression(inner))


def _declare(schema: Schema, items: tuple[_Item, ...], condition: Expression | None) -> None:
    """Brings the schema to what it is after the statement."""
    dry = _dry(schema)
    if condition is not None:
        condition(dry)
    names = {name.lower(): name for name in schema.columns}
    made: dict[str, Known] = {}
    for item in items:
        if item.source is not None:
            made[item.name] = schema.columns[names[item.source.lower()]]
        elif item.expression is not None:
            made[item.name] = Known(data_type(item.expression(dry).kind))
    if all(item.source or item.expression for item in items):
        schema.close(item.name for item in items)
    for item in items:
        if item.expression is not None or (item.source and item.name not in schema.columns):
            schema.add(item.name, made[item.name])


def _dry(schema: Schema) -> Rows:
    """No rows, of the types that are known."""
    columns = {name.lower(): _empty(known) for name, known in schema.columns.items()}
    return Rows({name: value for name, value in columns.items() if value}, np.arange(0))


def _empty(known: Known) -> Value | None:
    return None if known.shape else constant(kind_of(known.type), None, 0)
