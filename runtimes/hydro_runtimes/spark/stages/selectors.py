"""Selection of elements of vectors, and checks of their size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from hydro_runtimes.columns import Array, Dense, Sparse
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import ColumnInfo, how_to_state, vector_info
from hydro_runtimes.spark.data.element_attributes import LazyAttributes
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import (
    Vectors,
    fail_nulls,
    map_each_size,
    row_ids,
    vector_sizes,
)
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class VectorSlicer:
    """The elements at the given indices, then those with the given names.

    Source: org.apache.spark.ml.feature.VectorSlicer, 4.3.0.
    """

    input: InputColumn
    output: str
    indices: Array

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> VectorSlicer:
        source, output = InputColumn(saved.uid, saved.text("inputCol")), saved.text("outputCol")
        known = schema.require(saved, source.name, vector_info(None))
        wanted, indices = saved.texts("names", ()), saved.integers("indices", ())
        if wanted:
            known = schema.require_parts(saved, source.name)
        names = {
            attribute.name: i
            for i, attribute in enumerate(known.attributes or ())
            if attribute.name
        }
        for name in wanted:
            if name not in names:
                raise saved.invalid(_no_such_name(schema, source.name, known, names, name))
            indices.append(names[name])
        chosen = np.array(indices, dtype=np.int64)
        _declare_elements(saved, schema, source, output, chosen)
        return cls(source, output, chosen)

    def transform(self, batch: Batch) -> Batch:
        return _select_elements(batch, self.input, self.output, self.indices)


def _no_such_name(
    schema: Schema, column: str, known: ColumnInfo, names: Mapping[str, int], wanted: str
) -> str:
    """Why there is no element of a name; the names of an input's elements may be stated."""
    if names or column not in schema.inputs:
        have = ", ".join(names)[:200] or "elements without names"
        return f"column '{column}' has no element named '{wanted}', but {have}"
    told = {"shape": [known.size or -1], "elements": [wanted, "..."]}
    line = how_to_state(name=column, type="float64", **told)
    return f"column '{column}' does not tell which element is named '{wanted}': {line}"


@dataclass(frozen=True)
class _Selector:
    input: InputColumn
    output: str
    indices: Array

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> Self:
        source = InputColumn(saved.uid, saved.text("featuresCol", "features"))
        schema.require(saved, source.name, vector_info(None))
        _, chosen = saved.table().lists("selectedFeatures")
        output, indices = saved.text("outputCol"), np.sort(chosen).astype(np.int64)
        _declare_elements(saved, schema, source, output, indices)
        return cls(source, output, indices)

    def transform(self, batch: Batch) -> Batch:
        return _select_elements(batch, self.input, self.output, self.indices)


class ChiSqSelectorModel(_Selector):
    """The chosen elements, in ascending order.

    Source: org.apache.spark.ml.feature.ChiSqSelectorModel, 4.3.0.
    """


class UnivariateFeatureSelectorModel(_Selector):
    """The chosen elements, in ascending order.

    Source: org.apache.spark.ml.feature.UnivariateFeatureSelectorModel, 4.3.0.
    """


class VarianceThresholdSelectorModel(_Selector):
    """The chosen elements, in ascending order.

    Source: org.apache.spark.ml.feature.VarianceThresholdSelectorModel, 4.3.0.
    """


@dataclass(frozen=True)
class VectorSizeHint:
    """Refuses or drops vectors of another size, and null; optimistic accepts all.

    Source: org.apache.spark.ml.feature.VectorSizeHint, 4.3.0.
    """

    input: InputColumn
    size: int
    invalid: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> VectorSizeHint:
        source, size = InputColumn(saved.uid, saved.text("inputCol")), saved.integer("size")
        if schema.require(saved, source.name, vector_info(None)).size not in (None, size):
            raise saved.invalid(f"column '{source.name}' has vectors of another size than {size}")
        schema.set_size(source.name, size)
        return cls(source, size, saved.text("handleInvalid", "error"))

    def transform(self, batch: Batch) -> Batch:
        if self.invalid == "optimistic":
            return batch
        column = batch.columns[self.input.name]
        found, drop = vector_sizes(column), self.invalid == "skip"
        failures = {
            row: self.input.refused_row(
                f"got a vector of size {found[row]}, want {self.size}", drop
            )
            for row in np.flatnonzero(found != self.size).tolist()
        }
        if column.validity is not None:
            null = self.input.refused_row("got null, want a vector", drop)
            failures |= dict.fromkeys(np.flatnonzero(~column.validity).tolist(), null)
        return batch.without_rows(failures)


def _declare_elements(
    saved: Saved, schema: Schema, source: InputColumn, output: str, indices: Array
) -> None:
    known = schema.columns[source.name]
    most = known.size or 2**31 - 1
    if len(indices) and (indices.min() < 0 or indices.max() >= most):
        raise saved.invalid(f"selects elements outside 0 to {most - 1}")
    attributes, places = known.attributes, indices.tolist()
    made = (
        None if attributes is None else LazyAttributes(len(places), lambda i: attributes[places[i]])
    )
    schema.add_column(output, vector_info(len(indices), made))


def _select_elements(batch: Batch, source: InputColumn, output: str, indices: Array) -> Batch:
    batch = fail_nulls(batch, source)
    most = int(indices.max(initial=-1))
    found = vector_sizes(batch.columns[source.name])
    failures = {
        row: source.invalid_row(f"got a vector of size {found[row]}, want {most + 1} or more")
        for row in np.flatnonzero(found <= most).tolist()
    }
    batch = batch.without_rows(failures)
    column = batch.columns[source.name]
    return batch.with_columns(
        {output: map_each_size(source, column, lambda part: _take_elements(part, indices))}
    )


def _take_elements(column: Vectors, indices: Array) -> Vectors:
    if isinstance(column, Dense):
        return Dense(column.values.take(indices, axis=1))
    order = np.argsort(indices, kind="stable")
    ascending = indices[order]
    at = np.searchsorted(ascending, column.indices)
    at[at == len(indices)] = 0
    hits = np.flatnonzero(ascending[at] == column.indices) if len(indices) else at[:0]
    rows, places = row_ids(column.offsets)[hits], order[at[hits]]
    by_row = np.lexsort((places, rows))
    ends = np.searchsorted(rows[by_row], np.arange(column.rows + 1)).astype(np.int64)
    index = places[by_row].astype(np.int32)
    return Sparse(len(indices), ends, index, column.values[hits][by_row])
