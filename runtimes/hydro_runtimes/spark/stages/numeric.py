"""Numbers to other numbers: thresholds, buckets and missing values."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hydro_runtimes.columns import Array, Column, DataType, Dense
from hydro_runtimes.evaluator import Failure
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import NUMBER, NUMBERS, NUMERIC, ColumnInfo, vector_info
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import Vectors, fail_nulls, map_each_size, read_scalar
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.sql.java_text import sortable_bits


@dataclass(frozen=True)
class Binarizer:
    """1 where a number, or an element of a vector, is greater than the threshold, else 0.

    NaN and null give 0. In vectors, with a threshold below 0, NaN and unstored zeros give 1.

    Source: org.apache.spark.ml.feature.Binarizer, 4.3.0.
    """

    inputs: tuple[InputColumn, ...]
    outputs: tuple[str, ...]
    thresholds: tuple[float, ...]

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> Binarizer:
        inputs, outputs = _input_output_columns(saved)
        if "thresholds" in saved.params:
            thresholds = tuple(saved.numbers("thresholds").tolist())
        else:
            thresholds = (saved.number("threshold", 0.0),) * len(inputs)
        if len(thresholds) != len(inputs):
            raise saved.invalid(f"has {len(thresholds)} thresholds for {len(inputs)} columns")
        for source, output in zip(inputs, outputs, strict=True):
            known = schema.require(saved, source.name, NUMERIC)
            schema.add_column(
                output, vector_info(known.size) if known.shape else ColumnInfo(_output_type(known))
            )
        return cls(inputs, outputs, thresholds)

    def transform(self, batch: Batch) -> Batch:
        for source, output, threshold in zip(
            self.inputs, self.outputs, self.thresholds, strict=True
        ):
            column = batch.columns[source.name]
            if not isinstance(column, Dense) or column.values.ndim != 1:
                batch = fail_nulls(batch, source)
                column = batch.columns[source.name]
            batch = batch.with_columns({output: _binarize(source, column, threshold)})
        return batch


@dataclass(frozen=True)
class Bucketizer:
    """The index i of the bucket [splits[i], splits[i + 1]) of a number; the last one is closed.

    A number outside of all is refused. NaN is refused (error), dropped (skip), or has a bucket of
    its own (keep). Null stays null, or is dropped (skip).

    Source: org.apache.spark.ml.feature.Bucketizer, 4.3.0. It searches by
    java.util.Arrays.binarySearch, for which -0.0 is below 0.0.
    """

    inputs: tuple[InputColumn, ...]
    outputs: tuple[str, ...]
    splits: tuple[Array, ...]
    invalid: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> Bucketizer:
        inputs, outputs = _input_output_columns(saved)
        splits = _read_splits(saved, len(inputs))
        for source, output, edges in zip(inputs, outputs, splits, strict=True):
            schema.require(saved, source.name, NUMBER)
            names = tuple(f"{a}, {b}" for a, b in pairwise(edges.tolist()))
            schema.add_column(output, ColumnInfo(NUMBER.type, nominal=names, values=len(names)))
        return cls(inputs, outputs, splits, saved.text("handleInvalid", "error"))

    def transform(self, batch: Batch) -> Batch:
        if self.invalid == "skip":
            batch = self._skip_invalid(batch)
        for source, output, splits in zip(self.inputs, self.outputs, self.splits, strict=True):
            batch = self._add_buckets(batch, source, output, splits)
        return batch

    def _skip_invalid(self, batch: Batch) -> Batch:
        failures: dict[int, Failure] = {}
        for source in self.inputs:
            column = read_scalar(batch, source)
            bad = np.isnan(column.values)
            if column.validity is not None:
                bad |= ~column.validity
            for row in np.flatnonzero(bad).tolist():
                failures.setdefault(row, source.dropped_row("got null or NaN"))
        return batch.without_rows(failures)

    def _add_buckets(self, batch: Batch, source: InputColumn, output: str, splits: Array) -> Batch:
        column = read_scalar(batch, source)
        values, valid = column.values, column.validity
        keys, last = sortable_bits(splits), len(splits) - 1
        at = np.searchsorted(keys, sortable_bits(values))
        hit = keys[np.minimum(at, last)] == sortable_bits(values)
        bucket = np.where(hit, at, at - 1).astype(np.float64)
        bucket[values == splits[-1]] = last - 1
        nan = np.isnan(values)
        bad = ~nan & ((bucket < 0) | (bucket >= last))
        bucket[nan] = last
        if self.invalid != "keep":
            bad |= nan
        if valid is not None:
            bad &= valid
        failures = {
            row: source.invalid_row(f"got {values[row]}, want {splits[0]} to {splits[-1]}")
            for row in np.flatnonzero(bad).tolist()
        }
        return batch.with_columns({output: Dense(bucket, valid)}).without_rows(failures)


@dataclass(frozen=True)
class ImputerModel:
    """Replaces null and the missing value by the surrogate; the type of the number stays.

    Source: org.apache.spark.ml.feature.ImputerModel, 4.3.0.
    """

    inputs: tuple[InputColumn, ...]
    outputs: tuple[str, ...]
    surrogates: tuple[float, ...]
    missing: float

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> ImputerModel:
        inputs, outputs = _input_output_columns(saved)
        table = saved.table()
        surrogates = tuple(table.number(source.name) for source in inputs)
        for source, output in zip(inputs, outputs, strict=True):
            known = schema.require(saved, source.name, NUMERIC)
            schema.add_column(output, ColumnInfo(known.type))
        return cls(inputs, outputs, surrogates, saved.number("missingValue", float("nan")))

    def transform(self, batch: Batch) -> Batch:
        columns: dict[str, Column] = {}
        for source, output, surrogate in zip(
            self.inputs, self.outputs, self.surrogates, strict=True
        ):
            column = batch.columns[source.name]
            if not isinstance(column, Dense) or column.values.ndim != 1:
                raise source.wrong_column(column, "a number")
            missing = (
                np.isnan(column.values)
                if np.isnan(self.missing)
                else (column.values == self.missing)
            )
            if column.validity is not None:
                missing |= ~column.validity
            filler = np.array(surrogate).astype(column.values.dtype)
            columns[output] = Dense(np.where(missing, filler, column.values))
        return batch.with_columns(columns)


def _output_type(known: ColumnInfo) -> DataType:
    """The type of the output: a number for a number, and unknown for an unknown column."""
    return NUMBER.type if known.type in NUMBERS else known.type


def _binarize(source: InputColumn, column: Column, threshold: float) -> Column:
    if isinstance(column, Dense) and column.values.ndim == 1:
        over = column.values > threshold
        if column.validity is not None:
            over &= column.validity
        return Dense(over.astype(np.float64))
    return map_each_size(source, column, lambda part: _binarize_vectors(part, threshold))


def _binarize_vectors(column: Vectors, threshold: float) -> Vectors:
    values = column.values if isinstance(column, Dense) else column.dense().values
    over = values > threshold if threshold >= 0 else ~(values <= threshold)
    return Dense(over.astype(np.float64))


def _input_output_columns(saved: Saved) -> tuple[tuple[InputColumn, ...], tuple[str, ...]]:
    inputs = tuple(InputColumn(saved.uid, name) for name in saved.columns("inputCol", "inputCols"))
    outputs = saved.columns("outputCol", "outputCols")
    if len(inputs) != len(outputs):
        raise saved.invalid(f"has {len(inputs)} input and {len(outputs)} output columns")
    return inputs, outputs


def _read_splits(saved: Saved, columns: int) -> tuple[Array, ...]:
    if "splitsArray" in saved.params:
        lists = saved.param("splitsArray", list)
        splits = tuple(saved.check_numbers("splitsArray", one) for one in lists)
    else:
        splits = (saved.numbers("splits"),) * columns
    if len(splits) != columns or any(
        len(one) < 3 or not (np.diff(one) > 0).all() for one in splits
    ):
        raise saved.invalid("splits are not three or more ascending numbers for each column")
    return splits
