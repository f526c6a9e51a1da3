"""The loader of CatBoost's models, in its binary form (.cbm).

A file with classes is evaluated as CatBoostClassifier does, others as CatBoostRegressor and
CatBoostRanker do. `prediction` has the shape that CatBoost gives: (1,) for several classes.

Source: catboost 1.2, catboost/python-package/catboost/core.py. A model that is loaded is only read:
prediction is safe in many threads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hydro_models.threads import thread_count
from hydro_runtimes import fitted, python_values
from hydro_runtimes.boosters.catboost_file import is_classifier, parse_file
from hydro_runtimes.boosters.evaluator import (
    BoosterFile,
    describe_booster,
    make_evaluator,
    read_booster,
)
from hydro_runtimes.columns import Columns
from hydro_runtimes.evaluator import Description, Evaluator
from hydro_runtimes.model_folder import ModelFolder


def describe(folder: ModelFolder) -> Description:
    """As `model_formats.Loader.describe`."""
    return describe_booster(folder, "catboost", parse_file)


def load(folder: ModelFolder) -> Evaluator:
    """As `model_formats.Loader.load`."""
    if saved := fitted.load_native(folder, "catboost"):
        return saved
    path, file = read_booster(folder, "catboost", parse_file)
    return make_evaluator(path, file, _CatBoostPredictor(path, file))


class _CatBoostPredictor:
    """Makes the matrix, or a data frame where some features are texts, and asks the model."""

    def __init__(self, path: Path, file: BoosterFile) -> None:
        import catboost

        self._features = file.features
        self._is_classifier = is_classifier(file)
        make = catboost.CatBoostClassifier if self._is_classifier else catboost.CatBoostRegressor
        self._model: Any = make().load_model(str(path), format="cbm")
        texts = self._model.get_cat_feature_indices() + self._model.get_text_feature_indices()
        self._texts = {self._model.feature_names_[at] for at in texts}

    def __call__(self, columns: Columns) -> list[Any]:
        given = self._frame(columns) if self._texts else self._matrix(columns)
        methods = [self._model.predict]
        if self._is_classifier:
            methods.append(self._model.predict_proba)
        return [method(given, thread_count=thread_count()) for method in methods]

    def _matrix(self, columns: Columns) -> Any:
        return self._features.make_matrix(columns, np.float32)

    def _frame(self, columns: Columns) -> Any:
        """Categories are texts, which CatBoost takes for the same as whole numbers in digits."""
        import pandas

        values = {
            each.name: python_values.to_plain(columns[each.name], ())
            for each in self._features.fields
        }
        kinds = {name: object if name in self._texts else np.float32 for name in values}
        return pandas.DataFrame(
            {
                name: pandas.Series(np.asarray(column, kinds[name]), dtype=kinds[name])
                for name, column in values.items()
            }
        )
