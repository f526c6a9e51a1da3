"""The upper levels of many trees for one row, by masks of bits, as QuickScorer has them.

Below the upper levels of a tree there are up to 64 positions, which are the bits of an integer. A
table has, for each interval that a number may be in, for each tree the positions that this leaves.
The bits that all numbers of a row leave are one for each tree: where its walk has come to.

Source: Lucchese et al., QuickScorer, SIGIR 2015; there, inner nodes clear one side only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.trees.intervals import Intervals, TreeNodes

MAX_LEVELS = 6
MIN_LEVELS = 3
"""With fewer, the walk level by level is as fast."""
_MAX_ROW_BYTES = 1 << 17
"""What a row reads of the table: more takes longer than walking."""
_MAX_TABLE_BYTES = 1 << 24
_EXPONENT_SHIFT, _EXPONENT_BIAS = np.int64(52), 1023
"""Where a float64 has its exponent, and what that of 1.0 is."""


class LeafMasks:
    """The upper levels of trees."""

    def __init__(self, nodes: TreeNodes, levels: Sequence[Array], intervals: Intervals) -> None:
        """From the nodes of each upper level and of the one below: int64, (trees, 2**level)."""
        self.nodes_below = levels[-1].ravel()
        """The node at each position of each tree: int64, (trees * positions,)."""
        self._first = np.arange(nodes.trees) * levels[-1].shape[1] - _EXPONENT_BIAS
        self._table = _masks_of(nodes, levels, intervals)

    def positions(self, intervals: Array) -> Array:
        """Where in `nodes_below` a row in these intervals comes out: int64, (trees,)."""
        masks = np.bitwise_and.reduce(self._table.take(intervals, 0))
        # As a float, a single bit is a power of two: its exponent is the position.
        position = masks.astype(np.float64).view(np.int64)
        position >>= _EXPONENT_SHIFT
        position += self._first
        return np.asarray(position)


def upper_levels(nodes: TreeNodes, depth: int) -> list[Array]:
    """The nodes of each upper level and of the one below: int64, (trees, 2**level).

    In the place of what a leaf does not have below it, there is the leaf.
    """
    levels = [np.arange(nodes.trees)[:, None]]
    for _ in range(min(depth, MAX_LEVELS)):
        right = nodes.right_child[levels[-1]].astype(np.int64)
        left = right + (right != levels[-1])
        levels.append(np.stack((left, right), axis=2).reshape(nodes.trees, -1))
    return levels


def are_small(levels: Sequence[Array], intervals: Intervals) -> bool:
    """Whether masks for these levels are worth their size."""
    row = len(levels[0]) * _mask_type(levels).itemsize
    return (
        0 < len(intervals.inputs) * row <= _MAX_ROW_BYTES
        and len(intervals) * row <= _MAX_TABLE_BYTES
    )


def _mask_type(levels: Sequence[Array]) -> np.dtype[np.unsignedinteger]:
    return np.dtype(f"u{max(1, levels[-1].shape[1] // 8)}")


@dataclass(frozen=True)
class _LevelSplits:
    """The nodes of a level, in the order of trees, and the positions below each."""

    tree: Array
    node: Array
    left: Array
    """The positions below the left child, as bits: unsigned, (nodes,)."""
    right: Array

    @classmethod
    def of_level(cls, level: Array, positions: int, kind: np.dtype[np.unsignedinteger]) -> Self:
        trees, count = level.shape
        half = positions // count // 2
        left = [((1 << half) - 1) << (2 * half * place) for place in range(count)]
        lefts = np.tile(np.array(left, dtype=kind), trees)
        tree = np.repeat(np.arange(trees), count)
        return cls(tree, level.ravel(), lefts, lefts << kind.type(half))

    def select(self, rows: Array) -> _LevelSplits:
        return _LevelSplits(self.tree[rows], self.node[rows], self.left[rows], self.right[rows])


def _masks_of(nodes: TreeNodes, levels: Sequence[Array], intervals: Intervals) -> Array:
    """The positions that each interval leaves: unsigned, (intervals, trees)."""
    kind = _mask_type(levels)
    positions = levels[-1].shape[1]
    up_to = np.full((len(intervals), nodes.trees), (1 << positions) - 1, dtype=kind)
    """Of the last interval that goes left, and of those before it."""
    beyond = up_to.copy()
    """Of the intervals after those."""
    reached = up_to[0].copy()
    categorical = []
    for level in levels[:-1]:
        splits = _LevelSplits.of_level(level, positions, kind)
        inner = nodes.right_child[splits.node] != splits.node
        # A leaf above the last level has all positions below it; the walk ends at the first.
        leaves = splits.select(~inner)
        np.bitwise_and.at(reached, leaves.tree, ~leaves.right)
        plain = nodes.input_index[splits.node] < nodes.continuous_inputs
        categorical.append(splits.select(inner & ~plain))
        splits = splits.select(inner & plain)
        last = intervals.up_to(nodes, splits.node)
        np.bitwise_and.at(up_to, (last, splits.tree), ~splits.right)
        np.bitwise_and.at(beyond, (last + 1, splits.tree), ~splits.left)
    for number, first, end in intervals:
        if number < nodes.continuous_inputs:
            up_to[first:end] = np.bitwise_and.accumulate(up_to[first:end][::-1])[::-1]
            beyond[first:end] = np.bitwise_and.accumulate(beyond[first:end])
            continue
        for splits in categorical:
            chosen = splits.select(nodes.input_index[splits.node] == number)
            _mask_categories(nodes, chosen, up_to[first:end])
    up_to &= beyond
    up_to &= reached
    up_to[intervals.ends[-1] :] = up_to[intervals.ends[1:] - 1]
    return up_to


def _mask_categories(nodes: TreeNodes, splits: _LevelSplits, masks: Array) -> None:
    """Takes from the masks of each category of an input what its splits leave out."""
    category, which = np.indices((len(masks), len(splits.node)))
    start = nodes.threshold[splits.node][which.ravel()]
    goes_left = nodes.splits.are_in_sets(start, category.ravel()).reshape(category.shape)
    left_out = np.where(goes_left, splits.right, splits.left)
    np.bitwise_and.at(masks, (category, splits.tree[which]), ~left_out)
