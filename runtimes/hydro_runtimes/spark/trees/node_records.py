"""The walk of one row down many decision trees at once, level by level, in few calls of numpy.

For a few hundred numbers, calling numpy takes longer than its work, so that the number of calls
counts: a record holds all that a step needs of a node, which leaves four calls for each level.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from hydro_runtimes.columns import Array

_RECORD = np.dtype(
    {
        "names": ["threshold", "input_index", "right_child"],
        "formats": ["f8", "i8", "i8"],
        "itemsize": 32,
    }
)
"""Fields as those of `Forest`. numpy takes items of 32 bytes faster than items of 24."""
_MAX_NODES = 1 << 17
"""Nodes that have records, which is 4 MB: a large forest has them for its upper levels only."""


class NumpySingleRowWalk:
    """The upper levels of trees without categories."""

    def __init__(
        self,
        right_child: Array,
        input_index: Array,
        threshold: Array,
        ends: Sequence[int],
        trees: int,
    ) -> None:
        """From nodes as those of `Forest`.

        Args:
            right_child: as in `Forest`.
            input_index: as in `Forest`.
            threshold: as in `Forest`.
            ends: for each level, the index of the first node below it; none where there are
                splits of categories, which this walk does not know.
            trees: how many there are.
        """
        self.levels = sum(end <= _MAX_NODES for end in ends[:-1])
        count = ends[self.levels - 1] if self.levels else 0
        records = np.zeros(count, dtype=_RECORD)
        records["threshold"], records["input_index"] = threshold[:count], input_index[:count]
        records["right_child"] = right_child[:count]
        self._records = records.view("V32")
        self._trees = trees
        self._local = threading.local()
        self._top = (
            _TopLevels(right_child, input_index, threshold, trees) if self.levels >= _TOP else None
        )

    def walk_row(self, numbers: Array) -> Array:
        """Where the row of these numbers is in each tree after `levels`: int64, (trees,)."""
        node, first = np.arange(self._trees), 0
        if self._top:
            node, first = self._top.walk_row(numbers), _TOP
        buffers: _Buffers | None = getattr(self._local, "buffers", None)
        if buffers is None:
            buffers = self._local.buffers = _Buffers(self._trees)
        for _ in range(first, self.levels):
            # The indices are right; with mode "raise", the default, numpy would copy each answer
            # through a buffer of its own.
            self._records.take(node, None, buffers.records, "wrap")
            numbers.take(buffers.input_index, None, buffers.values, "wrap")
            np.less_equal(buffers.values, buffers.threshold, buffers.goes_left)
            np.add(buffers.right_child, buffers.left, node)
        return node


class _Buffers:
    """What a step writes to, one set for each thread: making them anew takes as long as a level."""

    def __init__(self, trees: int) -> None:
        here = np.empty(trees, dtype=_RECORD)
        self.records = here.view("V32")
        self.threshold, self.input_index, self.right_child = (
            here["threshold"],
            here["input_index"],
            here["right_child"],
        )
        self.values = np.empty(trees)
        self.left = np.zeros(trees, dtype=np.int64)
        # The lowest byte of each int64: a bool written there is 0 or 1 when read as an integer.
        self.goes_left = self.left.view(np.bool_)[:: self.left.itemsize]


_TOP = 3
_BITS = np.uint64(0x0102040810204080)
"""Multiplying by it gathers the lowest bits of 8 bytes in the highest byte: of byte i in bit i."""
_SHIFT = np.uint64(56)


class _TopLevels:
    """The first three levels of each tree, whose 7 splits are all compared at once."""

    def __init__(
        self, right_child: Array, input_index: Array, threshold: Array, trees: int
    ) -> None:
        # The nodes of a tree as a heap: right and left of the node i are 2 i + 1 and 2 i + 2.
        heap = np.zeros((trees, 8), dtype=np.int64)
        heap[:, 0] = np.arange(trees)
        for position in range(3):
            right = right_child[heap[:, position]].astype(np.int64)
            heap[:, 2 * position + 1] = right
            heap[:, 2 * position + 2] = right + (right != heap[:, position])
        self._input_index = input_index[heap].astype(np.int64).ravel()
        self._threshold = threshold[heap].ravel()
        self._threshold[7::8] = np.nan  # the eighth position belongs to no node
        # For each of the 128 answers to the 7 splits, the position at which the walk ends.
        codes = np.arange(128)
        at = np.zeros(128, dtype=np.int64)
        for _ in range(_TOP - 1):
            at = 2 * at + 1 + (codes >> at & 1)
        last = heap[:, at]
        goes_left = (codes >> at & 1) * (right_child[last] != last)
        self._below = (right_child[last] + goes_left).astype(np.int64).ravel()
        self._first = np.arange(trees) * 128

    def walk_row(self, numbers: Array) -> Array:
        """The node that the row is at after three levels: int64, (trees,)."""
        goes_left = numbers.take(self._input_index) <= self._threshold
        # The 8 bools of a tree are one uint64; multiplied and shifted, they are 8 bits.
        code = goes_left.view(np.uint64) * _BITS
        code >>= _SHIFT
        at = code.view(np.int64)
        at += self._first
        return np.asarray(self._below.take(at))
