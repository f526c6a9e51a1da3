"""Makes tests/parity/fixtures/layouts with PySpark: what people point at besides saved pipelines.

    PYTHONPATH=runtimes:. python scripts/make_layouts.py

SparkR's folders are made by the classes that SparkR calls, with what Spark answers in rows.json.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from pyspark import keyword_only
from pyspark.ml import Pipeline, Transformer
from pyspark.ml import classification as cl
from pyspark.ml import feature as ft
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.mllib.clustering import KMeans
from pyspark.sql import DataFrame, SparkSession
from tests.parity.test_fresh import plain_value, start_spark

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "parity" / "fixtures" / "layouts"
ROWS = [
    {"y": 1.5, "x": 0.5, "s": "a", "u": 1, "i": 2, "items": ["p", "q"]},
    {"y": 2.5, "x": 1.5, "s": "b", "u": 1, "i": 3, "items": ["p"]},
    {"y": 3.5, "x": -0.5, "s": "a", "u": 2, "i": 2, "items": ["q", "p", "r"]},
    {"y": 0.5, "x": 2.0, "s": "c", "u": 3, "i": 1, "items": ["r"]},
    {"y": 4.0, "x": 1.0, "s": "b", "u": 3, "i": 3, "items": ["p", "q", "r"]},
]


class OwnTransformer(Transformer, DefaultParamsReadable, DefaultParamsWritable):  # type: ignore[type-arg]
    """Does nothing, in Python."""

    @keyword_only
    def __init__(self) -> None:
        super().__init__()

    def _transform(self, dataset: DataFrame) -> DataFrame:
        return dataset


def save(name: str, model: Any) -> None:
    model.write().overwrite().save(str(FOLDER / name))


def sparkr(spark: SparkSession, data: DataFrame) -> None:
    """By the class behind each function of SparkR: spark.glm, spark.kmeans and so on."""
    jvm: Any = spark.sparkContext._jvm
    wrappers, frame = jvm.org.apache.spark.ml.r, data._jdf
    glm = wrappers.GeneralizedLinearRegressionWrapper.fit(
        "y ~ x + s", frame, "gaussian", "identity", 1e-6, 25, None, 0.0, 0.0, 1.0,
        "frequencyDesc", None,
    )  # fmt: skip
    tree = wrappers.DecisionTreeClassifierWrapper.fit(
        frame, "s ~ x + y", 3, 32, "gini", 1, 0.0, 10, "1", 256, False, "keep"
    )
    clusters = wrappers.KMeansWrapper.fit(frame, "~ x + y", 2, 10, "random", "1", 2, 1e-4)
    factors = wrappers.ALSWrapper.fit(
        frame, "y", "u", "i", 2, 0.1, 3, False, 1.0, False, 2, 2, 10, 1
    )
    patterns = wrappers.FPGrowthWrapper.fit(frame, 0.3, 0.5, "items", None)
    made = {"glm": glm, "tree": tree, "kmeans": clusters, "als": factors, "fpgrowth": patterns}
    for name, model in made.items():
        save(f"sparkr_{name}", model)
        answers = DataFrame(model.transform(frame), spark)
        columns = [column for column in answers.columns if column not in data.columns]
        rows = [{c: plain_value(row[c]) for c in columns} for row in answers.collect()]
        text = json.dumps({"rows": ROWS, "answers": rows}, indent=1)
        (FOLDER / f"sparkr_{name}" / "rows.json").write_text(text + "\n")


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = start_spark()
    data = spark.createDataFrame(ROWS).coalesce(1).cache()
    tokens = ft.Tokenizer(inputCol="s", outputCol="words")
    logistic = cl.LogisticRegression(maxIter=1)
    save("unfitted_pipeline", Pipeline(stages=[tokens, logistic]))
    save("unfitted_estimator", logistic)
    grid = ParamGridBuilder().addGrid(logistic.regParam, [0.1]).build()
    search = CrossValidator(
        estimator=logistic, estimatorParamMaps=grid, evaluator=BinaryClassificationEvaluator()
    )
    save("unfitted_search", search)
    save("own_transformer", Pipeline(stages=[tokens, OwnTransformer()]).fit(data))
    points = spark.sparkContext.parallelize([[0.0], [1.0], [9.0]], 1)
    KMeans.train(points, 2).save(spark.sparkContext, str(FOLDER / "mllib_kmeans"))
    sparkr(spark, data)
    for path in FOLDER.rglob(".*.crc"):
        path.unlink()
    spark.stop()


if __name__ == "__main__":
    main()
