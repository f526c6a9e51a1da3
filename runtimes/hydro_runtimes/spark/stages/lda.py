"""Latent Dirichlet allocation: the topics of a document, by variational inference."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, Dense
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import vector_info
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import read_matrix
from hydro_runtimes.spark.format.part_files import COPY_WHOLE
from hydro_runtimes.spark.format.saved import Saved

_MAX_STEPS = 1000
"""A bound of ours: Spark goes on until the inference converges."""
_SEED = 1421925485
"""The default of HasSeed, the hash of the class name: on loading, Spark loses the model's own."""


@dataclass(frozen=True)
class _LDAModel:
    features: InputColumn
    words: Array
    """float64, (vocabulary, topics): exp(E[log beta]), where beta is the distribution of words."""
    prior: Array
    """float64, (topics,): alpha, the prior of a document's topics (docConcentration)."""
    output: str
    start: Array
    """float64, (topics,): the gamma at which the inference of each document starts."""

    def transform(self, batch: Batch) -> Batch:
        batch, counts = read_matrix(batch, self.features, len(self.words))
        topics = np.zeros((batch.rows, len(self.prior)))
        for row in range(batch.rows):
            # Words that are not in the document do not count: what is computed follows the
            # document's length.
            used = np.flatnonzero(counts[row])
            # Spark answers a document without words with zeros.
            if len(used):
                topics[row] = self._infer_topics(self.words[used], counts[row, used])
        return batch.with_columns({self.output: Dense(topics)})

    def _infer_topics(self, words: Array, counts: Array) -> Array:
        # gamma are the parameters of the Dirichlet distribution of the document's topics; `weights`
        # is exp(E[log theta]). Spark's rules: 1e-100 against a division by 0, and convergence when
        # gamma changes by at most 1e-3 on average.
        gamma = self.start
        weights = np.exp(_expected_log(gamma))
        for _ in range(_MAX_STEPS):
            last = gamma
            gamma = weights * (words.T @ (counts / (words @ weights + 1e-100))) + self.prior
            weights = np.exp(_expected_log(gamma))
            if np.abs(gamma - last).sum() / len(gamma) <= 1e-3:
                break
        return np.asarray(gamma / gamma.sum())


class LocalLDAModel(_LDAModel):
    """The topics of each document, inferred from the random numbers that Spark starts with.

    Source: org.apache.spark.ml.clustering.LocalLDAModel,
    org.apache.spark.mllib.clustering.OnlineLDAOptimizer.variationalTopicInference, 4.3.0.
    """

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> LocalLDAModel:
        table = saved.table()
        prior, topics = table.vector("docConcentration"), table.matrix("topicsMatrix")
        shape = table.number("gammaShape")
        if not 1 < shape < 1e6:
            raise table.invalid(f"gammaShape is {shape}, want over 1")
        return cls(*_declare_topics(saved, schema, topics, prior), _draw_gamma(len(prior), shape))


class DistributedLDAModel(_LDAModel):
    """The topics of each document, inferred as by the local model that this one turns into.

    Spark starts it from other random numbers each time that it is loaded; here it starts from ones.

    Source: org.apache.spark.ml.clustering.DistributedLDAModel,
    org.apache.spark.mllib.clustering.DistributedLDAModel.toLocal, 4.3.0.
    """

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> DistributedLDAModel:
        old = saved.open_child("oldModel")
        table = old.table("data/topicCounts", key=("id",))
        size, count = old.metadata_value("vocabSize", int), old.metadata_value("k", int)
        ids, weights = table.numbers("id"), table.vectors("topicWeights")
        prior = old.check_numbers("docConcentration", old.metadata.get("docConcentration"))
        if not 0 < size <= 1 << 24 or any(len(one) != count for one in weights):
            raise table.invalid(f"has other numbers than {count} topics of {size} words")
        topics = np.zeros((size, count))
        # In the saved graph a term has the vertex id -(index + 1), a document an id from 0.
        terms = np.flatnonzero(ids < 0)
        rows = -ids[terms] - 1
        if len(rows) and rows.max() >= size:
            raise table.invalid(f"has terms outside 0 to {size - 1}")
        topics[rows] = np.stack(weights)[terms] if len(terms) else 0.0
        total = old.table("data/globalTopicTotals").vector("globalTopicTotals")
        if not np.allclose(topics.sum(axis=0), total, rtol=1e-6):
            raise table.invalid(f"does not add up to globalTopicTotals; {COPY_WHOLE}")
        return cls(*_declare_topics(saved, schema, topics, prior), np.ones(len(prior)))


