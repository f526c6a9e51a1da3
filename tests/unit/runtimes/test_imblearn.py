"""Pipelines of imbalanced-learn, and boosters within pipelines, are saved as scikit-learn's are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from frames import assert_own_answers, columns_of
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline as make_imbalanced
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import hydro_models
from hydro_runtimes.files import digest_folder
from hydro_runtimes.load import load

pytestmark = pytest.mark.slow

ROWS = 60
RANDOM = np.random.default_rng(9)
FRAME = pd.DataFrame(
    {"age": RANDOM.integers(18, 80, ROWS), "city": RANDOM.choice(["Paris", "Köln"], ROWS)}
)
TARGET = (FRAME.age > 60).to_numpy().astype(int)


def prepared() -> Any:
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer((StandardScaler(), ["age"]), (encoder, ["city"]))
    return columns.set_output(transform="pandas")


MODELS = [
    pytest.param(
        make_imbalanced(prepared(), RandomOverSampler(random_state=0), LogisticRegression()),
        id="imblearn",
    ),
    pytest.param(
        make_pipeline(prepared(), xgboost.XGBClassifier(n_estimators=5, n_jobs=1)), id="xgboost"
    ),
    pytest.param(
        make_pipeline(prepared(), lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1)),
        id="lightgbm",
    ),
]


@pytest.mark.parametrize("pipeline", MODELS)
def test_a_pipeline_answers_as_in_its_own_process(tmp_path: Path, pipeline: Any) -> None:
    model = pipeline.fit(FRAME, TARGET)
    hydro_models.save(model, tmp_path, example=FRAME.head(20))
    loaded = load(tmp_path, {digest_folder(tmp_path)})

    def own(rows: slice) -> dict[str, Any]:
        some = FRAME[rows]
        return {"prediction": model.predict(some), "probability": model.predict_proba(some)}

    assert_own_answers(loaded, columns_of(FRAME, loaded), own)
