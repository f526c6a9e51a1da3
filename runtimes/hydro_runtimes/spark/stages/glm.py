"""The generalized linear model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, Column, Dense
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import NUMBER
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import multiply, read_scalar, read_vectors
from hydro_runtimes.spark.format.saved import Saved

_EPSILON = 1e-16
"""The least distance of a mean from the ends of its range (GeneralizedLinearRegression.epsilon)."""
_CANONICAL = {"gaussian": "identity", "binomial": "logit", "poisson": "log", "gamma": "inverse"}
_INVERSES: dict[str, Callable[[Array], Array]] = {
    "identity": lambda eta: eta,
    "log": np.exp,
    "inverse": lambda eta: 1.0 / eta,
    "logit": lambda eta: 1.0 / (1.0 + np.exp(-1.0 * eta)),
    "probit": lambda eta: _normal_cdf(eta),
    "cloglog": lambda eta: 1.0 - np.exp(-1.0 * np.exp(eta)),
    "sqrt": lambda eta: eta * eta,
}


@dataclass(frozen=True)
class GeneralizedLinearRegressionModel:
    """The inverse link of the weighted sum, limited to the range that the family allows.

    Source: org.apache.spark.ml.regression.GeneralizedLinearRegressionModel, 4.3.0.
    """

    features: InputColumn
    weights: Array
    intercept: float
    offset: InputColumn | None
    prediction: str
    link_prediction: str
    family: str
    link: str | float
    """A name, or the exponent of a power link."""

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> GeneralizedLinearRegressionModel:
        table = saved.table()
        weights = table.vector("coefficients")
        features = schema.require_features(saved, len(weights))
        offset = None
        if name := saved.text("offsetCol", ""):
            schema.require(saved, name, NUMBER)
            offset = InputColumn(saved.uid, name)
        if link_prediction := saved.text("linkPredictionCol", ""):
            schema.add_column(link_prediction, NUMBER)
        prediction, family = schema.add_prediction(saved), saved.text("family", "gaussian").lower()
        link = _read_link(saved, family)
        if family == "tweedie" and saved.number("variancePower", 0.0) == 0:
            family = "gaussian"
        intercept = table.number("intercept")
        return cls(features, weights, intercept, offset, prediction, link_prediction, family, link)

    def transform(self, batch: Batch) -> Batch:
        offset = None if self.offset is None else read_scalar(batch, self.offset)
        if offset is not None and offset.validity is not None:
            return self._with_nulls(batch, offset.values, offset.validity)
        batch, column = read_vectors(batch, self.features, len(self.weights))
        eta = multiply(column, self.weights) + self.intercept
        if self.offset is not None:
            eta = eta + read_scalar(batch, self.offset).values
        return batch.with_columns(self._output_columns(eta))

    def _with_nulls(self, batch: Batch, offset: Array, known: Array) -> Batch:
        """Evaluates rows whose offset is not null; for the others the prediction is null.

        Spark does not look at the features of those, so that they cannot fail.
        """
        rows = np.flatnonzero(known)
        features = batch.columns[self.features.name].take(rows)
        part = Batch({self.features.name: features}, len(rows))
        part, column = read_vectors(part, self.features, len(self.weights))
        kept = rows if part.source_rows is None else rows[part.source_rows]
        eta = np.zeros(batch.rows)
        eta[kept] = multiply(column, self.weights) + self.intercept + offset[kept]
        failures = {int(rows[row]): failure for row, failure in (part.failures or {}).items()}
        return batch.with_columns(self._output_columns(eta, known)).without_rows(failures)

    def _output_columns(self, eta: Array, known: Array | None = None) -> dict[str, Column]:
        columns: dict[str, Column] = {}
        if self.link_prediction:
            columns[self.link_prediction] = Dense(eta, known)
        columns[self.prediction] = Dense(self._clip_to_family(self._inverse_link(eta)), known)
        return columns

    def _inverse_link(self, eta: Array) -> Array:
        if isinstance(self.link, str):
            return _INVERSES[self.link](eta)
        return np.exp(eta) if self.link == 0 else np.asarray(np.power(eta, 1.0 / self.link))

    def _clip_to_family(self, mean: Array) -> Array:
        largest = np.finfo(np.float64).max
        if self.family == "gaussian":
            return np.where(np.isinf(mean), np.copysign(largest, mean), mean)
        if self.family == "binomial":
            return _clamp(mean, _EPSILON, 1.0 - _EPSILON)
        return np.where(np.isposinf(mean), largest, _clamp(mean, _EPSILON, np.inf))


def _read_link(saved: Saved, family: str) -> str | float:
    if family == "tweedie":
        power = saved.number("linkPower", 1.0 - saved.number("variancePower", 0.0))
        return {1.0: "identity", -1.0: "inverse", 0.5: "sqrt", 0.0: "log"}.get(power, power)
    if family not in _CANONICAL:
        raise saved.invalid(f"param 'family' is '{family}', want {', '.join(_CANONICAL)}, tweedie")
    link = saved.text("link", _CANONICAL[family]).lower()
    if link not in _INVERSES:
        raise saved.invalid(f"param 'link' is '{link}', want one of {', '.join(_INVERSES)}")
    return link


def _clamp(values: Array, low: float, high: float) -> Array:
    return np.where(values < low, low, np.where(values > high, high, values))


def _normal_cdf(values: Array) -> Array:
    """The cumulative distribution function of the standard normal distribution."""
    root = math.sqrt(2.0)
    found = [0.5 * math.erfc(-value / root) for value in values.tolist()]
    return np.array(found, dtype=np.float64)
