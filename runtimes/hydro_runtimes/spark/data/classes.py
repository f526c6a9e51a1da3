"""What every classifier adds: raw scores, probabilities, and the class they point to.

Source: org.apache.spark.ml.classification.ProbabilisticClassificationModel, 4.3.0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, Column, Dense
from hydro_runtimes.spark.data.column_info import NUMBER, vector_info
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.format.saved import Saved

_BOTH = np.ones((2, 2))


@dataclass(frozen=True, slots=True)
class ClassifierColumns:
    """The output columns of a classifier; the name "" means that a column is not wanted."""

    raw: str
    probability: str
    prediction: str
    thresholds: Array | None
    """float64, (classes,)."""

    @classmethod
    def load(
        cls, saved: Saved, schema: Schema, classes: int, has_probability: bool = True
    ) -> ClassifierColumns:
        """Reads the params of a classifier and adds its columns to the schema.

        Raises:
            InvalidModel: the number of thresholds is not that of the classes.
        """
        raw = saved.text("rawPredictionCol", "rawPrediction")
        probability = saved.text("probabilityCol", "probability") if has_probability else ""
        prediction = saved.text("predictionCol", "prediction")
        thresholds = None
        if has_probability and "thresholds" in saved.params:
            thresholds = saved.numbers("thresholds")
            if len(thresholds) != classes:
                raise saved.invalid(f"has {len(thresholds)} thresholds, want {classes}")
        for name in filter(None, (raw, probability)):
            schema.add_column(name, vector_info(classes))
        if prediction:
            schema.add_column(prediction, NUMBER)
        return cls(raw, probability, prediction, thresholds)

    def output_columns(self, raw: Array, probability: Array | None) -> dict[str, Column]:
        """The columns for raw scores and probabilities, each float64, (rows, classes).

        Source: ProbabilisticClassificationModel.transform, 4.3.0: the prediction comes from the
        probabilities only where there are thresholds, else from the raw scores.
        """
        # A binary LogisticRegressionModel decides by its own threshold: see stages/linear.
        if self.thresholds is not None and probability is not None:
            return self.columns_of_classes(
                raw, probability, argmax(divide_by_thresholds(probability, self.thresholds))
            )
        return self.columns_of_classes(raw, probability, argmax(raw))

    def columns_of_classes(
        self, raw: Array, probability: Array | None, classes: Array
    ) -> dict[str, Column]:
        """The columns for a class that is known already.

        Args:
            raw: as that of `output_columns`.
            probability: as that of `output_columns`.
            classes: the predicted class of each row, (rows,), of any number type.
        """
        columns: dict[str, Column] = {}
        if self.raw:
            columns[self.raw] = Dense(raw)
        if self.probability and probability is not None:
            columns[self.probability] = Dense(probability)
        if self.prediction:
            columns[self.prediction] = Dense(np.asarray(classes, np.float64))
        return columns


def divide_by_thresholds(probability: Array, thresholds: Array) -> Array:
    """Probability / threshold: float64, (rows, classes). 0 / 0, which is NaN, never wins.

    Source: ProbabilisticClassificationModel.probability2prediction, 4.3.0.
    """
    ratio = probability / thresholds
    return np.where(np.isnan(ratio), -np.inf, ratio)


def argmax(values: Array) -> Array:
    """The index of the first largest value of each row: (rows,), of any type of number.

    As org.apache.spark.ml.linalg.DenseVector.argmax, 4.3.0: it keeps the best so far and compares
    with >, which is false beside NaN. So NaN wins in the first place only.
    """
    # For two classes a single comparison, false beside NaN, is all that argmax does; of a single
    # row Python's own takes a third of the time.
    if values.shape[1] == 2:
        if len(values) == 1:
            return np.array((float(values.item(1) > values.item(0)),))
        return np.asarray(values[:, 1] > values[:, 0])
    found = values.argmax(axis=1)
    if values.size and (most := np.maximum.reduce(values, axis=None)) != most:
        found = np.where(np.isnan(values), -np.inf, values).argmax(axis=1)
        found[np.isnan(values[:, 0])] = 0
    return np.asarray(found)


def normalize_to_probabilities(raw: Array) -> Array:
    """Each row divided by its sum: float64, (rows, classes). A row whose sum is 0 stays.

    Source: ProbabilisticClassificationModel.normalizeToProbabilitiesInPlace, 4.3.0.
    """
    # For two classes a product costs less than a reduction, and its shape spares a broadcast.
    two_classes = raw.shape[1] == 2
    total = raw.dot(_BOTH) if two_classes else np.add.reduce(raw, axis=1, keepdims=True)
    shares = raw / total
    if np.count_nonzero(total) < total.size:
        shares = np.where(total == 0, raw, shares)
    return np.asarray(shares)


def pair_classes(other: Array, one: Array) -> Array:
    """Values for the classes 0 and 1 beside each other: float64, (rows, 2)."""
    pair = np.empty((len(one), 2))
    pair[:, 0], pair[:, 1] = other, one
    return pair


def softmax(margins: Array) -> Array:
    """exp(margin) / sum of exp(margins), for each row: float64, (rows, classes).

    An infinite margin gets 1, and each other one 0 times its margin.

    Source: org.apache.spark.ml.impl.Utils.softmax, 4.3.0.
    """
    # Spark subtracts the largest margin too, so that exp does not overflow.
    most = np.maximum.reduce(margins, axis=1, keepdims=True)
    shares = np.exp(margins - most)
    shares /= np.add.reduce(shares, axis=1, keepdims=True)
    # exp(inf - inf) is NaN, so rows with an infinite margin are mended afterwards.
    if not np.isfinite(most).all():
        infinite = np.isposinf(margins)
        alone = np.arange(margins.shape[1]) == infinite.argmax(axis=1)[:, None]
        taken = np.where(alone, 1.0, 0.0 * margins)
        return np.asarray(np.where(infinite.any(axis=1, keepdims=True), taken, shares))
    return np.asarray(shares)
