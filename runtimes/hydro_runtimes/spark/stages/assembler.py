"""Columns concatenated to vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, pairwise

import numpy as np

from hydro_runtimes.columns import Array, Column, Dense, Ragged, Sparse, Strings
from hydro_runtimes.evaluator import Failure
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import (
    NUMBERS,
    NUMERIC,
    ColumnInfo,
    element_attributes_of,
    vector_info,
)
from hydro_runtimes.spark.data.element_attributes import join_attributes
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.sql_columns import ValueColumn
from hydro_runtimes.spark.data.vectors import Vectors, map_each_size, ragged_vectors, row_ids
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class VectorAssembler:
    """Numbers, booleans and vectors side by side in one vector.

    error and skip: a row with null or with a number that is NaN is refused or dropped; NaN within a
    vector passes. keep: null becomes NaN, and a null vector becomes as many NaN as it has elements.

    Source: org.apache.spark.ml.feature.VectorAssembler, 4.3.0.
    """

    inputs: tuple[InputColumn, ...]
    sizes: tuple[int | None, ...]
    """Of vectors, if known; 1 for a number."""
    output: str
    invalid: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> VectorAssembler:
        inputs = tuple(InputColumn(saved.uid, name) for name in saved.texts("inputCols"))
        output = saved.text("outputCol")
        known = [_require_number_or_vector(saved, schema, source.name) for source in inputs]
        sizes = tuple(_known_size(one) for one in known)
        if None in sizes:
            made = replace(vector_info(None), parts=tuple(source.name for source in inputs))
        else:
            names = [source.name for source in inputs]
            attributes = join_attributes([*map(element_attributes_of, names, known)])
            total = sum(size or 0 for size in sizes)
            made = vector_info(total, attributes if len(attributes) == total else None)
        schema.add_column(output, replace(made, form=output))
        return cls(inputs, sizes, output, saved.text("handleInvalid", "error"))

    def transform(self, batch: Batch) -> Batch:
        if self.invalid != "keep":
            batch = batch.without_rows(self._invalid_rows(batch))
        parts = [
            self._input_part(batch, source, size)
            for source, size in zip(self.inputs, self.sizes, strict=True)
        ]
        return batch.with_columns({self.output: _concatenate(parts, batch.rows)})

    def _invalid_rows(self, batch: Batch) -> dict[int, Failure]:
        failures: dict[int, Failure] = {}
        for source in self.inputs:
            column = batch.columns[source.name]
            bad = _null_rows(column)
            scalar = isinstance(column, Dense) and column.values.ndim == 1
            if scalar and isinstance(column, Dense) and column.values.dtype.kind == "f":
                nan = np.isnan(column.values)
                bad = nan if bad is None else nan | bad
            if bad is None or not bad.any():
                continue
            nulls = _null_rows(column)
            for row in np.flatnonzero(bad).tolist():
                got = "null" if nulls is not None and nulls[row] else "NaN"
                failures.setdefault(row, source.refused_row(f"got {got}", self.invalid == "skip"))
        return failures

    def _input_part(self, batch: Batch, source: InputColumn, size: int | None) -> Column:
        column, nulls = batch.columns[source.name], _null_rows(batch.columns[source.name])
        if isinstance(column, Dense) and column.values.ndim == 1:
            values = column.values.astype(np.float64)
            column = Dense(values[:, None])
            size = 1
        elif isinstance(column, ValueColumn) and column.value.type.name == "decimal":
            numbers = [0.0 if x is None else float(x) for x in column.value.to_list()]
            column, size = Dense(np.array(numbers)[:, None]), 1
        elif isinstance(column, Strings):
            raise source.wrong_column(column, "a number, a boolean or a vector")
        elif isinstance(column, Ragged):
            column = map_each_size(source, column, lambda part: part)
        if nulls is None or not nulls.any():
            return column
        size = size if size is not None else _common_size(column, nulls)
        if size is None:
            raise source.wrong_column(column, "a vector of known size where one is null")
        return _fill_with_nan(column, nulls, size)


def _require_number_or_vector(saved: Saved, schema: Schema, name: str) -> ColumnInfo:
    known = schema.require(saved, name, NUMERIC)
    is_number = known.type in NUMBERS and len(known.shape) <= 1
    if known.type is not NUMERIC.type and not is_number:
        raise saved.invalid(f"column '{name}' is {known.type.value}, want a number or a vector")
    return known


def _known_size(known: ColumnInfo) -> int | None:
    if known.type is NUMERIC.type:
        return None
    return known.size if known.shape else 1


def _null_rows(column: Column) -> Array | None:
    return None if column.validity is None else ~column.validity


def _common_size(column: Column, nulls: Array) -> int | None:
    if isinstance(column, Ragged):
        found = set(np.diff(column.offsets)[~nulls].tolist())
        return found.pop() if len(found) == 1 else None
    return column.shape[0]


def _fill_with_nan(column: Column, nulls: Array, size: int) -> Column:
    """The column with NaN for all elements of the rows that are null."""
    if isinstance(column, Ragged):
        assert isinstance(column.elements, Dense)
        values, ends = column.elements.values, column.offsets
        rows = [values[a:b].tolist() for a, b in pairwise(ends)]
        return ragged_vectors(
            [[np.nan] * size if null else row for row, null in zip(rows, nulls, strict=True)]
        )
    dense = column.dense() if isinstance(column, Sparse) else column
    assert isinstance(dense, Dense)
    values = np.array(dense.values, dtype=np.float64)
    if values.shape[1] != size:
        values = np.zeros((len(values), size))
    values[nulls] = np.nan
    return Dense(values)


def _concatenate(parts: list[Column], rows: int) -> Column:
    if any(isinstance(part, Ragged) for part in parts):
        return ragged_vectors(
            [list(chain(*lists)) for lists in zip(*map(_row_lists, parts), strict=True)]
        )
    fixed = [part for part in parts if isinstance(part, Dense | Sparse)]
    if any(isinstance(part, Sparse) for part in fixed):
        return _concatenate_sparse(fixed, rows)
    if not fixed:
        return Dense(np.zeros((rows, 0)))
    return Dense(
        np.concatenate(
            [part.values for part in fixed if isinstance(part, Dense)], axis=1, dtype=np.float64
        )
    )


def _concatenate_sparse(parts: list[Vectors], rows: int) -> Sparse:
    """The stored elements of all parts, ordered by row, then by element."""
    shift, ids, indices, values = 0, [], [], []
    for part in parts:
        if isinstance(part, Sparse):
            ids.append(row_ids(part.offsets))
            indices.append(part.indices.astype(np.int64) + shift)
            values.append(part.values)
        else:
            at = np.nonzero(part.values)
            ids.append(at[0])
            indices.append(at[1] + shift)
            values.append(part.values[at].astype(np.float64))
        shift += part.shape[0]
    row, index = np.concatenate(ids), np.concatenate(indices)
    order = np.argsort(row * max(shift, 1) + index, kind="stable")
    offsets = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=rows)))).astype(np.int64)
    return Sparse(shift, offsets, index[order].astype(np.int32), np.concatenate(values)[order])


def _row_lists(column: Column) -> list[list[float]]:
    if isinstance(column, Ragged):
        assert isinstance(column.elements, Dense)
        values, ends = column.elements.values.tolist(), column.offsets.tolist()
        return [values[a:b] for a, b in pairwise(ends)]
    dense = column.dense() if isinstance(column, Sparse) else column
    assert isinstance(dense, Dense)
    rows: list[list[float]] = dense.values.tolist()
    return rows
