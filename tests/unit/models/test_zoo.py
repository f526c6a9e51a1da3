"""Ordinary scikit-learn models, served by way of JSON, beside the models themselves."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fitted_models import check_served, load_trusted

import hydro_models

FOLDER = Path(__file__).resolve().parents[4] / "shared/cases/scikit"
REFUSED = {"dbscan"}
"""It answers no new rows."""


def zoo() -> dict[str, Callable[[], tuple[Any, Any, Any]]]:
    """The builders of estimator, example and rows, by name."""
    if not FOLDER.is_dir():
        assert os.environ.get("CI") != "true", f"no {FOLDER}"
        return {}
    sys.path.insert(0, str(FOLDER))
    try:
        from zoo import ZOO  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(FOLDER))
    return dict(ZOO)


BUILDERS = zoo()


@pytest.mark.skipif(not BUILDERS, reason="the shared cases are not here")
@pytest.mark.parametrize("name", BUILDERS or ["none"])
@pytest.mark.filterwarnings("ignore")
def test_what_is_served_is_what_the_model_answers(name: str, tmp_path: Path) -> None:
    model, example, rows = BUILDERS[name]()
    if name in REFUSED:
        with pytest.raises(hydro_models.CannotSave, match="no method that answers new rows"):
            hydro_models.save(model, tmp_path / name, example)
        return
    hydro_models.save(model, tmp_path / name, example)
    check_served(model, load_trusted(tmp_path / name), rows)
