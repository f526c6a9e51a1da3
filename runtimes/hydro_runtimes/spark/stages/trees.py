"""Decision trees and their ensembles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from hydro_runtimes.columns import Array, Column, Dense
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.classes import (
    ClassifierColumns,
    normalize_to_probabilities,
    pair_classes,
)
from hydro_runtimes.spark.data.column_info import NUMBER, vector_info
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import read_vectors
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.trees import forest
from hydro_runtimes.spark.trees.forest import PREDICTION, STATS, Forest


@dataclass(frozen=True)
class RandomForestClassificationModel:
    """The sum over the trees of the class probabilities at the leaf; the weights are not used.

    Source: org.apache.spark.ml.classification.RandomForestClassificationModel, 4.3.0.
    """

    features: InputColumn
    size: int
    forest: Forest
    shares: Array
    """float64, (nodes, classes): the impurityStats of each node, divided by their sum."""
    classes: ClassifierColumns
    leaf: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> RandomForestClassificationModel:
        features, size = _read_features(saved, schema)
        trees = forest.load_ensemble(saved, STATS)
        classes = ClassifierColumns.load(saved, schema, _class_count(saved, trees))
        leaf = _leaf_column(saved, schema, trees.trees)
        return cls(features, size, trees, _class_shares(trees), classes, leaf)

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.features, self.size)
        leaves = self.forest.find_leaves(column)
        raw = forest.concatenate_chunks(
            # Tree after tree, as Spark adds them.
            [np.add.reduce(self.shares.take(part, axis=0), axis=0) for part in leaves]
        )
        columns = self.classes.output_columns(raw, normalize_to_probabilities(raw))
        return batch.with_columns(columns | _leaf_columns(self.leaf, self.forest, leaves))


@dataclass(frozen=True)
class GBTClassificationModel:
    """The sign of the weighted sum of the trees.

    Source: org.apache.spark.ml.classification.GBTClassificationModel, 4.3.0.
    """

    features: InputColumn
    size: int
    forest: Forest
    classes: ClassifierColumns
    leaf: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> GBTClassificationModel:
        features, size = _read_features(saved, schema)
        trees = forest.load_ensemble(saved, PREDICTION, weighted=True)
        classes = ClassifierColumns.load(saved, schema, 2)
        leaf = _leaf_column(saved, schema, trees.trees)
        return cls(features, size, trees, classes, leaf)

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.features, self.size)
        leaves = self.forest.find_leaves(column)
        margin = _sum_of_trees(self.forest, leaves)
        columns = self.classes.output_columns(*_class_scores(margin))
        if self.leaf:
            columns |= _leaf_columns(self.leaf, self.forest, leaves)
        return batch.with_columns(columns)


@dataclass(frozen=True)
class DecisionTreeClassificationModel:
    """The class weights of the leaf.

    Source: org.apache.spark.ml.classification.DecisionTreeClassificationModel, 4.3.0.
    """

    features: InputColumn
    size: int
    forest: Forest
    classes: ClassifierColumns
    leaf: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> DecisionTreeClassificationModel:
        features, size = _read_features(saved, schema)
        tree = forest.load_tree(saved, STATS)
        classes = ClassifierColumns.load(saved, schema, _class_count(saved, tree))
        return cls(features, size, tree, classes, _leaf_column(saved, schema, 0))

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.features, self.size)
        leaves = _only_tree(self.forest.find_leaves(column))
        raw = self.forest.stats[leaves]
        columns = self.classes.output_columns(raw, normalize_to_probabilities(raw))
        if self.leaf:
            columns[self.leaf] = Dense(self.forest.leaf_number[leaves].astype(np.float64))
        return batch.with_columns(columns)


@dataclass(frozen=True)
class DecisionTreeRegressionModel:
    """The prediction of the leaf, and the variance of the labels that it was trained on.

    Source: org.apache.spark.ml.regression.DecisionTreeRegressionModel, 4.3.0.
    """

    features: InputColumn
    size: int
    forest: Forest
    columns: tuple[tuple[str, Array], ...]
    """The name of each output column, and its value at each node: float64, (nodes,)."""

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> DecisionTreeRegressionModel:
        features, size = _read_features(saved, schema)
        variance = saved.text("varianceCol", "")
        tree = forest.load_tree(saved, PREDICTION, *([STATS] if variance else []))
        named = (
            (saved.text("predictionCol", "prediction"), tree.prediction),
            (variance, _label_variance(saved, tree.stats) if variance else tree.prediction),
            (saved.text("leafCol", ""), tree.leaf_number.astype(np.float64)),
        )
        columns = tuple((name, values) for name, values in named if name)
        for name, _ in columns:
            schema.add_column(name, NUMBER)
        return cls(features, size, tree, columns)

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.features, self.size)
        leaves = _only_tree(self.forest.find_leaves(column))
        return batch.with_columns({name: Dense(values[leaves]) for name, values in self.columns})


@dataclass(frozen=True)
class _EnsembleRegressionModel:
    features: InputColumn
    size: int
    forest: Forest
    share: float
    """The number that the sum of the trees is divided by."""
    prediction: str
    leaf: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> Self:
        features, size = _read_features(saved, schema)
        trees, share = cls.load_trees(saved)
        prediction = schema.add_prediction(saved)
        leaf = _leaf_column(saved, schema, trees.trees)
        return cls(features, size, trees, share, prediction, leaf)

    @staticmethod
    def load_trees(saved: Saved) -> tuple[Forest, float]:
        """The trees, and the divisor of their sum."""
        return forest.load_ensemble(saved, PREDICTION, weighted=True), 1.0

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.features, self.size)
        leaves = self.forest.find_leaves(column)
        total = _sum_of_trees(self.forest, leaves) / self.share
        columns = _leaf_columns(self.leaf, self.forest, leaves)
        return batch.with_columns({self.prediction: Dense(total), **columns})


class GBTRegressionModel(_EnsembleRegressionModel):
    """The weighted sum of the trees.

    Source: org.apache.spark.ml.regression.GBTRegressionModel, 4.3.0.
    """


class RandomForestRegressionModel(_EnsembleRegressionModel):
    """The mean of the trees; their weights are not used.

    Source: org.apache.spark.ml.regression.RandomForestRegressionModel, 4.3.0.
    """

    @staticmethod
    def load_trees(saved: Saved) -> tuple[Forest, float]:
        trees = forest.load_ensemble(saved, PREDICTION)
        return trees, float(trees.trees)


def _class_scores(margin: Array) -> tuple[Array, Array]:
    """The raw scores and the probabilities of both classes: float64, (rows, 2).

    Source: GBTClassificationModel.raw2probabilityInPlace, 4.3.0: 1 / (1 + exp(-2 * margin)).
    """
    if len(margin) == 1:  # for a single number, Python is faster than numpy
        one = margin.item()
        likely = 1.0 / (1.0 + np.exp(-2.0 * one).item())
        return np.array(((-one, one),)), np.array(((1.0 - likely, likely),))
    shares = 1.0 / (1.0 + np.exp(-2.0 * margin))
    return pair_classes(-margin, margin), pair_classes(1.0 - shares, shares)


def _read_features(saved: Saved, schema: Schema) -> tuple[InputColumn, int]:
    size = saved.metadata_value("numFeatures", int)
    return schema.require_features(saved, size), size


def _only_tree(leaves: list[Array]) -> Array:
    """The leaves of the one tree: int64, (rows,)."""
    return forest.concatenate_chunks([part[0] for part in leaves])


def _sum_of_trees(trees: Forest, leaves: list[Array]) -> Array:
    """The sum of the trees' predictions: float64, (rows,).

    The trees are added in their order, by accumulate and cumsum: np.sum adds in pairs and rounds
    otherwise than Spark's blas.ddot.
    """
    if leaves[0].size == trees.trees:  # a single row
        return np.add.accumulate(trees.prediction.take(leaves[0].ravel()))[-1:]
    parts = [np.cumsum(trees.prediction.take(part), axis=0)[-1] for part in leaves]
    return forest.concatenate_chunks(parts)


def _class_shares(trees: Forest) -> Array:
    """The class probabilities at each node: float64, (nodes, classes).

    They overwrite `trees.stats`, piece by piece, so that a large forest is not in memory twice.
    """
    for first in range(0, len(trees.stats), _ROWS):
        rows = trees.stats[first : first + _ROWS]
        # In place: a forest's statistics are most of what it takes in memory.
        rows[:] = normalize_to_probabilities(rows)
    return trees.stats


_ROWS = 1 << 15


def _class_count(saved: Saved, trees: Forest) -> int:
    classes: int = saved.metadata_value("numClasses", int)
    if trees.stats.shape[1] != classes:
        raise saved.invalid(f"nodes have {trees.stats.shape[1]} classes, want {classes}")
    return classes


def _leaf_column(saved: Saved, schema: Schema, trees: int) -> str:
    name = saved.text("leafCol", "")
    if name:
        schema.add_column(name, vector_info(trees) if trees else NUMBER)
    return name


def _label_variance(saved: Saved, stats: Array) -> Array:
    """The variance of the labels at each node: float64, (nodes,).

    It comes from the saved weight, sum and sum of squares, for the saved impurity is -1 at nodes
    for which no split was found.
    Source: org.apache.spark.ml.tree.impurity.Variance.calculate, 4.3.0.
    """
    if stats.shape[1] != 3:
        raise saved.invalid(f"nodes have {stats.shape[1]} impurityStats, want 3")
    weight, total, squares = stats.T
    return np.where(weight == 0, 0.0, (squares - total * total / weight) / weight)


def _leaf_columns(name: str, trees: Forest, leaves: list[Array]) -> dict[str, Column]:
    if not name:
        return {}
    numbers = forest.concatenate_chunks([trees.leaf_number[part].T for part in leaves])
    return {name: Dense(numbers.astype(np.float64))}
