from __future__ import annotations

from pathlib import Path

import pytest

from hydro_runtimes.files import digest_folder
from hydro_runtimes.model_formats import detect_format
from hydro_services.security.trusted_models import read_trusted

MODELS = Path(__file__).resolve().parents[2] / "models"
FOLDERS = [
    folder for folder in MODELS.glob("*/*") if folder.is_dir() and folder.name[0] not in "._"
]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_example_model_that_brings_code_is_trusted_as_it_is_committed(folder: Path) -> None:
    if detect_format(folder).runs_code:
        assert digest_folder(folder) in read_trusted(MODELS / "trusted.txt")
