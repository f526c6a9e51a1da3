"""Naive Bayes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, Dense, Sparse
from hydro_runtimes.evaluator import Failure
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.classes import ClassifierColumns
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import (
    Vectors,
    dense_values,
    multiply,
    read_vectors,
    row_ids,
    show_vector,
)
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class NaiveBayesModel:
    """log(prior) + log(likelihood of the features) for each class.

    multinomial and complement refuse negative features; bernoulli refuses all but 0 and 1.

    Source: org.apache.spark.ml.classification.NaiveBayesModel, 4.3.0.
    """

    features: InputColumn
    size: int
    kind: str
    weights: Array
    """float64, (size, classes)."""
    constant: Array
    """float64, (classes,)."""
    variances: Array
    """float64, (classes, size): of the kind gaussian; of the others, (0, 0)."""
    classes: ClassifierColumns

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> NaiveBayesModel:
        table, kind = saved.table(), saved.text("modelType", "multinomial")
        prior, theta = table.vector("pi"), table.matrix("theta")
        sigma = table.matrix("sigma") if kind == "gaussian" else np.zeros((0, 0))
        if theta.shape[0] != len(prior) or (kind == "gaussian" and sigma.shape != theta.shape):
            raise table.invalid(f"theta is {theta.shape} for {len(prior)} classes")
        if kind not in _KINDS:
            raise saved.invalid(f"param 'modelType' is '{kind}', want one of {', '.join(_KINDS)}")
        constant = prior
        if kind == "bernoulli":
            # A feature that is 0 adds log(1 - p). The sum of all those is a constant, to which a
            # feature that is 1 adds log(p) - log(1 - p).
            absent = np.log(1.0 - np.exp(theta))
            theta, constant = theta - absent, prior + absent.sum(axis=1)
        features = schema.require_features(saved, theta.shape[1])
        classes = ClassifierColumns.load(saved, schema, len(prior))
        weights = np.ascontiguousarray(theta.T)
        return cls(features, len(weights), kind, weights, constant, sigma, classes)

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.features, self.size)
        if failures := self._invalid_rows(column):
            batch, column = read_vectors(batch.without_rows(failures), self.features, self.size)
        raw = self._raw_scores(column)
        shares = np.exp(raw - raw.max(axis=1, keepdims=True))
        return batch.with_columns(
            self.classes.output_columns(raw, shares / shares.sum(axis=1, keepdims=True))
        )

    def _raw_scores(self, column: Vectors) -> Array:
        if self.kind == "gaussian":
            return self._gaussian_scores(dense_values(column))
        if self.kind == "complement":
            score = multiply(column, self.weights)
            most = score.max(axis=1, keepdims=True)
            total = most + np.log(np.exp(score - most).sum(axis=1, keepdims=True))
            return np.asarray(score - total)
        return multiply(column, self.weights) + self.constant

    def _gaussian_scores(self, values: Array) -> Array:
        """The raw scores, class by class, so that no array is larger than the features."""
        raw = np.empty((len(values), len(self.constant)))
        for index, variance in enumerate(self.variances):
            distance = values - self.weights[:, index]
            spread = (distance * distance / variance).sum(axis=1) + np.log(variance).sum()
            raw[:, index] = self.constant[index] - spread / 2.0
        return raw

    def _invalid_rows(self, column: Vectors) -> dict[int, Failure]:
        if self.kind == "gaussian":
            return {}
        if self.kind == "bernoulli":
            good, wanted = (column.values == 0) | (column.values == 1), "only 0 and 1"
        else:
            good, wanted = column.values >= 0, "no negative element"
        if good.all():
            return {}
        bad = (
            row_ids(column.offsets)[~good]
            if isinstance(column, Sparse)
            else (np.flatnonzero(~good.all(axis=1)))
        )
        dense = column.take(np.unique(bad))
        dense = dense.dense() if isinstance(dense, Sparse) else dense
        assert isinstance(dense, Dense)
        return {
            row: self.features.invalid_row(f"got {show_vector(values)}, want {wanted}")
            for row, values in zip(np.unique(bad).tolist(), dense.values, strict=True)
        }


_KINDS = ("multinomial", "bernoulli", "gaussian", "complement")
