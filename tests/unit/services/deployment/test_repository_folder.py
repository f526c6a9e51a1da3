"""Where deployed models are written, so that others see all of one or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydro_services.deployment.repository_folder import PlacedVersion, RepositoryFolder
from hydro_services.errors import FailedPrecondition


def publish(folder: RepositoryFolder, text: str) -> PlacedVersion:
    with folder.lock("m"), folder.staging("m") as staged:
        (staged / "model.py").write_text(text)
        return folder.publish("m", staged)


def test_versions_count_up_and_the_same_content_is_the_same_version(tmp_path: Path) -> None:
    folder = RepositoryFolder(tmp_path)
    placed = [publish(folder, text) for text in ("a", "a", "b", "a")]
    assert [each.version for each in placed] == ["1", "1", "2", "3"]
    assert [each.is_new for each in placed] == [True, False, True, True]
    assert (tmp_path / "deployed/m/2/model.py").read_text() == "b"
    assert [*(tmp_path / ".deploying/staged").iterdir()] == []


def test_a_version_and_a_model_are_removed(tmp_path: Path) -> None:
    folder = RepositoryFolder(tmp_path)
    first, second = publish(folder, "a"), publish(folder, "b")
    folder.remove_version(second)
    assert folder.versions("m") == [1]
    assert folder.remove_model("m") == {"1": first.digest}
    assert not (tmp_path / "deployed/m").exists()
    assert folder.remove_model("m") == {}
    folder.remove_version(publish(folder, "c"))
    assert not (tmp_path / "deployed/m").exists()
    assert [*(tmp_path / ".deploying/removed").iterdir()] == []


def test_what_one_that_was_killed_has_left_is_no_obstacle(tmp_path: Path) -> None:
    left = tmp_path / ".deploying/staged/m/half"
    left.parent.mkdir(parents=True)
    left.write_text("")
    folder = RepositoryFolder(tmp_path)
    with folder.lock("m"), folder.staging("m") as staged:
        assert [*staged.iterdir()] == []


def test_only_one_deploys_a_model_at_a_time(tmp_path: Path) -> None:
    folder, other = RepositoryFolder(tmp_path), RepositoryFolder(tmp_path)
    with folder.lock("m"):
        with (
            pytest.raises(FailedPrecondition, match="somebody else is deploying 'm'"),
            other.lock("m"),
        ):
            pass
        with other.lock("n"):
            pass
    with other.lock("m"):
        pass


def test_a_folder_in_the_repository_is_known_with_its_version(tmp_path: Path) -> None:
    for path in ("models/a/m/model.py", "models/a/v/7/model.py", "elsewhere/model.py"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("")
    folder = RepositoryFolder(tmp_path / "models")
    flat, seventh = folder.placed(tmp_path / "models/a/m"), folder.placed(tmp_path / "models/a/v/7")
    assert flat
    assert (flat.model, flat.version, flat.is_new) == ("m", "1", False)
    assert seventh
    assert (seventh.model, seventh.version) == ("v", "7")
    assert folder.placed(tmp_path / "elsewhere") is None
    with pytest.raises(FailedPrecondition, match="a/m is a model of this name that"):
        folder.check_name("m")
    folder.check_name("other")


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    folder = RepositoryFolder(tmp_path / "file")
    (tmp_path / "file").write_text("")
    with pytest.raises(FailedPrecondition, match="not a directory"), folder.lock("m"):
        pass
