"""Isotonic regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, Dense, Ragged, Sparse, Strings
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import NUMBER, NUMBERS, NUMERIC
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import fail_nulls, vector_sizes
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.sql.java_text import sortable_bits


@dataclass(frozen=True)
class IsotonicRegressionModel:
    """The prediction at a boundary, interpolated between two, or that of the nearer end.

    Null gives null, except that a vector that is null is refused.

    Source: org.apache.spark.ml.regression.IsotonicRegressionModel, 4.3.0.
    """

    features: InputColumn
    element: int
    """The index of the feature (featureIndex), if the column holds vectors."""
    boundaries: Array
    predictions: Array
    prediction: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> IsotonicRegressionModel:
        table, source = saved.table(), InputColumn(saved.uid, saved.text("featuresCol", "features"))
        (_, boundaries), (_, values) = table.lists("boundaries"), table.lists("predictions")
        if len(boundaries) != len(values) or not len(values) or table.rows != 1:
            raise table.invalid(f"has {len(boundaries)} boundaries for {len(values)} predictions")
        known = schema.require(saved, source.name, NUMERIC)
        if known.type is not NUMERIC.type and known.type not in NUMBERS:
            raise saved.invalid(f"column '{source.name}' is {known.type.value}, want a number")
        element = saved.integer("featureIndex", 0)
        if element < 0:
            raise saved.invalid(f"param 'featureIndex' is {element}, want 0 or more")
        boundaries, values = boundaries.astype(np.float64), values.astype(np.float64)
        return cls(source, element, boundaries, values, schema.add_prediction(saved, NUMBER))

    def transform(self, batch: Batch) -> Batch:
        batch, x, known = self._read_numbers(batch)
        # Compared as Double.compare does, for java.util.Arrays.binarySearch: -0.0 is below 0.0.
        keys, wanted = sortable_bits(self.boundaries), sortable_bits(x)
        last = len(keys) - 1
        at = np.searchsorted(keys, wanted)
        right = np.minimum(at, last)
        left = np.maximum(right - 1, 0)
        x1, x2 = self.boundaries[left], self.boundaries[right]
        y1, y2 = self.predictions[left], self.predictions[right]
        between = y1 + (y2 - y1) * (x - x1) / (x2 - x1)
        ends = (keys[right] == wanted) | (at == 0) | (at > last)
        return batch.with_columns({self.prediction: Dense(np.where(ends, y2, between), known)})

    def _read_numbers(self, batch: Batch) -> tuple[Batch, Array, Array | None]:
        """The rows that have the number, the numbers (float64, (rows,)), and which are not null."""
        column = batch.columns[self.features.name]
        if isinstance(column, Dense) and column.values.ndim == 1:
            return batch, column.values.astype(np.float64), column.validity
        batch = self._without_short_vectors(fail_nulls(batch, self.features))
        column = batch.columns[self.features.name]
        if isinstance(column, Ragged) and isinstance(column.elements, Dense):
            return batch, column.elements.values[column.offsets[:-1] + self.element], None
        if isinstance(column, Sparse):
            column = column.dense()
        if not isinstance(column, Dense) or column.values.ndim != 2:
            raise self.features.wrong_column(column, "a number or a vector")
        if not batch.rows:
            return batch, np.zeros(0), None
        return batch, column.values[:, self.element].astype(np.float64), None

    def _without_short_vectors(self, batch: Batch) -> Batch:
        """The batch without the rows whose vector is too short to have the element."""
        column = batch.columns[self.features.name]
        if isinstance(column, Strings):
            raise self.features.wrong_column(column, "a number or a vector")
        wanted, lengths = f"want one with an element {self.element}", vector_sizes(column)
        return batch.without_rows(
            {
                row: self.features.invalid_row(f"got a vector of size {lengths[row]}, {wanted}")
                for row in np.flatnonzero(lengths <= self.element).tolist()
            }
        )
