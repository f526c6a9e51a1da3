"""Measures saved Spark pipelines in this process, beside PySpark and onnxruntime in the same run.

    python tests/benchmarks/spark_models.py                    # ours, onnxruntime if installed
    python tests/benchmarks/spark_models.py --spark            # PySpark too: a minute more
    python tests/benchmarks/spark_models.py --parity ../shared/spark-parity

onnxruntime gets the part of pm_spark that can be converted (scaler, forest, labels), built here
from the loaded model; it computes in single precision. Needs `onnx` and `onnxruntime` from PyPI.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hydro_runtimes.columns import Array, Columns, Dense, Strings
from hydro_runtimes.evaluator import Evaluator
from hydro_runtimes.load import load
from hydro_runtimes.spark.stages.trees import RandomForestClassificationModel

ROOT = Path(__file__).resolve().parents[2]
ROWS = (1, 100, 10_000)
SETTLE_S = 3.0
"""After which the JVM has hardly anything left to do."""
WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "away", "big", "birds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "spark" / "pm_spark")
    parser.add_argument("--parity", type=Path, help="folder of the parity set: text, load times")
    parser.add_argument("--spark", action="store_true", help="measure PySpark, local[2], too")
    options = parser.parse_args()
    forest(options.model, options.spark)
    if options.parity is not None:
        text(options.parity / "models" / "pipe_text_idf_logistic", options.spark)
        load_times(options.parity / "models")


def forest(folder: Path, with_spark: bool) -> None:
    """The demo's model: a scaler and a forest."""
    model = load(folder)
    field = next(field for field in model.signature.inputs if field.shape)
    size = field.shape[0]
    rng = np.random.default_rng(1)
    session = onnx_session(model)
    spark = spark_peer(folder, lambda x: [(vector(row),) for row in x], field.name)
    for rows in ROWS:
        x = np.round(np.abs(rng.normal(size=(rows, size))), 2)
        calls: dict[str, Callable[[], object]] = {
            "ours": partial(model.evaluate, Columns({field.name: Dense(x)}))
        }
        if session is not None:
            calls["onnxruntime"] = partial(onnx_run, session, x)
        show(folder.name, rows, measured(calls, spark(x) if with_spark else None))


def text(folder: Path, with_spark: bool) -> None:
    """Tokenizer, HashingTF, IDF, LogisticRegression; 12 words a row."""
    model, rng = load(folder), np.random.default_rng(1)
    peer = spark_peer(folder, lambda texts: [(str(one),) for one in texts], "text")
    for rows in ROWS:
        texts = [" ".join(rng.choice(WORDS, 12)) for _ in range(rows)]
        calls: dict[str, Callable[[], object]] = {
            "ours": partial(model.evaluate, Columns({"text": Strings(texts)}))
        }
        spark = peer(np.array(texts)) if with_spark else None
        show(folder.name, rows, measured(calls, spark))


def load_times(folder: Path) -> None:
    """Of all saved models in a folder, the second time."""
    times = {}
    for path in sorted(folder.iterdir()):
        load(path)
        start = time.perf_counter()
        load(path)
        times[path.name] = time.perf_counter() - start
    slowest = max(times, key=lambda name: times[name])
    middle = statistics.median(times.values())
    print(f"load, {len(times)} models: median {middle * 1e3:.1f} ms, ", end="")
    print(f"slowest {slowest} {times[slowest] * 1e3:.1f} ms")


def measured(
    calls: Mapping[str, Callable[[], object]], spark: Callable[[], object] | None
) -> dict[str, float]:
    """Seconds a call, the median of rounds in which the calls take turns.

    PySpark has its rounds for itself, before the others and not between them: its JVM goes on
    computing (compiler, collector) when a call has returned.
    """
    times = rounds({"PySpark": spark}, 5) if spark else {}
    if spark:
        time.sleep(SETTLE_S)
    return rounds(calls, 15) | times


