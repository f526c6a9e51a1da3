"""What hydro_models saves in the files of their libraries is served without trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from frames import assert_own_answers, columns_of
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hydro_models
from hydro_runtimes.columns import DataType
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.load import describe, load

ROWS = 60
RANDOM = np.random.default_rng(8)
FRAME = pd.DataFrame(
    {
        "age": RANDOM.integers(18, 80, ROWS),
        "income": np.where(RANDOM.random(ROWS) < 0.2, np.nan, RANDOM.normal(5e4, 1e4, ROWS)),
        "city": pd.Categorical(RANDOM.choice(["Paris", "Köln", "東京"], ROWS)),
        "member": RANDOM.random(ROWS) > 0.5,
    }
)
NUMBERS = FRAME[["age", "income"]]
TARGET = (FRAME.age > 45).to_numpy().astype(int) + FRAME.member.to_numpy()
BINARY = (TARGET > 0).astype(int)
SMALL: dict[str, Any] = {"n_estimators": 6, "max_depth": 3, "n_jobs": 1}
QUIET: dict[str, Any] = {"iterations": 6, "verbose": 0, "allow_writing_files": False}


def boosters() -> list[Any]:
    categorical = {"enable_categorical": True, "max_cat_to_onehot": 1}
    matrix = xgboost.DMatrix(FRAME, BINARY, enable_categorical=True)
    light = {"verbosity": -1, "min_data_in_leaf": 3, "num_threads": 1}
    return [
        pytest.param(
            xgboost.XGBClassifier(**SMALL, **categorical).fit(FRAME, TARGET),
            "xgboost",
            FRAME,
            id="XGBClassifier",
        ),
        pytest.param(
            xgboost.XGBRFRegressor(**SMALL, **categorical).fit(FRAME, TARGET),
            "xgboost",
            FRAME,
            id="XGBRFRegressor",
        ),
        pytest.param(
            xgboost.train({"objective": "binary:logistic"}, matrix, 5),
            "xgboost",
            FRAME,
            id="xgboost.Booster",
        ),
        pytest.param(
            lightgbm.train(light | {"objective": "binary"}, lightgbm.Dataset(FRAME, BINARY), 5),
            "lightgbm",
            FRAME,
            id="lightgbm.Booster",
        ),
        pytest.param(
            catboost.CatBoostClassifier(**QUIET).fit(NUMBERS, np.array(["a", "b", "c"])[TARGET]),
            "catboost",
            NUMBERS,
            id="CatBoostClassifier",
        ),
        pytest.param(
            catboost.CatBoostRegressor(**QUIET, cat_features=["city"]).fit(FRAME, TARGET),
            "catboost",
            FRAME,
            id="CatBoostRegressor",
        ),
    ]


def own_answers(model: Any, frame: pd.DataFrame) -> dict[str, Any]:
    if type(model).__name__ == "Booster" and type(model).__module__.startswith("xgboost"):
        return {"prediction": model.predict(xgboost.DMatrix(frame, enable_categorical=True))}
    answers = {"prediction": model.predict(frame)}
    if hasattr(model, "predict_proba"):
        answers["probability"] = model.predict_proba(frame)
    return answers


@pytest.mark.parametrize(("model", "kind", "frame"), boosters())
def test_boosters(tmp_path: Path, model: Any, kind: str, frame: pd.DataFrame) -> None:
    saved = hydro_models.save(model, tmp_path / "churn", example=frame.head(20))
    assert saved.metadata.kind == kind
    loaded = load(tmp_path / "churn")
    assert_own_answers(
        loaded, columns_of(frame, loaded), lambda rows: own_answers(model, frame[rows])
    )
    assert describe(tmp_path / "churn").signature == loaded.signature
    types = {field.name: field.type for field in loaded.signature.inputs}
    assert types["age"] is DataType.INT64


def test_an_onnx_model_of_an_arrays_columns(tmp_path: Path) -> None:
    values = NUMBERS.fillna(0).to_numpy(np.float32)
    model = make_pipeline(StandardScaler(), RandomForestClassifier(5, max_depth=3, random_state=0))
    converted = to_onnx(model.fit(values, TARGET), values[:1])
    frame = pd.DataFrame(values, columns=["age", "income"])
    hydro_models.save(converted, tmp_path, example=frame.head(10))
    loaded = load(tmp_path)
    assert [f.name for f in loaded.signature.outputs] == ["output_label", "output_probability"]
    found = loaded.evaluate(columns_of(frame, loaded)).outputs["output_label"]
    np.testing.assert_array_equal(found.values, model.predict(values))  # type: ignore[union-attr]


def test_what_the_file_does_not_tell_is_pickled(tmp_path: Path) -> None:
    """XGBoost's file does not say which number is missing."""
    model = xgboost.XGBRegressor(**SMALL, missing=-1.0).fit(NUMBERS.fillna(-1), TARGET)
    saved = hydro_models.save(model, tmp_path, example=NUMBERS.fillna(-1).head())
    assert saved.metadata.kind == "scikit"


def test_a_file_of_another_model_does_not_answer_the_proof(tmp_path: Path) -> None:
    first, second = (
        xgboost.XGBRegressor(**SMALL).fit(NUMBERS, target) for target in (TARGET, -TARGET)
    )
    hydro_models.save(first, tmp_path, example=NUMBERS.head())
    second.save_model(tmp_path / "model.ubj")
    with pytest.raises(InvalidModel, match="does not answer as when it was saved"):
        load(tmp_path)
