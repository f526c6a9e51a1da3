"""Factorization machines and matrix factorization."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, DataType, Dense
from hydro_runtimes.evaluator import Failure
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.classes import ClassifierColumns, pair_classes
from hydro_runtimes.spark.data.column_info import NUMBER, ColumnInfo
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import Vectors, multiply, read_scalar, read_vectors
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class _FactorizationMachine:
    """b + w.x + 1/2 * the sum over factors of (x F)^2 - x^2 F^2.

    Source: org.apache.spark.ml.regression.FactorizationMachines.getRawPrediction, 4.3.0.
    """

    intercept: float
    linear: Array
    factors: Array
    """float64, (size, factors)."""

    @classmethod
    def load(cls, saved: Saved) -> _FactorizationMachine:
        table = saved.table()
        linear, factors = table.vector("linear"), table.matrix("factors")
        if len(linear) != len(factors):
            raise table.invalid(f"has {len(linear)} weights for {len(factors)} rows of factors")
        return cls(table.number("intercept"), linear, factors)

    def margin(self, column: Vectors) -> Array:
        squared = _square_elements(column)
        crossed = multiply(column, self.factors) ** 2 - multiply(squared, self.factors**2)
        return np.asarray(
            self.intercept + multiply(column, self.linear) + 0.5 * crossed.sum(axis=1)
        )


@dataclass(frozen=True)
class FMClassificationModel:
    """The sigmoid of a factorization machine.

    Source: org.apache.spark.ml.classification.FMClassificationModel, 4.3.0.
    """

    features: InputColumn
    machine: _FactorizationMachine
    classes: ClassifierColumns

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> FMClassificationModel:
        machine = _FactorizationMachine.load(saved)
        features = schema.require_features(saved, len(machine.linear))
        return cls(features, machine, ClassifierColumns.load(saved, schema, 2))

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.features, len(self.machine.linear))
        margin = self.machine.margin(column)
        likely = 1.0 / (1.0 + np.exp(-margin))
        raw = pair_classes(-margin, margin)
        return batch.with_columns(
            self.classes.output_columns(raw, pair_classes(1.0 - likely, likely))
        )


@dataclass(frozen=True)
class FMRegressionModel:
    """A factorization machine.

    Source: org.apache.spark.ml.regression.FMRegressionModel, 4.3.0.
    """

    features: InputColumn
    machine: _FactorizationMachine
    prediction: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> FMRegressionModel:
        machine = _FactorizationMachine.load(saved)
        features = schema.require_features(saved, len(machine.linear))
        return cls(features, machine, schema.add_prediction(saved))

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.features, len(self.machine.linear))
        return batch.with_columns({self.prediction: Dense(self.machine.margin(column))})


@dataclass(frozen=True)
class ALSModel:
    """The product of the factors of a user and an item; an unknown one gives NaN or is dropped.

    Source: org.apache.spark.ml.recommendation.ALSModel, 4.3.0.
    """

    users: InputColumn
    items: InputColumn
    user_ids: Array
    user_factors: Array
    item_ids: Array
    item_factors: Array
    prediction: str
    drop: bool

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> ALSModel:
        users = InputColumn(saved.uid, saved.text("userCol", "user"))
        items = InputColumn(saved.uid, saved.text("itemCol", "item"))
        for source in (users, items):
            schema.require(saved, source.name, NUMBER)
        rank = saved.metadata_value("rank", int)
        return cls(
            users,
            items,
            *_read_factors(saved, "userFactors", rank),
            *_read_factors(saved, "itemFactors", rank),
            schema.add_prediction(saved, ColumnInfo(DataType.FLOAT32)),
            saved.text("coldStartStrategy", "nan") == "drop",
        )

    def transform(self, batch: Batch) -> Batch:
        for source in (self.users, self.items):
            batch = batch.without_rows(_bad_ids(batch, source))
        user, is_user = _find_ids(batch, self.users, self.user_ids)
        item, is_item = _find_ids(batch, self.items, self.item_ids)
        known = is_user & is_item
        total = np.zeros(batch.rows, dtype=np.float32)
        if len(self.user_ids) and len(self.item_ids):
            left, right = self.user_factors[user], self.item_factors[item]
            # In float32, added in the order of the factors as Spark's loop does: another order
            # rounds otherwise.
            for index in range(left.shape[1]):
                total += left[:, index] * right[:, index]
        total[~known] = np.nan
        batch = batch.with_columns({self.prediction: Dense(total)})
        if not self.drop:
            return batch
        failures = {}
        for row in np.flatnonzero(~known | np.isnan(total)).tolist():
            source = self.items if is_user[row] else self.users
            failures[row] = source.dropped_row("the model does not know the id")
        return batch.without_rows(failures)


def _square_elements(column: Vectors) -> Vectors:
    if isinstance(column, Dense):
        return Dense(column.values**2)
    return type(column)(column.size, column.offsets, column.indices, column.values**2)


def _read_factors(saved: Saved, folder: str, rank: int) -> tuple[Array, Array]:
    """The ids, ascending, and their factors: int64, (n,), and float32, (n, rank)."""
    ids = saved.table(folder, key=("id",), columns=["id"]).numbers("id")
    order = np.argsort(ids)
    place = np.empty_like(order)
    place[order] = np.arange(len(ids))
    return ids[order], saved.float_matrix("features", rank, place, folder)


def _bad_ids(batch: Batch, source: InputColumn) -> dict[int, Failure]:
    column = read_scalar(batch, source)
    values = column.values
    good = (values == np.floor(values)) & (values >= -(2**31)) & (values < 2**31)
    if column.validity is not None:
        good &= column.validity
    return {
        row: source.invalid_row(f"got {values[row]}, want an id that is an int and not null")
        for row in np.flatnonzero(~good).tolist()
    }


def _find_ids(batch: Batch, source: InputColumn, ids: Array) -> tuple[Array, Array]:
    """The place of each row's id among the ids, and whether it is there: (rows,) each."""
    # As int64: compared with doubles, all ids of the model would be converted for each batch.
    wanted = read_scalar(batch, source).values.astype(np.int64)
    at = np.minimum(np.searchsorted(ids, wanted), max(len(ids) - 1, 0))
    return at, (ids[at] == wanted) if len(ids) else np.zeros(len(wanted), dtype=bool)
