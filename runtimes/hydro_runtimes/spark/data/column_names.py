"""The names that stages have for columns: s.a for a field, `d.e` for a dot, and case that differs.

Source: org.apache.spark.sql.catalyst.analysis.UnresolvedAttribute.parseAttributeName, 4.3.0.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from hydro_runtimes.columns import Column
from hydro_runtimes.evaluator import Failure
from hydro_runtimes.spark.data.batch import Batch, Transformer, WrongColumn
from hydro_runtimes.spark.data.sql_columns import field_column
from hydro_runtimes.spark.sql.errors import StatementError

Path = tuple[str, ...]
"""A column, and the names of the fields that follow."""
_PART = re.compile(r"`((?:[^`]|``)+)`|([^`.]+)")


def parse_name(name: str) -> Path:
    """The column and the fields that a name is for; one that is not well formed is one name."""
    parts: list[str] = []
    at = 0
    while (found := _PART.match(name, at)) is not None:
        quoted, plain = found.groups()
        parts.append(plain if quoted is None else quoted.replace("``", "`"))
        at = found.end() + 1
        if found.end() == len(name):
            return tuple(parts)
        if name[found.end()] != ".":
            break
    return (name,)


def matching_names(name: str, columns: Collection[str]) -> list[str]:
    """The column of a name, or all that differ from it in case alone."""
    if name in columns:
        return [name]
    lower = name.lower()
    return [one for one in columns if one.lower() == lower]


@dataclass(frozen=True, slots=True)
class Renaming:
    """A stage that reads columns by other names than they have."""

    stage: Transformer
    names: Mapping[str, Path]
    """By the stage's names, what each is for."""
    kept: frozenset[str]
    """Those of them that the stage also makes."""
    replaced: frozenset[str]
    """Columns that what it makes takes the place of: its names differ in case alone."""

    def transform(self, batch: Batch) -> Batch:
        """As the stage's own."""
        columns = dict(batch.columns)
        for name, (column, *fields) in self.names.items():
            here = matching_names(column, batch.columns)
            if len(here) == 1:
                found = columns[here[0]]
                columns[name] = _read_field(column, found, fields) if fields else found
        made = self.stage.transform(Batch(columns, batch.rows, batch.source_rows, batch.failures))
        own = {name for name in self.names if name in batch.columns}
        gone = (self.names.keys() - self.kept - own) | self.replaced
        return made.select([name for name in made.columns if name not in gone])


def _read_field(column: str, found: Column, fields: Sequence[str]) -> Column:
    try:
        return field_column(found, fields)
    except StatementError as error:
        raise WrongColumn(
            Failure("INVALID_VALUE", f"column '{column}': {error}", column)
        ) from error
