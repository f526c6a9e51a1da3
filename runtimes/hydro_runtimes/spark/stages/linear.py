"""Linear models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, Column, Dense
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.classes import ClassifierColumns, pair_classes, softmax
from hydro_runtimes.spark.data.column_info import vector_info
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import read_vectors
from hydro_runtimes.spark.data.weights import Weights
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class LogisticRegressionModel:
    """Binary: margin > threshold is class 1. Multinomial: a softmax over the classes.

    Source: org.apache.spark.ml.classification.LogisticRegressionModel, 4.3.0.
    """

    features: InputColumn
    weights: Weights
    """One for each element and class; (size, 1) if binary."""
    intercepts: Array
    classes: ClassifierColumns
    threshold: float | None
    """Of the margin, if binary; None if multinomial."""

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> LogisticRegressionModel:
        weights, intercepts, multinomial = _read_coefficients(saved)
        rows = weights.values.shape[1]
        if rows != len(intercepts) or (not multinomial and rows != 1):
            raise saved.invalid(f"has {rows} rows for {len(intercepts)} intercepts")
        features = schema.require_features(saved, weights.size)
        classes = ClassifierColumns.load(saved, schema, rows if multinomial else 2)
        threshold = None if multinomial else _margin_threshold(saved, classes)
        return cls(features, weights, intercepts, classes, threshold)

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.features, self.weights.size)
        margins = self.weights.multiply(column) + self.intercepts
        if self.threshold is None:
            return batch.with_columns(self.classes.output_columns(margins, softmax(margins)))
        margin = margins[:, 0]
        # Spark computes the probability of class 0, and that of class 1 as the rest: the other way
        # round, the last bits differ.
        unlikely = 1.0 / (1.0 + np.exp(margin))
        raw = pair_classes(-margin, margin)
        probability = pair_classes(unlikely, 1.0 - unlikely)
        return batch.with_columns(
            self.classes.columns_of_classes(raw, probability, margin > self.threshold)
        )


@dataclass(frozen=True)
class LinearSVCModel:
    """margin > threshold is class 1; there are no probabilities.

    Source: org.apache.spark.ml.classification.LinearSVCModel, 4.3.0.
    """

    features: InputColumn
    weights: Weights
    intercept: float
    classes: ClassifierColumns
    threshold: float

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> LinearSVCModel:
        table = saved.table()
        weights = Weights.load(table, "coefficients", is_matrix=False)
        features = schema.require_features(saved, weights.size)
        classes = ClassifierColumns.load(saved, schema, 2, has_probability=False)
        threshold = saved.number("threshold", 0.0)
        return cls(features, weights, table.number("intercept"), classes, threshold)

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.features, self.weights.size)
        margin = self.weights.multiply(column) + self.intercept
        raw = pair_classes(-margin, margin)
        return batch.with_columns(
            self.classes.columns_of_classes(raw, None, margin > self.threshold)
        )


@dataclass(frozen=True)
class LinearRegressionModel:
    """The weighted sum of the features.

    Source: org.apache.spark.ml.regression.LinearRegressionModel, 4.3.0.
    """

    features: InputColumn
    weights: Weights
    intercept: float
    prediction: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> LinearRegressionModel:
        table = saved.table()
        weights = Weights.load(table, "coefficients", is_matrix=False)
        features = schema.require_features(saved, weights.size)
        return cls(features, weights, table.number("intercept"), schema.add_prediction(saved))

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.features, self.weights.size)
        return batch.with_columns(
            {self.prediction: Dense(self.weights.multiply(column) + self.intercept)}
        )


@dataclass(frozen=True)
class AFTSurvivalRegressionModel:
    """exp(weighted sum), and quantiles of the Weibull distribution of this scale.

    Source: org.apache.spark.ml.regression.AFTSurvivalRegressionModel, 4.3.0.
    """

    features: InputColumn
    weights: Weights
    intercept: float
    prediction: str
    quantiles: str
    factors: Array
    """float64, (quantiles,): the prediction times these are the quantiles."""

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> AFTSurvivalRegressionModel:
        table = saved.table()
        weights = Weights.load(table, "coefficients", is_matrix=False)
        shares = saved.numbers("quantileProbabilities", _QUANTILES)
        # The quantile q of a Weibull distribution: prediction * exp(log(-log(1 - q)) * scale).
        factors = np.exp(np.log(-np.log1p(-shares)) * table.number("scale"))
        features, prediction = (
            schema.require_features(saved, weights.size),
            schema.add_prediction(saved),
        )
        quantiles = saved.text("quantilesCol", "")
        if quantiles:
            schema.add_column(quantiles, vector_info(len(factors)))
        return cls(features, weights, table.number("intercept"), prediction, quantiles, factors)

    def transform(self, batch: Batch) -> Batch:
        batch, column = read_vectors(batch, self.features, self.weights.size)
        predicted = np.exp(self.weights.multiply(column) + self.intercept)
        columns: dict[str, Column] = {self.prediction: Dense(predicted)}
        if self.quantiles:
            columns[self.quantiles] = Dense(predicted[:, None] * self.factors)
        return batch.with_columns(columns)


_QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


def _read_coefficients(saved: Saved) -> tuple[Weights, Array, bool]:
    """Weights (size, rows), intercepts (rows,), and whether the rows are classes (multinomial).

    Spark 2.0 saved a vector for a binary model; since 2.1 it saves a matrix.
    """
    table = saved.table()
    if table.has_column("coefficientMatrix"):
        weights = Weights.load(table, "coefficientMatrix", is_matrix=True)
        return weights, table.vector("interceptVector"), table.flag("isMultinomial")
    weights = Weights.load(table, "coefficients", is_matrix=False)
    # One class: a matrix of one row, as later versions save it.
    single = Weights(weights.size, weights.used, weights.values[:, None])
    return single, np.array([table.number("intercept")]), False


def _margin_threshold(saved: Saved, classes: ClassifierColumns) -> float:
    """The margin above which the class is 1: log(t / (1 - t)), where t is the threshold.

    Two thresholds t0 and t1 beat `threshold`; they mean 1 / (1 + t0 / t1).
    Source: LogisticRegressionParams.getThreshold and LogisticRegressionModel.predict, 4.3.0.
    """
    threshold = saved.number("threshold", 0.5)
    if classes.thresholds is not None:
        threshold = float(1.0 / (1.0 + classes.thresholds[0] / classes.thresholds[1]))
    return float(np.log(threshold / (1.0 - np.float64(threshold))))
