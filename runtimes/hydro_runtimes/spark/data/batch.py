"""The rows of a batch on their way through the stages, and the failures of those taken out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from hydro_runtimes.columns import Array, Column
from hydro_runtimes.evaluator import Failure

INVALID = "INVALID_VALUE"
DROPPED = "ROW_DROPPED"


class Batch(NamedTuple):
    """The columns of the rows that have not failed. A tuple: one is made for every stage."""

    columns: Mapping[str, Column]
    rows: int
    source_rows: Array | None = None
    """int64, (rows,): the index of each row in the request; None while all rows are here."""
    failures: Mapping[int, Failure] | None = None
    """By index in the request."""

    def with_columns(self, columns: Mapping[str, Column]) -> Batch:
        """The batch with these columns, which replace those of the same name."""
        return Batch({**self.columns, **columns}, self.rows, self.source_rows, self.failures)

    def select(self, names: Iterable[str]) -> Batch:
        """The batch with no other columns than these."""
        columns = {name: self.columns[name] for name in names}
        return Batch(columns, self.rows, self.source_rows, self.failures)

    def without_rows(self, failures: Mapping[int, Failure]) -> Batch:
        """The batch without the rows that failed, given by their index in this batch."""
        if not failures:
            return self
        kept = np.arange(self.rows) if self.source_rows is None else self.source_rows
        known = dict(self.failures or {})
        known.update((int(kept[row]), failure) for row, failure in failures.items())
        rest = np.delete(np.arange(self.rows), list(failures))
        columns = {name: column.take(rest) for name, column in self.columns.items()}
        return Batch(columns, len(rest), kept[rest], known)


class Transformer(Protocol):
    """A stage as it is evaluated: a pure function of a batch."""

    def transform(self, batch: Batch) -> Batch:
        """The batch with the stage's columns added, without the rows that fail.

        Raises:
            WrongColumn: a column has a form that the stage cannot read.
        """
        ...


class WrongColumn(Exception):
    """A column has a form that a stage cannot read, so that all rows fail."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class InputColumn:
    """A column that a stage reads, and the failures of rows because of it."""

    stage: str
    """The uid of the stage; "" for the pipeline as a whole."""
    name: str

    def invalid_row(self, message: str) -> Failure:
        """The failure of a row for which Spark raises an error."""
        stage = f"stage '{self.stage}', " if self.stage else ""
        text = f"{stage}column '{self.name}': {message}"
        return Failure(INVALID, text, self.name, self.stage or None)

    def dropped_row(self, message: str) -> Failure:
        """The failure of a row that Spark drops (handleInvalid="skip")."""
        text = f"stage '{self.stage}', column '{self.name}': row dropped, {message}"
        return Failure(DROPPED, text, self.name, self.stage)

    def wrong_column(self, column: Column, want: str) -> WrongColumn:
        """The error for a column of another form than wanted."""
        shape = f" of shape {column.shape}" if column.shape else ""
        return WrongColumn(self.invalid_row(f"got {column.type.value}{shape}, want {want}"))

    def refused_row(self, message: str, drop: bool) -> Failure:
        """As `dropped_row` or `invalid_row`."""
        return self.dropped_row(message) if drop else self.invalid_row(message)
