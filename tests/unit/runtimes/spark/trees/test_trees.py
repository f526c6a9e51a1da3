"""Saved trees answer as a plain walk down them does, however they are saved and rows come."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.parity.saves import save_stage

from hydro_runtimes.columns import Array, Columns, Dense
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Evaluator
from hydro_runtimes.load import load
from hydro_runtimes.spark.trees import forest, interval_walk, leaf_masks, single_row

FEATURES = 4
CATEGORIES = 9
ODD = (math.nan, math.inf, -math.inf, -0.0, 0.0, 0.5, 1.0, 8.0, 9.0, -1.0, 1e300)


@dataclass(frozen=True)
class Split:
    feature: int
    categories: int
    """-1 where `asked` is a threshold."""
    asked: tuple[float, ...]
    left: Tree
    right: Tree

    def goes_left(self, row: Sequence[float]) -> bool:
        value = row[self.feature]
        if self.categories < 0:
            return value <= self.asked[0]
        if 0 <= value < self.categories and value == int(value):
            return value in self.asked
        return len(self.asked) > self.categories // 2


Tree: TypeAlias = float | Split
"""A leaf is its prediction."""


def walk_tree(tree: Tree, row: Sequence[float]) -> tuple[float, int]:
    """The prediction of the leaf, and how many leaves are left of it."""
    before = 0
    while isinstance(tree, Split):
        if tree.goes_left(row):
            tree = tree.left
        else:
            before += sum(not isinstance(node, Split) for node, *_ in number_nodes(tree.left))
            tree = tree.right
    return tree, before


def number_nodes(tree: Tree, first: int = 0) -> list[tuple[Tree, int, int, int]]:
    """The nodes with their numbers and those of their children, as Spark numbers them."""
    if not isinstance(tree, Split):
        return [(tree, first, -1, -1)]
    left = number_nodes(tree.left, first + 1)
    right = number_nodes(tree.right, first + 1 + len(left))
    return [(tree, first, first + 1, first + 1 + len(left)), *left, *right]


def split_trees(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    threshold = st.floats(allow_nan=False) | st.sampled_from(ODD[1:])
    plain = st.tuples(st.just(-1), st.tuples(threshold))
    chosen = st.lists(st.integers(0, CATEGORIES - 1), max_size=CATEGORIES, unique=True)
    sets = st.tuples(st.just(CATEGORIES) | st.just(17), chosen.map(lambda c: tuple(map(float, c))))
    return st.builds(
        lambda feature, asked, left, right: Split(feature, asked[0], asked[1], left, right),
        st.integers(0, FEATURES - 1),
        plain | sets,
        children,
        children,
    )


def chain_of_splits(depth: int) -> Tree:
    """As deep as it has splits."""
    tree: Tree = float(depth)
    for level in reversed(range(depth)):
        tree = Split(0, -1, (float(level),), float(level), tree)
    return tree


LEAVES = st.floats(-1e6, 1e6)
TREES = st.recursive(LEAVES, split_trees, max_leaves=40) | st.integers(0, 100).map(chain_of_splits)
ROWS = st.lists(
    st.tuples(*[st.sampled_from(ODD) | st.floats(width=32) | st.integers(0, 17)] * FEATURES),
    min_size=1,
    max_size=30,
)


def nodes_table(trees: Sequence[Tree], order: Array, three: bool) -> pa.Table:
    """As Spark saves them, in some order; before 3.0 without rawCount."""
    rows = []
    for index, tree in enumerate(trees):
        for node, number, left, right in number_nodes(tree):
            split = node if isinstance(node, Split) else None
            data: dict[str, Any] = {
                "id": number,
                "prediction": 0.0 if split else node,
                "impurity": 0.0,
                "impurityStats": [1.0, 2.0, 3.0 + number],
                "gain": 0.0,
                "leftChild": left,
                "rightChild": right,
                "split": {
                    "featureIndex": split.feature if split else -1,
                    "leftCategoriesOrThreshold": list(split.asked) if split else [],
                    "numCategories": split.categories if split else -1,
                },
            }
            if three:
                data["rawCount"] = 5
            rows.append({"treeID": index, "nodeData": data})
    return pa.Table.from_pylist([rows[at] for at in order], SCHEMA_3 if three else SCHEMA_2)


SPLIT = pa.struct(
    {
        "featureIndex": pa.int32(),
        "leftCategoriesOrThreshold": pa.list_(pa.float64()),
        "numCategories": pa.int32(),
    }
)
NODE = {
    "id": pa.int32(),
    "prediction": pa.float64(),
    "impurity": pa.float64(),
    "impurityStats": pa.list_(pa.float64()),
    "gain": pa.float64(),
    "leftChild": pa.int32(),
    "rightChild": pa.int32(),
    "split": SPLIT,
}
SCHEMA_2 = pa.schema({"treeID": pa.int32(), "nodeData": pa.struct(NODE)})
SCHEMA_3 = pa.schema(
    {"treeID": pa.int32(), "nodeData": pa.struct({**NODE, "rawCount": pa.int64()})}
)


def save_trees(folder: Path, trees: Sequence[Tree], weights: Sequence[float], seed: int) -> Path:
    rng = np.random.default_rng(seed)
    count = sum(len(number_nodes(tree)) for tree in trees)
    order = rng.permutation(count) if seed else np.arange(count)
    metadata = {"treeID": range(len(trees)), "metadata": ["{}"] * len(trees), "weights": weights}
    tables = {"data": nodes_table(trees, order, seed % 2 == 0), "treesMetadata": pa.table(metadata)}
    params = {"leafCol": "leaf", "featuresCol": "x"}
    name = "regression.GBTRegressionModel"
    return save_stage(
        folder, name, params, tables, "3.0.0", numFeatures=FEATURES, numTrees=len(trees)
    )


def answer_rows(model: Evaluator, rows: Array) -> tuple[Array, Array]:
    outputs = model.evaluate(Columns({"x": Dense(rows)})).outputs
    prediction, leaf = outputs["prediction"], outputs["leaf"]
    assert isinstance(prediction, Dense)
    assert isinstance(leaf, Dense)
    return prediction.values, leaf.values


LIMITS: dict[str, list[tuple[Any, str, int]]] = {
    "as it is": [],
    "upper levels": [(single_row, "_MAX_NODES", 7)],
    "all trees together": [],
    "their upper levels together": [(interval_walk, "_MAX_NODES", 12)],
    "few levels of masks together": [(leaf_masks, "MAX_LEVELS", 2), (leaf_masks, "MIN_LEVELS", 1)],
    "only masks together": [(interval_walk, "_MAX_TABLE_BYTES", 0)],
    "small masks together": [(leaf_masks, "_MAX_TABLE_BYTES", 60)],
    "no masks together": [(leaf_masks, "_MAX_ROW_BYTES", 0)],
}


@pytest.fixture(scope="module", params=LIMITS)
def limits(request: pytest.FixtureRequest) -> Iterator[None]:
    """What large forests are walked by is tried on small ones."""
    with pytest.MonkeyPatch.context() as patch:
        if "together" in request.param:
            patch.setattr(forest, "_MAX_COMPILED_TREES", 0)
        for module, name, value in LIMITS[request.param]:
            patch.setattr(module, name, value)
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("limits")
@settings(max_examples=40, deadline=None)
@given(st.lists(TREES, min_size=1, max_size=5), ROWS, st.integers(0, 9))
def test_trees_answer_as_a_plain_walk(trees: list[Tree], rows: list[Any], seed: int) -> None:
    weights = [1.0 / (1 + index) for index in range(len(trees))]
    with tempfile.TemporaryDirectory() as folder:
        model = load(save_trees(Path(folder) / "m", trees, weights, seed))
    values = np.array(rows, dtype=np.float64)
    reached = [[walk_tree(tree, row) for tree in trees] for row in rows]
    wanted = [0.0] * len(rows)
    for row, found in enumerate(reached):
        for (prediction, _), weight in zip(found, weights, strict=True):
            wanted[row] += prediction * weight
    total, leaf = answer_rows(model, values)
    np.testing.assert_array_equal(total, wanted)
    np.testing.assert_array_equal(leaf, [[number for _, number in row] for row in reached])
    for row in range(len(rows)):
        alone, leaf_alone = answer_rows(model, values[row : row + 1])
        np.testing.assert_array_equal(alone, wanted[row : row + 1])
        np.testing.assert_array_equal(leaf_alone, leaf[row : row + 1])


DAMAGES = {
    "a tree twice": ("treeID", [0, 0, 0, 0, 0, 0]),
    "a tree that is not there": ("treeID", [0, 0, 0, 2, 2, 2]),
    "a number twice": ("id", [0, 1, 1, 0, 1, 2]),
    "a number below 0": ("id", [0, 2, 1, -1, 1, 2]),
    "a number too many": ("id", [0, 1, 3, 0, 1, 2]),
    "a child twice": ("rightChild", [1, -1, -1, 2, -1, -1]),
    "a child of another tree": ("rightChild", [3, -1, -1, 2, -1, -1]),
    "a child without end": ("rightChild", [2**31 - 1, -1, -1, 2, -1, -1]),
    "a node below itself": ("leftChild", [0, -1, -1, 1, -1, -1]),
    "one child": ("rightChild", [-1, -1, -1, 2, -1, -1]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_nodes_that_do_not_form_trees_are_refused(damage: str, tmp_path: Path) -> None:
    name, numbers = DAMAGES[damage]
    table = nodes_table(
        [chain_of_splits(1), chain_of_splits(1)], np.arange(6), three=True
    ).to_pylist()
    for row, number in zip(table, numbers, strict=True):
        (row if name == "treeID" else row["nodeData"])[name] = number
    metadata = pa.table({"_1": [0, 1], "_2": ["", ""], "_3": [1.0, 1.0]})
    tables = {"data": pa.Table.from_pylist(table, SCHEMA_3), "treesMetadata": metadata}
    model = save_stage(
        tmp_path / "m", "regression.GBTRegressionModel", {}, tables, numFeatures=FEATURES
    )
    with pytest.raises(
        InvalidModel, match=r"nodes (are missing|do not form)|of other trees|twice|both in"
    ):
        load(model)


def test_a_set_of_categories_without_end_is_refused(tmp_path: Path) -> None:
    tree = Split(0, 2**31 - 1, (1.0,), 1.0, 2.0)
    with pytest.raises(InvalidModel, match="absurd number of categories"):
        load(save_trees(tmp_path / "m", [tree], [1.0], 0))
