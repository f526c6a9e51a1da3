"""Trains the product-matching models: the words' weights of pm_scikit, and pm_spark.

    python models/training/train_pm.py [--data FOLDER] [--validate]

Needs the project itself with its extras `scikit` and `spark`, the dependency group `train`, and
Java 17 or later.
"""

from __future__ import annotations

import argparse
import json
import logging
import pathlib
import shutil
import tempfile
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matching_data import Pair, columns, folds, hardened, labels, load
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import RandomForestClassifier
from pyspark.ml.feature import IndexToString, StandardScaler, StringIndexer
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from hydro_runtimes.columns import Columns, Dense, Strings
from hydro_runtimes.files import digest_folder
from hydro_runtimes.load import load as load_model
from hydro_runtimes.python import PythonEvaluator

MODELS = pathlib.Path(__file__).resolve().parents[1]
EXTRACTOR = MODELS / "scikit" / "pm_scikit"
CLASSIFIER = MODELS / "spark" / "pm_spark"
SEED = 7
TREES = 40
DEPTH = 12

logger = logging.getLogger("train_pm")


def main() -> None:
    """Trains, saves, and says how good the models are on test.csv."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    default = MODELS.parents[1] / "shared" / "product-matching"
    parser.add_argument("--data", type=pathlib.Path, default=default, help="folder of train.csv")
    parser.add_argument("--validate", action="store_true", help="only cross-validate on train.csv")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    spark = _session()
    try:
        train = load(options.data, "train.csv")
        if options.validate:
            validate(spark, train)
        else:
            final(spark, train, load(options.data, "test.csv"))
    finally:
        spark.stop()


def _session() -> SparkSession:
    quiet: dict[str, bool | float | int | str | None] = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    spark = SparkSession.builder.master("local[2]").config(map=quiet).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def final(spark: SparkSession, train: Sequence[Pair], test: Sequence[Pair]) -> None:
    """Fits on all of `train`, saves both models, and scores `test` with what was saved."""
    vocabulary = fit_vocabulary(train)
    write_vocabulary(EXTRACTOR, vocabulary)
    logger.info("vocabulary: %d words", len(vocabulary))
    save(fit(spark, train, vocabulary), CLASSIFIER)
    scores = score(spark, PipelineModel.load(str(CLASSIFIER)), test, vocabulary)
    report("test.csv", test, scores)
    for group in dict.fromkeys(pair.group for pair in test):
        chosen = [i for i, pair in enumerate(test) if pair.group == group]
        report(f"  {group}", [test[i] for i in chosen], scores[chosen])


def validate(spark: SparkSession, train: Sequence[Pair]) -> None:
    """Cross-validates: folds without common products, and one kind of shops after the other."""
    walmart = [pair for pair in train if pair.group == "walmart-amazon"]
    camera = [pair for pair in train if pair.group == "camera-derived"]
    held_out: list[Pair] = []
    found: list[npt.NDArray[np.float64]] = []
    for learnt, held in folds([*walmart, *camera], 4, SEED):
        held_out += held
        found.append(_trained_on(spark, learnt, held))
    scores = np.concatenate(found)
    report("folds", held_out, scores)
    for group in ("walmart-amazon", "camera-derived"):
        chosen = [i for i, pair in enumerate(held_out) if pair.group == group]
        report(f"  {group}", [held_out[i] for i in chosen], scores[chosen])
    report("walmart-amazon -> camera", camera, _trained_on(spark, walmart, camera))
    report("camera -> walmart-amazon", walmart, _trained_on(spark, camera, walmart))


def _trained_on(
    spark: SparkSession, learnt: Sequence[Pair], held: Sequence[Pair]
) -> npt.NDArray[np.float64]:
    vocabulary = fit_vocabulary(learnt)
    return score(spark, fit(spark, learnt, vocabulary), held, vocabulary)


def fit_vocabulary(pairs: Sequence[Pair]) -> dict[str, float]:
    """The inverse document frequency of each word that two or more distinct titles have."""
    model = extractor({}).model

    def words_of(title: str) -> list[str]:
        return sorted(model.listing(title, "").words)

    vectorizer = TfidfVectorizer(analyzer=words_of, min_df=2)
    vectorizer.fit(sorted({title for pair in pairs for title in pair.inputs[::2]}))
    names, weights = vectorizer.get_feature_names_out(), vectorizer.idf_
    return {name: round(weight, 4) for name, weight in zip(names, weights.tolist(), strict=True)}


def extractor(vocabulary: dict[str, float]) -> PythonEvaluator:
    """pm_scikit with this vocabulary in place of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shutil.copytree(EXTRACTOR, folder, dirs_exist_ok=True)
        write_vocabulary(folder, vocabulary)
        evaluator = load_model(folder, {digest_folder(folder)})
    assert isinstance(evaluator, PythonEvaluator)
    return evaluator


