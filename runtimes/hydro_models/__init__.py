"""Saves fitted models as folders that hydro-serving serves; needs numpy alone, beside the model.

import hydro_models

hydro_models.save(model, "models/scikit/churn", example=X.head())
"""

from hydro_models.errors import BadRows, CannotSave, ProofFailed, WrongAnswer
from hydro_models.save import SavedModel, save

__all__ = ["BadRows", "CannotSave", "ProofFailed", "SavedModel", "WrongAnswer", "save"]
