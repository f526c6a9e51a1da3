"""What the splits of decision trees ask of a row.

Whether a number is at most so much, or whether a category is one of some.

Source: org.apache.spark.ml.tree.{Split, ContinuousSplit, CategoricalSplit}, 4.3.0.
`x <= threshold` goes left, so NaN goes right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, Sparse
from hydro_runtimes.spark.data.vectors import Vectors, row_ids
from hydro_runtimes.spark.format.parquet import Table
from hydro_runtimes.spark.format.saved import Saved

MAX_SET_BYTES = 1 << 27
"""Of all sets of categories of a model."""


@dataclass(frozen=True)
class Splits:
    """How a row gives the numbers that are asked for: features, then those that are categories."""

    used: Array
    """int64: the features, ascending."""
    place: Array
    """int64, (categorical,): of the feature of each category number in `used`."""
    categories: Array
    """float64, (categorical,): how many categories it has."""
    sets: Array
    """uint8: sets of categories as bits; in each, that after the last is any other value."""

    def row_numbers(self, column: Vectors) -> Array:
        """float64, (rows, numbers): a category is whole, and the number of them for any other."""
        values = self._used_features(column)
        if not len(self.place):
            return values
        category = values.take(self.place, axis=1)
        known = (category >= 0) & (category < self.categories) & (category == np.floor(category))
        return np.hstack((values, np.where(known, category, self.categories)))

    def are_in_sets(self, start: Array, category: Array) -> Array:
        """Whether each category is in the set that starts at a byte: bool."""
        category = category.astype(np.int64)
        at = start.astype(np.int64)
        at += category >> 3
        bits = self.sets.take(at) >> (category & 7)
        return np.asarray(bits & 1, dtype=bool)

    def category_set(self, start: int, number: int) -> frozenset[int]:
        """The categories of a set."""
        size = int(self.categories[number]) + 1
        data = self.sets[start : start + (size + 7) // 8]
        bits = np.unpackbits(data, count=size, bitorder="little")
        return frozenset(np.flatnonzero(bits).tolist())

    def _used_features(self, column: Vectors) -> Array:
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


class SplitReader:
    """Collects the splits of the inner nodes, piece by piece of the saved rows."""

    def __init__(self, saved: Saved, prefix: str, child: Array) -> None:
        """`child` as `NodeLayout` has it."""
        split = f"{prefix}split."
        self.columns = [
            f"{split}{name}" for name in ("featureIndex", "leftCategoriesOrThreshold")
        ] + [f"{split}numCategories"]
        self._features = saved.metadata_value("numFeatures", int)
        self._is_inner = child != np.arange(len(child))
        self._place = np.zeros(len(child), dtype=np.int32)
        self._most = np.full(len(child), np.nan)
        self._used = np.zeros(0, dtype=np.int32)
        self._categorical: list[tuple[Array, Array]] = []
        """Nodes and their number of categories."""
        self._sets: list[Array] = []
        self._set_bytes = 0

    def add_rows(self, piece: Table, node: Array) -> None:
        """The splits of some rows, and their nodes.

        Raises:
            InvalidModel: a split is not as Spark writes it.
        """
        rows = np.flatnonzero(self._is_inner[node])
        feature = piece.ints(self.columns[0])[rows]
        if len(feature) and not (feature.min() >= 0 and feature.max() < self._features):
            raise piece.invalid(f"a split has a feature outside 0 to {self._features - 1}")
        self._used = np.union1d(self._used, feature)
        self._place[node[rows]] = feature
        count = piece.ints(self.columns[2])[rows]
        offsets, values = piece.lists(self.columns[1])
        starts, ends = offsets[:-1][rows], offsets[1:][rows]
        plain = np.flatnonzero(count == -1)
        if (ends - starts)[plain].min(initial=1) < 1:
            raise piece.invalid("a split has no threshold")
        self._most[node[rows[plain]]] = values[starts[plain]]
        if len(plain) < len(rows):
            sets = np.flatnonzero(count != -1)
            self._categorical.append((node[rows[sets]], count[sets]))
            self._add_sets(piece, self._categorical[-1], starts[sets], ends[sets], values)

    def _add_sets(
        self, piece: Table, nodes: tuple[Array, Array], start: Array, end: Array, values: Array
    ) -> None:
        """Spark keeps the smaller side of a split, so a category it does not know is on the larger.

        The node's `most` becomes the first byte of its set.
        """
        node, count = nodes[0], nodes[1].astype(np.int64)
        size = count // 8 + 1
        first = np.cumsum(size) - size
        total = int(size.sum())
        if count.min() < 1 or self._set_bytes + total > MAX_SET_BYTES:
            raise piece.invalid("a split has an absurd number of categories")
        self._most[node] = self._set_bytes + first
        self._set_bytes += total
        lengths = end - start
        which = np.repeat(np.arange(len(node)), lengths)
        listed = np.repeat(start - (np.cumsum(lengths) - lengths), lengths)
        chosen = values[listed + np.arange(len(which))]
        known = (chosen >= 0) & (chosen < count[which]) & (chosen == np.floor(chosen))
        sets = np.zeros(total, dtype=np.uint8)
        _set_bits(sets, first[which[known]], chosen[known].astype(np.int64))
        unknown_left = np.flatnonzero(lengths > count // 2)
        _set_bits(sets, first[unknown_left], count[unknown_left])
        self._sets.append(sets)

    def build_splits(self) -> tuple[Splits, Array, Array]:
        """How a row gives its numbers, and `place` and `most` of the nodes as `Forest` has them."""
        used = self._used.astype(np.int64)
        inner = np.flatnonzero(self._is_inner)
        self._place[inner] = np.searchsorted(used, self._place[inner])
        if not self._categorical:
            none = np.zeros(0, dtype=np.int64)
            plain = Splits(used, none, np.zeros(0), np.zeros(0, dtype=np.uint8))
            return plain, self._place, self._most
        nodes, counts = (np.concatenate(parts) for parts in zip(*self._categorical, strict=True))
        pairs, number = np.unique(
            np.stack((self._place[nodes], counts), axis=1), axis=0, return_inverse=True
        )
        self._place[nodes] = len(used) + number.ravel()
        categories = pairs[:, 1].astype(np.float64)
        asked = pairs[:, 0].astype(np.int64)
        return Splits(used, asked, categories, np.concatenate(self._sets)), self._place, self._most


def _set_bits(sets: Array, start: Array, category: Array) -> None:
    np.bitwise_or.at(sets, start + (category >> 3), np.left_shift(1, category & 7).astype(np.uint8))
