"""SQLTransformer: a statement over the rows of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from hydro_runtimes.columns import Column as BatchColumn
from hydro_runtimes.spark.data.batch import Batch, InputColumn, WrongColumn
from hydro_runtimes.spark.data.column_info import (
    ANY,
    SQL,
    SQL_NUMBER,
    ColumnInfo,
    how_to_state,
    info_of_type,
)
from hydro_runtimes.spark.data.column_names import matching_names
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.sql_columns import ColumnValues, to_column, type_of_column
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.sql import null_types
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.plan import Plan, plan_of
from hydro_runtimes.spark.sql.reads import names_in, names_of_numbers
from hydro_runtimes.spark.sql.resolution import Column
from hydro_runtimes.spark.sql.statement import parse_statement
from hydro_runtimes.spark.sql.syntax import Select
from hydro_runtimes.spark.sql.types import UNKNOWN, VECTOR, SqlType, array_of
from hydro_runtimes.spark.sql.values import Rows

_MAX_PLANS = 256
_Typing: TypeAlias = tuple[Plan, Mapping[str, SqlType]]
"""A plan, and the types of the columns that it is for."""


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
    untold: tuple[str, ...]
    """The inputs that it reads whose types the save does not tell."""
    order: tuple[str, ...]
    """The first columns of the table, where their order counts."""
    _plans: dict[tuple[tuple[str, SqlType], ...], _Typing] = field(default_factory=dict)

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> SQLTransformer:
        try:
            mode = schema.session.evaluation_mode(saved)
            select = parse_statement(saved.text("statement"))
            plan, order = _first_plan(select, mode, saved, schema)
        except (StatementError, RecursionError) as error:
            message = str(error) if isinstance(error, StatementError) else "is nested too deeply"
            raise saved.invalid(f"param 'statement': {message}") from error
        vectors = frozenset(
            name
            for name, known in schema.columns.items()
            if known.is_vector and name in schema.added
        )
        read = {name.lower() for name in names_in(select)}
        untold = tuple(
            name
            for name, known in schema.inputs.items()
            if known.type is ANY and known.sql is None and name.lower() in read
        )
        _declare_columns(schema, plan)
        return cls(InputColumn(saved.uid, "statement"), select, mode, vectors, untold, order)

    def transform(self, batch: Batch) -> Batch:
        try:
            plan, types = self._plan_for(self._in_order(batch.columns))
        except StatementError as error:
            raise WrongColumn(self.source.invalid_row(self._told(error, batch))) from error
        rows = Rows.from_columns(ColumnValues(batch.columns, types), batch.rows)
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

    def _in_order(self, columns: Mapping[str, BatchColumn]) -> Mapping[str, BatchColumn]:
        first = {name: columns[name] for name in self.order if name in columns}
        return {**first, **columns} if first else columns

    def _plan_for(self, columns: Mapping[str, BatchColumn]) -> _Typing:
        types = {
            name: type_of_column(column, name in self.vectors) for name, column in columns.items()
        }
        key = tuple(types.items())
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            found = self._plans[key] = self._column_of_type(types)
        return found

    def _told(self, error: StatementError, batch: Batch) -> str:
        """The message for rows whose types the statement does not take."""
        asked = {
            name: type_of_column(batch.columns[name], is_vector=False)
            for name in self.untold
            if name in batch.columns
        }
        if not asked:
            return str(error)
        got = ", ".join(f"'{name}' is {kind}" for name, kind in asked.items())
        told = how_to_state(*({"name": name, "type": str(kind)} for name, kind in asked.items()))
        return f"{error}; as JSON tells it, {got}; where that is another type, {told}"

    def _column_of_type(self, types: Mapping[str, SqlType]) -> _Typing:
        try:
            return plan_of(self.select, types, self.mode), types
        except StatementError as error:
            first = error
        for others in null_types.combinations(self.select, types):
            try:
                return plan_of(self.select, others, self.mode), others
            except StatementError:
                continue
        raise first

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


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The columns that come in while a pipeline is loaded: those that a statement reads."""

    saved: Saved
    schema: Schema
    numbers: frozenset[str]
    """In lower case, the names of columns that are taken for numbers."""
    perhaps: set[str] = field(default_factory=set)
    """Columns that a row may lack: the statement gives their names to others."""
    takes_all: list[bool] = field(default_factory=list)
    """Not empty once all columns have been asked for."""

    def column(self, name: str) -> Column:
        known = dict.fromkeys((*self.schema.columns, *self.schema.stated))
        found = matching_names(name, known)
        name = found[0] if len(found) == 1 else name
        self.read(name)
        return Column(name, name, UNKNOWN, None)

    def all_columns(self) -> Sequence[Column]:
        if not self.schema.stated or not self.schema.is_open:
            told = how_to_state(
                {"name": "first", "type": "double"}, {"name": "next", "type": "int"}
            )
            raise StatementError(
                f"it takes all columns, and which there are the save does not tell: {told}"
            )
        for name in self.schema.stated:
            self.read(name)
        self.takes_all.append(True)
        columns = self.schema.columns
        return [
            Column(name, name, _sql_type(columns[name], name in self.schema.added), None)
            for name in dict.fromkeys((*self.schema.stated, *columns))
        ]

    def may_have(self, name: str) -> None:
        if self.schema.is_open:
            self.schema.add_optional(name, SQL)
            self.perhaps.add(name)

    def read(self, name: str) -> None:
        wanted = SQL_NUMBER if name.lower() in self.numbers else SQL
        self.schema.require_column(self.saved, name, wanted)


def _first_plan(
    select: Select, mode: Mode, saved: Saved, schema: Schema
) -> tuple[Plan, tuple[str, ...]]:
    """The plan for the types that are known while a pipeline is loaded; the schema gets inputs.

    Returns:
        The plan, and the columns that come first where their order counts.
    """
    numbers = frozenset(name.lower() for name in names_of_numbers(select))
    inputs = _Inputs(saved, schema, numbers)
    known = -1
    while known < len(schema.columns):  # what an outer SELECT reads comes through those in it
        known = len(schema.columns)
        columns = schema.columns.items()
        types = {name: _sql_type(one, name in schema.added) for name, one in columns}
        plan = plan_of(select, types, mode, inputs if schema.may_have_more else None)
    _refuse_two_of_a_name(plan)
    read = {name.lower() for name in names_in(select)}
    for name in list(schema.columns):
        if name.lower() in read and name not in inputs.perhaps:
            inputs.read(name)
    return plan, tuple(schema.stated) if inputs.takes_all else ()


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
            made[item.name] = info_of_type(item.typed.type)
    if not plan.takes_all:
        schema.keep_only(item.name for item in plan.items)
    if plan.spreads:
        schema.spreads = True
    for item in plan.items:
        if item.source is None or item.name != item.source:
            schema.add_column(item.name, made[item.name])
        elif item.is_named and not plan.takes_all:
            # A row may bring it under a name whose case differs.
            schema.add_unchanged(item.name)
