"""Ordinary scikit-learn models, served by way of JSON, beside the models themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from fitted_models import check_served, load_trusted
from scikit_zoo import BUILDERS, REFUSED

import hydro_models

pytestmark = [
    pytest.mark.skipif(not BUILDERS, reason="the shared cases are not here"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.mark.parametrize("name", sorted(set(BUILDERS) - REFUSED))
def test_what_is_served_is_what_the_model_answers(name: str, tmp_path: Path) -> None:
    model, example, rows = BUILDERS[name]()
    hydro_models.save(model, tmp_path / name, example)
    check_served(model, load_trusted(tmp_path / name), rows)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_answers_no_new_rows_is_refused(name: str, tmp_path: Path) -> None:
    model, example, _ = BUILDERS[name]()
    with pytest.raises(hydro_models.CannotSave, match="no method that answers new rows"):
        hydro_models.save(model, tmp_path / name, example)
