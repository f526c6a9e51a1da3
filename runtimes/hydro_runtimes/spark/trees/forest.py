"""The nodes of one or many decision trees as flat arrays, and the walk of all rows down all trees.

All rows go down all trees together, one level at each step: there is no loop over rows or trees.

Source: org.apache.spark.ml.tree.{Node, DecisionTreeModelReadWrite}, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.data.vectors import Vectors
from hydro_runtimes.spark.format.parquet import Table
from hydro_runtimes.spark.format.part_files import COPY_WHOLE
from hydro_runtimes.spark.format.saved import Saved
from hydro_runtimes.spark.trees import chunks, nodes, single_row
from hydro_runtimes.spark.trees.interval_walk import IntervalWalk
from hydro_runtimes.spark.trees.intervals import TreeNodes
from hydro_runtimes.spark.trees.single_row import CompiledSingleRowWalk
from hydro_runtimes.spark.trees.splits import SplitReader, Splits

_CHUNK = 1 << 16
"""Pairs of a row and a tree walked at a time, so that they stay in the processor's cache."""
_FULL_LEVELS = 5
"""On the first 5 levels hardly any row has reached its leaf, so all are walked."""
_LEVELS_BETWEEN_CHECKS = 3
"""After those, rows that have reached their leaf are taken out at every third level."""
_MAX_COMPILED_TREES = 80
"""With more trees, numpy is faster than compiled Python for a single row, too."""


