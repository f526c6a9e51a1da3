"""The walk of one row down decision trees, in plain Python.

For a single row, calling numpy costs more than the steps themselves. The upper levels, which every
row passes, are compiled to nested ifs, which take a third of the time of steps in a loop. Nodes as
Python objects take several times the memory of arrays, so a large forest has them for its upper
levels only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.trees.splits import Splits

Number: TypeAlias = Any
"""A float; or a category as a frozenset of one element, for which `<=` means "is in the set"."""
Node: TypeAlias = tuple[int, Number, Any, Any]
"""The index of the number that is compared, from 1; the threshold or set that goes left; the nodes
to the left and the right. A leaf has the index 0, and its number instead of the left node."""
Start: TypeAlias = Callable[[Sequence[Number], Sequence[Node]], Sequence[Node]]
"""From a row's numbers to where in each tree the upper levels lead."""

_MAX_COMPILED_SPLITS = 1_500
"""So that loading takes at most 20 ms longer."""
_MAX_COMPILED_LEVELS = 40
"""Python's parser takes at most 100 levels of indentation."""
_MAX_NODES = 1 << 17
"""Nodes as Python objects, each of about 100 bytes."""


class CompiledSingleRowWalk:
    """Decision trees, as a single row walks down them."""

    def __init__(self, trees: Sequence[Node], below: _LowerLevels | None = None) -> None:
        """From the roots of the upper levels; `below` has the nodes below those."""
        self._start, self._nodes = _compile_levels(trees)
        self._below = below

    def find_leaves(self, numbers: list[Number]) -> list[int]:
        """The index of the leaf that a row reaches in each tree.

        `numbers` is as `with_category_sets` gives it; it is changed.
        """
        numbers.insert(0, 0.0)  # index 0 marks a leaf, so numbers start at index 1
        found = []
        for input_index, threshold, left, right in self._start(numbers, self._nodes):
            while input_index:
                input_index, threshold, left, right = (
                    left if numbers[input_index] <= threshold else right
                )
            found.append(left)
        if self._below is None:
            return found
        return [self._below.find_leaf(numbers, node) for node in found]


class _LowerLevels:
    """The nodes below the upper levels, in the arrays of `Forest`."""

    def __init__(
        self, right_child: Array, input_index: Array, threshold: Array, splits: Splits
    ) -> None:
        self._right_child, self._input_index, self._threshold = (
            right_child.data,
            input_index.data,
            threshold.data,
        )
        self._features, self._sets = len(splits.used_features), splits.sets.data

    def find_leaf(self, numbers: Sequence[Any], node: int) -> int:
        """The leaf that a row reaches from a node."""
        while (right := self._right_child[node]) != node:
            input_index, threshold = self._input_index[node], self._threshold[node]
            number = numbers[input_index + 1]
            if input_index < self._features:
                node = right + (number <= threshold)
            else:  # the bit of the category in the node's set; the threshold is its first byte
                (category,) = map(int, number)
                node = right + (self._sets[int(threshold) + (category >> 3)] >> (category & 7) & 1)
        return node


def load_single_row_walk(
    right_child: Array, input_index: Array, threshold: Array, splits: Splits, trees: int
) -> CompiledSingleRowWalk:
    """The walk down nodes as those of `Forest`."""
    count = min(len(right_child), max(_MAX_NODES, trees))
    nodes: list[Node] = [(0, 0.0, node, 0) for node in range(count)]
    inner = np.flatnonzero(
        (right_child[:count] != np.arange(count)) & (right_child[:count] < count - 1)
    )
    numbers = _split_values(input_index[inner], threshold[inner], splits)
    shared: dict[Number, Number] = {}
    columns = (inner.tolist(), input_index[inner].tolist(), numbers, right_child[inner].tolist())
    # Children come after their parents, so that backwards each node finds its children made.
    for node, at, number, right in reversed(list(zip(*columns, strict=True))):
        number = shared.setdefault(number, number)
        nodes[node] = (at + 1, number, nodes[right + 1], nodes[right])
    below = (
        _LowerLevels(right_child, input_index, threshold, splits)
        if count < len(right_child)
        else None
    )
    return CompiledSingleRowWalk(nodes[:trees], below)


def with_category_sets(numbers: Sequence[float], splits: Splits) -> list[Number]:
    """The numbers of a row as `CompiledSingleRowWalk` takes them: a category is a set of itself."""
    features = len(splits.used_features)
    return [*numbers[:features], *(frozenset((number,)) for number in numbers[features:])]


def _split_values(input_index: Array, threshold: Array, splits: Splits) -> list[Number]:
    """What each node compares with: a threshold, or the set of categories that go left."""
    numbers: list[Number] = threshold.tolist()
    for at in np.flatnonzero(input_index >= len(splits.used_features)).tolist():
        numbers[at] = splits.category_set(
            int(threshold[at]), int(input_index[at]) - len(splits.used_features)
        )
    return numbers


def _compile_levels(trees: Sequence[Node]) -> tuple[Start, Sequence[Node]]:
    """The function that walks the upper levels, and the nodes that it may end at."""
    level, levels, splits, inputs = list(trees), 0, 0, set[int]()
    while level and levels < _MAX_COMPILED_LEVELS and splits + len(level) <= _MAX_COMPILED_SPLITS:
        splits, levels = splits + len(level), levels + 1
        inputs.update(node[0] for node in level)
        level = [child for node in level if node[0] for child in node[2:]]
    nodes: list[Node] = []
    sets: dict[str, Any] = {}
    lines = [
        "def start(x, n):",
        *(f" x{input_index} = x[{input_index}]" for input_index in sorted(inputs)),
    ]
    for tree, node in enumerate(trees):
        lines += _branch_lines(tree, node, levels, nodes, sets, " ")
    lines.append(f" return ({''.join(f't{tree},' for tree in range(len(trees)))})")
    names: dict[str, Any] = {"inf": math.inf, "nan": math.nan, **sets}
    # The source holds numbers and names made here only, no text of the model.
    exec("\n".join(lines), names)
    return names["start"], nodes


def _branch_lines(
    tree: int, node: Node, levels: int, nodes: list[Node], sets: dict[str, Any], indent: str
) -> list[str]:
    input_index, threshold, left, right = node
    if not (input_index and levels):
        nodes.append(node)
        return [f"{indent}t{tree} = n[{len(nodes) - 1}]"]
    text = repr(threshold)
    if isinstance(threshold, frozenset):
        text = f"s{len(sets)}"
        sets[text] = threshold
    more = levels - 1, nodes, sets, indent + " "
    return [
        f"{indent}if x{input_index} <= {text}:",
        *_branch_lines(tree, left, *more),
        f"{indent}else:",
        *_branch_lines(tree, right, *more),
    ]
