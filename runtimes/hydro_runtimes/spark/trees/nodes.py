"""The nodes of saved trees, put in the order in which rows walk them, without an object for each.

Beside the arrays of the answer, only a bounded number of saved rows is in memory at a time.

Source: org.apache.spark.ml.tree.DecisionTreeModelReadWrite, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hydro_runtimes.columns import Array
from hydro_runtimes.spark.format.part_files import COPY_WHOLE
from hydro_runtimes.spark.format.saved import Saved

MAX_TREE_DEPTH = 100
TREE = "treeID"


@dataclass(frozen=True)
class NodeLayout:
    """The order of nodes: the roots first, then level by level, with siblings side by side."""

    right_child: Array
    """int32, (nodes,): the right child, which the left one follows; a leaf is its own child."""
    ends: tuple[int, ...]
    """For each level, the index of the first node below it."""
    node_of_row: Array
    """int32, (rows,): the node that each row of the files holds."""
    saved_index: Array
    """int32, (nodes,): the index of each node in Spark's order, by tree and number."""


def load_node_layout(saved: Saved, prefix: str, trees: int) -> NodeLayout:
    """Reads how the nodes of the trees are connected.

    Args:
        saved: the model.
        prefix: of the columns of a node: "nodeData." for an ensemble, "" for a single tree.
        trees: the number of trees.

    Raises:
        InvalidModel: they do not form trees, or one is deeper than 100 levels.
    """
    row_nodes, starts, left, right = _connect_nodes(saved, prefix, trees)
    count = len(left)
    right_child = np.arange(count, dtype=np.int32)
    back: list[Array] = []
    ends: list[int] = []
    level, end = starts, trees
    while len(level):
        if len(ends) > MAX_TREE_DEPTH:
            raise saved.invalid(f"data: a tree is deeper than {MAX_TREE_DEPTH}")
        back.append(level)
        ends.append(end)
        inner = np.flatnonzero(left[level] >= 0)
        parents, first = level[inner], end - len(level)
        # Two nodes of the next level for each inner node, the right child before the left.
        right_child[first + inner] = np.arange(end, end + 2 * len(inner), 2)
        level = np.empty(2 * len(inner), dtype=np.int32)
        level[0::2], level[1::2] = right[parents], left[parents]
        end += len(level)
    order = np.concatenate(back)
    places = np.empty(count, dtype=np.int32)
    places[order] = np.arange(count, dtype=np.int32)
    return NodeLayout(right_child, tuple(ends), places[row_nodes], order)


def leaf_numbers(layout: NodeLayout, trees: int) -> Array:
    """For a leaf, how many leaves of its tree are to the left of it: int32, (nodes,).

    Spark numbers the nodes of a tree in pre-order, so that leaves are numbered from left to right
    (org.apache.spark.ml.tree.DecisionTreeModel.leafIndices, 4.3.0).
    """
    count = len(layout.right_child)
    is_leaf = np.empty(count, dtype=bool)
    is_leaf[layout.saved_index] = layout.right_child == np.arange(count)
    before = np.cumsum(is_leaf, dtype=np.int32) - is_leaf
    starts = layout.saved_index[:trees]
    before -= np.repeat(before[starts], np.diff(starts, append=count))
    return np.asarray(before[layout.saved_index])


def _connect_nodes(saved: Saved, prefix: str, trees: int) -> tuple[Array, Array, Array, Array]:
    """How the nodes are connected; a node's index counts by tree, then by number within the tree.

    Returns:
        The node of each row, the first node of each tree, and the left and the right child of each
        node, all int32; the left child of a leaf is -1.
    """
    names = [f"{prefix}{name}" for name in ("id", "leftChild", "rightChild")]
    key = (TREE, names[0]) if prefix else (names[0],)
    table = saved.table(key=key, columns=[TREE, *names] if prefix else names)
    ids, left, right = map(table.ints, names)
    tree = table.ints(TREE) if prefix else np.zeros_like(ids)
    if not len(tree) or tree.min() < 0 or tree.max() >= trees:
        raise table.invalid(f"has nodes of other trees than 0 to {trees - 1}; {COPY_WHOLE}")
    counts = np.bincount(tree, minlength=trees)
    ends = np.cumsum(counts, dtype=np.int32)
    starts = ends - counts.astype(np.int32)
    first = starts[tree]
    node = first + ids
    if not counts.all() or ids.min() < 0 or not _are_all([node], len(tree)):
        raise table.invalid(f"nodes are missing or not numbered from 0; {COPY_WHOLE}")
    rows = np.flatnonzero(left >= 0)
    parents, first, last = node[rows], first[rows], ends[tree[rows]]
    children = []
    for side in (left, right):
        below = side[rows] + first
        if (below <= parents).any() or (below >= last).any():
            raise table.invalid(f"nodes do not form trees; {COPY_WHOLE}")
        children.append(below)
    if not _are_all([*children, starts], len(tree)):
        raise table.invalid(f"nodes do not form trees; {COPY_WHOLE}")
    lefts, rights = np.full(len(tree), -1, dtype=np.int32), np.empty(len(tree), dtype=np.int32)
    lefts[parents], rights[parents] = children
    return node, starts, lefts, rights


def _are_all(parts: Sequence[Array], count: int) -> bool:
    """Whether these numbers, none negative, are 0 to count - 1, each once."""
    seen = np.zeros(count, dtype=bool)
    for part in parts:
        if part.max(initial=-1) >= count:
            return False
        seen[part] = True
    return sum(map(len, parts)) == count and bool(seen.all())
