"""What a runtime process is told holds wherever its models lead it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from hydro_services.runtime.process import Config


def test_paths_stay_right_where_a_model_changes_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = Path("a/b")
    config = Config("serving-scikit", cache=relative, token_file=relative, trusted=relative)
    found = config.absolute()
    monkeypatch.chdir("/")
    paths = [getattr(found, field.name) for field in fields(found) if "Path" in str(field.type)]
    assert paths == [tmp_path / relative] * 3
    assert Config("serving-scikit").absolute().trusted is None
