"""Trains the iris model: a support vector machine on scikit-learn's own copy of the data.

    python models/training/train_iris.py

Needs the project itself with its extra `scikit`.
"""

from __future__ import annotations

import logging
import pathlib
import warnings

import numpy as np
from sklearn.datasets import load_iris
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from hydro_models import save

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "scikit" / "iris"
SEED = 7

logger = logging.getLogger("train_iris")


def main() -> None:
    """Trains, saves, and says how good the model is."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    data = load_iris()
    names = [name.removesuffix(" (cm)").replace(" ", "_") for name in data.feature_names]
    species = data.target_names[data.target].astype(object)
    folds = StratifiedKFold(5, shuffle=True, random_state=SEED)
    # scikit-learn would rather have CalibratedClassifierCV, whose parts skops does not trust.
    warnings.filterwarnings("ignore", message=".*probability", category=FutureWarning)
    model = make_pipeline(StandardScaler(), SVC(probability=True, random_state=SEED))
    accuracy = cross_val_score(model, data.data, species, cv=folds)
    logger.info("accuracy over 5 folds: %.3f (lowest %.3f)", np.mean(accuracy), np.min(accuracy))
    save(model.fit(data.data, species), FOLDER, data.data, inputs=names)
    logger.info("saved %s", FOLDER)


if __name__ == "__main__":
    main()
