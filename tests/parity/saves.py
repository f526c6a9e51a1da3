"""Saved stages made by hand, without Spark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ML = "org.apache.spark.ml."
CLASSIFIER = {
    "featuresCol": "features",
    "labelCol": "label",
    "predictionCol": "prediction",
    "probabilityCol": "probability",
    "rawPredictionCol": "rawPrediction",
}


def save_stage(
    folder: Path,
    name: str,
    params: Mapping[str, Any],
    tables: Mapping[str, pa.Table] | None = None,
    version: str = "2.1.0",
    uid: str = "stage",
    **extra: Any,
) -> Path:
    """A saved stage; the rows of each table in two part files, the second one first."""
    (folder / "metadata").mkdir(parents=True)
    document = {"class": ML + name, "sparkVersion": version, "uid": uid, "paramMap": params}
    (folder / "metadata" / "part-00000").write_text(json.dumps({**document, **extra}) + "\n")
    (folder / "metadata" / "_SUCCESS").touch()
    for path, table in (tables or {}).items():
        (folder / path).mkdir(parents=True)
        half = table.num_rows // 2
        for part, rows in enumerate((table.slice(half), table.slice(0, half))):
            pq.write_table(rows, folder / path / f"part-r-{part:05}-x.snappy.parquet")
    return folder


def dense_vector(*values: float) -> dict[str, Any]:
    """A dense vector as parquet has it."""
    return {"type": 1, "size": None, "indices": None, "values": list(values)}


VECTOR = pa.struct(
    [
        ("type", pa.int8()),
        ("size", pa.int32()),
        ("indices", pa.list_(pa.int32())),
        ("values", pa.list_(pa.float64())),
    ]
)


def vector_array(*values: tuple[float, ...]) -> pa.Array:
    return pa.array([dense_vector(*one) for one in values], VECTOR)
