"""The walk of one row down many decision trees at once, level by level, in few calls of numpy.

What numpy does for some hundred numbers costs less than to call it, so calls are what counts: a
record holds all that a step needs of a node, which leaves four calls for a level.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hydro_runtimes.columns import Array

_RECORD = np.dtype(
    {"names": ["most", "place", "child"], "formats": ["f8", "i8", "i8"], "itemsize": 32}
)
"""As `Forest` has them. numpy takes items of 32 bytes faster than those of 24."""
_NODES = 1 << 17
"""At most, which is 4 MB: a large forest has records for its upper levels only."""


class RecordWalk:
    """The upper levels of trees without categories."""

    def __init__(
        self, child: Array, place: Array, most: Array, ends: Sequence[int], trees: int
    ) -> None:
        """From nodes as `Forest` has them, and for each level the first node below it.

        No levels where there are categories.
        """
        self.levels = sum(end <= _NODES for end in ends[:-1])
        count = ends[self.levels - 1] if self.levels else 0
        records = np.zeros(count, dtype=_RECORD)
        records["most"], records["place"], records["child"] = (
            most[:count],
            place[:count],
            child[:count],
        )
        self._records = records.view("V32")
        self._trees = trees

    def nodes(self, numbers: Array) -> Array:
        """Where the row of these numbers is in each tree after `levels`: int64, (trees,)."""
        trees = self._trees
        here = np.empty(trees, dtype=_RECORD)
        raw, most, place, child = here.view("V32"), here["most"], here["place"], here["child"]
        values = np.empty(trees)
        left = np.zeros(trees, dtype=np.int64)
        goes_left = left.view(np.bool_)[:: left.itemsize]  # the lowest byte of each
        node = np.arange(trees)
        for _ in range(self.levels):
            # Indices are right, and only "raise" would have numpy copy what it gives out.
            self._records.take(node, None, raw, "wrap")
            numbers.take(place, None, values, "wrap")
            np.less_equal(values, most, goes_left)
            np.add(child, left, node)
        return node
