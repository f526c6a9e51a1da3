"""A loaded model takes at most twice the bytes of its data."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.parity.cases import ROOT
from tests.parity.saves import CLASSIFIER, save_stage, vector_array

from hydro_runtimes.load import load

WORDS = [f"word{i}" for i in range(5000)]
NAMES = {"inputCol": "a", "outputCol": "b"}
RNG = np.random.default_rng(1)


def number_lists(rows: int, size: int) -> pa.Array:
    flat = pa.array(RNG.random(rows * size).astype(np.float32))
    return pa.FixedSizeListArray.from_arrays(flat, size).cast(pa.list_(pa.float32()))


def sparse_matrix(size: int, stored: int) -> dict[str, Any]:
    """A sparse one of one row."""
    return {
        "type": 0,
        "numRows": 1,
        "numCols": size,
        "colPtrs": [0, stored],
        "rowIndices": np.sort(RNG.choice(size, stored, replace=False)).tolist(),
        "values": RNG.random(stored).tolist(),
        "isTransposed": True,
    }


def pair_table() -> pa.Table:
    items = [[f"item{a}", f"item{b}"] for a in range(60) for b in range(a)]
    single = [[f"item{a}"] for a in range(60)]
    return pa.table({"items": items + single, "freq": [5] * (len(items) + 60)})


def linear_table() -> pa.Table:
    return pa.table(
        {
            "numClasses": [2],
            "numFeatures": [1 << 18],
            "interceptVector": vector_array((0.0,)),
            "coefficientMatrix": [sparse_matrix(1 << 18, 5000)],
            "isMultinomial": [False],
        }
    )


MODELS: dict[str, tuple[dict[str, Any], dict[str, pa.Table], dict[str, Any]]] = {
    "feature.CountVectorizerModel": (NAMES, {"data": pa.table({"vocabulary": [WORDS]})}, {}),
    "feature.StringIndexerModel": (NAMES, {"data": pa.table({"labelsArray": [[WORDS]]})}, {}),
    "feature.Word2VecModel": (
        NAMES | {"vectorSize": 50},
        {"data": pa.table({"word": WORDS, "vector": number_lists(5000, 50)})},
        {},
    ),
    "fpm.FPGrowthModel": ({"minConfidence": 0.1}, {"data": pair_table()}, {}),
    "recommendation.ALSModel": (
        {},
        dict.fromkeys(
            ("userFactors", "itemFactors"),
            pa.table({"id": np.arange(3000, dtype=np.int32), "features": number_lists(3000, 20)}),
        ),
        {"rank": 20},
    ),
    "classification.LogisticRegressionModel": (CLASSIFIER, {"data": linear_table()}, {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_takes_little_more_than_its_data(name: str, tmp_path: Path) -> None:
    params, tables, extra = MODELS[name]
    check_memory(save_stage(tmp_path / "m", name, params, tables, "3.5.0", **extra))


def test_a_forest_takes_little_more_than_its_data() -> None:
    check_memory(ROOT / "models" / "spark" / "pm_spark")


def check_memory(folder: Path) -> None:
    load(folder)
    data = sum(pq.read_table(path).nbytes for path in folder.rglob("*.parquet"))
    gc.collect()
    tracemalloc.start()
    try:
        model = load(folder)
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used <= 2 * data, f"{used} bytes for {data} of data in {model}"[:200]
