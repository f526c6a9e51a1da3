"""Which folders look like models, and what tells that one has changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hydro_services.repository.survey import sight, survey


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def found(root: Path) -> list[str]:
    return ["/".join(key) for key in survey(root)]


@pytest.mark.parametrize(
    "marker",
    ["model.py", "metadata.json", "metadata/part-00000", "m.skops", "m.pkl", "m.joblib"],
)
def test_a_marker_makes_a_model(tmp_path: Path, marker: str) -> None:
    touch(tmp_path, f"any/m/{marker}")
    assert found(tmp_path) == ["any/m/1"]


def test_version_folders_are_versions(tmp_path: Path) -> None:
    touch(tmp_path, "a/m/1/model.py", "a/m/v3/model.py", "a/m/1.0.2/model.py", "a/m/old/model.py")
    assert found(tmp_path) == ["a/m/1", "a/m/1.0.2", "a/m/v3"]


def test_a_model_has_no_versions_below_it(tmp_path: Path) -> None:
    touch(tmp_path, "a/m/model.py", "a/m/2/model.py")
    assert found(tmp_path) == ["a/m/1"]


def test_what_has_no_marker_is_no_model(tmp_path: Path) -> None:
    touch(tmp_path, "a/training/train.py", "a/README.md", "a/m/1/weights.bin", "model.py")
    touch(tmp_path, "a/.hidden/model.py", ".git/m/model.py", "a/__pycache__/model.py")
    assert found(tmp_path) == []


def test_a_root_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        survey(tmp_path / "none")


def test_a_sighting_changes_with_any_file(tmp_path: Path) -> None:
    touch(tmp_path, "a/m/model.py", "a/m/deep/x", "a/m/.hidden", "a/m/__pycache__/model.pyc")
    folder = tmp_path / "a" / "m"
    before = sight(tmp_path, folder)
    assert [path for path, _ in before.stamps] == ["deep/x", "model.py"]
    (folder / ".hidden").write_text("not counted")
    assert sight(tmp_path, folder) == before
    (folder / "deep" / "x").write_text("longer")
    assert sight(tmp_path, folder) != before


def test_a_sighting_tells_when_something_last_changed(tmp_path: Path) -> None:
    touch(tmp_path, "a/m/model.py", "a/m/deep/x")
    os.utime(tmp_path / "a/m/deep/x", (0, 0))
    newest = max(path.stat().st_ctime_ns for path in (tmp_path / "a/m").rglob("*"))
    assert sight(tmp_path, tmp_path / "a/m").changed_ns == newest


def test_links_are_not_followed(tmp_path: Path) -> None:
    touch(tmp_path, "outside/model.py", "root/a/m/model.py")
    root = tmp_path / "root"
    (root / "a/m/link").symlink_to(tmp_path / "outside")
    (root / "a/m/loop").symlink_to(root)
    (root / "a/out").symlink_to(tmp_path / "outside")
    sightings = survey(root)
    assert [path for path, _ in sightings["a", "m", "1"].stamps] == ["link", "loop", "model.py"]
    assert sightings["a", "out", "1"].stamps == ()
