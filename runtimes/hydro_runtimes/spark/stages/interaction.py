"""Products of columns.

Source: org.apache.spark.ml.feature.Interaction, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from hydro_runtimes.columns import Array, Dense, Ragged, Sparse
from hydro_runtimes.evaluator import Failure
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import NUMERIC, ColumnInfo, vector_info
from hydro_runtimes.spark.data.element_attributes import MAX_NAMED_ELEMENTS, ElementAttribute
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import dense_values, fail_nulls, row_ids
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class Interaction:
    """All products of one element from each column; the last column varies fastest.

    A nominal column or element becomes a vector with 1 at its value first. Of sparse vectors only
    stored elements count, so that a category 0 that is not stored gives zeros.

    Source: org.apache.spark.ml.feature.Interaction, 4.3.0.
    """

    inputs: tuple[InputColumn, ...]
    values: tuple[tuple[int | None, ...] | None, ...]
    """For each column, the number of values of each element; None if all are numbers."""
    forms: tuple[str, ...]
    """For each column, the assembled one that shows which elements Spark stores; "" for itself."""
    output: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> Interaction:
        names = saved.texts("inputCols")
        inputs = tuple(InputColumn(saved.uid, name) for name in names)
        known = [_read_info(saved, schema, source.name) for source in inputs]
        values, output = tuple(map(_value_counts, known)), saved.text("outputCol")
        size: int | None = 1
        for one, counts in zip(known, values, strict=True):
            width = _encoded_width(one, counts)
            size = None if size is None or width is None else size * width
        # Names of products grow as their number does: beyond that no stage could make use of them.
        is_named = size is not None and size <= MAX_NAMED_ELEMENTS
        schema.add_column(
            output, vector_info(size, _product_attributes(known, names) if is_named else None)
        )
        return cls(inputs, values, tuple(one.form for one in known), output)

    def transform(self, batch: Batch) -> Batch:
        for source, counts in zip(self.inputs, self.values, strict=True):
            batch = fail_nulls(batch, source)
            batch = batch.without_rows(_bad_values(batch, source, counts))
        total, there = np.ones((batch.rows, 1)), np.ones((batch.rows, 1), dtype=bool)
        columns = zip(self.inputs, self.values, self.forms, strict=True)
        # From the last column to the first, so that the last one varies fastest.
        for source, counts, form in reversed(tuple(columns)):
            encoded, is_stored = _encode_nominals(batch, source, counts, form)
            made = encoded[:, :, None] * total[:, None, :]
            both = is_stored[:, :, None] & there[:, None, :]
            flat = (batch.rows, made.shape[1] * made.shape[2])
            # What is not stored gives 0, not 0 * NaN: Spark never multiplies it.
            total, there = np.where(both, made, 0.0).reshape(flat), both.reshape(flat)
        return batch.with_columns({self.output: Dense(total)})


def _read_info(saved: Saved, schema: Schema, name: str) -> ColumnInfo:
    """Spark needs attributes of vectors here, so what a vector is assembled from are numbers."""
    schema.require(saved, name, NUMERIC)
    return schema.require_parts(saved, name)


def _value_counts(known: ColumnInfo) -> tuple[int | None, ...] | None:
    """The number of values of each element that is encoded; None if none is.

    Numbers are multiplied as they are, and so are indices that have a single value.
    """
    given = (
        (known.values,)
        if not known.shape
        else tuple(attribute.values for attribute in known.attributes or ())
    )
    counts = tuple(count if count is not None and count > 1 else None for count in given)
    return counts if any(counts) else None


def _encoded_width(known: ColumnInfo, counts: tuple[int | None, ...] | None) -> int | None:
    if counts is not None:
        return sum(count or 1 for count in counts)
    if known.type is NUMERIC.type:
        return None
    return known.size if known.shape else 1


def _product_attributes(
    known: Sequence[ColumnInfo], names: Sequence[str]
) -> tuple[ElementAttribute, ...]:
    """The names of the products, of the elements' names; the last column varies fastest."""
    columns = [_element_names(one, name) for one, name in zip(known, names, strict=True)]
    return tuple(ElementAttribute(":".join(parts)) for parts in product(*columns))


def _element_names(known: ColumnInfo, name: str) -> list[str]:
    """The names of a column's elements; a nominal one has a name for each of its values."""
    attributes, prefix = known.attributes or (ElementAttribute(),) * (known.size or 0), f"{name}_"
    if not known.shape:
        attributes, prefix = (ElementAttribute(name, known.values, known.nominal),), ""
    names = []
    for index, attribute in enumerate(attributes):
        own = f"{prefix}{index if attribute.name is None else attribute.name}"
        values = attribute.nominal or map(str, range(max(attribute.values or 0, 1)))
        names += [own] if attribute.values is None else [f"{own}_{value}" for value in values]
    return names


def _read_elements(batch: Batch, source: InputColumn) -> Array:
    column = batch.columns[source.name]
    if isinstance(column, Dense) and column.values.ndim == 1:
        return column.values.astype(np.float64)[:, None]
    if isinstance(column, Ragged) or not isinstance(column, Dense | Sparse):
        raise source.wrong_column(column, "a number or a vector of one size")
    return dense_values(column).astype(np.float64)


def _bad_values(
    batch: Batch, source: InputColumn, counts: tuple[int | None, ...] | None
) -> dict[int, Failure]:
    failures: dict[int, Failure] = {}
    for element, count in enumerate(counts or ()):
        if count is None:
            continue
        values = _read_elements(batch, source)[:, element]
        # NaN is none of these.
        known = (values >= 0) & (values < count) & (values == np.floor(values))
        for row in np.flatnonzero(~known).tolist():
            wanted = f"want a whole number from 0 to {count - 1}"
            failures.setdefault(row, source.invalid_row(f"got {values[row]}, {wanted}"))
    return failures


def _encode_nominals(
    batch: Batch, source: InputColumn, counts: tuple[int | None, ...] | None, form: str
) -> tuple[Array, Array]:
    """The elements, nominal ones encoded, and which of them Spark multiplies."""
    values, is_stored = _read_elements(batch, source), _stored_elements(batch, source, form)
    if counts is None:
        return values, is_stored
    parts, present_parts = [], []
    for element, count in enumerate(counts):
        at = slice(element, element + 1)
        is_it = (
            np.ones_like(values[:, at], dtype=bool)
            if count is None
            else (values[:, at] == np.arange(count))
        )
        there = is_it & is_stored[:, at]
        parts.append(values[:, at] if count is None else there.astype(np.float64))
        present_parts.append(there)
    return np.concatenate(parts, axis=1), np.concatenate(present_parts, axis=1)


def _stored_elements(batch: Batch, source: InputColumn, form: str) -> Array:
    """Whether Spark's vector stores the element: bool, (rows, elements); true for a number.

    The assembler calls org.apache.spark.ml.linalg.Vector.compressed, 4.3.0, which compares sizes in
    bytes: sparse if 12 * (elements that are not 0) + 20 <= 8 * size. Tried with Spark 4.3 for all
    counts.
    """
    if form in batch.columns:
        is_some = _read_elements(batch, InputColumn(source.stage, form)) != 0
        is_sparse = 12 * is_some.sum(axis=1, keepdims=True) + 20 <= 8 * is_some.shape[1]
        return np.asarray(is_some | ~is_sparse)
    column = batch.columns[source.name]
    if not isinstance(column, Sparse):
        return np.ones_like(_read_elements(batch, source), dtype=bool)
    is_there = np.zeros((column.rows, column.size), dtype=bool)
    is_there[row_ids(column.offsets), column.indices] = True
    return is_there
