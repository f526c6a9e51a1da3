"""The nodes of one or many decision trees as flat arrays, and the walk of all rows down all trees.

Every different condition of the trees (feature <= threshold, or category in set) is tested once a
row; then all rows go down all trees together, one level a step: no loop over rows or trees.

Source: org.apache.spark.ml.tree.{Node, Split, DecisionTreeModelReadWrite}, 4.3.0. `x <= threshold`
goes left, so NaN goes right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from hydro_runtimes.columns import Array, Dense, Sparse
from hydro_runtimes.spark.saved import Saved
from hydro_runtimes.spark.table import Table
from hydro_runtimes.spark.vectors import Vectors, row_ids

_MAX_TREE_DEPTH = 100
_CHUNK = 1 << 18
"""Conditions or nodes held at a time, so that they stay in the processor's cache."""


@dataclass(frozen=True)
class Conditions:
    """The different conditions of the splits: continuous ones first, then categorical ones."""

    feature: Array
    """int64, (conditions,)."""
    used: Array
    """int64: the features that are tested, ascending."""
    place: Array
    """int64, (conditions,): of the feature in `used`."""
    threshold: Array
    """float64, (continuous,)."""
    categories: Array
    """float64, (categorical,): the number of categories of the split."""
    left: Array
    """bool, (categorical, most categories + 1): whether a category goes left; last, any other."""

    def met(self, column: Vectors) -> Array:
        """bool, (rows, conditions + 1): whether the row goes left; the last is never met."""
        values = self._values(column).take(self.place, axis=1)
        count = len(self.threshold)
        met = np.zeros((len(values), len(self.feature) + 1), dtype=bool)
        if count == len(self.feature):
            np.less_equal(values, self.threshold, out=met[:, :count])
            return met
        met[:, :count] = values[:, :count] <= self.threshold
        met[:, count:-1] = self._chosen(values[:, count:])
        return met

    def tested(self, column: Vectors) -> list[float]:
        """Of the only row: the features in `used`, then whether each categorical one is not met."""
        values = self._values(column)
        tested: list[float] = values[0].tolist()
        if len(self.threshold) < len(self.feature):
            categories = values.take(self.place[len(self.threshold) :], axis=1)
            tested += (~self._chosen(categories)[0]).tolist()
        return tested

    def tests(self) -> list[tuple[int, float]]:
        """For each condition, a place in `tested` and the most that is there where it is met."""
        continuous = zip(self.place.tolist(), self.threshold.tolist(), strict=False)
        categorical = range(len(self.used), len(self.used) + len(self.categories))
        return [*continuous, *((place, 0.0) for place in categorical)]

    def _chosen(self, category: Array) -> Array:
        known = (category >= 0) & (category < self.categories) & (category == np.floor(category))
        index = np.where(known, category, self.left.shape[1] - 1).astype(np.int64)
        return np.asarray(self.left[np.arange(len(self.left)), index])

    def _values(self, column: Vectors) -> Array:
        """float64, (rows, used)."""
        if not isinstance(column, Sparse):
            return column.values.take(self.used, axis=1)
        at = np.searchsorted(self.used, column.indices)
        at[at == len(self.used)] = 0
        hits = np.flatnonzero(self.used[at] == column.indices) if len(self.used) else at[:0]
        values = np.zeros((column.rows, len(self.used)))
        values[row_ids(column.offsets)[hits], at[hits]] = column.values[hits]
        return values


Walk: TypeAlias = "tuple[int, float, Walk | int, Walk | int]"
"""A place in `tested`, the most that goes left, and what is left and right; a leaf has the place -1
and, in place of what is left, its index."""


