"""Decision trees and their ensembles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from hydro_runtimes.columns import Array, Column, Dense
from hydro_runtimes.spark.data.batch import Batch, Where
from hydro_runtimes.spark.data.classes import Classes, normalized, two
from hydro_runtimes.spark.data.schema import NUMBER, Schema, vector
from hydro_runtimes.spark.data.vectors import vectors
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.trees import forest
from hydro_runtimes.spark.trees.forest import PREDICTION, STATS, Forest


@dataclass(frozen=True)
class RandomForestClassificationModel:
    """Adds up the trees' class shares at the leaves; the weights of the trees are not used.

    Source: org.apache.spark.ml.classification.RandomForestClassificationModel, 4.3.0.
    """

    features: Where
    size: int
    forest: Forest
    shares: Array
    """float64, (nodes, classes)."""
    classes: Classes
    leaf: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> RandomForestClassificationModel:
        features, size = _features(saved, schema)
        trees, _ = forest.ensemble(saved, STATS)
        classes = Classes.load(saved, schema, _class_count(saved, trees))
        leaf = _leaf_column(saved, schema, trees.trees)
        return cls(features, size, trees, _shares(trees), classes, leaf)

    def transform(self, batch: Batch) -> Batch:
        batch, column = vectors(batch, self.features, self.size)
        leaves = self.forest.leaves(column)
        raw = forest.joined(
            [np.add.reduce(self.shares.take(part, axis=0), axis=0) for part in leaves]
        )
        columns = self.classes.columns(raw, normalized(raw))
        return batch.plus(columns | _leaf_columns(self.leaf, self.forest, leaves))


@dataclass(frozen=True)
class GBTClassificationModel:
    """The sign of the weighted sum of the trees.

    Source: org.apache.spark.ml.classification.GBTClassificationModel, 4.3.0.
    """

    features: Where
    size: int
    forest: Forest
    weights: Array
    """float64, (trees,)."""
    classes: Classes
    leaf: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> GBTClassificationModel:
        features, size = _features(saved, schema)
        trees, weights = forest.ensemble(saved, PREDICTION)
        classes = Classes.load(saved, schema, 2)
        leaf = _leaf_column(saved, schema, trees.trees)
        return cls(features, size, trees, weights, classes, leaf)

    def transform(self, batch: Batch) -> Batch:
        batch, column = vectors(batch, self.features, self.size)
        leaves = self.forest.leaves(column)
        raw, probability = _logistic(_weighted(self.forest, leaves, self.weights))
        columns = self.classes.columns(raw, probability)
        return batch.plus(columns | _leaf_columns(self.leaf, self.forest, leaves))


@dataclass(frozen=True)
class DecisionTreeClassificationModel:
    """The class weights of the leaf.

    Source: org.apache.spark.ml.classification.DecisionTreeClassificationModel, 4.3.0.
    """

    features: Where
    size: int
    forest: Forest
    classes: Classes
    leaf: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> DecisionTreeClassificationModel:
        features, size = _features(saved, schema)
        tree = forest.single(saved, STATS)
        classes = Classes.load(saved, schema, _class_count(saved, tree))
        return cls(features, size, tree, classes, _leaf_column(saved, schema, 0))

    def transform(self, batch: Batch) -> Batch:
        batch, column = vectors(batch, self.features, self.size)
        leaves = _only(self.forest.leaves(column))
        raw = self.forest.stats[leaves]
        columns = self.classes.columns(raw, normalized(raw))
        if self.leaf:
            columns[self.leaf] = Dense(self.forest.number[leaves].astype(np.float64))
        return batch.plus(columns)


@dataclass(frozen=True)
class DecisionTreeRegressionModel:
    """The prediction of the leaf, and the variance of what it was trained on.

    Source: org.apache.spark.ml.regression.DecisionTreeRegressionModel, 4.3.0.
    """

    features: Where
    size: int
    forest: Forest
    columns: tuple[tuple[str, Array], ...]
    """Name and value at each node, float64 (nodes,)."""

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> DecisionTreeRegressionModel:
        features, size = _features(saved, schema)
        variance = saved.text("varianceCol", "")
        tree = forest.single(saved, PREDICTION, *([STATS] if variance else []))
        named = (
            (saved.text("predictionCol", "prediction"), tree.prediction),
            (variance, _variance(saved, tree.stats) if variance else tree.prediction),
            (saved.text("leafCol", ""), tree.number.astype(np.float64)),
        )
        columns = tuple((name, values) for name, values in named if name)
        for name, _ in columns:
            schema.add(name, NUMBER)
        return cls(features, size, tree, columns)

    def transform(self, batch: Batch) -> Batch:
        batch, column = vectors(batch, self.features, self.size)
        leaves = _only(self.forest.leaves(column))
        return batch.plus({name: Dense(values[leaves]) for name, values in self.columns})


@dataclass(frozen=True)
class _Regression:
    features: Where
    size: int
    forest: Forest
    weights: Array
    """float64, (trees,)."""
    share: float
    """What the sum of the trees is divided by."""
    prediction: str
    leaf: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> Self:
        features, size = _features(saved, schema)
        trees, weights = forest.ensemble(saved, PREDICTION)
        weights, share = cls.weighing(weights)
        prediction = schema.predicted(saved)
        leaf = _leaf_column(saved, schema, trees.trees)
        return cls(features, size, trees, weights, share, prediction, leaf)

    @staticmethod
    def weighing(weights: Array) -> tuple[Array, float]:
        """What each tree is multiplied by, and the sum divided by."""
        return weights, 1.0

    def transform(self, batch: Batch) -> Batch:
        batch, column = vectors(batch, self.features, self.size)
        leaves = self.forest.leaves(column)
        total = _weighted(self.forest, leaves, self.weights) / self.share
        columns = _leaf_columns(self.leaf, self.forest, leaves)
        return batch.plus({self.prediction: Dense(total), **columns})


class GBTRegressionModel(_Regression):
    """The weighted sum of the trees.

    Source: org.apache.spark.ml.regression.GBTRegressionModel, 4.3.0.
    """


class RandomForestRegressionModel(_Regression):
    """The mean of the trees; their weights are not used.

    Source: org.apache.spark.ml.regression.RandomForestRegressionModel, 4.3.0.
    """

    @staticmethod
    def weighing(weights: Array) -> tuple[Array, float]:
        return np.ones_like(weights), float(len(weights))


def _logistic(margin: Array) -> tuple[Array, Array]:
    """The raw scores and the probabilities of both classes: float64, (rows, 2)."""
    if len(margin) == 1:  # Python computes with single numbers in less time than numpy
        one = margin.item()
        likely = 1.0 / (1.0 + np.exp(-2.0 * one).item())
        return np.array(((-one, one),)), np.array(((1.0 - likely, likely),))
    shares = 1.0 / (1.0 + np.exp(-2.0 * margin))
    return two(-margin, margin), two(1.0 - shares, shares)


def _features(saved: Saved, schema: Schema) -> tuple[Where, int]:
    size = saved.extra("numFeatures", int)
    return schema.features(saved, size), size


def _only(leaves: list[Array]) -> Array:
    """The leaves of the one tree: int64, (rows,)."""
    return forest.joined([part[0] for part in leaves])


def _weighted(trees: Forest, leaves: list[Array], weights: Array) -> Array:
    """The sum over the trees, added in their order: float64, (rows,)."""
    if len(leaves[0][0]) == 1:
        added = np.add.accumulate(trees.prediction.take(leaves[0][:, 0]) * weights)
        return np.asarray(added[-1:])
    parts = [
        np.cumsum(trees.prediction.take(part) * weights[:, None], axis=0)[-1] for part in leaves
    ]
    return forest.joined(parts)


def _shares(trees: Forest) -> Array:
    """The class shares at each node, in place of its stats: float64, (nodes, classes)."""
    for first in range(0, len(trees.stats), _ROWS):
        rows = trees.stats[first : first + _ROWS]
        rows[:] = normalized(rows)
    return trees.stats


_ROWS = 1 << 15


def _class_count(saved: Saved, trees: Forest) -> int:
    classes: int = saved.extra("numClasses", int)
    if trees.stats.shape[1] != classes:
        raise saved.invalid(f"nodes have {trees.stats.shape[1]} classes, want {classes}")
    return classes


def _leaf_column(saved: Saved, schema: Schema, trees: int) -> str:
    name = saved.text("leafCol", "")
    if name:
        schema.add(name, vector(trees) if trees else NUMBER)
    return name


def _variance(saved: Saved, stats: Array) -> Array:
    """Of the labels at each node, from their weight, sum and sum of squares: float64, (nodes,).

    Not the saved impurity, which is -1 where a split was looked for in vain.
    Source: org.apache.spark.ml.tree.impurity.Variance.calculate, 4.3.0.
    """
    if stats.shape[1] != 3:
        raise saved.invalid(f"nodes have {stats.shape[1]} impurityStats, want 3")
    weight, total, squares = stats.T
    return np.where(weight == 0, 0.0, (squares - total * total / weight) / weight)


def _leaf_columns(name: str, trees: Forest, leaves: list[Array]) -> dict[str, Column]:
    if not name:
        return {}
    numbers = forest.joined([trees.number[part].T for part in leaves])
    return {name: Dense(numbers.astype(np.float64))}
