"""CatBoost's classifiers, regressors and rankers, in its own binary form."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydro_models.answers import Answerer, Answerers
from hydro_models.threads import thread_count

FILE = "model.cbm"
_ESTIMATORS = ("CatBoostClassifier", "CatBoostRanker", "CatBoostRegressor")


def matches(model: Any) -> bool:
    """As `kinds.KindModule.matches`."""
    kind = type(model)
    return kind.__module__.startswith("catboost.") and kind.__name__ in _ESTIMATORS


def answerers(model: Any) -> Answerers:
    """As `kinds.KindModule.answerers`."""
    having = {"prediction": Answerer(partial(model.predict, thread_count=thread_count()))}
    if hasattr(model, "predict_proba"):
        call = partial(model.predict_proba, thread_count=thread_count())
        having["probability"] = Answerer(call, labels=lambda: [*model.classes_])
    return having


def default_outputs(model: Any) -> Sequence[str]:
    """All."""
    return [*answerers(model)]


def write(model: Any, folder: Path) -> Path:
    """As `kinds.KindModule.write`."""
    model.save_model(str(folder / FILE))
    return folder / FILE


def read(file: Path) -> Any:
    """As `kinds.KindModule.read`."""
    import catboost

    model = catboost.CatBoost().load_model(str(file), format="cbm")
    has_classes = "class_params" in dict(model.get_metadata())
    kind = catboost.CatBoostClassifier if has_classes else catboost.CatBoostRegressor
    return kind().load_model(str(file), format="cbm")


def libraries(file: Path) -> Sequence[str]:
    """As `kinds.KindModule.libraries`."""
    return ["catboost", "numpy"]
