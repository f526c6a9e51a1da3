"""The nodes of one or many decision trees as flat arrays, and the walk of all rows down all trees.

All rows go down all trees together, one level a step: no loop over rows or trees.

Source: org.apache.spark.ml.tree.{Node, DecisionTreeModelReadWrite}, 4.3.0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark import chunks, lonewalk, splits
from hydro_runtimes.spark.lonewalk import LoneWalk
from hydro_runtimes.spark.parts import COPY_WHOLE
from hydro_runtimes.spark.saved import Saved
from hydro_runtimes.spark.splits import Splits
from hydro_runtimes.spark.table import Table
from hydro_runtimes.spark.vectors import Vectors

_MAX_TREE_DEPTH = 100
_CHUNK = 1 << 16
"""Rows times trees that go down at a time, so that they stay in the processor's cache."""
_FULL = 5
"""The first levels, on which hardly any row has reached its leaf."""
_LOOK = 3
"""After those, every so many levels, rows that have reached their leaf are taken out."""
_FEW_TREES = 128
"""With more, a row alone goes down all trees together too."""


@dataclass(frozen=True)
class Forest:
    """Trees, with the two children of a node beside each other."""

    roots: Array
    """int64, (trees,): the index of each tree's root."""
    child: Array
    """int64, (nodes,): the right child, which the left one follows; a leaf leads to itself."""
    place: Array
    """int64, (nodes,): of the row's number that is asked for; 0 for a leaf."""
    most: Array
    """float64, (nodes,): goes left where the number is at most this; NaN for a leaf: never."""
    splits: Splits
    depth: int
    stats: Array
    """float64, (nodes, values): impurityStats, such as the weight of each class."""
    prediction: Array
    """float64, (nodes,)."""
    number: Array
    """int64, (nodes,): for a leaf, how many leaves of its tree are left of it."""
    lone: LoneWalk | None
    """For a row alone; not where there are many trees."""

    def leaves(self, column: Vectors) -> list[Array]:
        """The leaf that each row reaches in each tree: int64, (trees, rows of a chunk) each."""
        if column.rows == 1 and self.lone:
            found = self.lone.leaves(self.splits.numbers(column)[0].tolist())
            return [np.array(found, np.intp)[:, None]]
        return chunks.of(self._walk, column, max(1, _CHUNK // len(self.roots)))

    def _walk(self, column: Vectors) -> Array:
        numbers = self.splits.numbers(column)
        rows, width = numbers.shape
        numbers = numbers.ravel()
        live = node = np.repeat(self.roots, rows)
        start = np.tile(np.arange(rows) * width, len(self.roots))
        still = np.arange(len(node))
        for level in range(self.depth):
            if level >= _FULL and (level - _FULL) % _LOOK == 0:
                node[still] = live
                going = np.flatnonzero(self.child.take(live) != live)
                live, still, start = live.take(going), still.take(going), start.take(going)
            at = self.place.take(live)
            at += start
            goes_left = numbers.take(at) <= self.most.take(live)
            live = self.child.take(live)
            live += goes_left
        node[still] = live
        return node.reshape(len(self.roots), rows)


def joined(parts: list[Array]) -> Array:
    """What was made of the chunks, one after the other."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def single(saved: Saved) -> Forest:
    """The one tree of a decision tree model."""
    table = saved.table(key=("id",))
    return _forest(saved, table, "", np.zeros(table.rows, dtype=np.int64), 1)


def ensemble(saved: Saved) -> tuple[Forest, Array]:
    """The trees of an ensemble in the order of their numbers, and their weights: float64."""
    metadata = saved.table("treesMetadata", key=("_1", "treeID"))
    if len(metadata.names) < 3:
        raise metadata.invalid(f"has {len(metadata.names)} columns, want 3")
    trees, weights = metadata.numbers(metadata.names[0]), metadata.numbers(metadata.names[2])
    order = np.argsort(trees)
    if not len(trees) or not np.array_equal(trees[order], np.arange(len(trees))):
        raise metadata.invalid(f"trees are missing or not numbered from 0; {COPY_WHOLE}")
    if saved.metadata.get("numTrees", len(trees)) != len(trees):
        wanted = saved.extra("numTrees", int)
        raise metadata.invalid(f"has {len(trees)} trees, want {wanted}; {COPY_WHOLE}")
    table = saved.table(key=("treeID", "nodeData.id"))
    forest = _forest(saved, table, "nodeData.", table.numbers("treeID"), len(trees))
    return forest, weights[order].astype(np.float64)


@dataclass(frozen=True)
class _Nodes:
    """All nodes by tree and number, checked to form trees. An index is one into these."""

    order: Array
    """int64: the row of each node in the file."""
    starts: Array
    """int64, (trees,): the index of each tree's root."""
    tree: Array
    inner: Array
    """int64: the nodes with children."""
    left: Array
    right: Array
    """int64: the children of each inner node."""


def _nodes(table: Table, prefix: str, tree: Array, trees: int) -> _Nodes:
    ids = table.numbers(f"{prefix}id")
    order = np.lexsort((ids, tree))
    tree, ids = tree[order], ids[order]
    if not len(tree) or tree.min() < 0 or tree.max() >= trees:
        raise table.invalid(f"has nodes of other trees than 0 to {trees - 1}; {COPY_WHOLE}")
    counts = np.bincount(tree, minlength=trees)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.int64)
    first = starts[tree]
    if not counts.all() or not np.array_equal(ids, np.arange(len(ids)) - first):
        raise table.invalid(f"nodes are missing or not numbered from 0; {COPY_WHOLE}")
    left = table.numbers(f"{prefix}leftChild")[order]
    right = table.numbers(f"{prefix}rightChild")[order]
    inner = np.flatnonzero(left >= 0)
    left, right = (left + first)[inner], (right + first)[inner]
    below = np.sort(np.concatenate((left, right)))
    others = np.delete(np.arange(len(ids)), starts)
    if (left <= inner).any() or (right <= inner).any() or not np.array_equal(below, others):
        raise table.invalid(f"nodes do not form trees; {COPY_WHOLE}")
    return _Nodes(order, starts, tree, inner, left, right)


def _forest(saved: Saved, table: Table, prefix: str, tree: Array, trees: int) -> Forest:
    nodes = _nodes(table, prefix, tree, trees)
    count = len(nodes.order)
    at = np.empty(count, dtype=np.int64)
    at[nodes.starts] = np.arange(trees)
    at[nodes.right] = trees + 2 * np.arange(len(nodes.inner))
    at[nodes.left] = at[nodes.right] + 1
    child = np.arange(count)
    child[at[nodes.inner]] = at[nodes.right]
    asked, places, mosts = splits.load(saved, table, prefix, nodes.order[nodes.inner])
    place, most = np.zeros(count, dtype=np.int64), np.full(count, np.nan)
    place[at[nodes.inner]], most[at[nodes.inner]] = places, mosts
    back = np.empty_like(at)
    back[at] = np.arange(count)
    rows = nodes.order[back]
    return Forest(
        np.arange(trees),
        child,
        place,
        most,
        asked,
        _depth(table, child, trees),
        _stats(table, f"{prefix}impurityStats")[rows],
        table.numbers(f"{prefix}prediction").astype(np.float64)[rows],
        _leaf_numbers(nodes.inner, nodes.starts, nodes.tree)[back],
        lonewalk.load(child, place, most, trees) if trees <= _FEW_TREES else None,
    )


def _stats(table: Table, name: str) -> Array:
    offsets, values = table.lists(name)
    width = int(offsets[1]) if len(offsets) > 1 else 0
    if not np.array_equal(np.diff(offsets), np.full(len(offsets) - 1, width)):
        raise table.invalid("nodes differ in their number of impurityStats")
    return values.astype(np.float64).reshape(-1, width)


def _depth(table: Table, child: Array, trees: int) -> int:
    level, depth = np.arange(trees), 0
    while len(level := level[child[level] != level]):
        depth += 1
        if depth > _MAX_TREE_DEPTH:
            raise table.invalid(f"a tree is deeper than {_MAX_TREE_DEPTH}")
        level = np.concatenate((child[level], child[level] + 1))
    return depth


def _leaf_numbers(inner: Array, starts: Array, tree: Array) -> Array:
    """Nodes are numbered in pre-order, so leaves come from left to right."""
    is_leaf = np.ones(len(tree), dtype=np.int64)
    is_leaf[inner] = 0
    before = np.cumsum(is_leaf) - is_leaf
    return np.asarray(before - before[starts][tree])
