"""LightGBM's texts give LightGBM's own answers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from frames import assert_own_answers, columns_of

from hydro_runtimes.columns import Columns, DataType, Dense
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.load import describe, load

ROWS = 120
RANDOM = np.random.default_rng(4)
FRAME = pd.DataFrame(
    {
        "age": RANDOM.integers(18, 80, ROWS),
        "city": pd.Categorical(RANDOM.choice(["Paris", "Köln", "東京"], ROWS)),
        "income": np.where(RANDOM.random(ROWS) < 0.2, np.nan, RANDOM.normal(5e4, 1e4, ROWS)),
        "member": RANDOM.random(ROWS) > 0.5,
        "zone": pd.Categorical(RANDOM.choice([10, 20, 30], ROWS)),
    }
)
FRAME.loc[3, "city"] = np.nan
BINARY = (FRAME.age > 45).to_numpy().astype(int) ^ (FRAME.city == "Paris").to_numpy()
CLASSES = BINARY + FRAME.member.to_numpy()
SMALL: dict[str, Any] = {"num_threads": 1, "verbosity": -1, "min_data_in_leaf": 3}


def trained(folder: Path, frame: Any, target: Any, name: str = "model.txt", **options: Any) -> Any:
    data = lightgbm.Dataset(frame, target, group=options.pop("group", None))
    booster = lightgbm.train(SMALL | options, data, 8)
    booster.save_model(folder / name)
    return booster


OBJECTIVES: list[dict[str, Any]] = [
    {"objective": "regression"},
    {"objective": "binary"},
    {"objective": "multiclass", "num_class": 3},
    {"objective": "multiclassova", "num_class": 3},
    {"objective": "lambdarank", "group": [ROWS // 4] * 4},
    {"objective": "poisson"},
    {"objective": "binary", "boosting": "dart"},
    {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    {"objective": "regression", "linear_tree": True},
]


@pytest.mark.parametrize("options", OBJECTIVES, ids=json.dumps)
def test_the_answers_are_those_of_predict(tmp_path: Path, options: dict[str, Any]) -> None:
    target = CLASSES if "num_class" in options else BINARY
    booster = trained(tmp_path, FRAME, target, **options)
    loaded = load(tmp_path)
    want = {"prediction": booster.predict(FRAME, num_threads=1)}
    assert_own_answers(loaded, columns_of(FRAME, loaded), want)
    assert describe(tmp_path).signature == loaded.signature


def test_categories_are_as_they_were_fitted_and_unknown_ones_missing(tmp_path: Path) -> None:
    booster = trained(tmp_path, FRAME, BINARY, objective="binary", name="churn.txt")
    loaded = load(tmp_path)
    types = {field.name: field.type for field in loaded.signature.inputs}
    assert (types["city"], types["zone"]) == (DataType.STRING, DataType.INT64)
    odd = FRAME.assign(city=pd.Categorical(RANDOM.choice(["東京", "Oslo"], ROWS)))
    want = {"prediction": booster.predict(odd, num_threads=1)}
    assert_own_answers(loaded, columns_of(odd, loaded), want)


def test_a_category_that_no_tree_splits_on_keeps_its_place(tmp_path: Path) -> None:
    frame = FRAME.assign(constant=pd.Categorical(["x"] * ROWS))[["constant", "age", "zone"]]
    booster = trained(tmp_path, frame, BINARY, objective="binary")
    loaded = load(tmp_path)
    want = {"prediction": booster.predict(frame, num_threads=1)}
    assert_own_answers(loaded, columns_of(frame, loaded), want)


def test_an_estimator_of_scikit_learns_kind(tmp_path: Path) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=60, n_jobs=1, verbose=-1)
    noise = RANDOM.integers(0, 2, ROWS)
    stop = lightgbm.early_stopping(2, verbose=False)
    model.fit(FRAME, BINARY, eval_X=FRAME, eval_y=noise, callbacks=[stop])
    model.booster_.save_model(tmp_path / "model.txt")
    loaded = load(tmp_path)
    want = {"prediction": np.asarray(model.predict_proba(FRAME))[:, 1]}
    assert_own_answers(loaded, columns_of(FRAME, loaded), want)


def test_without_names_all_features_are_one_vector(tmp_path: Path) -> None:
    values = FRAME[["age", "income"]].to_numpy(np.float64)
    booster = trained(tmp_path, values, BINARY, objective="binary")
    loaded = load(tmp_path)
    assert [(f.name, f.shape) for f in loaded.signature.inputs] == [("features", (2,))]
    want = {"prediction": booster.predict(values, num_threads=1)}
    assert_own_answers(loaded, Columns({"features": Dense(values)}), want)


def test_other_texts_beside_are_not_models(tmp_path: Path) -> None:
    trained(tmp_path, FRAME, BINARY, objective="binary")
    (tmp_path / "requirements.txt").write_text("lightgbm\n")
    assert load(tmp_path)
    trained(tmp_path, FRAME, BINARY, objective="binary", name="second.txt")
    with pytest.raises(InvalidModel, match=r"found model\.txt, second\.txt, want one text"):
        load(tmp_path)


def test_a_text_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    trained(tmp_path, FRAME, BINARY, objective="binary")
    path = tmp_path / "model.txt"
    data = path.read_bytes()
    for size in (30, len(data) // 4):
        path.write_bytes(data[:size])
        with pytest.raises(InvalidModel, match="is not whole"):
            describe(tmp_path)


def test_one_thread_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    trained(tmp_path, FRAME, BINARY, objective="binary")
    loaded = load(tmp_path)
    before = len(os.listdir("/proc/self/task"))
    loaded.evaluate(columns_of(FRAME, loaded))
    assert len(os.listdir("/proc/self/task")) <= before
