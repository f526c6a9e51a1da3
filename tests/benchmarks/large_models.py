"""Large saved Spark models, written by pyarrow in Spark's layout: to fit them takes Spark hours.

What is in them is random, of the shapes that fitting makes: trees grow from rows that each split
divides, and thresholds are those of 32 bins, Spark's default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hydro_runtimes.columns import Array

FEATURES = 20
BINS = 32
NAMES = {"inputCol": "in", "outputCol": "out"}


def save(
    folder: Path,
    name: str,
    params: Mapping[str, Any],
    tables: Mapping[str, pa.Table],
    **extra: Any,
) -> Path:
    """A saved stage of Spark 4.3.0; tables of more than a million rows in several part files."""
    (folder / "metadata").mkdir(parents=True)
    document: dict[str, Any] = {
        "class": f"org.apache.spark.ml.{name}",
        "sparkVersion": "4.3.0",
        "uid": "large",
    }
    document |= {"timestamp": 0, "paramMap": params, "defaultParamMap": {}}
    (folder / "metadata" / "part-00000").write_text(json.dumps({**document, **extra}) + "\n")
    for path, table in tables.items():
        (folder / path).mkdir(parents=True)
        parts = 1 + table.num_rows // 1_000_000
        bounds = [table.num_rows * part // parts for part in range(parts + 1)]
        for part in range(parts):
            rows = table.slice(bounds[part], bounds[part + 1] - bounds[part])
            target = folder / path / f"part-{part:05}-x-c000.snappy.parquet"
            pq.write_table(rows, target, compression="snappy")
    return folder


def forest(folder: Path, name: str, trees: int, depth: int, rows: int, classes: int) -> Path:
    """An ensemble grown from so many rows; `classes` is 0 for a regression and for GBT."""
    rng = np.random.default_rng(1)
    grown = [_tree(rng, depth, rows) for _ in range(trees)]
    sizes = [len(left) for left, _ in grown]
    left, right = (np.concatenate([one[side] for one in grown]) for side in (0, 1))
    count, inner = len(left), left >= 0
    ids = np.concatenate([np.arange(size) for size in sizes])
    grid = np.sort(rng.normal(size=(FEATURES, BINS - 1)), axis=1)
    feature = np.where(inner, rng.integers(0, FEATURES, count), -1)
    threshold = grid[feature, rng.integers(0, BINS - 1, count)]
    stats = _lists(np.floor(rng.random((count, classes or 3)) * 50) + 1)
    offsets = pa.array(np.concatenate(([0], np.cumsum(inner))).astype(np.int32))
    split = {
        "featureIndex": pa.array(feature.astype(np.int32)),
        "leftCategoriesOrThreshold": pa.ListArray.from_arrays(offsets, pa.array(threshold[inner])),
        "numCategories": pa.array(np.full(count, -1, dtype=np.int32)),
    }
    nodes = {
        "id": pa.array(ids.astype(np.int32)),
        "prediction": pa.array(rng.normal(size=count)),
        "impurity": pa.array(rng.random(count)),
        "impurityStats": stats,
        "rawCount": pa.array(rng.integers(1, rows, count)),
        "gain": pa.array(rng.random(count)),
        "leftChild": pa.array(left.astype(np.int32)),
        "rightChild": pa.array(right.astype(np.int32)),
        "split": _struct(split),
    }
    tree = pa.array(np.repeat(np.arange(trees), sizes).astype(np.int32))
    metadata = {
        "_1": pa.array(np.arange(trees, dtype=np.int32)),
        "_2": pa.array(["{}"] * trees),
        "_3": pa.array(rng.random(trees)),
    }
    tables = {
        "data": pa.table({"treeID": tree, "nodeData": _struct(nodes)}),
        "treesMetadata": pa.table(metadata),
    }
    extra = {"numFeatures": FEATURES, "numTrees": trees}
    return save(folder, name, {}, tables, **extra, **({"numClasses": classes} if classes else {}))


def _tree(rng: np.random.Generator, depth: int, rows: int) -> tuple[Array, Array]:
    """The children of each node in Spark's order, each before what is below it; -1 for none."""
    levels, counts = [], np.array([rows])
    for level in range(depth + 1):
        splits = (counts >= 2) & (level < depth)
        levels.append(splits)
        share = np.clip(rng.normal(0.5, 0.15, splits.sum()), 0.1, 0.9)
        left = np.clip((counts[splits] * share).astype(int), 1, counts[splits] - 1)
        counts = np.stack((left, counts[splits] - left), axis=1).ravel()
    sizes = [np.ones(len(splits), dtype=int) for splits in levels]
    for level in reversed(range(depth)):
        sizes[level][levels[level]] += sizes[level + 1].reshape(-1, 2).sum(axis=1)
    lefts, rights = np.full(sizes[0][0], -1), np.full(sizes[0][0], -1)
    at = np.zeros(1, dtype=int)
    for level in range(depth):
        parents = at[levels[level]]
        lefts[parents] = parents + 1
        rights[parents] = parents + 1 + sizes[level + 1].reshape(-1, 2)[:, 0]
        at = np.stack((lefts[parents], rights[parents]), axis=1).ravel()
    return lefts, rights


