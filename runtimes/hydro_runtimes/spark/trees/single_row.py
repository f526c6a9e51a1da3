"""The walk of one row down decision trees, in plain Python.

For a row alone numpy's calls cost more than the steps themselves. The upper levels, which every row
passes, are compiled: nested ifs take a third of the time of steps in a loop. Nodes in which steps
are fast take several times the memory of the arrays, so a large forest has them for its upper
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
"""A float; or a category as a frozenset of one, of which `<=` asks whether it is in another set."""
Node: TypeAlias = tuple[int, Number, Any, Any]
"""The place of a number in the row, the most that goes left, and the nodes left and right; a leaf
has the place 0, which no number has, and its index in place of the node on the left."""
Start: TypeAlias = Callable[[Sequence[Number], Sequence[Node]], Sequence[Node]]
"""From a row's numbers to where in each tree the upper levels lead."""

_COMPILED = 1_500
"""Splits at most, so that loading takes 20 ms longer and no more."""
_LEVELS = 40
"""At most; Python indents no deeper than 100."""
_NODES = 1 << 17
"""At most, each of some 100 bytes."""


class SingleRowWalk:
    """Trees as one row goes down them."""

    def __init__(self, trees: Sequence[Node], below: _LowerLevels | None = None) -> None:
        """From the upper levels; `below` has what is below their leaves."""
        self._start, self._nodes = _compile_levels(trees)
        self._below = below

    def find_leaves(self, numbers: list[Number]) -> list[int]:
        """The index of the leaf that a row reaches in each tree."""
        numbers.insert(0, 0.0)
        found = []
        for place, most, left, right in self._start(numbers, self._nodes):
            while place:
                place, most, left, right = left if numbers[place] <= most else right
            found.append(left)
        if self._below is None:
            return found
        return [self._below.find_leaf(numbers, node) for node in found]


class _LowerLevels:
    """Nodes in arrays."""

    def __init__(self, child: Array, place: Array, most: Array, splits: Splits) -> None:
        self._child, self._place, self._most = child.data, place.data, most.data
        self._features, self._sets = len(splits.used), splits.sets.data

    def find_leaf(self, numbers: Sequence[Any], node: int) -> int:
        """Where a row comes to from a node."""
        while (right := self._child[node]) != node:
            place, most = self._place[node], self._most[node]
            number = numbers[place + 1]
            if place < self._features:
                node = right + (number <= most)
            else:
                (category,) = map(int, number)
                node = right + (self._sets[int(most) + (category >> 3)] >> (category & 7) & 1)
        return node


def load_single_row_walk(
    child: Array, place: Array, most: Array, splits: Splits, trees: int
) -> SingleRowWalk:
    """Of nodes as `Forest` has them; children come after their parents."""
    count = min(len(child), max(_NODES, trees))
    nodes: list[Node] = [(0, 0.0, node, 0) for node in range(count)]
    inner = np.flatnonzero((child[:count] != np.arange(count)) & (child[:count] < count - 1))
    numbers = _split_values(place[inner], most[inner], splits)
    shared: dict[Number, Number] = {}
    columns = (inner.tolist(), place[inner].tolist(), numbers, child[inner].tolist())
    for node, at, number, right in reversed(list(zip(*columns, strict=True))):
        number = shared.setdefault(number, number)
        nodes[node] = (at + 1, number, nodes[right + 1], nodes[right])
    below = _LowerLevels(child, place, most, splits) if count < len(child) else None
    return SingleRowWalk(nodes[:trees], below)


def with_category_sets(numbers: Sequence[float], splits: Splits) -> list[Number]:
    """The numbers of a row as `SingleRowWalk` takes them, with categories as sets of one."""
    features = len(splits.used)
    return [*numbers[:features], *(frozenset((number,)) for number in numbers[features:])]


def _split_values(place: Array, most: Array, splits: Splits) -> list[Number]:
    """What the nodes compare with: the most that goes left, or the set that does."""
    numbers: list[Number] = most.tolist()
    for at in np.flatnonzero(place >= len(splits.used)).tolist():
        numbers[at] = splits.category_set(int(most[at]), int(place[at]) - len(splits.used))
    return numbers


def _compile_levels(trees: Sequence[Node]) -> tuple[Start, Sequence[Node]]:
    """The function for the upper levels, and the nodes below them, to be given to it."""
    level, levels, splits, places = list(trees), 0, 0, set[int]()
    while level and levels < _LEVELS and splits + len(level) <= _COMPILED:
        splits, levels = splits + len(level), levels + 1
        places.update(node[0] for node in level)
        level = [child for node in level if node[0] for child in node[2:]]
    nodes: list[Node] = []
    sets: dict[str, Any] = {}
    lines = ["def start(x, n):", *(f" x{place} = x[{place}]" for place in sorted(places))]
    for tree, node in enumerate(trees):
        lines += _branch_lines(tree, node, levels, nodes, sets, " ")
    lines.append(f" return ({''.join(f't{tree},' for tree in range(len(trees)))})")
    names: dict[str, Any] = {"inf": math.inf, "nan": math.nan, **sets}
    exec("\n".join(lines), names)  # of numbers alone
    return names["start"], nodes


def _branch_lines(
    tree: int, node: Node, levels: int, nodes: list[Node], sets: dict[str, Any], indent: str
) -> list[str]:
    place, most, left, right = node
    if not (place and levels):
        nodes.append(node)
        return [f"{indent}t{tree} = n[{len(nodes) - 1}]"]
    text = repr(most)
    if isinstance(most, frozenset):
        text = f"s{len(sets)}"
        sets[text] = most
    more = levels - 1, nodes, sets, indent + " "
    return [
        f"{indent}if x{place} <= {text}:",
        *_branch_lines(tree, left, *more),
        f"{indent}else:",
        *_branch_lines(tree, right, *more),
    ]
