"""Columns of lists of texts: array<string> in Spark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise

import numpy as np

from hydro_runtimes.columns import Array, Ragged, Strings
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.vectors import fail_nulls


@dataclass(frozen=True, slots=True)
class Words:
    """The lists of all rows, one after the other."""

    offsets: Array
    """int64, (rows + 1,)."""
    flat: Sequence[str | None]
    """None for an element that is null."""

    @property
    def lengths(self) -> Array:
        return np.diff(self.offsets)

    def rows(self) -> list[Sequence[str | None]]:
        """One list a row."""
        ends = self.offsets.tolist()
        return [self.flat[start:end] for start, end in pairwise(ends)]


def read_words(batch: Batch, source: InputColumn) -> tuple[Batch, Words]:
    """The words of a column of lists of texts; rows in which it is null fail.

    Raises:
        WrongColumn: the column is something else.
    """
    batch = fail_nulls(batch, source)
    column = batch.columns[source.name]
    if not isinstance(column, Ragged) or not isinstance(column.elements, Strings):
        if isinstance(column, Ragged) and not column.elements.rows:
            return batch, Words(column.offsets, [])
        raise source.wrong_column(column, "a list of texts")
    elements, validity = column.elements.values, column.elements.validity
    if validity is None:
        return batch, Words(column.offsets, elements)
    valid = validity.tolist()
    return batch, Words(
        column.offsets, [v if ok else None for v, ok in zip(elements, valid, strict=True)]
    )


def words_column(rows: Sequence[Sequence[str | None]]) -> Ragged:
    """The column of these lists, one a row."""
    offsets = np.fromiter(accumulate(map(len, rows), initial=0), np.int64, len(rows) + 1)
    flat = list(chain.from_iterable(rows))
    if None not in flat:
        return Ragged(offsets, Strings([text for text in flat if text is not None]))
    validity = np.array([text is not None for text in flat])
    return Ragged(offsets, Strings([text or "" for text in flat], validity))