def word2vec(folder: Path, words: int, size: int) -> Path:
    vectors = np.random.default_rng(1).normal(size=(words, size)).astype(np.float32)
    table = pa.table({"word": pa.array(texts(words)), "vector": _lists(vectors)})
    return save(folder, "feature.Word2VecModel", NAMES | {"vectorSize": size}, {"data": table})


def count_vectorizer(folder: Path, words: int) -> Path:
    table = pa.table({"vocabulary": pa.array([texts(words)])})
    return save(folder, "feature.CountVectorizerModel", NAMES, {"data": table})


def string_indexer(folder: Path, labels: int) -> Path:
    table = pa.table({"labelsArray": pa.array([[texts(labels)]])})
    return save(folder, "feature.StringIndexerModel", NAMES, {"data": table})


def idf(folder: Path, size: int) -> Path:
    rng = np.random.default_rng(1)
    vector = {"type": 1, "size": None, "indices": None, "values": rng.random(size).tolist()}
    fields = [
        pa.field("type", pa.int8()),
        pa.field("size", pa.int32()),
        pa.field("indices", pa.list_(pa.int32())),
        pa.field("values", pa.list_(pa.float64())),
    ]
    columns = {
        "idf": pa.array([vector], pa.struct(fields)),
        "docFreq": pa.array([rng.integers(1, 100, size).tolist()]),
        "numDocs": pa.array([1000]),
    }
    return save(folder, "feature.IDFModel", NAMES, {"data": pa.table(columns)})


def als(folder: Path, users: int, items: int, rank: int) -> Path:
    tables = {"userFactors": _factors(users, rank), "itemFactors": _factors(items, rank)}
    return save(folder, "recommendation.ALSModel", {}, tables, rank=rank)


def _factors(count: int, rank: int) -> pa.Table:
    """Ids in the order in which ten blocks of Spark hold them."""
    rng = np.random.default_rng(1)
    ids = np.arange(count, dtype=np.int32)
    ids = ids[np.argsort(ids % 10, kind="stable")]
    return pa.table({"id": ids, "features": _lists(rng.random((count, rank), dtype=np.float32))})


def texts(count: int) -> list[str]:
    return [f"word{index}" for index in range(count)]


def _lists(values: Array) -> pa.Array:
    """A list a row."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel()))


def _struct(columns: Mapping[str, pa.Array]) -> pa.Array:
    return pa.StructArray.from_arrays(list(columns.values()), names=list(columns))


MODELS: Mapping[str, Callable[[Path], Path]] = {
    "forest 500 x 15": lambda folder: forest(
        folder, "classification.RandomForestClassificationModel", 500, 15, 2_700, 2
    ),
    "regression forest 500 x 15": lambda folder: forest(
        folder, "regression.RandomForestRegressionModel", 500, 15, 2_700, 0
    ),
    "GBT 200 x 8": lambda folder: forest(
        folder, "classification.GBTClassificationModel", 200, 8, 20_000, 0
    ),
    "Word2Vec, 100,000 words": lambda folder: word2vec(folder, 100_000, 100),
    "CountVectorizer, 262,144 words": lambda folder: count_vectorizer(folder, 1 << 18),
    "StringIndexer, 1,000,000 labels": lambda folder: string_indexer(folder, 1_000_000),
    "IDF, 1,000,000 words": lambda folder: idf(folder, 1_000_000),
    "ALS, 1,000,000 users of rank 50": lambda folder: als(folder, 1_000_000, 100_000, 50),
    "ALS, 2,800,000 users of rank 50": lambda folder: als(folder, 2_800_000, 100_000, 50),
}
"""By name, what writes a model into a folder."""