@dataclass(frozen=True)
class Forest:
    """Trees, with the two children of a node beside each other."""

    roots: Array
    """int64, (trees, 1): the index of each tree's root."""
    child: Array
    """int64, (nodes,): the right child, which the left one follows; a leaf leads to itself."""
    condition: Array
    """int64, (nodes,): goes left where met; for a leaf, the one that is never met."""
    conditions: Conditions
    depth: int
    stats: Array
    """float64, (nodes, values): impurityStats, such as the weight of each class."""
    prediction: Array
    """float64, (nodes,)."""
    number: Array
    """int64, (nodes,): for a leaf, how many leaves of its tree are left of it."""
    walks: tuple[Walk, ...]
    """For a row alone: each tree from its root on; none where there are many trees."""

    def leaves(self, column: Vectors) -> list[Array]:
        """The leaf that each row reaches in each tree: int64, (trees, rows of a chunk) each."""
        if column.rows == 1 and self.walks:
            return [self._walk_one(self.conditions.tested(column))]
        step = max(1, _CHUNK // max(len(self.conditions.feature) + 1, len(self.roots)))
        if column.rows <= step:
            return [self._walk(column)]
        starts = range(0, column.rows, step)
        return [self._walk(_part(column, start, start + step)) for start in starts]

    def _walk(self, column: Vectors) -> Array:
        met = self.conditions.met(column)
        rows, width = met.shape
        met, leaf = met.ravel(), width - 1
        node = np.repeat(self.roots, rows, axis=1).ravel()
        start = np.tile(np.arange(rows) * width, len(self.roots))
        live, still = node, np.arange(len(node))
        for level in range(self.depth):
            if level and level % _LOOK == 0:
                going = np.flatnonzero(self.condition.take(live) != leaf)
                node[still] = live
                live, still, start = live[going], still[going], start[going]
            at = self.condition.take(live)
            at += start
            live = self.child.take(live)
            live += met.take(at)
        node[still] = live
        return node.reshape(len(self.roots), rows)

    def _walk_one(self, tested: list[float]) -> Array:
        """A row alone: numpy's calls for each level cost more than the steps themselves."""
        leaves = []
        for place, most, left, right in self.walks:
            while place >= 0:
                place, most, left, right = left if tested[place] <= most else right  # type: ignore[misc]
            leaves.append(left)
        return np.array(leaves, np.intp)[:, None]


_LOOK = 3
"""Every so many levels, rows that have reached their leaf are taken out of the walk."""
_FEW_TREES = 128
"""With more, a row alone goes down all trees together too."""


def joined(parts: list[Array]) -> Array:
    """What was made of the chunks, one after the other."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _part(column: Vectors, start: int, end: int) -> Vectors:
    if isinstance(column, Dense):
        return Dense(column.values[start:end])
    return column.take(slice(start, end))


def single(saved: Saved) -> Forest:
    """The one tree of a decision tree model."""
    table = saved.table()
    return _forest(saved, table, "", np.zeros(table.rows, dtype=np.int64), 1)


def ensemble(saved: Saved) -> tuple[Forest, Array]:
    """The trees of an ensemble in the order of their numbers, and their weights: float64."""
    metadata = saved.table("treesMetadata")
    if len(metadata.names) < 3:
        raise metadata.invalid(f"has {len(metadata.names)} columns, want 3")
    trees, weights = metadata.numbers(metadata.names[0]), metadata.numbers(metadata.names[2])
    order = np.argsort(trees)
    if not len(trees) or not np.array_equal(trees[order], np.arange(len(trees))):
        raise metadata.invalid("trees are not numbered from 0")
    table = saved.table()
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
        raise table.invalid(f"has nodes of other trees than 0 to {trees - 1}")
    counts = np.bincount(tree, minlength=trees)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.int64)
    first = starts[tree]
    if not counts.all() or not np.array_equal(ids, np.arange(len(ids)) - first):
        raise table.invalid("nodes are missing or not numbered from 0")
    left = table.numbers(f"{prefix}leftChild")[order]
    right = table.numbers(f"{prefix}rightChild")[order]
    inner = np.flatnonzero(left >= 0)
    left, right = (left + first)[inner], (right + first)[inner]
    below = np.sort(np.concatenate((left, right)))
    others = np.delete(np.arange(len(ids)), starts)
    if (left <= inner).any() or (right <= inner).any() or not np.array_equal(below, others):
        raise table.invalid("nodes do not form trees")
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
    conditions, slots = _conditions(saved, table, prefix, nodes.order[nodes.inner])
    condition = np.full(count, len(conditions.feature), dtype=np.int64)
    condition[at[nodes.inner]] = slots
    back = np.empty_like(at)
    back[at] = np.arange(count)
    rows = nodes.order[back]
    return Forest(
        np.arange(trees)[:, None],
        child,
        condition,
        conditions,
        _depth(table, child, trees),
        _stats(table, f"{prefix}impurityStats")[rows],
        table.numbers(f"{prefix}prediction").astype(np.float64)[rows],
        _leaf_numbers(nodes.inner, nodes.starts, nodes.tree)[back],
        _walks(child, condition, conditions, trees) if trees <= _FEW_TREES else (),
    )


def _walks(child: Array, condition: Array, conditions: Conditions, trees: int) -> tuple[Walk, ...]:
    """From the last node on: children come after their parents."""
    walks: list[Walk] = [(-1, 0.0, node, 0) for node in range(len(child))]
    tests, right, slot = conditions.tests(), child.tolist(), condition.tolist()
    for node in np.flatnonzero(child != np.arange(len(child)))[::-1].tolist():
        at = right[node]
        walks[node] = (*tests[slot[node]], walks[at + 1], walks[at])
    return tuple(walks[:trees])


def _conditions(saved: Saved, table: Table, prefix: str, nodes: Array) -> tuple[Conditions, Array]:
    """The different conditions of these nodes, and which one each of them has."""
    split = f"{prefix}split."
    feature = table.numbers(f"{split}featureIndex")[nodes]
    total = saved.extra("numFeatures", int)
    if len(feature) and not (feature.min() >= 0 and feature.max() < total):
        raise table.invalid(f"a split has a feature outside 0 to {total - 1}")
    count = table.numbers(f"{split}numCategories")[nodes]
    offsets, values = table.lists(f"{split}leftCategoriesOrThreshold")
    starts, ends = offsets[:-1][nodes], offsets[1:][nodes]
    slots = np.empty(len(nodes), dtype=np.int64)

    plain = np.flatnonzero(count == -1)
    if (ends - starts)[plain].min(initial=1) < 1:
        raise table.invalid("a split has no threshold")
    threshold = values[starts[plain]].astype(np.float64)
    order = np.lexsort((threshold, feature[plain]))
    pairs = np.stack((feature[plain][order], threshold[order]))
    new = np.ones(len(plain), dtype=bool)
    new[1:] = (pairs[:, 1:] != pairs[:, :-1]).any(axis=0)
    slots[plain[order]] = np.cumsum(new) - 1
    features, thresholds = pairs[0][new].astype(np.int64), pairs[1][new]

    sets: dict[tuple[int, int, tuple[float, ...]], int] = {}
    for node in np.flatnonzero(count != -1).tolist():
        chosen = tuple(sorted(values[starts[node] : ends[node]].tolist()))
        key = (int(feature[node]), int(count[node]), chosen)
        slots[node] = len(thresholds) + sets.setdefault(key, len(sets))
    left = _category_table(table, list(sets))
    all_features = np.concatenate((features, [key[0] for key in sets])).astype(np.int64)
    used, place = np.unique(all_features, return_inverse=True)
    categories = np.array([key[1] for key in sets], dtype=np.float64)
    return Conditions(all_features, used, place, thresholds, categories, left), slots


def _category_table(table: Table, sets: list[tuple[int, int, tuple[float, ...]]]) -> Array:
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
