"""The committed models of iris answer as well as their README says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from frames import answers, columns_of
from sklearn.datasets import load_iris

from hydro_runtimes.load import describe, load

MODELS = Path(__file__).resolve().parents[3] / "models"
DATA = load_iris(as_frame=True)
FRAME = DATA.data.rename(columns=lambda name: name.removesuffix(" (cm)").replace(" ", "_"))


@pytest.mark.parametrize(
    "name",
    [
        "boosters/iris_xgboost",
        "boosters/iris_lightgbm",
        "boosters/iris_catboost",
        "onnx/iris_onnx",
    ],
)
def test_they_know_the_flowers(name: str) -> None:
    loaded = load(MODELS / name)
    assert describe(MODELS / name).signature == loaded.signature
    last = answers(loaded, columns_of(FRAME, loaded)).popitem()[1]
    assert np.mean(last.argmax(axis=1) == DATA.target) > 0.96
