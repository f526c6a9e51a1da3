"""Random rows for random stages, ordinary and odd ones."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import LongType, StructField, StructType

COLUMNS = (
    "x double, y double, n int, b bigint, g float, flag boolean, s string, k double,"
    "w array<string>, u array<string>, text string, label double, two double, positive double,"
    "cls string, user int, item int"
)
_WORDS = [
    "the",
    "quick",
    "Brown",
    "fox",
    "Ünïcode",
    "ΟΔΟΣ",
    "İstanbul",
    "jumps",
    "it's",
    "lazy,",
    "dog",
    "far-away",
    "7",
    "x2",
    "ÇA",
]


INF = math.inf


def random_row(rng: random.Random, number: int, odd: bool) -> dict[str, Any]:
    """A row; an odd one has edges: NaN, null, unseen labels, signed zeros, huge numbers."""

    def real() -> float:
        return round(rng.gauss(0, 3), 2)

    edges = [0.0, -0.0, 1e-300, 1e300, real(), 1.0] if odd else [0.0, real(), real()]
    elements = [rng.choice(edges) for _ in range(4)]
    stored = [(i, value) for i, value in enumerate(elements) if value]
    words = rng.choices(_WORDS, k=rng.randrange(6))
    return {
        "x": rng.choice([math.nan, None, -0.0, INF, 1e7]) if odd else real(),
        "y": rng.choice([0.0, real(), 1e-5, 123456789.25]) if odd else real(),
        "n": rng.choice([None, 2**31 - 1, -7]) if odd else rng.randrange(-3, 6),
        "b": rng.choice([None, 2**53 + 1]) if odd else rng.randrange(100),
        "g": rng.choice([None, math.nan]) if odd else rng.randrange(-50, 50) / 7,
        "flag": rng.choice([None, True]) if odd else rng.random() < 0.5,
        "s": rng.choice([None, "new", ""]) if odd else rng.choice("aabbbcd"),
        "k": rng.choice([None, math.nan, 9.0, 1.5, -1.0]) if odd else float(rng.randrange(4)),
        "w": words,
        "u": list(dict.fromkeys(words)),
        "text": rng.choice([" ", "  ", "\t", ""]).join(words),
        "label": float(rng.randrange(3)),
        "two": float(number % 2),
        "positive": rng.randrange(1, 9) / 2,
        "cls": rng.choice(["no", "yes"]),
        "user": 77 if odd else rng.randrange(8),
        "item": rng.randrange(6),
        "f": Vectors.dense(elements) if rng.random() < 0.5 else Vectors.sparse(4, stored),
        "counts": Vectors.dense([abs(min(value, 50.0)) for value in elements]),
        "id": number,
    }


def data_frame(spark: SparkSession, rows: Sequence[dict[str, Any]]) -> DataFrame:
    """The rows as a data frame, with a column `id`."""
    schema = StructType.fromDDL(COLUMNS)
    assert isinstance(schema, StructType)
    for name, kind in (("f", VectorUDT()), ("counts", VectorUDT()), ("id", LongType())):
        schema = schema.add(StructField(name, kind))
    data = [tuple(one[name] for name in schema.names) for one in rows]
    return spark.createDataFrame(data, schema)
