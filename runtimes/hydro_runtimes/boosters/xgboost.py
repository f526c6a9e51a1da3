"""The loader of XGBoost's models, in its JSON and Universal Binary JSON.

A file that XGBClassifier saved is evaluated as one, with `prediction` and `probability`; one of
XGBRegressor or XGBRanker as those, which use the best iteration of early stopping; all others as
`Booster.predict` does, with all trees.

Source: xgboost 3.2, doc/tutorials/saving_model.rst, python-package/xgboost/{core,sklearn}.py.
Prediction is safe in many threads where the booster has trees (doc/prediction.rst); of "gblinear"
one call at a time is made.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from hydro_models.threads import thread_count
from hydro_models.xgboost import read
from hydro_runtimes import fitted
from hydro_runtimes.boosters import ubjson
from hydro_runtimes.boosters.evaluator import (
    PREDICTION,
    PROBABILITY,
    BoosterFile,
    describe_booster,
    make_evaluator,
    read_booster,
    width_field,
)
from hydro_runtimes.boosters.features import Features, category_type, unnamed_features
from hydro_runtimes.columns import Array, Columns, DataType
from hydro_runtimes.evaluator import Description, Evaluator, Field
from hydro_runtimes.model_folder import ModelFolder

_COUNTS_BYTES = (3, 4, 1)
"""The version since which names of categories that are not ASCII are whole; before it the offsets
counted characters, and the last bytes were cut: https://github.com/dmlc/xgboost/pull/12371."""
_TYPES = {
    "int": DataType.INT64,
    "i": DataType.BOOL,
    "float": DataType.FLOAT64,
    "q": DataType.FLOAT64,
    "c": DataType.INT64,
}
"""By the type of a feature in the file; "c" is a category, of which older files have no names."""


def describe(folder: ModelFolder) -> Description:
    """As `model_formats.Loader.describe`."""
    return describe_booster(folder, "xgboost", parse_file)


def load(folder: ModelFolder) -> Evaluator:
    """As `model_formats.Loader.load`."""
    if saved := fitted.load_native(folder, "xgboost"):
        return saved
    path, file = read_booster(folder, "xgboost", parse_file)
    return make_evaluator(path, file, _XgboostPredictor(path, file.features))


def parse_file(data: bytes) -> BoosterFile:
    """What a model's file tells.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: it is not whole.
    """
    # Both begin with "{"; only in JSON a name's quotation mark follows, or space.
    is_json = data[1:2] in b'" \t\r\n'
    document = orjson.loads(data) if is_json else ubjson.parse(data)
    learner = document["learner"]
    features = _read_features(learner, tuple(document["version"]) >= _COUNTS_BYTES)
    return BoosterFile(features, _read_outputs(learner))


def _read_features(learner: Mapping[str, Any], counts_bytes: bool) -> Features:
    size = int(learner["learner_model_param"]["num_feature"])
    names, types = learner.get("feature_names", ()), learner.get("feature_types", ())
    if not names:
        return unnamed_features(size)
    if len(names) != size or len(set(names)) != size or len(types) not in (0, size):
        raise ValueError(f"has {len(names)} names and {len(types)} types of {size} features")
    types = types or ("float",) * size
    encoded = _find_categories(learner["gradient_booster"])
    categories = {
        name: _read_categories(encoded[at], counts_bytes)
        for at, name in enumerate(names)
        if at in encoded
    }
    fields = (
        Field(
            name,
            category_type(categories[name]) if name in categories else _TYPES[kind],
            nullable=True,
        )
        for name, kind in zip(names, types, strict=True)
    )
    return Features(tuple(fields), categories, takes_unknown=False)


def _find_categories(booster: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """By index of the feature: its categories, as they are encoded; those of numbers have none."""
    model = booster.get("model") or booster.get("gbtree", {}).get("model", {})
    listed = model.get("cats", {}).get("enc", ())
    return {at: each for at, each in enumerate(listed) if len(each.get("values", ()))}


def _read_categories(encoded: Mapping[str, Any], counts_bytes: bool) -> tuple[Any, ...]:
    """Of texts the values are the bytes of UTF-8, and the offsets tell where one begins."""
    values = np.asarray(encoded["values"])
    if "offsets" not in encoded:
        return tuple(values.tolist())
    text, offsets = values.astype(np.uint8).tobytes(), np.asarray(encoded["offsets"]).tolist()
    if not (counts_bytes or text.isascii()):
        return (None,) * (len(offsets) - 1)
    return tuple(text[begin:end].decode() for begin, end in pairwise(offsets))


def _kind(learner: Mapping[str, Any]) -> str:
    """What scikit-learn's estimators state of themselves: classifier, regressor, ranker or ""."""
    stated = json.loads(learner.get("attributes", {}).get("scikit_learn", "{}"))
    return str(stated.get("_estimator_type", ""))


def _read_outputs(learner: Mapping[str, Any]) -> tuple[Field, ...]:
    parameters, objective = learner["learner_model_param"], learner["objective"]["name"]
    classes, targets = int(parameters["num_class"]), int(parameters.get("num_target", 1))
    if _kind(learner) != "classifier":
        width = targets if objective == "multi:softmax" else max(classes, targets)
        return (width_field(PREDICTION, DataType.FLOAT32, width),)
    if targets > 1:
        label = width_field(PREDICTION, DataType.FLOAT64, targets)
        return label, width_field(PROBABILITY, DataType.FLOAT32, targets)
    kind = DataType.INT32 if objective == "multi:softmax" else DataType.INT64
    return Field(PREDICTION, kind), width_field(PROBABILITY, DataType.FLOAT32, max(classes, 2))


class _XgboostPredictor:
    """Makes the matrix and asks the booster, or the estimator of scikit-learn's kind."""

    def __init__(self, path: Path, features: Features) -> None:
        self._features = features
        model = read(path)
        self._estimator: Any = model if hasattr(model, "get_booster") else None
        self._booster: Any = model if self._estimator is None else model.get_booster()
        # What is given has no names: the columns were put in their order by them.
        self._booster.feature_names = None
        config = json.loads(self._booster.save_config())
        self._kind = config["learner"]["gradient_booster"]["name"]
        is_safe = self._kind in ("gbtree", "dart")
        self._lock = contextlib.nullcontext() if is_safe else threading.Lock()

    def __call__(self, columns: Columns) -> list[Any]:
        matrix = self._features.make_matrix(columns, np.float32)
        with self._lock:
            return self._predict(matrix)

    def _predict(self, matrix: Array) -> list[Any]:
        import xgboost

        if self._estimator is not None:
            methods = [
                getattr(self._estimator, name, None) for name in ("predict", "predict_proba")
            ]
            return [method(matrix) for method in methods if method]
        if self._kind == "gbtree":
            return [self._booster.inplace_predict(matrix)]
        # Of the others the answer differs in the last bit, or there is none.
        return [self._booster.predict(xgboost.DMatrix(matrix, nthread=thread_count()))]
