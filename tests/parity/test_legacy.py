"""Folders as Spark 2.0 to 2.4 wrote them, made here by hand, class by class.

Before 2.4 all params are in paramMap, defaults too, and there is no defaultParamMap.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.parity.cases import case_column, plain_values, value_agrees
from tests.parity.saves import CLASSIFIER, VECTOR, dense_vector, save_stage, vector_array

from hydro_runtimes.columns import Columns
from hydro_runtimes.load import load

REGRESSOR = {"featuresCol": "features", "labelCol": "label", "predictionCol": "prediction"}
Rows = list[dict[str, Any]]


def load_and_answer(folder: Path, **columns: tuple[str, list[Any]]) -> Rows:
    """The outputs of each row."""
    given = {name: case_column(values, kind) for name, (kind, values) in columns.items()}
    evaluation = load(folder).evaluate(Columns(given))
    assert not evaluation.failures
    made = {name: list(plain_values(values)) for name, values in evaluation.outputs.items()}
    return [dict(zip(made, row, strict=True)) for row in zip(*made.values(), strict=True)]


def expect_values(got: Rows, name: str, *want: Any) -> None:
    assert len(got) == len(want)
    for row, value in zip(got, want, strict=True):
        assert value_agrees(row[name], value, 1e-12, 1e-12), f"{row[name]}, want {value}"


def dense_value(*values: float) -> dict[str, Any]:
    """A vector as a case has it."""
    return {"type": "dense", "values": list(values)}


FEATURES = (
    "vector",
    [dense_value(1.0, 2.0), {"type": "sparse", "size": 2, "indices": [], "values": []}],
)


def test_logistic_regression_of_2_0_has_a_vector_of_coefficients(tmp_path: Path) -> None:
    table = pa.table(
        {
            "numClasses": [2],
            "numFeatures": [2],
            "intercept": [-0.5],
            "coefficients": vector_array((1.0, -2.0)),
        }
    )
    params = CLASSIFIER | {"threshold": 0.3}
    save_stage(
        tmp_path / "m", "classification.LogisticRegressionModel", params, {"data": table}, "2.0.2"
    )
    got = load_and_answer(tmp_path / "m", features=FEATURES)
    expect_values(got, "rawPrediction", [3.5, -3.5], [0.5, -0.5])
    expect_values(got, "prediction", 0.0, 1.0)


def test_a_perceptron_before_3_0_has_its_layers_in_its_data(tmp_path: Path) -> None:
    table = pa.table({"layers": [[2, 2]], "weights": vector_array((1.0, 2.0, 3.0, 4.0, 0.5, -0.5))})
    name = "classification.MultilayerPerceptronClassificationModel"
    save_stage(tmp_path / "m", name, REGRESSOR, {"data": table}, "2.1.0")
    got = load_and_answer(tmp_path / "m", features=FEATURES)
    expect_values(got, "rawPrediction", [7.5, 9.5], [0.5, -0.5])
    expect_values(got, "prediction", 1.0, 0.0)


def test_words_before_2_2_are_in_one_row(tmp_path: Path) -> None:
    index = pa.array([[("b", 1), ("a", 0)]], pa.map_(pa.string(), pa.int32()))
    numbers = pa.array([[1.0, 2.0, 3.0, 4.0]], pa.list_(pa.float32()))
    params = {"inputCol": "w", "outputCol": "o", "vectorSize": 2}
    table = {"data": pa.table({"wordIndex": index, "wordVectors": numbers})}
    save_stage(tmp_path / "m", "feature.Word2VecModel", params, table)
    got = load_and_answer(tmp_path / "m", w=("array<string>", [["a", "b"], ["b", "?"], []]))
    expect_values(got, "o", [2.0, 3.0], [1.5, 2.0], [0.0, 0.0])


@pytest.mark.parametrize(("version", "scale"), [("2.1.0", False), ("2.3.0", True)])
def test_a_linear_regression_has_a_scale_from_2_3_on(
    tmp_path: Path, version: str, scale: bool
) -> None:
    data: dict[str, Any] = {"intercept": [1.0], "coefficients": vector_array((2.0, 3.0))}
    table = pa.table(data | ({"scale": [1.0]} if scale else {}))
    save_stage(
        tmp_path / "m", "regression.LinearRegressionModel", REGRESSOR, {"data": table}, version
    )
    expect_values(load_and_answer(tmp_path / "m", features=FEATURES), "prediction", 9.0, 1.0)


def test_centres_are_in_rows_of_any_order(tmp_path: Path) -> None:
    table = pa.table(
        {"clusterIdx": [1, 0, 2], "clusterCenter": vector_array((0.0, 0.0), (9.0, 9.0), (1.0, 2.0))}
    )
    params = {"featuresCol": "features", "predictionCol": "prediction", "k": 3}
    save_stage(tmp_path / "m", "clustering.KMeansModel", params, {"data": table}, "2.0.0")
    expect_values(load_and_answer(tmp_path / "m", features=FEATURES), "prediction", 2, 1)


def test_bisecting_kmeans_of_2_x_is_saved_by_the_older_library(tmp_path: Path) -> None:
    nodes = pa.table(
        {
            "index": [-1, 0, 1],
            "size": [4, 2, 2],
            "center": vector_array((0.5, 1.0), (0.0, 0.0), (1.0, 2.0)),
            "norm": [1.1, 0.0, 2.2],
            "cost": [1.0, 0.0, 0.0],
            "height": [1.0, 0.0, 0.0],
            "children": pa.array([[0, 1], [], []], pa.list_(pa.int32())),
        }
    )
    params = {"featuresCol": "features", "predictionCol": "prediction", "k": 2}
    folder = save_stage(
        tmp_path / "m", "clustering.BisectingKMeansModel", params, {"data/data": nodes}
    )
    (folder / "data" / "metadata").mkdir()
    document = {
        "class": "org.apache.spark.mllib.clustering.BisectingKMeansModel",
        "version": "1.0",
        "rootId": -1,
    }
    (folder / "data" / "metadata" / "part-00000").write_text(json.dumps(document))
    expect_values(load_and_answer(folder, features=FEATURES), "prediction", 1, 0)


def two_trees(named: bool) -> tuple[pa.Table, pa.Table]:
    """Two trees of one split each, without rawCount, and what is told of them."""
    split = {"featureIndex": 0, "leftCategoriesOrThreshold": [0.5], "numCategories": -1}
    none = {"featureIndex": -1, "leftCategoriesOrThreshold": [], "numCategories": -1}
    common = {"impurity": 0.0, "gain": 0.1}
    rows = []
    for tree in (1, 0):
        for number, share, children, test in (
            (0, [5.0, 5.0], (1, 2), split),
            (1, [4.0, 1.0 + tree], (-1, -1), none),
            (2, [1.0, 4.0], (-1, -1), none),
        ):
            node = {"id": number, "prediction": float(share[1] > share[0]), "impurityStats": share}
            left, right = children
            node |= {**common, "leftChild": left, "rightChild": right, "split": test}
            rows.append({"treeID": tree, "nodeData": node})
    names = ("treeID", "metadata", "weights") if named else ("_1", "_2", "_3")
    told = pa.table(dict(zip(names, ([1, 0], ["{}", "{}"], [0.1, 1.0]), strict=True)))
    return pa.Table.from_pylist(rows), told


@pytest.mark.parametrize("named", [True, False])
def test_forests_of_2_x_have_their_trees_in_any_order(tmp_path: Path, named: bool) -> None:
    data, told = two_trees(named)
    tables = {"data": data, "treesMetadata": told}
    extra: dict[str, Any] = {"numFeatures": 2, "numClasses": 2, "numTrees": 2}
    name = "classification.RandomForestClassificationModel"
    save_stage(tmp_path / "m", name, CLASSIFIER, tables, **extra)
    got = load_and_answer(tmp_path / "m", features=FEATURES)
    expect_values(got, "rawPrediction", [0.4, 1.6], [4 / 5 + 4 / 6, 1 / 5 + 2 / 6])


def test_the_variance_is_of_the_labels_and_not_the_saved_impurity(tmp_path: Path) -> None:
    none = {"featureIndex": -1, "leftCategoriesOrThreshold": [0.0], "numCategories": -1}
    leaf = {"id": 0, "prediction": 2.0, "impurity": -1.0, "impurityStats": [2.0, 4.0, 10.0]}
    leaf |= {"gain": -1.0, "leftChild": -1, "rightChild": -1, "split": none}
    name, params = "regression.DecisionTreeRegressionModel", REGRESSOR | {"varianceCol": "v"}
    save_stage(tmp_path / "m", name, params, {"data": pa.Table.from_pylist([leaf])}, numFeatures=2)
    expect_values(load_and_answer(tmp_path / "m", features=FEATURES), "v", 1.0, 1.0)


def test_boosted_trees_of_2_1_had_no_probabilities_and_get_them(tmp_path: Path) -> None:
    data, told = two_trees(named=True)
    tables = {"data": data, "treesMetadata": told}
    extra: dict[str, Any] = {"numFeatures": 2, "numTrees": 2}
    save_stage(tmp_path / "m", "classification.GBTClassificationModel", REGRESSOR, tables, **extra)
    got = load_and_answer(tmp_path / "m", features=FEATURES)
    expect_values(got, "rawPrediction", [-1.1, 1.1], [0.0, 0.0])
    expect_values(
        got, "probability", [1 - 1 / (1 + math.exp(-2.2)), 1 / (1 + math.exp(-2.2))], [0.5, 0.5]
    )


LABELS = pa.table({"labels": [["a", "b", "c"]]})
INDEXER = {"inputCol": "s", "outputCol": "i", "handleInvalid": "error"}


def test_one_hot_encoders_of_2_x_learn_the_categories_from_the_column(tmp_path: Path) -> None:
    folder = save_stage(
        tmp_path / "m", "PipelineModel", {"stageUids": ["index", "hot"]}, uid="pipeline"
    )
    stages = folder / "stages"
    save_stage(
        stages / "0_index", "feature.StringIndexerModel", INDEXER, {"data": LABELS}, uid="index"
    )
    # A second save into the same folder leaves the stages of the first.
    save_stage(stages / "0_older", "feature.StringIndexerModel", INDEXER, uid="older")
    hot = {"inputCol": "i", "outputCol": "o", "dropLast": True}
    save_stage(stages / "1_hot", "feature.OneHotEncoder", hot, uid="hot")
    got = load_and_answer(folder, s=("string", ["b", "c"]))
    expect_values(got, "o", [0.0, 1.0], [0.0, 0.0])


def test_a_one_hot_encoder_of_2_x_has_zeros_for_what_is_above_its_categories(
    tmp_path: Path,
) -> None:
    folder = save_stage(
        tmp_path / "m", "PipelineModel", {"stageUids": ["bucket", "hot"]}, uid="pipeline"
    )
    splits = {"splits": ["-Inf", 0.0, "Inf"], "handleInvalid": "keep"}
    bucket = {"inputCol": "x", "outputCol": "i", **splits}
    save_stage(folder / "stages" / "0_bucket", "feature.Bucketizer", bucket, uid="bucket")
    hot = {"inputCol": "i", "outputCol": "o", "dropLast": False}
    save_stage(folder / "stages" / "1_hot", "feature.OneHotEncoder", hot, uid="hot")
    got = load_and_answer(folder, x=("double", [-1.0, 1.0, "NaN", None]))
    expect_values(got, "o", [1.0, 0.0], [0.0, 1.0], [0.0, 0.0], None)


def test_bayes_of_2_x_has_no_sigma(tmp_path: Path) -> None:
    matrix = {
        "type": 1,
        "numRows": 2,
        "numCols": 2,
        "colPtrs": None,
        "rowIndices": None,
        "values": [math.log(0.5), math.log(0.2), math.log(0.5), math.log(0.8)],
        "isTransposed": False,
    }
    table = pa.table({"pi": vector_array((math.log(0.5), math.log(0.5))), "theta": [matrix]})
    params = CLASSIFIER | {"modelType": "multinomial", "smoothing": 1.0}
    save_stage(tmp_path / "m", "classification.NaiveBayesModel", params, {"data": table})
    got = load_and_answer(tmp_path / "m", features=FEATURES)
    expect_values(got, "rawPrediction", [math.log(0.0625), math.log(0.064)], [math.log(0.5)] * 2)


def test_mixtures_have_their_parts_in_one_row(tmp_path: Path) -> None:
    unit = {
        "type": 1,
        "numRows": 2,
        "numCols": 2,
        "colPtrs": None,
        "rowIndices": None,
        "values": [1.0, 0.0, 0.0, 1.0],
        "isTransposed": False,
    }
    table = pa.table(
        {
            "weights": [[0.5, 0.5]],
            "mus": pa.array([[dense_vector(0.0, 0.0), dense_vector(1.0, 2.0)]], pa.list_(VECTOR)),
            "sigmas": [[unit, unit]],
        }
    )
    params = {"featuresCol": "features", "predictionCol": "prediction", "probabilityCol": "p"}
    save_stage(tmp_path / "m", "clustering.GaussianMixtureModel", params, {"data": table}, "2.0.0")
    expect_values(load_and_answer(tmp_path / "m", features=FEATURES), "prediction", 1, 0)


def test_one_against_the_rest_of_2_x_gets_raw_scores(tmp_path: Path) -> None:
    params = {**REGRESSOR, "classifier": "logreg"}
    folder = save_stage(
        tmp_path / "m", "classification.OneVsRestModel", params, numClasses=2, labelMetadata="{}"
    )
    for index, intercept in enumerate((0.5, 1.0)):
        table = pa.table(
            {
                "numClasses": [2],
                "numFeatures": [2],
                "interceptVector": vector_array((intercept,)),
                "coefficientMatrix": [
                    {
                        "type": 1,
                        "numRows": 1,
                        "numCols": 2,
                        "colPtrs": None,
                        "rowIndices": None,
                        "values": [1.0 - index, 0.0],
                        "isTransposed": True,
                    }
                ],
                "isMultinomial": [False],
            }
        )
        name = "classification.LogisticRegressionModel"
        save_stage(folder / f"model_{index}", name, CLASSIFIER, {"data": table})
    got = load_and_answer(folder, features=FEATURES)
    expect_values(got, "rawPrediction", [1.5, 1.0], [0.5, 1.0])
    expect_values(got, "prediction", 0.0, 1.0)