def write_vocabulary(folder: pathlib.Path, vocabulary: dict[str, float]) -> None:
    """Writes what pm_scikit reads; a word that is not in it weighs as the rarest that is."""
    content = {"rarest": max(vocabulary.values(), default=1.0), "idf": vocabulary}
    text = json.dumps(content, ensure_ascii=False, indent=0, separators=(",", ":"))
    (folder / "vocabulary.json").write_text(text + "\n", encoding="utf-8")


def features(pairs: Sequence[Pair], vocabulary: dict[str, float]) -> npt.NDArray[np.float64]:
    """The features of the pairs, with this vocabulary: float64, (rows, features)."""
    given = {name: Strings(values) for name, values in columns(pairs).items()}
    found = extractor(vocabulary).evaluate(Columns(given)).outputs["features"]
    assert isinstance(found, Dense)
    return found.values


def fit(spark: SparkSession, pairs: Sequence[Pair], vocabulary: dict[str, float]) -> PipelineModel:
    """The classifier, fitted on the pairs and the hardened ones made of them."""
    known = [*pairs, *hardened(pairs, SEED)]
    logger.info("fitting on %d pairs", len(known))
    indexer = StringIndexer(
        inputCol="label", outputCol="indexedLabel", stringOrderType="alphabetAsc"
    )
    scaler = StandardScaler(inputCol="features", outputCol="scaledFeatures", withMean=False)
    forest = RandomForestClassifier(
        featuresCol="scaledFeatures",
        labelCol="indexedLabel",
        weightCol="weight",
        numTrees=TREES,
        maxDepth=DEPTH,
        maxBins=64,
        minInstancesPerNode=3,
        seed=SEED,
    )
    names = IndexToString(inputCol="prediction", outputCol="predictionLabel", labels=["no", "yes"])
    return Pipeline(stages=[indexer, scaler, forest, names]).fit(_frame(spark, known, vocabulary))


def _frame(spark: SparkSession, pairs: Sequence[Pair], vocabulary: dict[str, float]) -> DataFrame:
    """label, weight (so that both classes weigh the same) and features, in one partition.

    One partition, because the trees depend on how rows are spread.
    """
    known = labels(pairs)
    weights = len(known) / (2.0 * np.bincount(known, minlength=2))
    rows = {
        "label": pa.array(known.astype(str)),
        "weight": pa.array(weights[known]),
        "features": _lists(features(pairs, vocabulary)),
    }
    return _vectors(spark.createDataFrame(pa.table(rows)).coalesce(1))


def score(
    spark: SparkSession, model: PipelineModel, pairs: Sequence[Pair], vocabulary: dict[str, float]
) -> npt.NDArray[np.float64]:
    """P(match), as Spark gives it: float64, (rows,)."""
    rows = {"row": pa.array(range(len(pairs))), "features": _lists(features(pairs, vocabulary))}
    frame = model.transform(_vectors(spark.createDataFrame(pa.table(rows))))
    found = frame.select("row", vector_to_array(col("probability"))[1].alias("match")).collect()
    return np.array([row.match for row in sorted(found)])


def _lists(values: npt.NDArray[np.float64]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1]).cast(
        pa.list_(pa.float64())
    )


def _vectors(frame: DataFrame) -> DataFrame:
    return frame.withColumn("features", array_to_vector(col("features")))


def save(model: PipelineModel, folder: pathlib.Path) -> None:
    """Saves in Spark's format, without checksum and marker files; a README.md there stays."""
    for part in ("metadata", "stages"):
        shutil.rmtree(folder / part, ignore_errors=True)
    saved = folder.with_name(folder.name + ".new")
    model.write().overwrite().save(str(saved))
    for file in [*saved.rglob("*.crc"), *saved.rglob("_SUCCESS")]:
        file.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    for made in saved.iterdir():
        made.rename(folder / made.name)
    saved.rmdir()


def report(name: str, pairs: Sequence[Pair], scores: npt.NDArray[np.float64]) -> None:
    """Says how good scores are."""
    known = labels(pairs)
    if known.min() == known.max():
        logger.info("%-26s %5d rows, highest score %.3f", name, len(pairs), scores.max())
        return
    logger.info(
        "%-26s %5d rows, F1 %.4f, ROC-AUC %.4f, average precision %.4f",
        name,
        len(pairs),
        f1_score(known, scores > 0.5),
        roc_auc_score(known, scores),
        average_precision_score(known, scores),
    )


if __name__ == "__main__":
    main()
