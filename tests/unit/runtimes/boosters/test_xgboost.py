"""XGBoost's files give XGBoost's own answers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from frames import answers, assert_own_answers, columns_of

from hydro_runtimes.columns import Columns, DataType, Dense, Sparse, Strings
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.load import describe, load

ROWS = 60
RANDOM = np.random.default_rng(3)
FRAME = pd.DataFrame(
    {
        "age": RANDOM.integers(18, 80, ROWS),
        "income": np.where(RANDOM.random(ROWS) < 0.2, np.nan, RANDOM.normal(5e4, 1e4, ROWS)),
        "city": pd.Categorical(RANDOM.choice(["Paris", "Rome", "New York"], ROWS)),
        "zone": pd.Categorical(RANDOM.choice([10, 20], ROWS)),
        "member": RANDOM.random(ROWS) > 0.5,
    }
)
FRAME.loc[3, "city"] = np.nan
NUMBERS = FRAME[["age", "income", "member"]]
BINARY = (FRAME.age > 45).to_numpy().astype(int)
CLASSES = BINARY + FRAME.member.to_numpy()
SMALL = {"n_estimators": 6, "max_depth": 3, "n_jobs": 1}


def saved(model: Any, folder: Path, name: str = "model.ubj") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    model.save_model(folder / name)
    return folder


def matrix(frame: pd.DataFrame) -> Any:
    return xgboost.DMatrix(frame, enable_categorical=True)


@pytest.mark.parametrize("name", ["model.ubj", "model.json", "churn.json"])
@pytest.mark.parametrize("target", [BINARY, CLASSES, np.c_[BINARY, CLASSES > 1]])
def test_a_classifier_gives_classes_and_probabilities(
    tmp_path: Path, name: str, target: np.ndarray
) -> None:
    model = xgboost.XGBClassifier(**SMALL).fit(FRAME.drop(columns=["city", "zone"]), target)
    loaded = load(saved(model, tmp_path, name))
    assert_own_answers(
        loaded,
        columns_of(FRAME, loaded),
        {"prediction": model.predict(NUMBERS), "probability": model.predict_proba(NUMBERS)},
    )
    assert describe(tmp_path).signature == loaded.signature


@pytest.mark.parametrize("name", ["model.ubj", "model.json"])
def test_categories_are_texts_and_numbers_as_they_were_fitted(tmp_path: Path, name: str) -> None:
    model = xgboost.XGBClassifier(**SMALL, enable_categorical=True, max_cat_to_onehot=1)
    model.fit(FRAME, CLASSES)
    loaded = load(saved(model, tmp_path, name))
    types = {field.name: field.type for field in loaded.signature.inputs}
    assert (types["city"], types["zone"]) == (DataType.STRING, DataType.INT64)
    assert_own_answers(
        loaded,
        columns_of(FRAME, loaded),
        {"prediction": model.predict(FRAME), "probability": model.predict_proba(FRAME)},
    )


def test_an_unknown_category_fails_its_row_alone(tmp_path: Path) -> None:
    """As XGBoost refuses it."""
    model = xgboost.XGBRegressor(**SMALL, enable_categorical=True).fit(FRAME, CLASSES)
    loaded = load(saved(model, tmp_path))
    columns = columns_of(FRAME.head(3), loaded)
    odd = columns.plus({"city": Strings(["Paris", "Oslo", ""], np.array([True, True, False]))})
    found = loaded.evaluate(odd)
    assert "column 'city' is 'Oslo', want one of" in found.failures[1].message
    want = FRAME.head(3).assign(city=pd.Categorical(["Paris", None, None], ["Paris"]))
    got = found.outputs["prediction"].values  # type: ignore[union-attr]
    np.testing.assert_array_equal(got, model.predict(want)[[0, 2]])


def test_categories_that_were_not_saved_whole_have_to_be_stated(tmp_path: Path) -> None:
    names = ["Köln", "Paris", "東京"]
    frame = FRAME.assign(city=pd.Categorical(RANDOM.choice(names, ROWS), names))
    model = xgboost.XGBRegressor(**SMALL, enable_categorical=True, max_cat_to_onehot=1)
    model.fit(frame, frame.city.cat.codes)
    saved(model, tmp_path)
    data = json.loads(model.get_booster().save_raw("json"))
    if tuple(data["version"]) < (3, 4, 1):
        with pytest.raises(InvalidModel, match="did not save the categories of 'city' whole"):
            describe(tmp_path)
    kinds = {"city": "string", "zone": "int64", "member": "bool"}
    inputs = [{"name": name, "type": kinds.get(name, "float64")} for name in frame]
    inputs[2]["nominal"] = names
    (tmp_path / "metadata.json").write_text(json.dumps({"inputs": inputs}))
    loaded = load(tmp_path)
    want = {"prediction": model.predict(frame)}
    assert_own_answers(loaded, columns_of(frame, loaded), want)


OBJECTIVES: list[dict[str, Any]] = [
    {"objective": "reg:squarederror"},
    {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]},
    {"objective": "binary:logistic"},
    {"objective": "binary:logitraw"},
    {"objective": "binary:hinge"},
    {"objective": "multi:softmax", "num_class": 3},
    {"objective": "multi:softprob", "num_class": 3},
    {"objective": "survival:cox"},
    {"objective": "count:poisson"},
    {"booster": "dart", "rate_drop": 0.5},
    {"booster": "gblinear"},
]


@pytest.mark.parametrize("options", OBJECTIVES, ids=json.dumps)
def test_a_booster_answers_as_its_predict(tmp_path: Path, options: dict[str, Any]) -> None:
    target = CLASSES if "num_class" in options else BINARY
    booster = xgboost.train({**options, "nthread": 1}, xgboost.DMatrix(NUMBERS, target), 5)
    loaded = load(saved(booster, tmp_path))
    want = booster.predict(xgboost.DMatrix(NUMBERS))
    assert_own_answers(loaded, columns_of(NUMBERS, loaded), {"prediction": want})


def test_a_ranker_scores(tmp_path: Path) -> None:
    model = xgboost.XGBRanker(**SMALL).fit(NUMBERS, CLASSES, qid=np.arange(ROWS) // 10)
    loaded = load(saved(model, tmp_path))
    assert_own_answers(loaded, columns_of(NUMBERS, loaded), {"prediction": model.predict(NUMBERS)})


def test_early_stopping_answers_by_the_best_iteration(tmp_path: Path) -> None:
    noise = RANDOM.normal(size=ROWS)
    model = xgboost.XGBRegressor(n_estimators=60, n_jobs=1, early_stopping_rounds=3)
    model.fit(NUMBERS, noise, eval_set=[(NUMBERS, noise[::-1])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    loaded = load(saved(model, tmp_path))
    assert_own_answers(loaded, columns_of(NUMBERS, loaded), {"prediction": model.predict(NUMBERS)})


def test_without_names_all_features_are_one_vector(tmp_path: Path) -> None:
    values = NUMBERS.to_numpy(np.float64)
    model = xgboost.XGBRegressor(**SMALL).fit(values, CLASSES)
    loaded = load(saved(model, tmp_path))
    assert [(f.name, f.shape) for f in loaded.signature.inputs] == [("features", (3,))]
    assert_own_answers(
        loaded, Columns({"features": Dense(values)}), {"prediction": model.predict(values)}
    )
    sparse = Sparse(3, np.array([0, 1]), np.array([0], np.int32), np.array([50.0]))
    got = answers(loaded, Columns({"features": sparse}))["prediction"]
    np.testing.assert_array_equal(got, model.predict(np.array([[50.0, 0, 0]])))


def test_metadata_names_the_features_of_a_vector(tmp_path: Path) -> None:
    values = NUMBERS.to_numpy(np.float64)
    model = xgboost.XGBRegressor(**SMALL).fit(values, CLASSES)
    inputs = [{"name": name, "type": "float64"} for name in NUMBERS]
    text = json.dumps({"inputs": inputs})
    saved(model, tmp_path)
    (tmp_path / "metadata.json").write_text(text)
    loaded = load(tmp_path)
    assert_own_answers(loaded, columns_of(NUMBERS, loaded), {"prediction": model.predict(values)})
    (tmp_path / "metadata.json").write_text(
        text.replace('{"name": "age", "type": "float64"}, ', "")
    )
    with pytest.raises(InvalidModel, match="has 2 features, the model has 3"):
        load(tmp_path)


def test_metadata_names_the_outputs(tmp_path: Path) -> None:
    """Where two stages of a chain would answer by the same name."""
    model = xgboost.XGBClassifier(**SMALL).fit(NUMBERS, BINARY)
    saved(model, tmp_path)
    outputs: list[dict[str, Any]] = [{"name": "churns", "type": "int64"}]
    (tmp_path / "metadata.json").write_text(json.dumps({"outputs": outputs}))
    loaded = load(tmp_path)
    assert_own_answers(loaded, columns_of(NUMBERS, loaded), {"churns": model.predict(NUMBERS)})
    outputs.append({"name": "score", "type": "float64", "shape": [2]})
    (tmp_path / "metadata.json").write_text(json.dumps({"outputs": outputs}))
    wide = answers(load(tmp_path), columns_of(NUMBERS, loaded))["score"]
    np.testing.assert_array_equal(wide, model.predict_proba(NUMBERS).astype(np.float64))
    outputs[1]["type"] = "int64"
    (tmp_path / "metadata.json").write_text(json.dumps({"outputs": outputs}))
    with pytest.raises(InvalidModel, match=r"other outputs .* probability \(float32, \[2\]\)"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["model.ubj", "model.json"])
def test_a_file_that_is_not_whole_is_refused(tmp_path: Path, name: str) -> None:
    path = saved(xgboost.XGBRegressor(**SMALL).fit(NUMBERS, CLASSES), tmp_path, name) / name
    data = path.read_bytes()
    for size in (200, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(InvalidModel, match="is not whole"):
            describe(tmp_path)


def test_one_thread_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    model = xgboost.XGBRegressor(n_estimators=3, n_jobs=4).fit(NUMBERS, CLASSES)
    loaded: Any = load(saved(model, tmp_path))
    config = json.loads(loaded.predict._booster.save_config())
    assert config["learner"]["generic_param"]["nthread"] == "1"
    before = len(os.listdir("/proc/self/task"))
    loaded.evaluate(columns_of(NUMBERS, loaded))
    assert len(os.listdir("/proc/self/task")) <= before
