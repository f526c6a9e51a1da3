"""The values of categorical elements of vectors to their indices."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hydro_runtimes.columns import Array, Dense, Sparse
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import vector_info
from hydro_runtimes.spark.data.element_attributes import ElementAttribute
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import (
    Vectors,
    map_each_size,
    read_vectors,
    row_ids,
)
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.sql import java_text


@dataclass(frozen=True)
class VectorIndexerModel:
    """The index of the value of each categorical element; other elements stay.

    Source: org.apache.spark.ml.feature.VectorIndexerModel, 4.3.0.
    """

    input: InputColumn
    output: str
    size: int
    maps: dict[int, tuple[Array, Array]]
    """By categorical element: its values, ascending, and the index of each; both float64."""
    invalid: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> VectorIndexerModel:
        source, output = InputColumn(saved.uid, saved.text("inputCol")), saved.text("outputCol")
        table, invalid = saved.table(), saved.text("handleInvalid", "error")
        size = int(table.number("numFeatures"))
        maps: dict[int, tuple[Array, Array]] = {}
        try:
            for element, pairs in dict(table.value("categoryMaps")).items():
                values = sorted((float(value), float(index)) for value, index in pairs)
                known = np.array(values, dtype=np.float64).reshape(-1, 2)
                maps[int(element)] = (known[:, 0], known[:, 1])
        except (TypeError, ValueError) as error:
            raise table.invalid("categoryMaps is not a map of maps") from error
        if not all(0 <= element < size for element in maps):
            raise table.invalid(f"categoryMaps has elements outside 0 to {size - 1}")
        given = schema.require(saved, source.name, vector_info(size))
        attributes = given.attributes or (ElementAttribute(),) * size
        made = vector_info(
            size,
            tuple(
                _indexed_attribute(attribute, maps.get(element), invalid == "keep")
                for element, attribute in enumerate(attributes)
            ),
        )
        schema.add_column(output, replace(made, form=given.form))
        return cls(source, output, size, maps, invalid)

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.input, self.size)
        bad: dict[int, str] = {}
        indexed = map_each_size(self.input, column, lambda part: self._index_elements(part, bad))
        failures = {
            row: self.input.refused_row(message, self.invalid == "skip")
            for row, message in bad.items()
        }
        return batch.with_columns({self.output: indexed}).without_rows(failures)

    def _index_elements(self, column: Vectors, bad: dict[int, str]) -> Vectors:
        """The vectors with indices; adds what is wrong with a row to `bad`."""
        values = column.values.copy()
        for element, (known, index) in self.maps.items():
            if isinstance(column, Sparse):
                at: Array = np.flatnonzero(column.indices == element)
                rows = row_ids(column.offsets)[at]
                given = column.values[at]
            else:
                given, rows = column.values[:, element], np.arange(column.rows)
            place = np.minimum(np.searchsorted(known, given), max(len(known) - 1, 0))
            hit = known[place] == given
            made = np.where(hit, index[place], float(len(known)))
            if self.invalid != "keep":
                for i in np.flatnonzero(~hit).tolist():
                    message = f"got {given[i]} in element {element}, which is not a category of it"
                    bad.setdefault(int(rows[i]), message)
            if isinstance(column, Sparse):
                values[at] = made
            else:
                values[:, element] = made
        if isinstance(column, Sparse):
            return Sparse(column.size, column.offsets, column.indices, values)
        return Dense(values)


def _indexed_attribute(
    attribute: ElementAttribute, known: tuple[Array, Array] | None, keep: bool
) -> ElementAttribute:
    """The attributes of an indexed element: its values, with keep one more for unknown ones.

    Two values without keep are a binary attribute, which Spark treats as a number.
    """
    if known is None or (len(known[0]) == 2 and not keep):
        return ElementAttribute(attribute.name)
    values = known[0][np.argsort(known[1])].tolist()
    names = tuple(java_text.double_text(repr(value)) for value in values)
    return ElementAttribute(
        attribute.name, len(values) + keep, (*names, "__unknown")[: len(values) + keep]
    )
