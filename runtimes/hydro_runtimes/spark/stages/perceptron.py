"""The multilayer perceptron."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.classes import ClassifierColumns
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import read_matrix
from hydro_runtimes.spark.format.saved import Saved


@dataclass(frozen=True)
class MultilayerPerceptronClassificationModel:
    """Layers of sigmoids, then a softmax; the raw scores are those before the softmax.

    An infinite score makes all probabilities NaN, other than in the softmax of linear models.

    Source: org.apache.spark.ml.classification.MultilayerPerceptronClassificationModel, 4.3.0.
    """

    features: InputColumn
    layers: tuple[tuple[Array, Array], ...]
    """For each layer, its weights (in, out) and biases (out,); float64."""
    classes: ClassifierColumns

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> MultilayerPerceptronClassificationModel:
        table = saved.table()
        if table.has_column("layers"):
            sizes = table.lists("layers")[1].tolist()
        else:
            sizes = saved.integers("layers")
        layers = _split_weights(saved, sizes, table.vector("weights"))
        features = schema.require_features(saved, sizes[0])
        return cls(features, layers, ClassifierColumns.load(saved, schema, sizes[-1]))

    def transform(self, batch: Batch) -> Batch:
        batch, values = read_matrix(batch, self.features, len(self.layers[0][0]))
        *hidden, last = self.layers
        for weights, biases in hidden:
            values = 1.0 / (1.0 + np.exp(-(values @ weights + biases)))
        raw = values @ last[0] + last[1]
        shares = np.exp(raw - raw.max(axis=1, keepdims=True))
        return batch.with_columns(
            self.classes.output_columns(raw, shares / shares.sum(axis=1, keepdims=True))
        )


def _split_weights(
    saved: Saved, sizes: list[int], weights: Array
) -> tuple[tuple[Array, Array], ...]:
    """The layers of the saved weights.

    For each layer they hold the matrix (out, in) in column-major order, which is (in, out) in ours,
    and then the biases.
    """
    pairs = list(pairwise(sizes))
    wanted = sum(before * after + after for before, after in pairs)
    if not pairs or min(sizes) < 1 or len(weights) != wanted:
        raise saved.invalid(f"has {len(weights)} weights for layers of {sizes[:10]}")
    layers, at = [], 0
    for before, after in pairs:
        biases = at + before * after
        layers.append((weights[at:biases].reshape(before, after), weights[biases : biases + after]))
        at = biases + after
    return tuple(layers)
