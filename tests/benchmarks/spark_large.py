"""Measures large saved Spark models: what they take to load, and GBT and Word2Vec to answer.

    python tests/benchmarks/spark_large.py                # ours, and onnxruntime if installed

The models are written beforehand, in Spark's layout, into a temporary folder. Each is loaded by a
process of its own, after a small one. Figures are CPU time. Needs `onnx` and `onnxruntime` of PyPI
for the ratio to onnxruntime.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from large_models import FEATURES, MODELS

from hydro_runtimes.columns import Array, Columns, Dense, Ragged, Strings
from hydro_runtimes.load import load

ROOT = Path(__file__).resolve().parents[2]
SMALL = ROOT / "models" / "spark" / "pm_spark"
WORDS_A_ROW = 12
ROUNDS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load is not None:
        print(json.dumps(loaded(options.load)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, write in MODELS.items():
            model = write(Path(folder) / re.sub(r"\W+", "_", name))
            show_load(name, model)
            if name.startswith("GBT"):
                boosted(model)
            if name.startswith("Word2Vec"):
                word_vectors(model)


def show_load(name: str, model: Path) -> None:
    command = [sys.executable, __file__, "--load", str(model)]
    environment = {**os.environ, "HYDRO_MAX_MODEL_VALUES": str(1 << 30)}
    found = json.loads(subprocess.check_output(command, env=environment))
    size = sum(pq.ParquetFile(path).read().nbytes for path in model.rglob("*.parquet")) / 1e6
    print(f"{name}: load {found['cpu_s']:.2f} s of CPU, {size:.0f} MB expanded, ", end="")
    print(
        f"peak {found['peak_mb'] / size:.2f} and kept {found['kept_mb'] / size:.2f} of it", end=""
    )
    print(flush=True)


def loaded(model: Path) -> dict[str, float]:
    """CPU seconds to load a model, and the megabytes at most and afterwards."""
    small = load(SMALL)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    before, start = status_mb("VmRSS"), time.process_time()
    large = load(model)
    cpu = time.process_time() - start
    peak = status_mb("VmHWM") - before
    gc.collect()
    kept = status_mb("VmRSS") - before
    del small, large
    return {"cpu_s": cpu, "peak_mb": peak, "kept_mb": kept}


def status_mb(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def boosted(folder: Path) -> None:
    """GBT; onnxruntime computes in single precision, in one thread."""
    model, rng = load(folder), np.random.default_rng(1)
    name = model.signature.inputs[0].name
    session = onnx_session(model.stage)  # type: ignore[attr-defined]
    for rows in (1, 100, 10_000):
        x = rng.normal(size=(rows, FEATURES))
        calls: dict[str, Callable[[], object]] = {
            "ours": partial(model.evaluate, Columns({name: Dense(x)}))
        }
        if session is not None:
            calls["onnxruntime"] = partial(onnx_run, session, x)
        show(f"GBT, {rows} rows", measured(calls))


def word_vectors(folder: Path) -> None:
    """10,000 rows at once, and as batches of 100."""
    model, rng = load(folder), np.random.default_rng(1)
    words = [f"word{at}" for at in rng.integers(0, 100_000, 10_000 * WORDS_A_ROW).tolist()]

    def batch(first: int, end: int) -> Columns:
        offsets = np.arange(0, (end - first) * WORDS_A_ROW + 1, WORDS_A_ROW)
        return Columns(
            {"in": Ragged(offsets, Strings(words[first * WORDS_A_ROW : end * WORDS_A_ROW]))}
        )

    whole = batch(0, 10_000)
    parts = [batch(at, at + 100) for at in range(0, 10_000, 100)]
    calls: dict[str, Callable[[], object]] = {
        "at once": partial(model.evaluate, whole),
        "by 100": lambda: [model.evaluate(part) for part in parts],
    }
    show("Word2Vec, 10,000 rows", measured(calls))


def measured(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """CPU seconds a call, the least of rounds in which the calls take turns."""
    least = dict.fromkeys(calls, float("inf"))
    repeats = {}
    for name, call in calls.items():
        start = time.perf_counter()
        call()
        repeats[name] = max(1, int(0.05 / (time.perf_counter() - start)))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.process_time()
            for _ in range(repeats[name]):
                call()
            least[name] = min(least[name], (time.process_time() - start) / repeats[name])
    return least


def show(what: str, seconds: Mapping[str, float]) -> None:
    (first, ours), *others = seconds.items()
    print(f"{what}: {first} {ours * 1e3:.3f} ms", end="")
    for name, value in others:
        print(f"; {name} {value * 1e3:.3f} ms, {first} / it {ours / value:.3g}", end="")
    print(flush=True)


def onnx_run(session: Any, x: Array) -> object:
    return session.run(None, {"x": x.astype(np.float32)})


def onnx_session(model: Any) -> Any:
    """The weighted sum of the trees of GBT for onnxruntime; None if it is not installed."""
    try:
        import onnxruntime
        from onnx import TensorProto, helper
    except ImportError:
        return None
    forest, numbers = model.forest, np.arange(len(model.forest.right_child))
    child = forest.right_child.astype(np.int64)
    leaves = child == numbers
    tree = np.zeros(len(child), dtype=np.int64)
    level = np.arange(forest.trees)
    tree[level] = level
    while len(level := level[~leaves[level]]):
        for below in (child[level], child[level] + 1):
            tree[below] = tree[level]
        level = np.concatenate((child[level], child[level] + 1))
    order, ends = np.argsort(tree, kind="stable"), np.flatnonzero(leaves)
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        nodes_treeids=tree[order].tolist(),
        nodes_nodeids=numbers[order].tolist(),
        nodes_featureids=forest.splits.used_features[forest.input_index][order].tolist(),
        nodes_values=np.where(leaves, 0.0, forest.threshold)[order].tolist(),
        nodes_modes=np.where(leaves, "LEAF", "BRANCH_LEQ")[order].tolist(),
        nodes_truenodeids=np.where(leaves, 0, child + 1)[order].tolist(),
        nodes_falsenodeids=np.where(leaves, 0, child)[order].tolist(),
        target_treeids=tree[ends].tolist(),
        target_nodeids=numbers[ends].tolist(),
        target_ids=[0] * len(ends),
        target_weights=forest.prediction[ends].tolist(),
        n_targets=1,
    )
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, FEATURES])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])]
    graph = helper.make_graph([node], "gbt", inputs, outputs)
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 2)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # others would spin, which counts as CPU time
    return onnxruntime.InferenceSession(made.SerializeToString(), options)


if __name__ == "__main__":
    main()
