"""LightGBM's boosters, in its own text.

Its estimators of scikit-learn's kind are saved as those of scikit-learn: the text has only trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydro_models.answers import Answerer, Answerers
from hydro_models.threads import thread_count

FILE = "model.txt"


def matches(model: Any) -> bool:
    """As `kinds.KindModule.matches`."""
    kind = type(model)
    return kind.__module__.startswith("lightgbm.") and kind.__name__ == "Booster"


def answerers(model: Any) -> Answerers:
    """As `kinds.KindModule.answerers`."""
    return {"prediction": Answerer(partial(model.predict, num_threads=thread_count()))}


def default_outputs(model: Any) -> Sequence[str]:
    """All."""
    return [*answerers(model)]


def write(model: Any, folder: Path) -> Path:
    """As `kinds.KindModule.write`."""
    model.save_model(folder / FILE)
    return folder / FILE


def read(file: Path) -> Any:
    """As `kinds.KindModule.read`."""
    import lightgbm

    return lightgbm.Booster(model_file=file)


def libraries(file: Path) -> Sequence[str]:
    """As `kinds.KindModule.libraries`."""
    return ["lightgbm", "numpy"]
