"""Checks the arrays by whose indices scikit-learn's compiled code walks trees, without looking.

In a file that is read without trust they may be anything, and lead out of memory or in a circle.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from hydro_models.wire import Array


def check_nodes(model: Any) -> None:
    """Checks all trees in a model.

    Raises:
        ValueError: one could be walked out of its arrays.
    """
    _Walk(io.BytesIO(), 5).dump(model)


class _Walk(pickle.Pickler):
    """Visits all objects of a model as pickle does."""

    def reducer_override(self, obj: Any) -> Any:
        name = type(obj).__name__
        if hasattr(obj, "tree_") and hasattr(obj.tree_, "children_left"):
            _check_tree(obj.tree_, int(obj.n_features_in_))
        elif name.startswith(("KDTree", "BallTree")):
            _check_neighbors(obj.__getstate__())
        elif hasattr(obj, "_predictors"):
            for predictor in [one for some in obj._predictors for one in some]:
                _check_predictor(predictor, int(obj.n_features_in_))
        return NotImplemented


def _check_tree(tree: Any, features: int) -> None:
    inner = tree.children_left != -1
    _require(tree.n_features == features, "a tree is of another number of features")
    _require(tree.node_count > 0 and len(tree.value) == tree.node_count, "a tree lacks nodes")
    _check_children(inner, tree.children_left, tree.children_right)
    _check_range(tree.feature[inner], features, "a feature")


def _check_predictor(predictor: Any, features: int) -> None:
    nodes = predictor.nodes
    inner = nodes["is_leaf"] == 0
    _require(len(nodes) > 0, "a tree lacks nodes")
    _check_children(inner, nodes["left"].astype(np.int64), nodes["right"].astype(np.int64))
    _check_range(nodes["feature_idx"][inner], features, "a feature")
    categorical = nodes["bitset_idx"][inner & (nodes["is_categorical"] != 0)]
    for bitsets in (predictor.raw_left_cat_bitsets, predictor.binned_left_cat_bitsets):
        _require(bitsets.ndim == 2 and bitsets.shape[1] == 8, "sets of categories are incomplete")
        _check_range(categorical, len(bitsets), "a set of categories")


def _check_neighbors(state: tuple[Any, ...]) -> None:
    data, indices, nodes, bounds, _, levels, count = state[:7]
    _require(len(nodes) == count == 2**levels - 1, "a tree of neighbors lacks nodes")
    _require(bounds.shape[1:] == (count, data.shape[1]), "a tree of neighbors lacks bounds")
    _require(len(indices) == len(data), "a tree of neighbors lacks indices")
    _check_range(indices, len(data), "a neighbor")
    _check_range(nodes["idx_start"], len(data) + 1, "a node")
    _check_range(nodes["idx_end"], len(data) + 1, "a node")
    _require(bool(np.all(nodes["is_leaf"][count // 2 :] != 0)), "a tree of neighbors has no end")


def _check_children(inner: Array, left: Array, right: Array) -> None:
    """Children come after their parent: a walk ends."""
    for children in (left, right):
        _require(bool(np.all(children[inner] > np.flatnonzero(inner))), "a tree leads in a circle")
        _check_range(children[inner], len(inner), "a child")


def _check_range(indices: Array, size: int, what: str) -> None:
    _require(bool(np.all((indices >= 0) & (indices < size))), f"{what} of a tree is out of range")


def _require(is_right: bool, message: str) -> None:
    if not is_right:
        raise ValueError(message)
