"""The names of vectors' elements are those that Spark derives, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.parity.test_fresh import pytestmark as of_fresh
from tests.parity.test_fresh import spark

from hydro_runtimes.columns import DataType
from hydro_runtimes.spark.data.column_info import NUMBER, TEXT, ColumnInfo, vector_info
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.format.saved import open_stage
from hydro_runtimes.spark.registry import load_stage

pytestmark = of_fresh
__all__ = ["spark"]
INPUTS = {"x": NUMBER, "y": NUMBER, "n": ColumnInfo(DataType.INT64), "s": TEXT, "label": NUMBER}


def stages() -> Mapping[str, list[Any]]:
    from pyspark.ml import classification as cl
    from pyspark.ml import feature as ft
    from pyspark.ml.linalg import Vectors

    def joined(output: str, *inputs: str) -> Any:
        return ft.VectorAssembler(inputCols=list(inputs), outputCol=output)

    def io(made: Any, source: str, output: str, **params: Any) -> Any:
        return made(inputCol=source, outputCol=output, **params)

    index = io(ft.StringIndexer, "s", "si")
    hot = ft.OneHotEncoder(inputCols=["si"], outputCols=["so"])
    kept = {"handleInvalid": "keep"}
    return {
        "scalars": [joined("a", "x", "y", "n")],
        "one hot": [index, hot, joined("a", "so", "x", "si")],
        "one hot with what is unseen": [
            io(ft.StringIndexer, "s", "si", **kept),
            ft.OneHotEncoder(inputCols=["si"], outputCols=["so"], dropLast=False, **kept),
            joined("a", "so", "x"),
        ],
        "one hot of numbers": [
            ft.OneHotEncoder(inputCols=["n"], outputCols=["no"]),
            joined("a", "no", "x"),
        ],
        "words": [
            io(ft.CountVectorizer, "w", "c"),
            io(ft.IDF, "c", "i"),
            io(ft.HashingTF, "w", "h", numFeatures=4),
            io(ft.Word2Vec, "w", "v2", vectorSize=2, minCount=0),
            joined("a", "c", "i", "h", "v2", "x"),
        ],
        "scaled": [
            joined("a", "x", "y"),
            io(ft.StandardScaler, "a", "b"),
            io(ft.MinMaxScaler, "a", "c"),
            io(ft.MaxAbsScaler, "a", "d"),
            io(ft.RobustScaler, "a", "e"),
            io(ft.Normalizer, "a", "f"),
            io(ft.PCA, "a", "g", k=1),
            io(ft.ElementwiseProduct, "a", "h", scalingVec=Vectors.dense([1, 2])),
            io(ft.PolynomialExpansion, "a", "i"),
            io(ft.DCT, "a", "j"),
            joined("z", *"abcdefghij"),
        ],
        "slices": [
            joined("a", "x", "y", "n"),
            io(ft.VectorSlicer, "a", "b", indices=[2, 0]),
            io(ft.VectorSlicer, "a", "c", names=["n"], indices=[1]),
            io(ft.VectorSlicer, "b", "d", names=["x"]),
            ft.VarianceThresholdSelector(featuresCol="a", outputCol="e"),
        ],
        "indexed": [
            joined("a", "x", "n", "y", "label"),
            io(ft.VectorIndexer, "a", "b", maxCategories=4),
            ft.Interaction(inputCols=["b", "x"], outputCol="c"),
            joined("d", "b", "x"),
        ],
        "products": [
            index,
            hot,
            joined("a", "x", "y"),
            joined("b", "si", "x"),
            ft.Interaction(inputCols=["so", "a", "n"], outputCol="f"),
            ft.Interaction(inputCols=["si", "x"], outputCol="g"),
            ft.Interaction(inputCols=["b", "si"], outputCol="h"),
        ],
        "buckets": [
            io(ft.Bucketizer, "x", "b", splits=[-10, 0, 3, 10]),
            io(ft.QuantileDiscretizer, "y", "q", numBuckets=2),
            io(ft.Binarizer, "x", "i", threshold=1.0),
            ft.OneHotEncoder(inputCols=["b", "i"], outputCols=["bo", "io"]),
            joined("a", "b", "q", "i", "bo", "io", "v"),
            joined("c", "a", "v"),
        ],
        "formula": [
            ft.RFormula(
                formula="label ~ x + s + x:y + s:x + n + s:y", featuresCol="f", labelCol="l"
            )
        ],
        "hashed": [
            ft.FeatureHasher(inputCols=["x", "s"], outputCol="h", numFeatures=8),
            joined("a", "h", "x"),
        ],
        "predicted": [
            joined("features", "x", "y"),
            cl.LogisticRegression(maxIter=2),
            joined("a", "prediction", "probability", "features"),
        ],
    }


NAMES = (
    *("scalars", "one hot", "one hot with what is unseen", "one hot of numbers", "words"),
    *("scaled", "slices", "indexed", "products", "buckets", "formula", "hashed", "predicted"),
)


@pytest.fixture(scope="module")
def data(spark: Any) -> Any:
    from pyspark.ml.linalg import Vectors

    words = ["x", "y", "z"]
    return spark.createDataFrame(
        [
            (
                *(float(i % 7), i % 3 - 1.5, i % 3, "abc"[i % 3], float(i % 2)),
                *(Vectors.dense([i % 4, i % 5, 0.5 * i]), words[: 1 + i % 3]),
            )
            for i in range(60)
        ],
        ["x", "y", "n", "s", "label", "v", "w"],
    ).cache()


@pytest.mark.parametrize("name", NAMES)
def test_names_are_derived_as_spark_does(data: Any, name: str, tmp_path: Path) -> None:
    from pyspark.ml import Pipeline

    model = Pipeline(stages=stages()[name]).fit(data)
    model.write().save(str(tmp_path / "m"))
    schema = Schema(load_stage, {**INPUTS, "v": vector_info(3)})
    load_stage(open_stage(tmp_path / "m"), schema, "the model")
    for field in model.transform(data).schema.fields:
        if field.name not in data.columns and field.dataType.simpleString() == "vector":
            known = schema.columns[field.name]
            got = [attribute.name for attribute in known.attributes or ()]
            assert named(got) == named(spark_names(field.metadata)), field.name


def named(names: list[Any]) -> list[Any]:
    return names if any(names) else []


def spark_names(metadata: Mapping[str, Any]) -> list[Any]:
    attributes = metadata.get("ml_attr", {})
    names = {
        one["idx"]: one.get("name")
        for group in attributes.get("attrs", {}).values()
        for one in group
    }
    return [names.get(i) for i in range(attributes.get("num_attrs", len(names)))]


def test_all_stages_are_tried() -> None:
    assert set(stages()) == set(NAMES)
