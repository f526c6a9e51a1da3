"""Numbers to other numbers: thresholds, buckets and missing values."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hydro_runtimes.columns import Array, Column, DataType, Dense
from hydro_runtimes.evaluator import Failure
from hydro_runtimes.spark.data.batch import Batch, Where
from hydro_runtimes.spark.data.schema import NUMBER, NUMBERS, NUMERIC, Known, Schema, vector
from hydro_runtimes.spark.data.vectors import Vectors, each_size, present, scalar
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.sql.java_text import ordered


@dataclass(frozen=True)
class Binarizer:
    """1 where a number, or an element of a vector, is greater than the threshold, else 0.

    NaN and null give 0; in vectors, a threshold below 0 makes NaN and unstored zeros 1.

    Source: org.apache.spark.ml.feature.Binarizer, 4.3.0.
    """

    inputs: tuple[Where, ...]
    outputs: tuple[str, ...]
    thresholds: tuple[float, ...]

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> Binarizer:
        inputs, outputs = _pairs(saved)
        if "thresholds" in saved.params:
            thresholds = tuple(saved.numbers("thresholds").tolist())
        else:
            thresholds = (saved.number("threshold", 0.0),) * len(inputs)
        if len(thresholds) != len(inputs):
            raise saved.invalid(f"has {len(thresholds)} thresholds for {len(inputs)} columns")
        for where, output in zip(inputs, outputs, strict=True):
            known = schema.want(saved, where.column, NUMERIC)
            schema.add(output, vector(known.size) if known.shape else Known(_kind(known)))
        return cls(inputs, outputs, thresholds)

    def transform(self, batch: Batch) -> Batch:
        for where, output, threshold in zip(
            self.inputs, self.outputs, self.thresholds, strict=True
        ):
            column = batch.columns[where.column]
            if not isinstance(column, Dense) or column.values.ndim != 1:
                batch = present(batch, where)
                column = batch.columns[where.column]
            batch = batch.plus({output: _binary(where, column, threshold)})
        return batch


@dataclass(frozen=True)
class Bucketizer:
    """The bucket [splits[i], splits[i + 1]) that a number lies in; the last one is closed.

    Out of range is refused; NaN is refused, dropped, or has a bucket of its own (keep); null stays
    null, or is dropped (skip).

    Source: org.apache.spark.ml.feature.Bucketizer, 4.3.0. Looks up as java.util.Arrays does:
    -0.0 lies below 0.0.
    """

    inputs: tuple[Where, ...]
    outputs: tuple[str, ...]
    splits: tuple[Array, ...]
    invalid: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> Bucketizer:
        inputs, outputs = _pairs(saved)
        splits = _splits(saved, len(inputs))
        for where, output, edges in zip(inputs, outputs, splits, strict=True):
            schema.want(saved, where.column, NUMBER)
            names = tuple(f"{a}, {b}" for a, b in pairwise(edges.tolist()))
            schema.add(output, Known(NUMBER.type, nominal=names, values=len(names)))
        return cls(inputs, outputs, splits, saved.text("handleInvalid", "error"))

    def transform(self, batch: Batch) -> Batch:
        if self.invalid == "skip":
            batch = self._skip(batch)
        for where, output, splits in zip(self.inputs, self.outputs, self.splits, strict=True):
            batch = self._bucket(batch, where, output, splits)
        return batch

    def _skip(self, batch: Batch) -> Batch:
        failures: dict[int, Failure] = {}
        for where in self.inputs:
            column = scalar(batch, where)
            bad = np.isnan(column.values)
            if column.validity is not None:
                bad |= ~column.validity
            for row in np.flatnonzero(bad).tolist():
                failures.setdefault(row, where.dropped("got null or NaN"))
        return batch.without(failures)

    def _bucket(self, batch: Batch, where: Where, output: str, splits: Array) -> Batch:
        column = scalar(batch, where)
        values, valid = column.values, column.validity
        keys, last = ordered(splits), len(splits) - 1
        at = np.searchsorted(keys, ordered(values))
        hit = keys[np.minimum(at, last)] == ordered(values)
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
            row: where.invalid(f"got {values[row]}, want {splits[0]} to {splits[-1]}")
            for row in np.flatnonzero(bad).tolist()
        }
        return batch.plus({output: Dense(bucket, valid)}).without(failures)


@dataclass(frozen=True)
class ImputerModel:
    """Puts the surrogate where a number is null or the missing value; the type stays.

    Source: org.apache.spark.ml.feature.ImputerModel, 4.3.0.
    """

    inputs: tuple[Where, ...]
    outputs: tuple[str, ...]
    surrogates: tuple[float, ...]
    missing: float

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> ImputerModel:
        inputs, outputs = _pairs(saved)
        table = saved.table()
        surrogates = tuple(table.number(where.column) for where in inputs)
        for where, output in zip(inputs, outputs, strict=True):
            known = schema.want(saved, where.column, NUMERIC)
            schema.add(output, Known(known.type))
        return cls(inputs, outputs, surrogates, saved.number("missingValue", float("nan")))

    def transform(self, batch: Batch) -> Batch:
        columns: dict[str, Column] = {}
        for where, output, surrogate in zip(
            self.inputs, self.outputs, self.surrogates, strict=True
        ):
            column = batch.columns[where.column]
            if not isinstance(column, Dense) or column.values.ndim != 1:
                raise where.wrong(column, "a number")
            missing = (
                np.isnan(column.values)
                if np.isnan(self.missing)
                else (column.values == self.missing)
            )
            if column.validity is not None:
                missing |= ~column.validity
            filler = np.array(surrogate).astype(column.values.dtype)
            columns[output] = Dense(np.where(missing, filler, column.values))
        return batch.plus(columns)


def _kind(known: Known) -> DataType:
    """A number gives a number; of an unknown column nothing is known."""
    return NUMBER.type if known.type in NUMBERS else known.type


def _binary(where: Where, column: Column, threshold: float) -> Column:
    if isinstance(column, Dense) and column.values.ndim == 1:
        over = column.values > threshold
        if column.validity is not None:
            over &= column.validity
        return Dense(over.astype(np.float64))
    return each_size(where, column, lambda part: _binary_vectors(part, threshold))


def _binary_vectors(column: Vectors, threshold: float) -> Vectors:
    values = column.values if isinstance(column, Dense) else column.dense().values
    over = values > threshold if threshold >= 0 else ~(values <= threshold)
    return Dense(over.astype(np.float64))


def _pairs(saved: Saved) -> tuple[tuple[Where, ...], tuple[str, ...]]:
    inputs = tuple(Where(saved.uid, name) for name in saved.columns("inputCol", "inputCols"))
    outputs = saved.columns("outputCol", "outputCols")
    if len(inputs) != len(outputs):
        raise saved.invalid(f"has {len(inputs)} input and {len(outputs)} output columns")
    return inputs, outputs


def _splits(saved: Saved, columns: int) -> tuple[Array, ...]:
    if "splitsArray" in saved.params:
        lists = saved.param("splitsArray", list)
        splits = tuple(saved.floats("splitsArray", one) for one in lists)
    else:
        splits = (saved.numbers("splits"),) * columns
    if len(splits) != columns or any(
        len(one) < 3 or not (np.diff(one) > 0).all() for one in splits
    ):
        raise saved.invalid("splits are not three or more ascending numbers for each column")
    return splits
