"""The intervals between the limits that splits compare a number with: a row is in one for each.

All that a split asks of a number is in which interval it lies, so tables by interval answer it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.trees.splits import Splits


@dataclass(frozen=True)
class TreeNodes:
    """Nodes as those of `Forest`."""

    trees: int
    right_child: Array
    input_index: Array
    threshold: Array
    splits: Splits

    @property
    def continuous_inputs(self) -> int:
        """How many inputs are compared with thresholds; those after them are categories."""
        return len(self.splits.used_features)

    def inner(self, nodes: Array) -> Array:
        """Those of the nodes that are no leaves."""
        return np.asarray(nodes[self.right_child[nodes] != nodes])


class Intervals:
    """The intervals of the inputs that some splits compare, numbered through all inputs.

    The last one of an input with thresholds is right of them all; one more, after the intervals of
    all inputs, is for NaN, which goes right, too. Categories are intervals of their own.
    """

    def __init__(self, nodes: TreeNodes, inner: Array) -> None:
        """From the nodes whose splits are asked for."""
        asked = nodes.input_index[inner].astype(np.int64)
        self.inputs = np.unique(asked)
        """int64: ascending."""
        count = len(self.inputs)
        self._keys = np.arange(count).astype(np.complex128)
        # Complex numbers are ordered by the real part, here the input, then by the imaginary one;
        # those with NaN in it come last, again in the order of inputs.
        plain = inner[asked < nodes.continuous_inputs]
        thresholds = self._keys_of(nodes.input_index[plain], nodes.threshold[plain])
        keys = [np.unique(thresholds)]
        for number in self.inputs.tolist():
            if number < nodes.continuous_inputs:
                keys.append(self._keys_of([number], np.inf))
            else:
                last = nodes.splits.categories[number - nodes.continuous_inputs]
                categories = np.arange(last + 1)
                keys.append(self._keys_of(np.full(len(categories), number), categories))
        self._limits = np.concatenate(
            (np.sort(np.concatenate(keys)), self._keys_of(self.inputs, np.nan))
        )
        self.ends = np.searchsorted(
            self._limits.real[: len(self._limits) - count], np.arange(count + 1)
        )
        """int64, (inputs + 1,): the first interval of each input, and that after the last."""

    @property
    def most(self) -> int:
        """The number of intervals of the input that has the most."""
        return int(np.diff(self.ends).max(initial=0))

    def __len__(self) -> int:
        return len(self._limits)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """The inputs, each with its first interval and the one after its last but that for NaN."""
        return zip(
            self.inputs.tolist(), self.ends[:-1].tolist(), self.ends[1:].tolist(), strict=True
        )

    def of_row(self, numbers: Array) -> Array:
        """The interval of each input: int64, (inputs,). `numbers` are those of `Splits`."""
        keys = self._keys.copy()
        keys.imag = numbers if len(numbers) == len(keys) else numbers.take(self.inputs)
        return self._limits.searchsorted(keys)

    def up_to(self, nodes: TreeNodes, inner: Array) -> Array:
        """The last interval that goes left at each of these splits, all by thresholds: int64."""
        keys = self._keys_of(nodes.input_index[inner], nodes.threshold[inner])
        return self._limits.searchsorted(keys)

    def _keys_of(self, inputs: Array | list[int], limits: Array | float) -> Array:
        keys = np.searchsorted(self.inputs, inputs).astype(np.complex128)
        keys.imag = limits
        return keys
