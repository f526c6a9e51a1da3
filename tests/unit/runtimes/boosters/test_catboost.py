"""CatBoost's files give CatBoost's own answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pandas as pd
import pytest
from frames import assert_own_answers, columns_of

from hydro_runtimes.columns import Columns, DataType, Dense, Strings
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.load import describe, load

ROWS = 80
RANDOM = np.random.default_rng(5)
FRAME = pd.DataFrame(
    {
        "city": RANDOM.choice(["Paris", "Köln", "東京"], ROWS).astype(object),
        "age": RANDOM.integers(18, 80, ROWS).astype(float),
        "income": np.where(RANDOM.random(ROWS) < 0.2, np.nan, RANDOM.normal(5e4, 1e4, ROWS)),
        "zone": RANDOM.choice([10, 20], ROWS),
        "note": RANDOM.choice(["good film", "bad film", "no film at all"], ROWS).astype(object),
    }
)
NUMBERS = FRAME[["age", "income"]]
BINARY = (FRAME.age > 45).to_numpy().astype(int)
CLASSES = BINARY + (FRAME.city == "Paris").to_numpy()
SMALL: dict[str, Any] = {
    "iterations": 6,
    "depth": 3,
    "verbose": 0,
    "allow_writing_files": False,
    "thread_count": 1,
}


def fitted(kind: Any, folder: Path, frame: Any, target: Any, **options: Any) -> Any:
    group = options.pop("group_id", None)
    more = {"group_id": group} if group is not None else {}
    model = kind(**SMALL, **options).fit(frame, target, **more)
    model.save_model(str(folder / "model.cbm"))
    return model


@pytest.mark.parametrize(
    "target",
    [
        BINARY,
        CLASSES,
        BINARY.astype(bool),
        BINARY + 0.5,
        np.array(["no", "yes"])[BINARY],
        np.array(["null", "eins", "zwei"])[CLASSES],
    ],
    ids=["binary", "classes", "bool", "float", "texts", "three texts"],
)
def test_a_classifier_gives_classes_and_probabilities(tmp_path: Path, target: np.ndarray) -> None:
    model = fitted(catboost.CatBoostClassifier, tmp_path, NUMBERS, target)
    loaded = load(tmp_path)
    want = {"prediction": model.predict(NUMBERS), "probability": model.predict_proba(NUMBERS)}
    assert_own_answers(loaded, columns_of(NUMBERS, loaded), want)
    assert describe(tmp_path).signature == loaded.signature


@pytest.mark.parametrize("loss", ["MultiLogloss", "MultiCrossEntropy", "CrossEntropy"])
def test_several_targets(tmp_path: Path, loss: str) -> None:
    target = BINARY * 0.5 if loss == "CrossEntropy" else np.c_[BINARY, CLASSES > 1]
    model = fitted(catboost.CatBoostClassifier, tmp_path, NUMBERS, target, loss_function=loss)
    loaded = load(tmp_path)
    want = {"prediction": model.predict(NUMBERS), "probability": model.predict_proba(NUMBERS)}
    assert_own_answers(loaded, columns_of(NUMBERS, loaded), want)


LOSSES = ["RMSE", "MultiRMSE", "RMSEWithUncertainty", "Poisson", "MultiQuantile:alpha=0.1,0.5"]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_regressor(tmp_path: Path, loss: str) -> None:
    target = np.c_[BINARY, CLASSES] if loss == "MultiRMSE" else CLASSES
    model = fitted(catboost.CatBoostRegressor, tmp_path, NUMBERS, target, loss_function=loss)
    loaded = load(tmp_path)
    assert_own_answers(loaded, columns_of(NUMBERS, loaded), {"prediction": model.predict(NUMBERS)})


def test_a_ranker(tmp_path: Path) -> None:
    groups = np.arange(ROWS) // 10
    model = fitted(catboost.CatBoostRanker, tmp_path, NUMBERS, CLASSES, group_id=groups)
    loaded = load(tmp_path)
    assert_own_answers(loaded, columns_of(NUMBERS, loaded), {"prediction": model.predict(NUMBERS)})


def test_categories_and_texts(tmp_path: Path) -> None:
    model = fitted(
        catboost.CatBoostClassifier,
        tmp_path,
        FRAME,
        CLASSES,
        cat_features=["city", "zone"],
        text_features=["note"],
    )
    loaded = load(tmp_path)
    kinds = {field.name: field.type for field in loaded.signature.inputs}
    assert [name for name, kind in kinds.items() if kind is DataType.STRING] == [
        "city",
        "zone",
        "note",
    ]
    odd = FRAME.assign(city=RANDOM.choice(["Oslo", "Paris"], ROWS))
    for frame in (FRAME, odd):
        want = {"prediction": model.predict(frame), "probability": model.predict_proba(frame)}
        assert_own_answers(loaded, columns_of(frame, loaded), want)


def test_a_null_category_fails_its_row_alone(tmp_path: Path) -> None:
    """As CatBoost takes none."""
    frame = FRAME[["city", "age"]]
    fitted(catboost.CatBoostRegressor, tmp_path, frame, CLASSES, cat_features=["city"])
    loaded = load(tmp_path)
    columns = columns_of(frame.head(2), loaded)
    odd = columns.plus({"city": Strings(["Paris", ""], np.array([True, False]))})
    assert "column 'city' is null" in loaded.evaluate(odd).failures[1].message


def test_metadata_may_state_a_category_as_a_whole_number(tmp_path: Path) -> None:
    frame = FRAME[["zone", "age"]]
    model = fitted(catboost.CatBoostRegressor, tmp_path, frame, CLASSES, cat_features=["zone"])
    inputs = [{"name": "zone", "type": "int64"}, {"name": "age", "type": "float64"}]
    (tmp_path / "metadata.json").write_text(json.dumps({"inputs": inputs}))
    loaded = load(tmp_path)
    assert_own_answers(loaded, columns_of(frame, loaded), {"prediction": model.predict(frame)})


def test_without_names_all_features_are_one_vector(tmp_path: Path) -> None:
    values = NUMBERS.to_numpy()
    model = fitted(catboost.CatBoostRegressor, tmp_path, values, CLASSES)
    loaded = load(tmp_path)
    assert [(f.name, f.shape) for f in loaded.signature.inputs] == [("features", (2,))]
    want = {"prediction": model.predict(values)}
    assert_own_answers(loaded, Columns({"features": Dense(values)}), want)


def test_embeddings_are_refused(tmp_path: Path) -> None:
    pool = catboost.Pool(
        pd.DataFrame({"age": FRAME.age, "place": [[1.0, float(i % 3)] for i in range(ROWS)]}),
        BINARY,
        embedding_features=["place"],
    )
    model = catboost.CatBoostClassifier(**SMALL).fit(pool)
    model.save_model(str(tmp_path / "model.cbm"))
    with pytest.raises(InvalidModel, match="embedding features are not supported"):
        describe(tmp_path)


def test_a_file_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    fitted(catboost.CatBoostRegressor, tmp_path, NUMBERS, CLASSES)
    path = tmp_path / "model.cbm"
    data = path.read_bytes()
    for size in (6, 100, len(data) // 2, len(data) - 20):
        path.write_bytes(data[:size])
        with pytest.raises(InvalidModel, match="is not whole"):
            describe(tmp_path)


def test_one_thread_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    fitted(catboost.CatBoostRegressor, tmp_path, NUMBERS, CLASSES)
    loaded = load(tmp_path)
    asked: list[object] = []
    model = catboost.CatBoost
    predict = model._base_predict

    def noting(
        self: Any, pool: Any, kind: Any, start: Any, end: Any, threads: Any, *more: Any
    ) -> Any:
        asked.append(threads)
        return predict(self, pool, kind, start, end, threads, *more)

    monkeypatch.setattr(model, "_base_predict", noting)
    loaded.evaluate(columns_of(NUMBERS, loaded))
    assert set(asked) == {1}
