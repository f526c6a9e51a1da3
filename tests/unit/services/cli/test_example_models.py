from __future__ import annotations

from pathlib import Path

from hydro_runtimes.files import digest_folder
from hydro_services.cli.example_models import copy_examples
from hydro_services.security.trusted_models import read_trusted


def test_examples_are_copied_mended_and_trusted_and_what_else_is_there_stays(
    tmp_path: Path,
) -> None:
    models, rows = copy_examples(tmp_path)
    scikit = models / "scikit/pm_scikit"
    digest = digest_folder(scikit)
    assert digest in read_trusted(tmp_path / "trusted.txt")
    own = models / "scikit/mine/1/model.py"
    own.parent.mkdir(parents=True)
    own.write_text("")
    (scikit / "model.py").write_text("half")
    rows.unlink()
    assert copy_examples(tmp_path) == (models, rows)
    assert rows.is_file()
    assert own.is_file()
    assert digest_folder(scikit) == digest
    assert not (models / "training").exists()
