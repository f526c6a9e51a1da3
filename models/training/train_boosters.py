"""Trains one small model of each library of boosted trees: the iris flower's species.

    python models/training/train_boosters.py

Needs the project itself with its extras `catboost`, `lightgbm`, `scikit` and `xgboost`.
"""

from __future__ import annotations

import logging
import pathlib
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import xgboost
from sklearn.datasets import load_iris
from sklearn.model_selection import StratifiedKFold, cross_val_score

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "boosters"
SEED = 7
TREES = 20

logger = logging.getLogger("train_boosters")


def main() -> None:
    """Trains, saves, and says how good the models are."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    data = load_iris(as_frame=True)
    names = [name.removesuffix(" (cm)").replace(" ", "_") for name in data.feature_names]
    frame = data.data.set_axis(names, axis="columns")
    common: dict[str, Any] = {"n_estimators": TREES, "max_depth": 3, "random_state": SEED}
    gradient = xgboost.XGBClassifier(**common, n_jobs=1)
    light = lightgbm.LGBMClassifier(**common, n_jobs=1, verbose=-1)
    cat = catboost.CatBoostClassifier(
        **common, learning_rate=0.3, thread_count=1, verbose=0, allow_writing_files=False
    )
    species = data.target_names[data.target].astype(object)
    for model, target, name, file in (
        (gradient, data.target, "iris_xgboost", "model.ubj"),
        (light, data.target, "iris_lightgbm", "model.txt"),
        (cat, species, "iris_catboost", "model.cbm"),
    ):
        tell(name, model, frame, target)
        (FOLDER / name).mkdir(parents=True, exist_ok=True)
        model.fit(frame, target)
        saved = model.booster_ if name == "iris_lightgbm" else model
        saved.save_model(str(FOLDER / name / file))
        logger.info("saved %s", FOLDER / name / file)


def tell(name: str, model: Any, frame: pd.DataFrame, target: Any) -> None:
    """Says how often the model is right on flowers that it has not seen."""
    folds = StratifiedKFold(5, shuffle=True, random_state=SEED)
    accuracy = cross_val_score(model, frame, target, cv=folds)
    logger.info("%s: accuracy over 5 folds %.3f", name, np.mean(accuracy))


if __name__ == "__main__":
    main()
