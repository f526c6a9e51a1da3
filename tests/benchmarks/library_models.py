"""Measures fitted models as runtimes evaluate them, beside the library's own call in one process.

    python tests/benchmarks/library_models.py
    python tests/benchmarks/library_models.py --only xgboost --json

Both answer the same rows: the evaluator from columns as a request brings them, the library from the
DataFrame or array that was made before. What a model's outputs are is asked of the library too.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import hydro_models
from hydro_models import answers, kinds
from hydro_runtimes.evaluator import Evaluator
from hydro_runtimes.files import digest_folder
from hydro_runtimes.load import load
from hydro_services.codecs import json_rows

ROWS = (1, 1000)
ROUNDS = 7
"""Each measures both sides, one after the other."""
ROUND_S = 0.15
Model = tuple[Any, Any, list[str]]
"""What is fitted, rows to answer, and the outputs."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--only", choices=sorted(MODELS), help="one kind of model")
    parser.add_argument("--json", action="store_true", help="a line of JSON a measurement")
    options = parser.parse_args()
    if not options.json:
        print(
            f"{'model':<28}{'rows':>6}{'library ms':>12}{'ours ms':>12}{'more ms':>10}{'more %':>9}"
        )
    for name in [options.only] if options.only else MODELS:
        for measured in measure(name):
            print(json.dumps(measured) if options.json else as_line(measured))


def as_line(measured: dict[str, Any]) -> str:
    name, rows, library, ours = measured.values()
    more = f"{ours - library:>10.3f}{100 * (ours / library - 1):>9.1f}"
    return f"{name:<28}{rows:>6}{library:>12.3f}{ours:>12.3f}{more}"


def measure(name: str) -> Iterator[dict[str, Any]]:
    """The milliseconds of a call, of the library and of the evaluator, for each number of rows."""
    model, rows, outputs = MODELS[name]()
    answerers = kinds.kind_of(model).load().answerers(model)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        hydro_models.save(model, folder, rows[:20], outputs=outputs)
        evaluator = load(folder, {digest_folder(folder)})
        for count in ROWS:
            given = rows[:count]
            columns = columns_of(evaluator, given)
            library, ours = side_by_side(
                partial(answers.evaluate, answerers, outputs, given, len(given)),
                partial(evaluator.evaluate, columns),
            )
            yield {"model": name, "rows": count, "library_ms": library, "ours_ms": ours}


def columns_of(evaluator: Evaluator, given: Any) -> Any:
    """As a JSON request brings them."""
    if isinstance(given, pd.DataFrame):
        rows = json.loads(given.to_json(orient="records"))
    elif isinstance(given, np.ndarray):
        names = [field.name for field in evaluator.signature.inputs]
        rows = [dict(zip(names, row, strict=True)) for row in given.tolist()]
    else:
        rows = [{evaluator.signature.inputs[0].name: value} for value in given]
    return json_rows.decode_rows(rows, evaluator.signature)[0]


def side_by_side(*calls: Callable[[], object]) -> list[float]:
    """The milliseconds of a call of each: of the rounds the median."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, times in zip(calls, taken, strict=True):
            call()
            gc.collect()
            start, count = time.perf_counter(), 0
            while (spent := time.perf_counter() - start) < ROUND_S:
                call()
                count += 1
            times.append(1000 * spent / count)
    return [statistics.median(times) for times in taken]


def numbers(columns: int = 10) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1200, columns))
    return x, (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(np.int64)


def customers() -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Numbers with gaps, whole numbers and texts, and whether each stays."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, 1200).astype(float),
            "income": rng.normal(50_000, 15_000, 1200).round(2),
            "visits": rng.integers(0, 30, 1200),
            "city": rng.choice(["Paris", "Köln", "New York"], 1200).astype(object),
            "plan": rng.choice(["basic", "pro"], 1200).astype(object),
        }
    )
    stays = np.where((frame.age > 45) ^ (frame.plan == "pro"), "stay", "churn")
    frame.loc[rng.random(1200) < 0.1, "age"] = np.nan
    return frame, stays


def logistic() -> Model:
    x, y = numbers()
    return LogisticRegression().fit(x, y), x, ["prediction", "probability"]


def linear() -> Model:
    x, _ = numbers(30)
    return LinearRegression().fit(x, x[:, :2]), x, ["prediction"]


def pipeline_on_frame() -> Model:
    frame, y = customers()
    gaps = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = ColumnTransformer(
        [
            ("numbers", gaps, ["age", "income", "visits"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["city", "plan"]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=500)).fit(frame, y)
    return model, frame, ["prediction", "probability"]


def forest() -> Model:
    x, y = numbers()
    return RandomForestClassifier(50, random_state=0).fit(x, y), x, ["prediction"]


def histogram_boosting_on_frame() -> Model:
    x, y = numbers()
    frame = pd.DataFrame(x, columns=[f"f{i}" for i in range(x.shape[1])])
    return HistGradientBoostingClassifier(max_iter=50).fit(frame, y), frame, ["prediction"]


def neighbors() -> Model:
    x, _ = numbers()
    return KNeighborsRegressor().fit(x, x[:, 0]), x, ["prediction"]


def texts() -> Model:
    words = ["good", "bad", "film", "plot", "acting", "loved", "awful", "terrible"]
    rng = np.random.default_rng(3)
    lines = [" ".join(rng.choice(words, 8)) for _ in range(1200)]
    y = [line.count("good") > line.count("bad") for line in lines]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(lines, y)
    return model, lines, ["prediction"]


def xgboost() -> Model:
    from xgboost import XGBClassifier

    x, y = numbers()
    return XGBClassifier(n_estimators=50, n_jobs=1).fit(x, y), x, ["probability"]


def lightgbm_on_frame() -> Model:
    from lightgbm import LGBMClassifier

    frame, y = customers()
    frame = frame.astype({"city": "category", "plan": "category"})
    model = LGBMClassifier(n_estimators=50, n_jobs=1, verbose=-1).fit(frame, y)
    return model, frame, ["probability"]


def catboost_on_frame() -> Model:
    from catboost import CatBoostClassifier

    frame, y = customers()
    model = CatBoostClassifier(50, verbose=False, thread_count=1, allow_writing_files=False)
    return model.fit(frame, y, cat_features=["city", "plan"]), frame, ["probability"]


MODELS: dict[str, Callable[[], Model]] = {
    made.__name__: made
    for made in (
        logistic,
        linear,
        pipeline_on_frame,
        forest,
        histogram_boosting_on_frame,
        neighbors,
        texts,
        xgboost,
        lightgbm_on_frame,
        catboost_on_frame,
    )
}

if __name__ == "__main__":
    main()
