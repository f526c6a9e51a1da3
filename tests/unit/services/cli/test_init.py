from __future__ import annotations

import json
from pathlib import Path

import pytest

from hydro_services.cli.main import main


def test_a_folder_of_models_is_made_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "shop"), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["models"] == str(tmp_path / "shop/models")
    assert all(Path(file).is_file() for file in made["files"])
    Path(made["files"][0]).write_text("mine")
    assert main(["init", str(tmp_path / "shop")]) == 1
    assert "models is there already; remove it" in capsys.readouterr().err
    assert Path(made["files"][0]).read_text() == "mine"


@pytest.mark.usefixtures("own_logging")
def test_the_example_is_a_model_and_takes_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init", str(tmp_path), "--json"])
    capsys.readouterr()
    model, rows = tmp_path / "models/python/title_length", tmp_path / "title_length.json"
    assert main(["score", str(model), str(rows), "--trust"]) == 0
    out = capsys.readouterr().out
    assert [json.loads(line)["length"] for line in out.splitlines()] == [9, 8]