def rounds(calls: Mapping[str, Callable[[], object]], count: int) -> dict[str, float]:
    """Seconds a call, the median of so many rounds."""
    repeats = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        repeats[name] = max(1, int(0.05 / (time.perf_counter() - start)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(count):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times[name].append((time.perf_counter() - start) / repeats[name])
    return {name: statistics.median(values) for name, values in times.items()}


def show(model: str, rows: int, seconds: Mapping[str, float]) -> None:
    ours = seconds["ours"]
    print(f"{model}, {rows:>6} rows: ours {ours * 1e6:12,.1f} us", end="")
    for name, value in seconds.items():
        if name != "ours":
            print(f"; {name} {value * 1e6:12,.1f} us, ours / it {ours / value:.5g}", end="")
    print()


def spark_peer(
    folder: Path, rows: Callable[[Array], list[tuple[Any, ...]]], column: str
) -> Callable[[Array], Callable[[], object]]:
    """createDataFrame, transform, select, collect: what a user of PySpark does with rows."""

    def peer(values: Array) -> Callable[[], object]:
        from pyspark.ml import PipelineModel
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        session = builder.config("spark.driver.host", "127.0.0.1").getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        model, data = PipelineModel.load(str(folder)), rows(values)

        def call() -> object:
            frame = session.createDataFrame(data, [column])
            return model.transform(frame).select("probability", "prediction").collect()

        return call

    return peer


def vector(row: Array) -> Any:
    from pyspark.ml.linalg import Vectors

    return Vectors.dense(row.tolist())


def onnx_run(session: Any, x: Array) -> object:
    """In single precision."""
    return session.run(None, {"x": x.astype(np.float32)})


def onnx_session(model: Evaluator) -> Any:
    """The scaler and the forest of pm_spark for onnxruntime; None if not installed."""
    try:
        import onnxruntime
        from onnx import TensorProto, helper
    except ImportError:
        return None
    stages: Any = {type(stage).__name__: stage for stage in model.stage.stages}  # type: ignore[attr-defined]
    scaler, forest = stages["StandardScalerModel"], stages["RandomForestClassificationModel"]
    shift = np.zeros(scaler.size) if scaler.shift is None else scaler.shift
    nodes = [
        helper.make_node(
            "Scaler",
            ["x"],
            ["s"],
            domain="ai.onnx.ml",
            offset=shift.tolist(),
            scale=scaler.scale.tolist(),
        ),
        helper.make_node(
            "TreeEnsembleClassifier",
            ["s"],
            ["label", "probability"],
            domain="ai.onnx.ml",
            post_transform="NONE",
            **onnx_trees(forest),
        ),
    ]
    classes = forest.shares.shape[1]
    graph = helper.make_graph(
        nodes,
        "pm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, scaler.size])],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, [None]),
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, classes]),
        ],
    )
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 2)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return onnxruntime.InferenceSession(made.SerializeToString())


def onnx_trees(model: RandomForestClassificationModel) -> dict[str, Any]:
    """The attributes of a TreeEnsembleClassifier: nodes numbered across all trees."""
    forest, leaves = (
        model.forest,
        model.forest.right_child == np.arange(len(model.forest.right_child)),
    )
    count = len(forest.right_child)
    tree = np.zeros(count, dtype=np.int64)
    level = np.arange(forest.trees)
    tree[level] = np.arange(len(level))
    while len(level := level[~leaves[level]]):
        for child in (forest.right_child[level], forest.right_child[level] + 1):
            tree[child] = tree[level]
        level = np.concatenate((forest.right_child[level], forest.right_child[level] + 1))
    left, right = (
        np.where(leaves, 0, forest.right_child + 1),
        np.where(leaves, 0, forest.right_child),
    )
    numbers, classes = np.arange(count), model.shares.shape[1]
    ends = np.flatnonzero(leaves)
    order = np.argsort(tree, kind="stable")
    return {
        "classlabels_strings": [str(one) for one in range(classes)],
        "nodes_treeids": tree[order].tolist(),
        "nodes_nodeids": numbers[order].tolist(),
        "nodes_featureids": forest.splits.used_features[forest.input_index][order].tolist(),
        "nodes_values": np.where(leaves, 0.0, forest.threshold)[order].tolist(),
        "nodes_modes": np.where(leaves, "LEAF", "BRANCH_LEQ")[order].tolist(),
        "nodes_truenodeids": left[order].tolist(),
        "nodes_falsenodeids": right[order].tolist(),
        "class_treeids": np.repeat(tree[ends], classes).tolist(),
        "class_nodeids": np.repeat(numbers[ends], classes).tolist(),
        "class_ids": np.tile(np.arange(classes), len(ends)).tolist(),
        "class_weights": (model.shares[ends] / forest.trees).ravel().tolist(),
    }


if __name__ == "__main__":
    main()
