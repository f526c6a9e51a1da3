"""Trains a small model and converts it to ONNX: the iris flower's species by a random forest.

    python models/training/train_onnx.py

Needs the project itself with its extras `onnx` and `scikit`, and skl2onnx.
"""

from __future__ import annotations

import json
import logging
import pathlib

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "onnx" / "iris_onnx"
SEED = 7

logger = logging.getLogger("train_onnx")


def main() -> None:
    """Trains, saves, and says how good the model is."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    data = load_iris()
    names = [name.removesuffix(" (cm)").replace(" ", "_") for name in data.feature_names]
    values, species = data.data.astype(np.float32), data.target_names[data.target].astype(object)
    model = RandomForestClassifier(10, max_depth=3, random_state=SEED)
    folds = StratifiedKFold(5, shuffle=True, random_state=SEED)
    accuracy = cross_val_score(model, values, species, cv=folds)
    logger.info("accuracy over 5 folds %.3f", np.mean(accuracy))
    converted = to_onnx(model.fit(values, species), values[:1], target_opset=17)
    inputs = [{"name": name, "type": "float64"} for name in names]
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "model.onnx").write_bytes(converted.SerializeToString())
    (FOLDER / "metadata.json").write_text(json.dumps({"inputs": inputs}, indent=2) + "\n")
    logger.info("saved %s", FOLDER)


if __name__ == "__main__":
    main()
