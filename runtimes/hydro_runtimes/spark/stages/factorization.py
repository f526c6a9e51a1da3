"""Factorization machines and matrix factorization."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, DataType, Dense
from hydro_runtimes.evaluator import Failure
from hydro_runtimes.spark.data.batch import Batch, Where
from hydro_runtimes.spark.data.classes import Classes, two
from hydro_runtimes.spark.data.schema import NUMBER, Known, Schema
from hydro_runtimes.spark.data.vectors import Vectors, dot, scalar, vectors
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class _Machine:
    """b + w.x + half of the sum over factors of (xF)^2 - x^2 F^2."""

    intercept: float
    linear: Array
    factors: Array
    """float64, (size, factors)."""

    @classmethod
    def load(cls, saved: Saved) -> _Machine:
        table = saved.table()
        linear, factors = table.vector("linear"), table.matrix("factors")
        if len(linear) != len(factors):
            raise table.invalid(f"has {len(linear)} weights for {len(factors)} rows of factors")
        return cls(table.number("intercept"), linear, factors)

    def margin(self, column: Vectors) -> Array:
        squared = _squared(column)
        crossed = dot(column, self.factors) ** 2 - dot(squared, self.factors**2)
        return np.asarray(self.intercept + dot(column, self.linear) + 0.5 * crossed.sum(axis=1))


@dataclass(frozen=True)
class FMClassificationModel:
    """The sigmoid of a factorization machine.

    Source: org.apache.spark.ml.classification.FMClassificationModel, 4.3.0.
    """

    features: Where
    machine: _Machine
    classes: Classes

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> FMClassificationModel:
        machine = _Machine.load(saved)
        features = schema.features(saved, len(machine.linear))
        return cls(features, machine, Classes.load(saved, schema, 2))

    def transform(self, batch: Batch) -> Batch:
        batch, column = vectors(batch, self.features, len(self.machine.linear))
        margin = self.machine.margin(column)
        likely = 1.0 / (1.0 + np.exp(-margin))
        raw = two(-margin, margin)
        return batch.plus(self.classes.columns(raw, two(1.0 - likely, likely)))


@dataclass(frozen=True)
class FMRegressionModel:
    """A factorization machine.

    Source: org.apache.spark.ml.regression.FMRegressionModel, 4.3.0.
    """

    features: Where
    machine: _Machine
    prediction: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> FMRegressionModel:
        machine = _Machine.load(saved)
        features = schema.features(saved, len(machine.linear))
        return cls(features, machine, schema.predicted(saved))

    def transform(self, batch: Batch) -> Batch:
        batch, column = vectors(batch, self.features, len(self.machine.linear))
        return batch.plus({self.prediction: Dense(self.machine.margin(column))})


@dataclass(frozen=True)
class ALSModel:
    """The product of the factors of a user and an item; a cold start gives NaN or is dropped.

    Source: org.apache.spark.ml.recommendation.ALSModel, 4.3.0. In float32, added in order of the
    index.
    """

    users: Where
    items: Where
    user_ids: Array
    user_factors: Array
    item_ids: Array
    item_factors: Array
    prediction: str
    drop: bool

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> ALSModel:
        users = Where(saved.uid, saved.text("userCol", "user"))
        items = Where(saved.uid, saved.text("itemCol", "item"))
        for where in (users, items):
            schema.want(saved, where.column, NUMBER)
        rank = saved.extra("rank", int)
        return cls(
            users,
            items,
            *_factors(saved, "userFactors", rank),
            *_factors(saved, "itemFactors", rank),
            schema.predicted(saved, Known(DataType.FLOAT32)),
            saved.text("coldStartStrategy", "nan") == "drop",
        )

    def transform(self, batch: Batch) -> Batch:
        for where in (self.users, self.items):
            batch = batch.without(_bad_ids(batch, where))
        user, is_user = _places(batch, self.users, self.user_ids)
        item, is_item = _places(batch, self.items, self.item_ids)
        known = is_user & is_item
        total = np.zeros(batch.rows, dtype=np.float32)
        if len(self.user_ids) and len(self.item_ids):
            left, right = self.user_factors[user], self.item_factors[item]
            for index in range(left.shape[1]):
                total += left[:, index] * right[:, index]
        total[~known] = np.nan
        batch = batch.plus({self.prediction: Dense(total)})
        if not self.drop:
            return batch
        failures = {}
        for row in np.flatnonzero(~known | np.isnan(total)).tolist():
            where = self.items if is_user[row] else self.users
            failures[row] = where.dropped("the model does not know the id")
        return batch.without(failures)


def _squared(column: Vectors) -> Vectors:
    if isinstance(column, Dense):
        return Dense(column.values**2)
    return type(column)(column.size, column.offsets, column.indices, column.values**2)


def _factors(saved: Saved, folder: str, rank: int) -> tuple[Array, Array]:
    """Ids, ascending, and their factors: int64 (n,), float32 (n, rank)."""
    ids = saved.table(folder, key=("id",), columns=["id"]).numbers("id")
    order = np.argsort(ids)
    place = np.empty_like(order)
    place[order] = np.arange(len(ids))
    return ids[order], saved.matrix("features", rank, place, folder)


def _bad_ids(batch: Batch, where: Where) -> dict[int, Failure]:
    column = scalar(batch, where)
    values = column.values
    good = (values == np.floor(values)) & (values >= -(2**31)) & (values < 2**31)
    if column.validity is not None:
        good &= column.validity
    return {
        row: where.invalid(f"got {values[row]}, want an id that is an int and not null")
        for row in np.flatnonzero(~good).tolist()
    }


def _places(batch: Batch, where: Where, ids: Array) -> tuple[Array, Array]:
    """Where the id of each row is among the ids, and whether it is."""
    wanted = scalar(batch, where).values.astype(np.int64)  # or all ids would become doubles
    at = np.minimum(np.searchsorted(ids, wanted), max(len(ids) - 1, 0))
    return at, (ids[at] == wanted) if len(ids) else np.zeros(len(wanted), dtype=bool)