def _declare_topics(
    saved: Saved, schema: Schema, topics: Array, prior: Array
) -> tuple[InputColumn, Array, Array, str]:
    if topics.shape[1] != len(prior):
        raise saved.invalid(f"has {topics.shape[1]} topics for {len(prior)} priors")
    features = schema.require_features(saved, len(topics))
    output = saved.text("topicDistributionCol", "topicDistribution")
    schema.add_column(output, vector_info(len(prior)))
    return features, np.exp(_expected_log(topics.T)).T, prior, output


def _expected_log(weights: Array) -> Array:
    """E[log x] for x of a Dirichlet distribution with these parameters (last axis), same shape."""
    return np.asarray(_spark_digamma(weights) - _spark_digamma(weights.sum(axis=-1, keepdims=True)))


def _draw_gamma(count: int, shape: float) -> Array:
    """The first numbers that Spark draws from Gamma(shape, 1 / shape): float64, (count,).

    Source: breeze.stats.distributions.Gamma, 2.1, which uses Marsaglia and Tsang's method on normal
    and uniform numbers of org.apache.commons.math3.random.MersenneTwister, 3.6.
    """
    doubles, d = _uniform_doubles(), shape - 1.0 / 3.0
    normals, c, drawn = _normal_doubles(doubles), 1.0 / math.sqrt(9.0 * d), list[float]()
    while len(drawn) < count:
        # The order of drawing matters: normal numbers until one fits, then one uniform number.
        x = next(x for x in normals if 1.0 + c * x > 0)
        v, u = (1.0 + c * x) ** 3, next(doubles)
        if u < 1.0 - 0.0331 * x**4 or math.log(u) < 0.5 * x * x + d * (1.0 - v + math.log(v)):
            drawn.append(d * v / shape)
    return np.array(drawn)


def _uniform_doubles() -> Iterator[float]:
    """Uniform numbers from 0 to 1, each of twice 26 bits (BitsStreamGenerator.nextDouble)."""
    # setSeed(long) of commons-math seeds with the array of the two halves of the long.
    twister = np.random.RandomState(np.array([0, _SEED], dtype=np.uint32))
    while True:
        high, low = (twister.randint(1 << 32, size=2, dtype=np.uint32) >> 6).tolist()
        yield (high << 26 | low) * 2.0**-52


def _normal_doubles(doubles: Iterator[float]) -> Iterator[float]:
    """Normal numbers in pairs, by Box and Muller's method (BitsStreamGenerator.nextGaussian)."""
    while True:
        angle, radius = 2.0 * math.pi * next(doubles), math.sqrt(-2.0 * math.log(next(doubles)))
        yield radius * math.cos(angle)
        yield radius * math.sin(angle)


def _spark_digamma(values: Array) -> Array:
    """Digamma as Spark computes it: off by up to 3e-9, for a term of its series has the wrong sign.

    Source: org.apache.commons.math3.special.Gamma.digamma, 3.6, which uses the series from 49 on.
    """
    at = np.where(values < 49, values + np.ceil(49 - values), values)
    inverse = 1.0 / (at * at)
    return _true_digamma(values) - inverse * inverse * (1 / 60 - inverse / 126)


def _true_digamma(values: Array) -> Array:
    """Digamma: the recurrence up to 6 or more, then the asymptotic series."""
    x = np.array(values, dtype=np.float64)
    shift = np.zeros_like(x)
    for _ in range(6):
        small = x < 6
        shift = np.where(small, shift - 1.0 / np.where(small, x, 1.0), shift)
        x = np.where(small, x + 1, x)
    inverse, series = 1.0 / (x * x), np.zeros_like(x)
    for term in _SERIES:
        series = inverse * (term - series)
    return np.asarray(shift + np.log(x) - 0.5 / x - series)


_SERIES = (1 / 12, 691 / 32760, 1 / 132, 1 / 240, 1 / 252, 1 / 120, 1 / 12)
"""The coefficients of the asymptotic series of digamma, from the last term to the first."""
