"""Makes models and expected in tests/parity/fixtures with PySpark: saved pipelines, and answers.

    PYTHONPATH=runtimes:. python scripts/make_parity.py

The schema is that of the larger set (spark-parity/1): see tests/parity/cases.py.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml import classification as cl
from pyspark.ml import feature as ft
from pyspark.sql import DataFrame
from tests.parity.random_rows import data_frame, random_row
from tests.parity.test_fresh import plain_value, spark_rows, start_spark

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "parity" / "fixtures"
ROWS = 14
TOLERANCE = {"rel": 1e-9, "abs": 1e-9, "columns": {}}


def pipelines() -> dict[str, tuple[list[str], Pipeline]]:
    """By name: the columns that come in, and the stages."""
    index = ft.StringIndexer(inputCols=["s", "cls"], outputCols=["si", "ci"], handleInvalid="keep")
    hot = ft.OneHotEncoder(inputCols=["si"], outputCols=["so"])
    filled = ft.Imputer(inputCols=["x", "y"], outputCols=["x2", "y2"])
    joined = ft.VectorAssembler(inputCols=["so", "x2", "y2"], outputCol="all")
    scaled = ft.StandardScaler(inputCol="all", outputCol="scaled", withMean=True)
    forest = cl.RandomForestClassifier(
        featuresCol="scaled", labelCol="ci", numTrees=5, maxDepth=4, seed=1
    )
    named = ft.IndexToString(inputCol="prediction", outputCol="answer", labels=["no", "yes", "?"])
    tokens = ft.Tokenizer(inputCol="text", outputCol="words")
    hashed = ft.HashingTF(inputCol="words", outputCol="tf", numFeatures=64)
    weighed = ft.IDF(inputCol="tf", outputCol="features")
    logistic = cl.LogisticRegression(labelCol="label", maxIter=5)
    buckets = ft.Bucketizer(
        inputCol="x", outputCol="xb", splits=[-10.0, 0.0, 10.0], handleInvalid="error"
    )
    query = ft.SQLTransformer(
        statement="SELECT *, x / y AS ratio, upper(s) AS big FROM __THIS__ WHERE n > 0 OR n IS NULL"
    )
    rest = cl.OneVsRest(classifier=cl.LinearSVC(maxIter=3), featuresCol="f", labelCol="label")
    return {
        "forest": (
            ["s", "x", "y"],
            Pipeline(stages=[index, hot, filled, joined, scaled, forest, named]),
        ),
        "text": (["text"], Pipeline(stages=[tokens, hashed, weighed, logistic])),
        "query": (["x", "y", "n", "s"], Pipeline(stages=[query, buckets])),
        "one_vs_rest": (["f"], Pipeline(stages=[Pipeline(stages=[rest])])),
    }


def document(name: str, model: PipelineModel, data: DataFrame) -> dict[str, Any]:
    """What the expected file of a case holds."""
    answers = spark_rows(model, data, range(ROWS))
    schema = model.transform(data).schema.fields
    given = [field for field in data.schema.fields if field.name != "id"]
    made = [field for field in schema if field.name not in data.columns]
    rows = {one["id"]: one for one in data.collect()}
    outputs = [answers.get(i) for i in range(ROWS)]
    return {
        "schema": "spark-parity/1",
        "name": name,
        "model": f"models/{name}",
        "stages": [{"class": "org.apache.spark.ml.PipelineModel"}],
        "input_schema": [{"name": f.name, "type": f.dataType.simpleString()} for f in given],
        "output_schema": [{"name": f.name, "type": f.dataType.simpleString()} for f in made],
        "tolerance": TOLERANCE,
        "unordered": [],
        "dropped": [i for i in range(ROWS) if i not in answers],
        "errors": {
            str(i): "refused" for i, answer in answers.items() if isinstance(answer, Exception)
        },
        "inputs": [{f.name: plain_value(rows[i][f.name]) for f in given} for i in range(ROWS)],
        "outputs": [
            None
            if answer is None or isinstance(answer, Exception)
            else {f.name: plain_value(answer[f.name]) for f in made}
            for answer in outputs
        ],
    }


def main() -> None:
    spark, rng = start_spark(), random.Random(1)
    train = data_frame(spark, [random_row(rng, i, odd=False) for i in range(80)])
    rows = data_frame(spark, [random_row(rng, i, odd=rng.random() < 0.4) for i in range(ROWS)])
    for made_before in ("models", "expected"):
        shutil.rmtree(FOLDER / made_before, ignore_errors=True)
    (FOLDER / "expected").mkdir(parents=True)
    for name, (columns, pipeline) in pipelines().items():
        folder = FOLDER / "models" / name
        model = pipeline.fit(train)
        model.write().overwrite().save(str(folder))
        for path in folder.rglob(".*.crc"):
            path.unlink()
        made = document(name, model, rows.select("id", *columns).cache())
        text = json.dumps(made, ensure_ascii=False, indent=1)
        (FOLDER / "expected" / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
