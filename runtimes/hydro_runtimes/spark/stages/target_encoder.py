"""Categories, given as numbers, to the mean of the label in each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Dense
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import NUMBER
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import (
    read_scalar,
)
from hydro_runtimes.spark.format.saved import Saved

_NULL = -1.0
"""The key of null in the saved categories."""
_UNSEEN = 2147483647.0
"""The key of all other categories: Int.MaxValue."""


@dataclass(frozen=True)
class TargetEncoderModel:
    """The mean of the label in the category, smoothed with the mean of all rows.

    Source: org.apache.spark.ml.feature.TargetEncoderModel, 4.3.0.
    """

    inputs: tuple[InputColumn, ...]
    outputs: tuple[str, ...]
    encodings: tuple[dict[float, float], ...]
    """By category; -1 for null."""
    others: tuple[float, ...]
    keep: bool

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> TargetEncoderModel:
        inputs = tuple(
            InputColumn(saved.uid, name) for name in saved.columns("inputCol", "inputCols")
        )
        outputs = saved.columns("outputCol", "outputCols")
        tables = _target_tables(saved, len(inputs))
        if len(inputs) != len(outputs):
            raise saved.invalid(f"has {len(inputs)} input and {len(outputs)} output columns")
        for source, output in zip(inputs, outputs, strict=True):
            schema.require(saved, source.name, NUMBER)
            schema.add_column(output, NUMBER)
        keep = saved.text("handleInvalid", "error") == "keep"
        others = tuple(table[_UNSEEN] for table in tables)
        return cls(inputs, outputs, tables, others, keep)

    def transform(self, batch: Batch) -> Batch:
        for source, output, table, other in zip(
            self.inputs, self.outputs, self.encodings, self.others, strict=True
        ):
            column = read_scalar(batch, source)
            values = (
                column.values
                if column.validity is None
                else (np.where(column.validity, column.values, _NULL))
            )
            found = [table.get(value) for value in values.tolist()]
            failures = {}
            if not self.keep:
                failures = {
                    row: source.invalid_row(
                        f"got the unseen category {_show_category(values[row])}"
                    )
                    for row, value in enumerate(found)
                    if value is None
                }
            encoded = [other if value is None else value for value in found]
            batch = batch.with_columns({output: Dense(np.array(encoded, dtype=np.float64))})
            batch = batch.without_rows(failures)
        return batch


def _target_tables(saved: Saved, columns: int) -> tuple[dict[float, float], ...]:
    table = saved.table(key=("index",))
    smoothing = saved.number("smoothing", 0.0)
    is_binary = saved.text("targetType", "binary") == "binary"
    places = table.numbers("index").tolist()
    if sorted(places) != list(range(columns)):
        raise table.invalid(f"has rows for the columns {sorted(places)}, want {columns} columns")
    (ends, categories), (ends2, counts) = table.lists("categories"), table.lists("counts")
    ends3, stats = table.lists("stats")
    if not (np.array_equal(ends, ends2) and np.array_equal(ends, ends3)):
        raise table.invalid("categories, counts and stats differ in length")
    tables: dict[int, dict[float, float]] = {}
    for row, place in enumerate(places):
        part = slice(ends[row], ends[row + 1])
        means = stats[part] / counts[part] if is_binary else stats[part]
        # weight * (mean of category) + (1 - weight) * (mean of all); weight = n / (n + smoothing)
        total = np.flatnonzero(categories[part] == _UNSEEN)
        if len(total) != 1:
            raise table.invalid("has no statistics of all rows")
        weight = counts[part] / (counts[part] + smoothing)
        encoded = weight * means + (1 - weight) * means[total[0]]
        encoded[total[0]] = means[total[0]]
        tables[place] = dict(zip(categories[part].tolist(), encoded.tolist(), strict=True))
    return tuple(tables[place] for place in range(columns))


def _show_category(value: float) -> str:
    return "null" if value == _NULL else repr(float(value))
