"""Categories, given as numbers, to vectors with 1 at the category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, Sparse
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import NUMBER, ColumnInfo, how_to_state, vector_info
from hydro_runtimes.spark.data.element_attributes import (
    MAX_NAMED_ELEMENTS,
    ElementAttribute,
    LazyAttributes,
)
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import (
    read_scalar,
)
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class OneHotEncoderModel:
    """A vector with 1 at the category, which is truncated to a whole number; null stays null.

    keep: one more category stands for all values that are none. dropLast: the last category (with
    keep, the added one) is a vector of zeros.

    Source: org.apache.spark.ml.feature.OneHotEncoderModel, 4.3.0.
    """

    inputs: tuple[InputColumn, ...]
    outputs: tuple[str, ...]
    categories: tuple[int, ...]
    sizes: tuple[int, ...]
    keep: bool

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> OneHotEncoderModel:
        _, sizes = saved.table().lists("categorySizes")
        keep = saved.text("handleInvalid", "error") == "keep"
        return cls(*_declare_one_hot(saved, schema, tuple(sizes.tolist()), keep), keep)

    def transform(self, batch: Batch) -> Batch:
        for source, output, categories, size in zip(
            self.inputs, self.outputs, self.categories, self.sizes, strict=True
        ):
            batch = self._encode(batch, source, output, categories, size)
        return batch

    def _encode(
        self, batch: Batch, source: InputColumn, output: str, categories: int, size: int
    ) -> Batch:
        column = read_scalar(batch, source)
        valid = np.ones(column.rows, bool) if column.validity is None else column.validity
        known = (column.values >= 0) & (column.values < categories)
        bad = np.flatnonzero(valid & self._is_invalid(column.values, known))
        if len(bad):
            wanted = f"want a category from 0 to {categories - 1}"
            failures = {
                row: source.invalid_row(f"got {column.values[row]}, {wanted}")
                for row in bad.tolist()
            }
            return self._encode(batch.without_rows(failures), source, output, categories, size)
        index = np.where(known, column.values, categories).astype(np.int32)
        stored = valid & (index < size)
        offsets = np.concatenate(([0], np.cumsum(stored)))
        ones = np.ones(int(offsets[-1]))
        return batch.with_columns(
            {output: Sparse(size, offsets, index[stored], ones, column.validity)}
        )

    def _is_invalid(self, values: Array, known: Array) -> Array:
        return np.zeros(len(values), bool) if self.keep else ~known


class OneHotEncoder(OneHotEncoderModel):
    """The transformer of Spark 2: it has as many categories as the input column has values.

    Larger values and NaN give zeros; negative values are refused.

    Source: org.apache.spark.ml.feature.OneHotEncoder, 2.4.8.
    """

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> OneHotEncoder:
        sizes = []
        for column in saved.columns("inputCol", "inputCols"):
            count = schema.require(saved, column, NUMBER).values
            if count is None:
                message = f"column '{column}' does not tell its number of categories"
                if column in schema.inputs:
                    line = how_to_state(name=column, type="float64", nominal=["<name of 0>", "..."])
                    message = f"{message}: {line}"
                raise saved.invalid(message)
            sizes.append(count)
        return cls(*_declare_one_hot(saved, schema, tuple(sizes), False), False)

    def _is_invalid(self, values: Array, known: Array) -> Array:
        return np.asarray(values <= -1)


def _declare_one_hot(
    saved: Saved, schema: Schema, categories: tuple[int, ...], keep: bool
) -> tuple[tuple[InputColumn, ...], tuple[str, ...], tuple[int, ...], tuple[int, ...]]:
    inputs = tuple(InputColumn(saved.uid, name) for name in saved.columns("inputCol", "inputCols"))
    outputs = saved.columns("outputCol", "outputCols")
    if not len(inputs) == len(outputs) == len(categories) or min(categories, default=1) < 0:
        raise saved.invalid("differs in its numbers of input columns, output columns, sizes")
    sizes = tuple(
        max(0, count + int(keep) - int(saved.flag("dropLast", True))) for count in categories
    )
    for source, output, count, size in zip(inputs, outputs, categories, sizes, strict=True):
        known = schema.require(saved, source.name, NUMBER)
        schema.add_column(output, vector_info(size, _category_attributes(known, count, size)))
    return inputs, outputs, categories, sizes


def _category_attributes(
    known: ColumnInfo, categories: int, size: int
) -> Sequence[ElementAttribute] | None:
    """The elements' names: those of the values, else indices; with keep, invalidValues last."""
    if size > MAX_NAMED_ELEMENTS:
        return None
    names = known.nominal

    def category_attribute(i: int) -> ElementAttribute:
        if i >= categories:
            return ElementAttribute("invalidValues")
        return ElementAttribute(names[i] if i < len(names) else str(i))

    return LazyAttributes(min(size, categories + 1), category_attribute)
