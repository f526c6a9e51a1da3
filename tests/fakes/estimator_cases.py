"""Each estimator of scikit-learn, fitted on little data of a kind that it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_regressor
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators, get_tags

ROWS = 40
CLASSES: dict[str, type[Any]] = dict(all_estimators())
_random = np.random.default_rng(7)
NUMBERS = _random.random((ROWS, 4)).round(3) + 0.1
FRAME = pd.DataFrame({name: NUMBERS[:, i] for i, name in enumerate("abcd")})
LABELS = np.where(NUMBERS[:, 0] + NUMBERS[:, 1] > NUMBERS[:, 2] + NUMBERS[:, 3], "yes", "no")
TARGET = NUMBERS @ [1.0, 2.0, 0.5, 0.1]
PAIRS = np.c_[NUMBERS[:, 0] > 0.5, NUMBERS[:, 1] > 0.5].astype(int)
WORDS = ["good", "bad", "film", "plot", "great", "awful"]
TEXTS = [" ".join(_random.choice(WORDS, 3)) for _ in range(ROWS)]
OBJECTS = [{"n": float(i), "w": WORDS[i % 6]} for i in range(ROWS)]
LISTS = [sorted({WORDS[i % 6], WORDS[i % 4]}) for i in range(ROWS)]

_LR, _TREE = LogisticRegression(), DecisionTreeClassifier(max_depth=2)
_STEPS = [("s", StandardScaler()), ("m", LogisticRegression())]
ARGUMENTS: dict[str, dict[str, Any]] = {
    "ClassifierChain": {"estimator": _LR},
    "ColumnTransformer": {"transformers": [("s", StandardScaler(), [0, 1])]},
    "DummyClassifier": {"strategy": "prior"},
    "FeatureUnion": {"transformer_list": [("s", StandardScaler()), ("p", PCA(2))]},
    "FeatureHasher": {"n_features": 16},
    "FixedThresholdClassifier": {"estimator": _LR},
    "FrozenEstimator": {"estimator": LogisticRegression().fit(NUMBERS, LABELS)},
    "GaussianRandomProjection": {"n_components": 2},
    "GenericUnivariateSelect": {"mode": "k_best", "param": 2},
    "GridSearchCV": {"estimator": _LR, "param_grid": {"C": [0.1, 1.0]}, "cv": 2},
    "HalvingGridSearchCV": {"estimator": _LR, "param_grid": {"C": [0.1, 1.0]}, "cv": 2},
    "HalvingRandomSearchCV": {"estimator": _LR, "param_distributions": {"C": [0.1, 1.0]}, "cv": 2},
    "HashingVectorizer": {"n_features": 16},
    "HistGradientBoostingClassifier": {"max_iter": 2},
    "HistGradientBoostingRegressor": {"max_iter": 2},
    "LocalOutlierFactor": {"novelty": True},
    "LogisticRegressionCV": {"Cs": 2, "cv": 2},
    "MultiOutputClassifier": {"estimator": _LR},
    "MultiOutputRegressor": {"estimator": Ridge()},
    "OneHotEncoder": {"handle_unknown": "ignore"},
    "OneVsOneClassifier": {"estimator": _LR},
    "OneVsRestClassifier": {"estimator": _LR},
    "OrdinalEncoder": {"handle_unknown": "use_encoded_value", "unknown_value": -1},
    "OutputCodeClassifier": {"estimator": _LR, "random_state": 0},
    "Pipeline": {"steps": _STEPS},
    "RFE": {"estimator": _LR, "n_features_to_select": 2},
    "RFECV": {"estimator": _TREE, "cv": 2},
    "RandomizedSearchCV": {
        "estimator": _LR,
        "param_distributions": {"C": [0.1, 1.0]},
        "n_iter": 2,
        "cv": 2,
    },
    "RegressorChain": {"estimator": Ridge()},
    "SelectFdr": {"alpha": 1.0},
    "SelectFpr": {"alpha": 1.0},
    "SelectFromModel": {"estimator": _TREE},
    "SelectFwe": {"alpha": 1.0},
    "SelectKBest": {"k": 2},
    "SelfTrainingClassifier": {"estimator": _LR},
    "SequentialFeatureSelector": {"estimator": _TREE, "n_features_to_select": 1, "cv": 2},
    "SparseRandomProjection": {"n_components": 2},
    "SparseCoder": {"dictionary": NUMBERS[:5]},
    "StackingClassifier": {"estimators": [("l", _LR), ("t", _TREE)], "cv": 2},
    "StackingRegressor": {"estimators": [("r", Ridge())], "cv": 2},
    "TunedThresholdClassifierCV": {"estimator": _LR, "cv": 2},
    "VotingClassifier": {"estimators": [("l", _LR), ("t", _TREE)], "voting": "soft"},
    "VotingRegressor": {"estimators": [("r", Ridge()), ("t", DecisionTreeRegressor())]},
}
SMALLER: dict[str, Any] = {"n_estimators": 3, "max_iter": 20, "random_state": 0}
"""For estimators that have these parameters; `max_iter` where it only bounds the work."""
_ITERATIVE = ("MLP", "DictionaryLearning", "SparsePCA")
INPUTS: dict[str, tuple[Any, Any]] = {
    "CountVectorizer": (TEXTS, None),
    "DictVectorizer": (OBJECTS, None),
    "FeatureHasher": (OBJECTS, None),
    "HashingVectorizer": (TEXTS, None),
    "IsotonicRegression": (NUMBERS[:, 0], TARGET),
    "KernelCenterer": (NUMBERS @ NUMBERS.T, None),
    "LabelBinarizer": (LABELS, None),
    "LabelEncoder": (LABELS, None),
    "MultiLabelBinarizer": (LISTS, None),
    "PatchExtractor": (_random.random((ROWS, 4, 4)), None),
    "TfidfVectorizer": (TEXTS, None),
}
"""What an estimator is fitted on that does not take a matrix and a target."""


@dataclass(frozen=True)
class Case:
    """A fitted estimator, and rows for it."""

    estimator: Any
    rows: Any


def make(name: str) -> Any:
    """An estimator that is not fitted."""
    kind = CLASSES[name]
    estimator = kind(**ARGUMENTS.get(name, {}))
    own = estimator.get_params(deep=False)
    bounded = any(word in name for word in _ITERATIVE)
    smaller = {key: SMALLER[key] for key in SMALLER if key in own and own[key] is not None}
    if "random_state" in own:
        smaller["random_state"] = 0
    if not bounded:
        smaller.pop("max_iter", None)
    return estimator.set_params(**smaller) if smaller else estimator


def cases(name: str) -> dict[str, Callable[[], Case]]:
    """By how it is fitted: alone on a frame, and on an array as the end of a pipeline."""
    if name in INPUTS:
        rows, target = INPUTS[name]
        return {"rows": lambda: fitted(name, rows, target)}
    if name == "NearestNeighbors":  # a pipeline has no kneighbors
        return {
            "frame": lambda: fitted(name, FRAME, None),
            "array": lambda: fitted(name, NUMBERS, None),
        }
    return {
        "frame": lambda: fitted(name, FRAME, target_of(name)),
        "pipeline": lambda: in_pipeline(name),
    }


def fitted(name: str, rows: Any, target: Any) -> Case:
    estimator = make(name)
    return Case(estimator.fit(rows) if target is None else estimator.fit(rows, target), rows)


def in_pipeline(name: str) -> Case:
    from sklearn.pipeline import Pipeline

    end = fitted(name, NUMBERS, target_of(name)).estimator
    scaler = MinMaxScaler(feature_range=(0.1, 1.1)).fit(NUMBERS)
    return Case(Pipeline([("scaler", scaler), ("end", end)]), NUMBERS)


def target_of(name: str) -> Any:
    if name in ("FrozenEstimator", "SelfTrainingClassifier"):
        return LABELS.astype(object)
    estimator = make(name)
    tags = get_tags(estimator).target_tags
    if tags.multi_output and not tags.single_output:
        return NUMBERS[:, :2] if is_regressor(estimator) or "Regressor" in name else PAIRS
    if "MultiOutput" in name or "Chain" in name:
        return NUMBERS[:, :2] if "Regressor" in name else PAIRS
    if is_regressor(estimator) or ("Regress" in name and "Logistic" not in name):
        return TARGET if not name.startswith(("CCA", "PLS")) else NUMBERS[:, :2]
    return NUMBERS[:, :2] if name in ("CCA", "PLSCanonical", "PLSSVD") else LABELS
