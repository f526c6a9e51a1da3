"""SQLTransformer: a statement over the rows of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hydro_runtimes.columns import Column as BatchColumn
from hydro_runtimes.spark.data.batch import Batch, InputColumn, WrongColumn
from hydro_runtimes.spark.data.column_info import SQL, SQL_NUMBER, ColumnInfo
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.sql_columns import (
    ColumnValues,
    column_type,
    to_column,
    type_of_column,
)
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.plan import Plan, plan_of
from hydro_runtimes.spark.sql.reads import names_in, names_of_numbers
from hydro_runtimes.spark.sql.resolution import Column
from hydro_runtimes.spark.sql.statement import THIS, parse_statement
from hydro_runtimes.spark.sql.syntax import Select
from hydro_runtimes.spark.sql.types import UNKNOWN, VECTOR, SqlType, array_of
from hydro_runtimes.spark.sql.values import Rows

_MAX_PLANS = 256


@dataclass(frozen=True)
class SQLTransformer:
    """SELECT ... FROM __THIS__ WHERE ...; rows for which WHERE is not true are dropped.

    A saved statement does not tell the types of its columns, so it is planned for each combination
    of types that batches have.

    Source: org.apache.spark.ml.feature.SQLTransformer, 4.3.0.
    """

    source: InputColumn
    select: Select
    mode: Mode
    vectors: frozenset[str]
    _plans: dict[tuple[tuple[str, SqlType], ...], Plan] = field(default_factory=dict)

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> SQLTransformer:
        try:
            mode = schema.session.evaluation_mode(saved)
            select = parse_statement(saved.text("statement"))
            plan = _first_plan(select, mode, saved, schema)
        except (StatementError, RecursionError) as error:
            message = str(error) if isinstance(error, StatementError) else "is nested too deeply"
            raise saved.invalid(f"param 'statement': {message}") from error
        vectors = frozenset(
            name
            for name, known in schema.columns.items()
            if known.is_vector and name in schema.added
        )
        _declare_columns(schema, plan)
        return cls(InputColumn(saved.uid, "statement"), select, mode, vectors)

    def transform(self, batch: Batch) -> Batch:
        try:
            plan = self._plan_for(batch.columns)
        except StatementError as error:
            raise WrongColumn(self.source.invalid_row(str(error))) from error
        rows = Rows.from_columns(ColumnValues(batch.columns, self.vectors), batch.rows)
        kept, values = plan.evaluate_items(rows)
        bad = np.isin(kept.index, list(rows.errors))
        columns: dict[str, BatchColumn] = {}
        for item in plan.items:
            if item.source is not None:
                column = batch.columns[item.source]
                columns[item.name] = column if kept is rows else column.take(kept.index)
            else:
                columns[item.name] = to_column(values[item.name].null_where(bad), self.mode)
        return self._batch_of_rows(batch, kept, columns, rows.errors)

    def _plan_for(self, columns: Mapping[str, BatchColumn]) -> Plan:
        types = {
            name: type_of_column(column, name in self.vectors) for name, column in columns.items()
        }
        key = tuple(types.items())
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            plan = self._plans[key] = plan_of(self.select, types, self.mode)
        return plan

    def _batch_of_rows(
        self,
        batch: Batch,
        kept: Rows,
        columns: Mapping[str, BatchColumn],
        errors: Mapping[int, str],
    ) -> Batch:
        """The batch of these columns; rows that WHERE leaves out and rows in error fail."""
        failures = {row: self.source.invalid_row(text) for row, text in errors.items()}
        here = set(kept.index.tolist())
        for row in range(batch.rows):
            if row not in here:
                failures.setdefault(row, self.source.dropped_row("WHERE is not true"))
        if not failures:
            return Batch(columns, batch.rows, batch.source_rows, batch.failures)
        well = np.array([row not in failures for row in kept.index.tolist()], dtype=bool)
        rest = batch.select([]).without_rows(failures)
        chosen = {name: column.take(np.flatnonzero(well)) for name, column in columns.items()}
        return Batch(chosen, rest.rows, rest.source_rows, rest.failures)


def _first_plan(select: Select, mode: Mode, saved: Saved, schema: Schema) -> Plan:
    """The plan for the types that are known on loading; columns not known become inputs."""
    tables = {THIS.lower()}
    source: Select | None = select
    while source is not None:
        if source.source is None and source.alias:
            tables.add(source.alias.lower())
        source = source.source

    numbers = {name.lower() for name in names_of_numbers(select)}

    def add_input(parts: tuple[str, ...]) -> Column | None:
        name = parts[1] if len(parts) > 1 and parts[0].lower() in tables else parts[0]
        if not schema.is_open:
            return None
        schema.require(saved, name, SQL_NUMBER if name.lower() in numbers else SQL)
        return Column(name, name, UNKNOWN, None)

    types = {name: _sql_type(known, name in schema.added) for name, known in schema.columns.items()}
    plan = plan_of(select, types, mode, add_input)
    _refuse_two_of_a_name(plan)
    read = {name.lower() for name in names_in(select)}
    for name in list(schema.columns):
        if name.lower() in read:
            schema.require(saved, name, SQL_NUMBER if name.lower() in numbers else SQL)
    return plan


def _refuse_two_of_a_name(plan: Plan) -> None:
    """Refuses two columns of one name: Spark gives both, and refuses to read either by its name."""
    seen: dict[str, str | None] = {}
    for item in plan.items:
        name = item.name.lower()
        if name in seen and (item.source is None or item.source != seen[name]):
            raise StatementError(f"two columns have the name '{item.name}'")
        seen[name] = item.source


def _sql_type(known: ColumnInfo, is_made: bool) -> SqlType:
    if known.sql is not None:
        return known.sql
    if known.is_vector and is_made:
        return VECTOR
    kind = _TYPES.get(known.type.value, UNKNOWN)
    if kind == UNKNOWN or len(known.shape) > 1:
        return UNKNOWN
    return array_of(kind) if known.shape else kind


_TYPES: Mapping[str, SqlType] = {
    "bool": SqlType("boolean"),
    "int32": SqlType("int"),
    "int64": SqlType("bigint"),
    "float32": SqlType("float"),
    "float64": SqlType("double"),
    "string": SqlType("string"),
}


def _declare_columns(schema: Schema, plan: Plan) -> None:
    """Brings the schema to what it is after the statement."""
    made: dict[str, ColumnInfo] = {}
    for item in plan.items:
        if item.source is not None and item.source in schema.columns:
            made[item.name] = schema.columns[item.source]
        else:
            name, shape = column_type(item.typed.type)
            kind = None if item.typed.type == UNKNOWN else item.typed.type
            made[item.name] = ColumnInfo(name, shape, sql=kind)
    if not plan.takes_all:
        schema.keep_only(item.name for item in plan.items)
    for item in plan.items:
        if item.source is None or item.name != item.source or item.name not in schema.columns:
            schema.add_column(item.name, made[item.name])
