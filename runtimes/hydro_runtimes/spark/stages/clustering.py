"""Clustering: the nearest centre, or the probability of each Gaussian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, Column, DataType, Dense
from hydro_runtimes.spark.data.batch import Batch, InputColumn
from hydro_runtimes.spark.data.column_info import ColumnInfo, vector_info
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.data.vectors import read_matrix
from hydro_runtimes.spark.format.parquet import Table
from hydro_runtimes.spark.format.part_files import COPY_WHOLE
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.trees import chunks

_CLUSTER = ColumnInfo(DataType.INT32)
_CHUNK = 1 << 22
"""Numbers that are in memory at a time while distances are computed."""


@dataclass(frozen=True)
class KMeansModel:
    """The index of the nearest centre; features may be vectors or lists of numbers.

    Source: org.apache.spark.ml.clustering.KMeansModel, 4.3.0. A loaded model uses the Euclidean
    distance whatever its distanceMeasure; the centres of a cosine model have norm 1, so that the
    nearest one is the same.
    """

    features: InputColumn
    centres: Array
    """float64, (clusters, size)."""
    prediction: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> KMeansModel:
        table = saved.table(key=("clusterIdx",))
        centres = _read_centres(table)
        features = schema.require_features(saved, centres.shape[1])
        return cls(features, centres, schema.add_prediction(saved, _CLUSTER))

    def transform(self, batch: Batch) -> Batch:
        batch, values = read_matrix(batch, self.features, self.centres.shape[1])
        found = np.zeros(len(values), dtype=np.int32)
        # Every row beside every centre: the differences of a chunk have to stay in the cache.
        step = max(1, _CHUNK // max(self.centres.size, 1))
        for start in range(0, len(values), step):
            # By differences, as Spark, not by a product of matrices: near ties would fall
            # otherwise.
            part = values[start : start + step, None, :] - self.centres
            found[start : start + step] = np.square(part).sum(axis=2).argmin(axis=1)
        return batch.with_columns({self.prediction: Dense(found)})


@dataclass(frozen=True)
class BisectingKMeansModel:
    """The leaf of a tree of centres that is reached by going to the nearest child at each step.

    This need not be the nearest of all leaves.

    Source: org.apache.spark.ml.clustering.BisectingKMeansModel, 4.3.0.
    """

    features: InputColumn
    centres: Array
    """float64, (nodes, size)."""
    children: Array
    """int64, (nodes, most children): -1 fills up where a node has fewer; a leaf has none."""
    clusters: Array
    """int32, (nodes,)."""
    root: int
    depth: int
    cosine: bool
    prediction: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> BisectingKMeansModel:
        tree = saved.open_child("data")
        table = tree.table(key=("index",))
        ids = table.numbers("index")
        places = {int(index): place for place, index in enumerate(ids)}
        if (
            len(places) != len(ids)
            or (root := places.get(tree.metadata_value("rootId", int))) is None
        ):
            raise table.invalid("nodes are numbered twice, or the root is missing")
        children = _read_children(table, places)
        centres = _stack_centres(table, table.vectors("center"))
        measure = tree.metadata.get("distanceMeasure", "euclidean")
        features = schema.require_features(saved, centres.shape[1])
        prediction = schema.add_prediction(saved, _CLUSTER)
        depth = _tree_depth(table, children, root)
        clusters = ids.astype(np.int32)
        return cls(
            features, centres, children, clusters, root, depth, measure == "cosine", prediction
        )

    def transform(self, batch: Batch) -> Batch:
        batch, values = read_matrix(batch, self.features, self.centres.shape[1])
        if self.cosine:
            norms = np.sqrt(np.square(values).sum(axis=1))
            failure = self.features.invalid_row(
                "got a vector of zeros or with NaN, which has no cosine"
            )
            # Negated, so that NaN is bad as well.
            bad = np.flatnonzero(~(norms > 0))
            batch = batch.without_rows(dict.fromkeys(bad.tolist(), failure))
            values = values[norms > 0] / norms[norms > 0][:, None]
        node = np.full(len(values), self.root)
        for _ in range(self.depth):
            below = self.children[node]
            nearest = self._child_distances(values, below).argmin(axis=1)
            chosen = np.take_along_axis(below, nearest[:, None], axis=1)[:, 0]
            # Who has arrived at a leaf stays; all others go one level down.
            node = np.where(chosen < 0, node, chosen)
        return batch.with_columns({self.prediction: Dense(self.clusters[node])})

    def _child_distances(self, values: Array, below: Array) -> Array:
        """The distance of each row to each child of its node; infinite where there is none."""
        costs = np.full(below.shape, np.inf)
        for place in range(below.shape[1]):
            centres = self.centres[below[:, place]]
            if self.cosine:
                norms = np.sqrt(np.square(centres).sum(axis=1))
                cost = 1.0 - (values * centres).sum(axis=1) / norms
            else:
                cost = np.square(values - centres).sum(axis=1)
            costs[:, place] = np.where(below[:, place] < 0, np.inf, cost)
        return costs


@dataclass(frozen=True)
class GaussianMixtureModel:
    """The probability of each weighted Gaussian; the one with the largest is predicted.

    Spark adds 2^-52 to each before it divides by their sum.

    Source: org.apache.spark.ml.clustering.GaussianMixtureModel,
    org.apache.spark.ml.stat.distribution.MultivariateGaussian, 4.3.0.
    """

    features: InputColumn
    weights: Array
    means: Array
    roots: Array
    """float64, (clusters, size, size): the square root of the pseudo-inverse of each covariance."""
    constants: Array
    """float64, (clusters,): the log of each density at its mean."""
    probability: str
    prediction: str

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> GaussianMixtureModel:
        table = saved.table(key=("mu", "sigma", "weight"))
        means, covariances, weights = _read_gaussians(table)
        count = saved.integer("k", len(weights))
        if count != len(weights):
            raise table.invalid(f"has {len(weights)} Gaussians where k is {count}; {COPY_WHOLE}")
        if (
            not len(means)
            or len(weights) != len(means)
            or covariances.shape[1:]
            != (
                means.shape[1],
                means.shape[1],
            )
        ):
            raise table.invalid(f"has {len(weights)} weights for {len(means)} Gaussians")
        inverted = [_invert_covariance(covariance) for covariance in covariances]
        features = schema.require_features(saved, means.shape[1])
        probability = saved.text("probabilityCol", "probability")
        if probability:
            schema.add_column(probability, vector_info(len(means)))
        prediction = schema.add_prediction(saved, _CLUSTER)
        roots = np.stack([root for root, _ in inverted])
        constants = np.array([constant for _, constant in inverted])
        return cls(features, weights, means, roots, constants, probability, prediction)

    def transform(self, batch: Batch) -> Batch:
        batch, values = read_matrix(batch, self.features, self.means.shape[1])
        shares = np.empty((len(values), len(self.weights)))
        # So few rows at a time that BLAS uses one thread: others would spin while they wait.
        step = max(1, chunks.CHUNK_NUMBERS // 8 // max(values.shape[1], 1))
        for start in range(0, len(values), step):
            shares[start : start + step] = self._probabilities(values[start : start + step])
        columns: dict[str, Column] = {}
        if self.probability:
            columns[self.probability] = Dense(shares)
        if self.prediction:
            columns[self.prediction] = Dense(shares.argmax(axis=1).astype(np.int32))
        return batch.with_columns(columns)

    def _probabilities(self, values: Array) -> Array:
        """The probability of each Gaussian in each row: float64, (rows, Gaussians)."""
        parts = np.empty((len(values), len(self.weights)))
        for index, root in enumerate(self.roots):
            turned = (values - self.means[index]) @ root.T
            density = np.exp(self.constants[index] - 0.5 * np.square(turned).sum(axis=1))
            parts[:, index] = np.finfo(np.float64).eps + self.weights[index] * density
        return np.asarray(parts / parts.sum(axis=1, keepdims=True))


def _read_centres(table: Table) -> Array:
    """The centres in the order of their numbers; before 2.0 they were saved as one list."""
    if table.has_column("clusterCenters"):
        return _stack_centres(table, table.vector_list("clusterCenters"))
    places = table.numbers("clusterIdx")
    order = np.argsort(places)
    if not np.array_equal(places[order], np.arange(len(places))):
        raise table.invalid(f"clusters are missing or not numbered from 0; {COPY_WHOLE}")
    return _stack_centres(table, table.vectors("clusterCenter"))[order]


def _stack_centres(table: Table, vectors: list[Array]) -> Array:
    if not vectors or len({len(one) for one in vectors}) != 1:
        raise table.invalid("has no centres, or centres of different sizes")
    return np.stack(vectors)


def _read_children(table: Table, places: dict[int, int]) -> Array:
    offsets, values = table.lists("children")
    most = int(np.diff(offsets).max(initial=1))
    # A file that nobody vouches for decides the size of the table below.
    if most > 100:
        raise table.invalid(f"a node has {most} children")
    children = np.full((table.rows, max(most, 1)), -1, dtype=np.int64)
    for row in range(table.rows):
        for place, index in enumerate(values[offsets[row] : offsets[row + 1]].tolist()):
            if index not in places:
                raise table.invalid(f"node {index} is missing; {COPY_WHOLE}")
            children[row, place] = places[index]
    return children


def _tree_depth(table: Table, children: Array, root: int) -> int:
    level, seen, depth = [root], {root}, 0
    # Level by level: a circle would have a node twice, and is refused instead of walked for ever.
    while below := [child for node in level for child in children[node].tolist() if child >= 0]:
        if len(set(below)) != len(below) or seen & set(below):
            raise table.invalid("nodes do not form a tree")
        seen |= set(below)
        level, depth = below, depth + 1
    return depth


def _read_gaussians(table: Table) -> tuple[Array, Array, Array]:
    """Means (clusters, size), covariances (clusters, size, size) and weights (clusters,).

    Before 4.0, each Gaussian was saved as a row.
    """
    if table.has_column("weights"):
        weights, mus = table.lists("weights")[1], table.vector_list("mus")
        sigmas = table.matrix_list("sigmas")
    else:
        weights, mus = table.numbers("weight"), table.vectors("mu")
        sigmas = table.matrices("sigma")
    if not mus or len({len(mu) for mu in mus}) != 1 or len({s.shape for s in sigmas}) != 1:
        raise table.invalid("has no Gaussians, or Gaussians of different sizes")
    return np.stack(mus), np.stack(sigmas), weights.astype(np.float64)


def _invert_covariance(covariance: Array) -> tuple[Array, float]:
    """The square root of the pseudo-inverse, and the log of the density at the mean.

    Eigenvalues up to 2^-52 * largest * size count as 0.
    Source: MultivariateGaussian.calculateCovarianceConstants, 4.3.0.
    """
    # Symmetric by definition; eigh gives the eigenvalues in ascending order, as breeze's eigSym
    # does.
    values, turns = np.linalg.eigh(covariance)
    least = np.finfo(np.float64).eps * values.max() * len(values)
    kept = values > least
    scale = np.sqrt(np.where(kept, 1.0 / np.where(kept, values, 1.0), 0.0))
    logs = np.log(values[kept]).sum()
    constant = -0.5 * (len(values) * np.log(2.0 * np.pi) + logs)
    return scale[:, None] * turns.T, float(constant)
