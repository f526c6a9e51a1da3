"""The walk of one row down decision trees, in plain Python.

For a row alone numpy's calls cost more than the steps themselves. The upper levels, which every row
passes, are compiled: nested ifs take a third of the time of steps in a loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from hydro_runtimes.columns import Array

Node: TypeAlias = tuple[int, float, Any, Any]
"""The place of a number in the row, the most that goes left, and the nodes left and right; a leaf
has the place 0, which no number has, and its index in place of the node on the left."""
Start: TypeAlias = Callable[[Sequence[float], Sequence[Node]], Sequence[Node]]
"""From a row's numbers to where in each tree the upper levels lead."""

_COMPILED = 1_500
"""Splits at most, so that loading takes 20 ms longer and no more."""
_LEVELS = 40
"""At most; Python indents no deeper than 100."""


class LoneWalk:
    """Trees as one row goes down them."""

    def __init__(self, trees: Sequence[Node]) -> None:
        self._start, self._nodes = _compiled(trees)

    def leaves(self, numbers: list[float]) -> list[int]:
        """The index of the leaf that a row reaches in each tree."""
        numbers.insert(0, 0.0)
        found = []
        for place, most, left, right in self._start(numbers, self._nodes):
            while place:
                place, most, left, right = left if numbers[place] <= most else right
            found.append(left)
        return found


def load(child: Array, place: Array, most: Array, trees: int) -> LoneWalk:
    """Of nodes as `Forest` has them; children come after their parents."""
    nodes: list[Node] = [(0, 0.0, node, 0) for node in range(len(child))]
    shared: dict[float, float] = {}
    places, mosts = place.tolist(), [shared.setdefault(value, value) for value in most.tolist()]
    for node, right in reversed(list(enumerate(child.tolist()))):
        if right != node:
            nodes[node] = (places[node] + 1, mosts[node], nodes[right + 1], nodes[right])
    return LoneWalk(nodes[:trees])


def _compiled(trees: Sequence[Node]) -> tuple[Start, Sequence[Node]]:
    """The function for the upper levels, and the nodes below them, to be given to it."""
    level, levels, splits, places = list(trees), 0, 0, set[int]()
    while level and levels < _LEVELS and splits + len(level) <= _COMPILED:
        splits, levels = splits + len(level), levels + 1
        places.update(node[0] for node in level)
        level = [child for node in level if node[0] for child in node[2:]]
    nodes: list[Node] = []
    lines = ["def start(x, n):", *(f" x{place} = x[{place}]" for place in sorted(places))]
    for tree, node in enumerate(trees):
        lines += _branches(tree, node, levels, nodes, " ")
    lines.append(f" return ({''.join(f't{tree},' for tree in range(len(trees)))})")
    names: dict[str, Any] = {"inf": math.inf, "nan": math.nan}
    exec("\n".join(lines), names)  # of numbers alone
    return names["start"], nodes


def _branches(tree: int, node: Node, levels: int, nodes: list[Node], indent: str) -> list[str]:
    place, most, left, right = node
    if not (place and levels):
        nodes.append(node)
        return [f"{indent}t{tree} = n[{len(nodes) - 1}]"]
    more = levels - 1, nodes, indent + " "
    return [
        f"{indent}if x{place} <= {most!r}:",
        *_branches(tree, left, *more),
        f"{indent}else:",
        *_branches(tree, right, *more),
    ]
