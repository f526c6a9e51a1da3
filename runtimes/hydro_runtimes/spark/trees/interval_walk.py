"""The walk of one row down many decision trees at once, in few calls of numpy.

For a few hundred numbers, calling numpy takes longer than its work, so that the number of calls
counts. The upper levels take one step by `LeafMasks`; each level below takes four calls.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.trees import leaf_masks
from hydro_runtimes.spark.trees.intervals import Intervals, TreeNodes
from hydro_runtimes.spark.trees.leaf_masks import LeafMasks

_MAX_NODES = 1 << 17
"""Nodes that `_ThresholdLevels` has: of a large forest, those of its upper levels only."""
_MAX_TABLE_BYTES = 1 << 24


class IntervalWalk:
    """The upper levels of trees: the first by masks, those below them one by one."""

    def __init__(self, nodes: TreeNodes, ends: Sequence[int]) -> None:
        """`ends` are those of `NodeLayout`."""
        self._trees, self.levels = nodes.trees, 0
        self._masks: LeafMasks | None = None
        self._lower: _ThresholdLevels | None = None
        levels = leaf_masks.upper_levels(nodes, len(ends) - 1)
        last = sum(end <= _MAX_NODES for end in ends[:-1])
        for count in range(len(levels) - 1, min(leaf_masks.MIN_LEVELS, len(levels)) - 1, -1):
            # The limits of all levels may make too many intervals, and those of the upper ones
            # few enough.
            if self._make_lower(nodes, levels[: count + 1], ends, last):
                return
            upper = np.unique(np.concatenate([level.ravel() for level in levels[:count]]))
            self._intervals = Intervals(nodes, nodes.inner(upper))
            if leaf_masks.are_small(levels[: count + 1], self._intervals):
                self._masks = LeafMasks(nodes, levels[: count + 1], self._intervals)
                self.levels = count
                return

    def _make_lower(
        self, nodes: TreeNodes, levels: Sequence[Array], ends: Sequence[int], last: int
    ) -> bool:
        """Makes masks for these levels and what is below them, if that is small enough."""
        if last < len(levels) or len(nodes.splits.categorical_inputs):
            return False
        intervals = Intervals(nodes, nodes.inner(np.arange(ends[last - 1])))
        if not (leaf_masks.are_small(levels, intervals) and _ThresholdLevels.is_small(intervals)):
            return False
        self._intervals, self._masks = intervals, LeafMasks(nodes, levels, intervals)
        self._lower = _ThresholdLevels(nodes, ends[len(levels) - 1 : last], intervals, self._masks)
        self.levels = last
        return True

    def walk_row(self, numbers: Array) -> Array:
        """Where the row of these numbers is in each tree after `levels`: int64, (trees,)."""
        if self._masks is None:
            return np.arange(self._trees)
        intervals = self._intervals.of_row(numbers)
        position = self._masks.positions(intervals)
        if self._lower is None:
            return self._masks.nodes_below.take(position)
        return self._lower.walk_row(intervals, position)


class _ThresholdLevels:
    """The levels below those of the masks, of splits by thresholds.

    Nodes ask for the same comparisons again and again: a table has, for each interval, the answers
    to those with all thresholds of its input.
    """

    def __init__(
        self, nodes: TreeNodes, ends: Sequence[int], intervals: Intervals, masks: LeafMasks
    ) -> None:
        """`ends` are those of the levels that are walked."""
        width = intervals.most
        self._answers = np.zeros((len(intervals), width), dtype=np.int64)
        for _, first, end in intervals:
            size = end - first
            self._answers[first:end, : size - 1] = np.tri(size, dtype=np.int64).T[:, :-1]
        inner = nodes.inner(np.arange(ends[-1]))
        place = np.searchsorted(intervals.inputs, nodes.input_index[inner])
        # The last column has no threshold, so that its answer, which leaves ask for, is always 0.
        self._question = np.full(ends[-1], width - 1)
        self._question[inner] = (
            place * width + intervals.up_to(nodes, inner) - intervals.ends[place]
        )
        self._right_child = nodes.right_child[: ends[-1]].astype(np.int64)
        self._first_question = self._question.take(masks.nodes_below)
        self._first_right_child = self._right_child.take(masks.nodes_below)
        self._more_levels = range(len(ends) - 1)

    @staticmethod
    def is_small(intervals: Intervals) -> bool:
        """Whether the table of these intervals is not too large."""
        return len(intervals) * intervals.most * np.dtype(np.int64).itemsize <= _MAX_TABLE_BYTES

    def walk_row(self, intervals: Array, position: Array) -> Array:
        """As `IntervalWalk.walk_row`, from the positions that masks give."""
        answers = self._answers.take(intervals, 0).ravel()
        node = self._first_right_child.take(position)
        node += answers.take(self._first_question.take(position))
        for _ in self._more_levels:
            goes_left = answers.take(self._question.take(node))
            node = self._right_child.take(node)
            node += goes_left
        return node
