"""What the splits of decision trees ask of a row: whether a number of it is at most so much.

Source: org.apache.spark.ml.tree.{Split, ContinuousSplit, CategoricalSplit}, 4.3.0.
`x <= threshold` goes left, so NaN goes right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from hydro_runtimes.columns import Array, Sparse
from hydro_runtimes.spark.saved import Saved
from hydro_runtimes.spark.table import Table
from hydro_runtimes.spark.vectors import Vectors, row_ids

_Category: TypeAlias = tuple[int, int, tuple[float, ...]]
"""A categorical split: its feature, the number of categories, and those that go left."""


@dataclass(frozen=True)
class Splits:
    """How a row gives the numbers that are asked for: features, then one per categorical split."""

    used: Array
    """int64: the features, ascending."""
    place: Array
    """int64, (categorical,): of the feature of each categorical split in `used`."""
    categories: Array
    """float64, (categorical,): the number of categories of the split."""
    left: Array
    """bool, (categorical, most categories + 1): whether a category goes left; last, any other."""

    def numbers(self, column: Vectors) -> Array:
        """float64, (rows, numbers): a categorical split's is 0 where the row goes left, else 1."""
        values = self._features(column)
        if not len(self.place):
            return values
        return np.hstack((values, ~self._chosen(values.take(self.place, axis=1))))

    def _chosen(self, category: Array) -> Array:
        known = (category >= 0) & (category < self.categories) & (category == np.floor(category))
        index = np.where(known, category, self.left.shape[1] - 1).astype(np.int64)
        return np.asarray(self.left[np.arange(len(self.left)), index])

    def _features(self, column: Vectors) -> Array:
        """float64, (rows, used)."""
        if not isinstance(column, Sparse):
            if len(self.used) == column.values.shape[1]:
                return column.values
            return column.values.take(self.used, axis=1)
        at = np.searchsorted(self.used, column.indices)
        at[at == len(self.used)] = 0
        hits = np.flatnonzero(self.used[at] == column.indices) if len(self.used) else at[:0]
        values = np.zeros((column.rows, len(self.used)))
        values[row_ids(column.offsets)[hits], at[hits]] = column.values[hits]
        return values


def load(saved: Saved, table: Table, prefix: str, nodes: Array) -> tuple[Splits, Array, Array]:
    """The splits of these nodes; for each, the place of its number and the most that goes left."""
    split = f"{prefix}split."
    feature = table.numbers(f"{split}featureIndex")[nodes]
    total = saved.extra("numFeatures", int)
    if len(feature) and not (feature.min() >= 0 and feature.max() < total):
        raise table.invalid(f"a split has a feature outside 0 to {total - 1}")
    count = table.numbers(f"{split}numCategories")[nodes]
    offsets, values = table.lists(f"{split}leftCategoriesOrThreshold")
    starts, ends = offsets[:-1][nodes], offsets[1:][nodes]
    used, place = np.unique(feature.astype(np.int64), return_inverse=True)
    most = np.zeros(len(nodes))

    plain = np.flatnonzero(count == -1)
    if (ends - starts)[plain].min(initial=1) < 1:
        raise table.invalid("a split has no threshold")
    most[plain] = values[starts[plain]]

    sets: dict[_Category, int] = {}
    for node in np.flatnonzero(count != -1).tolist():
        chosen = tuple(sorted(values[starts[node] : ends[node]].tolist()))
        key = (int(feature[node]), int(count[node]), chosen)
        place[node] = len(used) + sets.setdefault(key, len(sets))
    asked = np.searchsorted(used, np.array([key[0] for key in sets], dtype=np.int64))
    categories = np.array([key[1] for key in sets], dtype=np.float64)
    return Splits(used, asked, categories, _goes_left(table, list(sets))), place, most


def _goes_left(table: Table, sets: Sequence[_Category]) -> Array:
    """Spark keeps the smaller side of a split, so a category it does not know is on the larger."""
    most = max((count for _, count, _ in sets), default=0)
    if min((count for _, count, _ in sets), default=1) < 1 or len(sets) * most > 1 << 26:
        raise table.invalid("a split has an absurd number of categories")
    left = np.zeros((len(sets), most + 1), dtype=bool)
    for row, (_, count, chosen) in enumerate(sets):
        known = [int(value) for value in chosen if 0 <= value < count and value == int(value)]
        left[row, known] = True
        left[row, -1] = len(chosen) > count // 2
    return left