@dataclass(frozen=True)
class Forest:
    """Trees, with the two children of a node beside each other."""

    trees: int
    """The number of trees; their roots are the first nodes."""
    right_child: Array
    """int32, (nodes,): the right child, which the left one follows; a leaf leads to itself."""
    input_index: Array
    """int32, (nodes,): which of `Splits.row_numbers` the split compares; 0 for a leaf."""
    threshold: Array
    """float64, (nodes,): number <= threshold goes left; NaN for a leaf, so that nothing does.

    For a split of categories, the index of the first byte of its set in `Splits.sets`."""
    splits: Splits
    depth: int
    stats: Array
    """float64, (nodes, values): impurityStats, such as the weight of each class, if asked for."""
    prediction: Array
    """float64, (nodes,), if asked for; times the weight of the tree, if that is asked for."""
    leaf_number: Array
    """int32, (nodes,): for a leaf, how many leaves of its tree are left of it, if asked for."""
    single_row_walk: CompiledSingleRowWalk | IntervalWalk
    """For a batch of one row."""

    def find_leaves(self, column: Vectors) -> list[Array]:
        """The index of the leaf that each row reaches in each tree.

        Returns:
            One array for each chunk of rows: int64, (trees, rows of the chunk).
        """
        if column.rows == 1:
            leaves = self._leaves_of_row(self.splits.row_numbers(column).ravel())
            return [leaves.reshape(-1, 1)]
        return chunks.map_chunks(self._walk_rows, column, max(1, _CHUNK // self.trees))

    def _leaves_of_row(self, numbers: Array) -> Array:
        if isinstance(self.single_row_walk, CompiledSingleRowWalk):
            alone = single_row.with_category_sets(numbers.tolist(), self.splits)
            return np.array(self.single_row_walk.find_leaves(alone), dtype=np.intp)
        node = self.single_row_walk.walk_row(numbers)
        if self.single_row_walk.levels == self.depth:
            return node
        return self._walk_from(numbers, np.zeros_like(node), node, self.single_row_walk.levels)

    def _walk_rows(self, column: Vectors) -> Array:
        numbers = self.splits.row_numbers(column)
        rows, width = numbers.shape
        start = np.tile(np.arange(rows) * width, self.trees)
        roots = np.repeat(np.arange(self.trees), rows)
        return self._walk_from(numbers.ravel(), start, roots, 0).reshape(self.trees, rows)

    def _walk_from(self, numbers: Array, start: Array, node: Array, first: int) -> Array:
        """The leaves that rows reach from nodes on a level.

        Args:
            numbers: of all rows, one after the other.
            start: for each node, where the numbers of its row start.
            node: int64; the leaves are written into it.
            first: the level of these nodes.
        """
        # `current` is where the rows are that still walk; `walking` is their place in `node`.
        current, walking = node, np.arange(len(node))
        for level in range(first, self.depth):
            if level >= _FULL_LEVELS and (level - _FULL_LEVELS) % _LEVELS_BETWEEN_CHECKS == 0:
                node[walking] = current
                inner = np.flatnonzero(self.right_child.take(current) != current)
                current, walking, start = (
                    current.take(inner),
                    walking.take(inner),
                    start.take(inner),
                )
            goes_left = self._goes_left(numbers, start, current)
            # The left child follows the right one, so that the answer is added. A leaf is its own
            # child and its threshold is NaN, so a row that has arrived stays.
            current = self.right_child.take(current).astype(np.intp)
            current += goes_left
        node[walking] = current
        return node

    def _goes_left(self, numbers: Array, start: Array, node: Array) -> Array:
        """bool, (nodes,): the arguments are as those of `_walk_from`."""
        input_index, threshold = self.input_index.take(node), self.threshold.take(node)
        number = numbers.take(start + input_index)
        goes_left = number <= threshold  # NaN goes right, as in Spark's ContinuousSplit
        if len(self.splits.categorical_inputs):
            sets = np.flatnonzero(input_index >= len(self.splits.used_features))
            goes_left[sets] = self.splits.are_in_sets(threshold[sets], number[sets])
        return np.asarray(goes_left)


def concatenate_chunks(parts: list[Array]) -> Array:
    """The answers for the chunks of a column, one after the other."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


STATS = "impurityStats"
PREDICTION = "prediction"


def load_tree(saved: Saved, *wanted: str) -> Forest:
    """The only tree of a decision tree model.

    Args:
        saved: the model.
        wanted: the columns of nodes to read, STATS or PREDICTION or both.

    Raises:
        InvalidModel: the nodes do not form a tree, or are not as Spark writes them.
    """
    return _load_forest(saved, "", 1, wanted)


def load_ensemble(saved: Saved, *wanted: str, weighted: bool = False) -> Forest:
    """The trees of an ensemble in the order of their numbers.

    Args:
        saved: the model.
        wanted: as those of `load_tree`.
        weighted: whether the predictions are multiplied by the weights of the trees.

    Raises:
        InvalidModel: trees or nodes are missing, or not as Spark writes them.
    """
    metadata = saved.table("treesMetadata", key=("_1", "treeID"))
    if len(metadata.names) < 3:
        raise metadata.invalid(f"has {len(metadata.names)} columns, want 3")
    trees, weights = metadata.numbers(metadata.names[0]), metadata.numbers(metadata.names[2])
    order = np.argsort(trees)
    if not len(trees) or not np.array_equal(trees[order], np.arange(len(trees))):
        raise metadata.invalid(f"trees are missing or not numbered from 0; {COPY_WHOLE}")
    if saved.metadata.get("numTrees", len(trees)) != len(trees):
        count = saved.metadata_value("numTrees", int)
        raise metadata.invalid(f"has {len(trees)} trees, want {count}; {COPY_WHOLE}")
    factors = weights[order].astype(np.float64) if weighted else None
    return _load_forest(saved, "nodeData.", len(trees), wanted, factors)


def _load_forest(
    saved: Saved, prefix: str, trees: int, wanted: Sequence[str], weights: Array | None = None
) -> Forest:
    layout = nodes.load_node_layout(saved, prefix, trees)
    count, starts = len(layout.right_child), layout.saved_index[:trees]
    reader = SplitReader(saved, prefix, layout.right_child)
    stats: Array | None = None
    prediction = np.zeros(count if PREDICTION in wanted else 0)
    first = 0
    for piece in saved.table_pieces([*reader.columns, *(f"{prefix}{name}" for name in wanted)]):
        node = layout.node_of_row[first : first + piece.rows]
        first += piece.rows
        reader.add_rows(piece, node)
        if PREDICTION in wanted:
            prediction[node] = piece.numbers(f"{prefix}{PREDICTION}")
            if weights is not None:
                tree = np.searchsorted(starts, layout.saved_index[node], side="right") - 1
                prediction[node] *= weights[tree]
        if STATS in wanted:
            rows = _impurity_stats(piece, f"{prefix}{STATS}")
            stats = np.empty((count, rows.shape[1])) if stats is None else stats
            if rows.shape[1] != stats.shape[1]:
                raise piece.invalid("nodes differ in their number of impurityStats")
            stats[node] = rows
    number = nodes.leaf_numbers(layout, trees) if saved.text("leafCol", "") else np.zeros(0, int)
    splits, input_index, threshold = reader.build_splits()
    nodes_of = (layout.right_child, input_index, threshold)
    single_row_walk: CompiledSingleRowWalk | IntervalWalk
    if trees <= _MAX_COMPILED_TREES:
        single_row_walk = single_row.load_single_row_walk(*nodes_of, splits, trees)
    else:
        single_row_walk = IntervalWalk(TreeNodes(trees, *nodes_of, splits), layout.ends)
    return Forest(
        trees,
        layout.right_child,
        input_index,
        threshold,
        splits,
        len(layout.ends) - 1,
        np.zeros((0, 0)) if stats is None else stats,
        prediction,
        number,
        single_row_walk,
    )


def _impurity_stats(piece: Table, name: str) -> Array:
    offsets, values = piece.lists(name)
    width = int(offsets[1]) if piece.rows else 0
    if not np.array_equal(np.diff(offsets), np.full(piece.rows, width)):
        raise piece.invalid("nodes differ in their number of impurityStats")
    return np.asarray(values, dtype=np.float64).reshape(-1, width)
