"""Every estimator of scikit-learn, beside what docs/scikit.md says of it."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from estimator_cases import CLASSES, Case, cases
from fitted_models import check_served, load_trusted, take

import hydro_models
from hydro_models.scikit import METHODS

SCRIPT = runpy.run_path(str(Path(__file__).resolve().parents[3] / "scripts/gen_scikit_docs.py"))
LIMITS: dict[str, str] = SCRIPT["LIMITS"]
UNANSWERED: frozenset[str] = frozenset(SCRIPT["unanswered"]())
SAVED_ROWS, SERVED_ROWS = range(6), range(6, 16)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def serve(case: Case, folder: Path) -> None:
    """Saves it with all of its outputs, and compares what is served with its own answers."""
    outputs = [output for output, method in METHODS.items() if hasattr(case.estimator, method)]
    example = take(case.rows, SAVED_ROWS)
    hydro_models.save(case.estimator, folder, example, outputs=outputs)
    check_served(case.estimator, load_trusted(folder), take(case.rows, SERVED_ROWS))


@pytest.mark.parametrize("name", sorted(set(CLASSES) - UNANSWERED - set(LIMITS)))
def test_all_outputs_are_the_estimator_s_own_answers(name: str, tmp_path: Path) -> None:
    for form, make in cases(name).items():
        serve(make(), tmp_path / form)


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_what_is_otherwise_is_so(name: str, tmp_path: Path) -> None:
    case = next(iter(cases(name).values()))()
    with pytest.raises((hydro_models.CannotSave, AssertionError)):
        serve(case, tmp_path / "model")


def test_an_estimator_that_answers_no_new_rows_is_refused(tmp_path: Path) -> None:
    case = next(iter(cases("DBSCAN").values()))()
    with pytest.raises(hydro_models.CannotSave, match="no method that answers new rows"):
        hydro_models.save(case.estimator, tmp_path / "model", case.rows)
