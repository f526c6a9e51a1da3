"""Some elements of vectors, and checks of their size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from hydro_runtimes.columns import Array, Dense, Sparse
from hydro_runtimes.spark.data.batch import Batch, Where
from hydro_runtimes.spark.data.schema import Known, MadeSlots, Schema, stating, vector
from hydro_runtimes.spark.data.vectors import Vectors, each_size, present, row_ids, sizes
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class VectorSlicer:
    """The elements at some indices, then those of some names.

    Source: org.apache.spark.ml.feature.VectorSlicer, 4.3.0.
    """

    input: Where
    output: str
    indices: Array

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> VectorSlicer:
        where, output = Where(saved.uid, saved.text("inputCol")), saved.text("outputCol")
        known = schema.want(saved, where.column, vector(None))
        wanted, indices = saved.texts("names", ()), saved.integers("indices", ())
        if wanted:
            known = schema.settle(saved, where.column)
        names = {slot.name: i for i, slot in enumerate(known.slots or ()) if slot.name}
        for name in wanted:
            if name not in names:
                raise saved.invalid(_without(schema, where.column, known, names, name))
            indices.append(names[name])
        chosen = np.array(indices, dtype=np.int64)
        _declare(saved, schema, where, output, chosen)
        return cls(where, output, chosen)

    def transform(self, batch: Batch) -> Batch:
        return _slice(batch, self.input, self.output, self.indices)


def _without(
    schema: Schema, column: str, known: Known, names: Mapping[str, int], wanted: str
) -> str:
    """Names of an input's elements are not saved; those of others have been derived."""
    if names or column not in schema.inputs:
        have = ", ".join(names)[:200] or "elements without names"
        return f"column '{column}' has no element named '{wanted}', but {have}"
    told = {"shape": [known.size or -1], "elements": [wanted, "..."]}
    line = stating(column, type="float64", **told)
    return f"column '{column}' does not tell which element is named '{wanted}': {line}"


@dataclass(frozen=True)
class _Selector:
    input: Where
    output: str
    indices: Array

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> Self:
        where = Where(saved.uid, saved.text("featuresCol", "features"))
        schema.want(saved, where.column, vector(None))
        _, chosen = saved.table().lists("selectedFeatures")
        output, indices = saved.text("outputCol"), np.sort(chosen).astype(np.int64)
        _declare(saved, schema, where, output, indices)
        return cls(where, output, indices)

    def transform(self, batch: Batch) -> Batch:
        return _slice(batch, self.input, self.output, self.indices)


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
    """Refuses or drops vectors of another size, and null; optimistic lets all through.

    Source: org.apache.spark.ml.feature.VectorSizeHint, 4.3.0.
    """

    input: Where
    size: int
    invalid: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> VectorSizeHint:
        where, size = Where(saved.uid, saved.text("inputCol")), saved.integer("size")
        if schema.want(saved, where.column, vector(None)).size not in (None, size):
            raise saved.invalid(f"column '{where.column}' has vectors of another size than {size}")
        schema.hint(where.column, size)
        return cls(where, size, saved.text("handleInvalid", "error"))

    def transform(self, batch: Batch) -> Batch:
        if self.invalid == "optimistic":
            return batch
        column = batch.columns[self.input.column]
        found, drop = sizes(column), self.invalid == "skip"
        failures = {
            row: self.input.refuse(f"got a vector of size {found[row]}, want {self.size}", drop)
            for row in np.flatnonzero(found != self.size).tolist()
        }
        if column.validity is not None:
            null = self.input.refuse("got null, want a vector", drop)
            failures |= dict.fromkeys(np.flatnonzero(~column.validity).tolist(), null)
        return batch.without(failures)


def _declare(saved: Saved, schema: Schema, where: Where, output: str, indices: Array) -> None:
    known = schema.columns[where.column]
    most = known.size or 2**31 - 1
    if len(indices) and (indices.min() < 0 or indices.max() >= most):
        raise saved.invalid(f"selects elements outside 0 to {most - 1}")
    slots, places = known.slots, indices.tolist()
    made = None if slots is None else MadeSlots(len(places), lambda i: slots[places[i]])
    schema.add(output, vector(len(indices), made))


def _slice(batch: Batch, where: Where, output: str, indices: Array) -> Batch:
    batch = present(batch, where)
    most = int(indices.max(initial=-1))
    found = sizes(batch.columns[where.column])
    failures = {
        row: where.invalid(f"got a vector of size {found[row]}, want {most + 1} or more")
        for row in np.flatnonzero(found <= most).tolist()
    }
    batch = batch.without(failures)
    column = batch.columns[where.column]
    return batch.plus({output: each_size(where, column, lambda part: _sliced(part, indices))})


def _sliced(column: Vectors, indices: Array) -> Vectors:
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
