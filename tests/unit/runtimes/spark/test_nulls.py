"""Values that are null, of a wrong size or beyond all bounds: answers as PySpark 4.3.0 gives."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.parity.cases import case_column, plain_values, shared_folder
from tests.parity.saves import save_stage, vector_array

from hydro_runtimes.columns import Columns, Dense
from hydro_runtimes.load import load

SET = shared_folder() / "spark-parity"
GLM = "regression.GeneralizedLinearRegressionModel"


def save_glm(folder: Path, **params: Any) -> Path:
    table = pa.table({"intercept": [0.0], "coefficients": vector_array((1.0, 2.0))})
    return save_stage(folder, GLM, params, {"data": table}, version="4.3.0")


@pytest.mark.parametrize("family", ["gaussian", "tweedie"])
def test_gaussian_means_are_held_within_the_doubles(tmp_path: Path, family: str) -> None:
    features = Dense(np.array([[-math.inf, 0.0], [math.inf, 0.0], [-3.0, 0.0]]))
    model = load(save_glm(tmp_path, family=family, linkPower=1.0))
    (means,) = model.evaluate(Columns({"features": features})).outputs.values()
    assert list(plain_values(means)) == [-sys.float_info.max, sys.float_info.max, -3.0]


def test_no_offset_gives_no_prediction_whatever_the_features(tmp_path: Path) -> None:
    given = [{"type": "dense", "values": v} for v in ([1.0, 2.0], [1.0], [3.0, 0.0])]
    rows = {"features": case_column([*given, None, None], "vector")}
    rows["y"] = case_column([None, None, 0.5, 0.5, None], "double")
    model = load(save_glm(tmp_path, offsetCol="y", linkPredictionCol="eta"))
    answer = model.evaluate(Columns(rows))
    assert set(answer.failures) == {3}
    for name in ("eta", "prediction"):
        assert list(plain_values(answer.outputs[name])) == [None, None, 3.5, None]


def test_isotonic_regression_of_null_is_null(tmp_path: Path) -> None:
    table = pa.table({"boundaries": [[0.0, 2.0]], "predictions": [[1.0, 5.0]]})
    name, params = "regression.IsotonicRegressionModel", {"featuresCol": "x"}
    model = load(save_stage(tmp_path, name, params, {"data": table}, isotonic=True))
    x = Dense(np.array([1.0, 0.0]), np.array([True, False]))
    (made,) = model.evaluate(Columns({"x": x})).outputs.values()
    assert list(plain_values(made)) == [3.0, None]


def test_isotonic_regression_of_vectors_refuses_only_rows_that_lack_the_element(
    tmp_path: Path,
) -> None:
    table = pa.table({"boundaries": [[0.0, 2.0]], "predictions": [[1.0, 5.0]]})
    name, params = "regression.IsotonicRegressionModel", {"featuresCol": "f", "featureIndex": 1}
    model = load(save_stage(tmp_path, name, params, {"data": table}, isotonic=True))
    given = [{"type": "dense", "values": v} for v in ([0.0, 1.0], [0.0], [0.0, 2.0, 0.0])]
    sparse = {"type": "sparse", "size": 2, "indices": [], "values": []}
    answer = model.evaluate(Columns({"f": case_column([*given, sparse, None], "vector")}))
    assert set(answer.failures) == {1, 4}
    assert list(plain_values(answer.outputs["prediction"])) == [3.0, 5.0, 1.0]


def test_ids_of_als_are_ints(tmp_path: Path) -> None:
    factors = pa.table({"id": pa.array([1, 2], pa.int32()), "features": [[2.0], [3.0]]})
    tables = {"userFactors": factors, "itemFactors": factors}
    model = load(save_stage(tmp_path, "recommendation.ALSModel", {}, tables, rank=1))
    ids = np.array([1.0, -(2.0**31), 2.0**31, 1.5])
    answer = model.evaluate(Columns({"user": Dense(ids), "item": Dense(np.ones(4))}))
    assert set(answer.failures) == {2, 3}
    product, unknown = plain_values(answer.outputs["prediction"])
    assert product == 4.0
    assert math.isnan(unknown)


def test_an_infinite_number_is_multiplied_only_with_what_vectors_store(tmp_path: Path) -> None:
    params = {"inputCols": ["x", "v", "w"], "outputCol": "o"}
    model = load(save_stage(tmp_path, "feature.Interaction", params))
    v, w = (
        case_column([{"type": "sparse", "size": 2, "indices": [i], "values": [1.0]}], "vector")
        for i in (1, 0)
    )
    x = Dense(np.array([math.inf]))
    (made,) = model.evaluate(Columns({"x": x, "v": v, "w": w})).outputs.values()
    assert list(plain_values(made)) == [[0.0, 0.0, math.inf, 0.0]]


def test_an_infinite_score_of_a_perceptron_leaves_no_probability(tmp_path: Path) -> None:
    table = pa.table({"weights": vector_array((1.0, 0.0, 0.0, 1.0, 0.0, 0.0))})
    name = "classification.MultilayerPerceptronClassificationModel"
    model = load(save_stage(tmp_path, name, {"layers": [2, 2]}, {"data": table}, version="3.0.0"))
    features = Dense(np.array([[1e300, 0.0], [math.inf, 1.0]]))
    answer = model.evaluate(Columns({"features": features}))
    sure, lost = plain_values(answer.outputs["probability"])
    assert sure == [1.0, 0.0]
    assert np.isnan(lost).all()


@pytest.mark.usefixtures("shared")
def test_a_vector_with_nan_has_no_cosine() -> None:
    model = load(SET / "models" / "bisecting_kmeans_cosine")
    (field,) = model.signature.inputs
    features = np.ones((3, *field.shape))
    features[1, 0] = math.nan
    answer = model.evaluate(Columns({field.name: Dense(features)}))
    assert set(answer.failures) == {1}
    assert answer.outputs["prediction"].rows == 2


@pytest.mark.parametrize(
    ("invalid", "first"),
    [
        ("error", [[2.0, 0.0, 0.0, 2.0], [0.0, 0.0, 7.0, 0.0]]),
        ("keep", [[0, 2.0, 0, 0, 0, 2.0, 0], [7.0, 0, 0, 0, 7.0, 0, 0]]),
    ],
)
def test_an_element_of_two_categories_is_a_number_but_with_keep(
    tmp_path: Path, invalid: str, first: list[list[float]]
) -> None:
    kind = pa.map_(pa.int32(), pa.map_(pa.float64(), pa.int32()))
    maps = pa.array([[(0, [(0.0, 0), (5.0, 1)]), (1, [(0.0, 0), (3.0, 1), (4.0, 2)])]], kind)
    table = pa.table({"numFeatures": pa.array([2], pa.int32()), "categoryMaps": maps})
    stages = tmp_path / "stages"
    index = {"inputCol": "f", "outputCol": "g", "handleInvalid": invalid}
    crossed = {"inputCols": ["g", "x"]}
    save_stage(stages / "0_i", "feature.VectorIndexerModel", index, {"data": table}, uid="i")
    save_stage(stages / "1_x", "feature.Interaction", {**crossed, "outputCol": "o"}, uid="x")
    model = load(save_stage(tmp_path, "PipelineModel", {"stageUids": ["i", "x"]}))
    f, x = Dense(np.array([[5.0, 4.0], [0.0, 3.0]])), Dense(np.array([2.0, 7.0]))
    made = model.evaluate(Columns({"f": f, "x": x})).outputs["o"]
    assert list(plain_values(made)) == first
