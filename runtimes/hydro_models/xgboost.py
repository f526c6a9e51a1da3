"""XGBoost's boosters, and its estimators of scikit-learn's kind, in XGBoost's own files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydro_models.answers import Answerer, Answerers
from hydro_models.threads import thread_count

FILE = "model.ubj"
_ESTIMATORS = (
    "XGBClassifier",
    "XGBRFClassifier",
    "XGBRFRegressor",
    "XGBRanker",
    "XGBRegressor",
)


def matches(model: Any) -> bool:
    """A booster; or an estimator that its file tells all of: `missing` is not in it."""
    kind = type(model)
    if not kind.__module__.startswith("xgboost."):
        return False
    return kind.__name__ == "Booster" or (
        kind.__name__ in _ESTIMATORS and model.missing != model.missing
    )


def answerers(model: Any) -> Answerers:
    """As `kinds.KindModule.answerers`."""
    if not hasattr(model, "get_booster"):
        return {"prediction": Answerer(partial(_predict, model))}
    probability = {}
    if hasattr(model, "predict_proba"):
        call = model.predict_proba
        probability = {"probability": Answerer(call, labels=lambda: [*model.classes_])}
    return {"prediction": Answerer(model.predict), **probability}


def default_outputs(model: Any) -> Sequence[str]:
    """All."""
    return [*answerers(model)]


def write(model: Any, folder: Path) -> Path:
    """As `kinds.KindModule.write`."""
    model.save_model(folder / FILE)
    return folder / FILE


def read(file: Path) -> Any:
    """As `kinds.KindModule.read`; it uses as many threads as `thread_count` says."""
    import xgboost

    booster = xgboost.Booster(model_file=file)
    stated = json.loads(booster.attr("scikit_learn") or "{}").get("_estimator_type")
    kinds = {
        "classifier": xgboost.XGBClassifier,
        "regressor": xgboost.XGBRegressor,
        "ranker": xgboost.XGBRanker,
    }
    if stated not in kinds:
        booster.set_param({"nthread": thread_count()})
        return booster
    estimator = kinds[stated](n_jobs=thread_count())
    estimator.load_model(file)
    estimator.get_booster().set_param({"nthread": thread_count()})
    return estimator


def libraries(file: Path) -> Sequence[str]:
    """As `kinds.KindModule.libraries`."""
    from hydro_models.versions import installed

    return installed("numpy", "pandas", "xgboost", "xgboost-cpu")


def _predict(booster: Any, rows: Any) -> Any:
    import xgboost

    given = xgboost.DMatrix(rows, enable_categorical=True, nthread=thread_count())
    return booster.predict(given)
