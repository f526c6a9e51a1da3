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


@pytest.mark.parametrize("name", ["iris_xgboost", "iris_lightgbm", "iris_catboost"])
def test_boosted_trees_know_the_flowers(name: str) -> None:
    loaded = load(MODELS / "boosters" / name)
    assert describe(MODELS / "boosters" / name).signature == loaded.signature
    last = answers(loaded, columns_of(FRAME, loaded)).popitem()[1]
    assert np.mean(last.argmax(axis=1) == DATA.target) > 0.96
