"""A forest answers the same however the rows come: alone, a few, or more than one chunk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hydro_runtimes.columns import Array, Columns, Dense
from hydro_runtimes.evaluator import Evaluator
from hydro_runtimes.load import load
from hydro_runtimes.spark.trees.single_row import CompiledSingleRowWalk, Node

PM_SPARK = Path(__file__).parents[5] / "models" / "spark" / "pm_spark"
LARGE = 5_000
"""Rows that go down the forest in several chunks."""


@pytest.fixture(scope="module")
def model() -> Evaluator:
    return load(PM_SPARK)


def random_features(model: Evaluator, count: int) -> tuple[str, Array]:
    """Name and values of the features; some are NaN, infinite, or a threshold of the forest."""
    (field,) = (field for field in model.signature.inputs if field.shape)
    rng = np.random.default_rng(7)
    values = np.round(np.abs(rng.normal(size=(count, *field.shape))), 1)
    strange = rng.random(values.shape) < 0.05
    values[strange] = rng.choice([np.nan, np.inf, -np.inf, -0.0], strange.sum())
    return field.name, values


def probability(model: Evaluator, name: str, values: Array) -> Array:
    column = model.evaluate(Columns({name: Dense(values)})).outputs["probability"]
    assert isinstance(column, Dense)
    return column.values


def test_a_large_batch_answers_as_small_ones_and_as_rows_alone(model: Evaluator) -> None:
    name, values = random_features(model, LARGE)
    together = probability(model, name, values)
    parts = [probability(model, name, values[at : at + 50]) for at in range(0, LARGE, 50)]
    np.testing.assert_array_equal(together, np.concatenate(parts))
    alone = [probability(model, name, values[at : at + 1]) for at in range(300)]
    np.testing.assert_array_equal(together[:300], np.concatenate(alone))


def chain_of_splits(depth: int) -> Node:
    """A tree that goes left, once for each whole number below the row's."""
    node: Node = (0, 0.0, depth, 0)
    for level in reversed(range(depth)):
        node = (1, float(level), (0, 0.0, level, 0), node)
    return node


@pytest.mark.parametrize("depth", [0, 1, 39, 40, 41, 100])
def test_a_row_alone_walks_on_where_the_compiled_levels_end(depth: int) -> None:
    walk = CompiledSingleRowWalk([chain_of_splits(depth), chain_of_splits(3)])
    for number in (-1.0, 0.0, 2.5, 38.0, 39.5, 99.0, float("inf"), float("nan")):
        reached = [sum(not number <= level for level in range(most)) for most in (depth, 3)]
        assert walk.find_leaves([number]) == reached


def test_thresholds_may_be_infinite_or_nan() -> None:
    thresholds = (float("inf"), float("-inf"), float("nan"))
    walk = CompiledSingleRowWalk([(1, most, (0, 0.0, 1, 0), (0, 0.0, 2, 0)) for most in thresholds])
    assert walk.find_leaves([0.0]) == [1, 2, 2]
