"""The splits of decision trees: feature <= threshold goes left, or category in a set goes left.

Source: org.apache.spark.ml.tree.{Split, ContinuousSplit, CategoricalSplit}, 4.3.0.
NaN <= threshold is false, so NaN goes right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array, Sparse
from hydro_runtimes.spark.data.vectors import Vectors, row_ids
from hydro_runtimes.spark.format.parquet import Table
from hydro_runtimes.spark.format.saved import Saved

MAX_SET_BYTES = 1 << 27
"""Bytes of all sets of categories of a model."""


@dataclass(frozen=True)
class Splits:
    """The numbers that splits compare: the used features, then the categorical ones again."""

    used_features: Array
    """int64: the indices of the features that splits use, ascending."""
    categorical_inputs: Array
    """int64, (categorical,): for each categorical number, the index of its feature in
    `used_features`."""
    categories: Array
    """float64, (categorical,): how many categories each has."""
    sets: Array
    """uint8: sets of categories as bits. In each, the bit after the last category is for all values
    that are none."""

    def row_numbers(self, column: Vectors) -> Array:
        """The numbers of each row: float64, (rows, used + categorical).

        A value that is no category of its feature becomes the number of categories.
        """
        values = self._used_features(column)
        if not len(self.categorical_inputs):
            return values
        category = values.take(self.categorical_inputs, axis=1)
        known = (category >= 0) & (category < self.categories) & (category == np.floor(category))
        return np.hstack((values, np.where(known, category, self.categories)))

    def are_in_sets(self, start: Array, category: Array) -> Array:
        """Whether each category is in the set that starts at a byte of `sets`: bool, as `start`."""
        category = category.astype(np.int64)
        at = start.astype(np.int64)
        at += category >> 3
        bits = self.sets.take(at) >> (category & 7)
        return np.asarray(bits & 1, dtype=bool)

    def category_set(self, start: int, number: int) -> frozenset[int]:
        """The set that starts at a byte, of the categorical number `number`."""
        size = int(self.categories[number]) + 1
        data = self.sets[start : start + (size + 7) // 8]
        bits = np.unpackbits(data, count=size, bitorder="little")
        return frozenset(np.flatnonzero(bits).tolist())

    def _used_features(self, column: Vectors) -> Array:
        """float64, (rows, used)."""
        if not isinstance(column, Sparse):
            if len(self.used_features) == column.values.shape[1]:
                return column.values
            return column.values.take(self.used_features, axis=1)
        at = np.searchsorted(self.used_features, column.indices)
        at[at == len(self.used_features)] = 0
        hits = (
            np.flatnonzero(self.used_features[at] == column.indices)
            if len(self.used_features)
            else at[:0]
        )
        values = np.zeros((column.rows, len(self.used_features)))
        values[row_ids(column.offsets)[hits], at[hits]] = column.values[hits]
        return values


class SplitReader:
    """Collects the splits of the inner nodes, piece by piece of the saved rows."""

    def __init__(self, saved: Saved, prefix: str, right_child: Array) -> None:
        """`right_child` is that of `NodeLayout`."""
        split = f"{prefix}split."
        self.columns = [
            f"{split}{name}" for name in ("featureIndex", "leftCategoriesOrThreshold")
        ] + [f"{split}numCategories"]
        self._features = saved.metadata_value("numFeatures", int)
        self._is_inner = right_child != np.arange(len(right_child))
        self._input_index = np.zeros(len(right_child), dtype=np.int32)
        self._threshold = np.full(len(right_child), np.nan)
        self._used_features = np.zeros(0, dtype=np.int32)
        self._categorical: list[tuple[Array, Array]] = []
        """Nodes, and the number of categories of each."""
        self._sets: list[Array] = []
        self._set_bytes = 0

    def add_rows(self, piece: Table, node: Array) -> None:
        """Adds the splits of some saved rows.

        Args:
            piece: the rows.
            node: the node of each row, int32.

        Raises:
            InvalidModel: a split is not as Spark writes it.
        """
        rows = np.flatnonzero(self._is_inner[node])
        feature = piece.ints(self.columns[0])[rows]
        if len(feature) and not (feature.min() >= 0 and feature.max() < self._features):
            raise piece.invalid(f"a split has a feature outside 0 to {self._features - 1}")
        self._used_features = np.union1d(self._used_features, feature)
        self._input_index[node[rows]] = feature
        count = piece.ints(self.columns[2])[rows]
        offsets, values = piece.lists(self.columns[1])
        starts, ends = offsets[:-1][rows], offsets[1:][rows]
        plain = np.flatnonzero(count == -1)
        if (ends - starts)[plain].min(initial=1) < 1:
            raise piece.invalid("a split has no threshold")
        self._threshold[node[rows[plain]]] = values[starts[plain]]
        if len(plain) < len(rows):
            sets = np.flatnonzero(count != -1)
            self._categorical.append((node[rows[sets]], count[sets]))
            self._add_sets(piece, self._categorical[-1], starts[sets], ends[sets], values)

    def _add_sets(
        self, piece: Table, nodes: tuple[Array, Array], start: Array, end: Array, values: Array
    ) -> None:
        """Adds the sets of categories that go left; the node's threshold becomes its first byte.

        Spark keeps the smaller side of a split, so that a category that it does not list is on the
        larger side (CategoricalSplit.shouldGoLeft).
        """
        node, count = nodes[0], nodes[1].astype(np.int64)
        size = count // 8 + 1
        first = np.cumsum(size) - size
        total = int(size.sum())
        if count.min() < 1 or self._set_bytes + total > MAX_SET_BYTES:
            raise piece.invalid("a split has an absurd number of categories")
        self._threshold[node] = self._set_bytes + first
        self._set_bytes += total
        lengths = end - start
        which = np.repeat(np.arange(len(node)), lengths)
        # The places of the listed categories in `values`: for each set, from its start to its end.
        listed = np.repeat(start - (np.cumsum(lengths) - lengths), lengths)
        chosen = values[listed + np.arange(len(which))]
        known = (chosen >= 0) & (chosen < count[which]) & (chosen == np.floor(chosen))
        sets = np.zeros(total, dtype=np.uint8)
        _set_bits(sets, first[which[known]], chosen[known].astype(np.int64))
        # Where more than half of the categories go left, so does any other value.
        unknown_left = np.flatnonzero(lengths > count // 2)
        _set_bits(sets, first[unknown_left], count[unknown_left])
        self._sets.append(sets)

    def build_splits(self) -> tuple[Splits, Array, Array]:
        """The splits, and the input and the threshold of each node as `Forest` has them."""
        used = self._used_features.astype(np.int64)
        inner = np.flatnonzero(self._is_inner)
        self._input_index[inner] = np.searchsorted(used, self._input_index[inner])
        if not self._categorical:
            none = np.zeros(0, dtype=np.int64)
            plain = Splits(used, none, np.zeros(0), np.zeros(0, dtype=np.uint8))
            return plain, self._input_index, self._threshold
        nodes, counts = (np.concatenate(parts) for parts in zip(*self._categorical, strict=True))
        pairs, number = np.unique(
            np.stack((self._input_index[nodes], counts), axis=1), axis=0, return_inverse=True
        )
        self._input_index[nodes] = len(used) + number.ravel()
        categories = pairs[:, 1].astype(np.float64)
        asked = pairs[:, 0].astype(np.int64)
        return (
            Splits(used, asked, categories, np.concatenate(self._sets)),
            self._input_index,
            self._threshold,
        )


def _set_bits(sets: Array, start: Array, category: Array) -> None:
    np.bitwise_or.at(sets, start + (category >> 3), np.left_shift(1, category & 7).astype(np.uint8))
