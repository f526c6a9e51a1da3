"""Which folders look like models, and what tells that one has changed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hydro_runtimes import files
from hydro_services import errors
from hydro_services.repository.folder import FolderSource
from hydro_services.repository.source import ModelFiles


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def found(root: Path) -> list[str]:
    return ["/".join(key) for key in FolderSource(root).list_models().models]


def files_of(root: Path) -> ModelFiles:
    """Those of the model a/m."""
    return FolderSource(root).list_files(("a", "m"))


@pytest.mark.parametrize(
    "marker",
    [
        *("model.py", "metadata.json", "metadata/part-00000", "m.skops", "m.pkl", "m.joblib"),
        *("MLmodel", "rMetadata/part-00000", "stages/0_a/metadata/part-00000"),
    ],
)
def test_a_marker_makes_a_model(tmp_path: Path, marker: str) -> None:
    touch(tmp_path, f"any/m/{marker}")
    assert found(tmp_path) == ["any/m"]


def test_version_folders_are_versions(tmp_path: Path) -> None:
    touch(tmp_path, "a/m/1/model.py", "a/m/v3/model.py", "a/m/1.0.2/model.py", "a/m/4/README.md")
    assert found(tmp_path) == ["a/m/1", "a/m/1.0.2", "a/m/v3"]


def test_a_model_that_is_no_version_by_its_name_is_not_overlooked(tmp_path: Path) -> None:
    touch(tmp_path, "a/m/1/model.py", "a/m/latest/model.py")
    assert found(tmp_path) == ["a/m/1", "a/m/latest"]


def test_a_folder_around_a_model_is_the_model(tmp_path: Path) -> None:
    touch(tmp_path, "a/m/saved/metadata/part-00000", "a/n/1/saved/metadata/part-00000")
    touch(tmp_path, "a/o/MLmodel", "a/o/sparkml/metadata/part-00000", "a/p/2/model.py")
    models = FolderSource(tmp_path).list_models().models
    assert list(models) == [("a", "m"), ("a", "n", "1"), ("a", "o"), ("a", "p", "2")]
    paths = [path for path, _ in models["a", "m"].stamps]
    assert paths == ["saved/metadata/part-00000"]


def test_versions_beside_files_are_no_part_of_the_model(tmp_path: Path) -> None:
    touch(tmp_path, "a/m/model.py", "a/m/2/model.py", "a/m/3/weights.bin", "a/m/old/model.py")
    models = FolderSource(tmp_path).list_models().models
    assert list(models) == [("a", "m"), ("a", "m", "2")]
    paths = [path for path, _ in models["a", "m"].stamps]
    assert paths == ["3/weights.bin", "model.py", "old/model.py"]


def test_what_has_no_marker_is_no_model(tmp_path: Path) -> None:
    touch(tmp_path, "a/training/train.py", "a/README.md", "a/m/1/weights.bin", "model.py")
    touch(tmp_path, "a/.hidden/model.py", ".git/m/model.py", "a/__pycache__/model.py")
    assert found(tmp_path) == []


def test_a_root_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(errors.FailedPrecondition, match="No such file or directory; make it"):
        FolderSource(tmp_path / "none").list_models()


def test_stamps_change_with_any_file(tmp_path: Path) -> None:
    touch(tmp_path, "a/m/model.py", "a/m/deep/x", "a/m/.hidden", "a/m/__pycache__/model.pyc")
    folder = tmp_path / "a" / "m"
    before = files_of(tmp_path)
    assert [path for path, _ in before.stamps] == ["deep/x", "model.py"]
    (folder / ".hidden").write_text("not counted")
    assert files_of(tmp_path) == before
    (folder / "deep" / "x").write_text("longer")
    assert files_of(tmp_path) != before


def test_a_listing_tells_when_something_last_changed(tmp_path: Path) -> None:
    touch(tmp_path, "a/m/model.py", "a/m/deep/x")
    os.utime(tmp_path / "a/m/deep/x", (0, 0))
    newest = max(path.stat().st_ctime_ns for path in (tmp_path / "a/m").rglob("*"))
    assert files_of(tmp_path).changed_ns == newest


def test_a_listing_tells_what_was_put_there_as_a_whole(tmp_path: Path) -> None:
    touch(tmp_path, "a/.staged/model.py", "a/.staged/deep/x")
    time.sleep(0.02)  # the kernel's clock for files ticks every few milliseconds
    (tmp_path / "a/.staged").rename(tmp_path / "a/m")
    assert files_of(tmp_path).is_moved
    time.sleep(0.02)
    touch(tmp_path, "a/m/deep/x")
    assert not files_of(tmp_path).is_moved


def test_what_is_written_in_place_is_never_there_as_a_whole(tmp_path: Path) -> None:
    for path in ("a/m/model.py", "a/m/deep/x", "a/m/metadata.json"):
        touch(tmp_path, path)
        time.sleep(0.02)
        assert not files_of(tmp_path).is_moved


def test_links_are_followed_within_the_root_alone(tmp_path: Path) -> None:
    touch(tmp_path, "out/model.py", "root/a/m/model.py", "root/.store/x", "root/a/bad/model.py")
    root = tmp_path / "root"
    (root / "a/m/link").symlink_to(root / ".store")
    (root / "a/bad/link").symlink_to(tmp_path / "out")
    (root / "a/outside").symlink_to(tmp_path / "out")
    (root / "b").symlink_to(tmp_path)
    seen = FolderSource(root).list_models()
    stamps = {"/".join(key): [p for p, _ in m.stamps] for key, m in seen.models.items()}
    assert stamps["a/m"] == ["link/x", "model.py"]
    assert str(root / ".store") in seen.places
    for refused in ("a/bad", "a/outside", "b/out"):
        assert "out of the models" in seen.models[tuple(refused.split("/"))].problem
    assert all(folder.startswith(str(root)) for folder in seen.places)


def test_stamps_change_with_what_a_link_leads_to(tmp_path: Path) -> None:
    """As Kubernetes changes a ConfigMap: the links of the files stay, one folder's is replaced."""
    folder = tmp_path / "a" / "m"
    touch(folder, "..one/model.py", "..two/model.py")
    (folder / "..data").symlink_to("..one")
    (folder / "model.py").symlink_to("..data/model.py")
    before = files_of(tmp_path)
    assert [path for path, _ in before.stamps] == ["model.py"]
    (folder / "..new").symlink_to("..two")
    (folder / "..new").rename(folder / "..data")
    assert files_of(tmp_path) != before


def test_permissions_are_a_change(tmp_path: Path) -> None:
    touch(tmp_path, "a/m/model.py")
    before = files_of(tmp_path)
    (tmp_path / "a/m/model.py").chmod(0o600)
    assert files_of(tmp_path) != before


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "weights.bin")


def listening(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "s"))


def circle(folder: Path) -> None:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")


def way_back(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "up").symlink_to("..")


def dangling(folder: Path) -> None:
    (folder / "gone").symlink_to("nothing")


def deep(folder: Path) -> None:
    folder.joinpath(*["x" * 100] * 11).mkdir(parents=True)


def huge(folder: Path) -> None:
    with (folder / "sparse").open("wb") as file:
        file.truncate(files.MAX_BYTES + 1)


def many(folder: Path) -> None:
    """Folders of links to folders: 2^20 paths of a few entries."""
    before = folder / "leaf"
    before.mkdir()
    for number in range(20):
        here = folder / f"f{number}"
        here.mkdir()
        for name in "ab":
            (here / name).symlink_to(os.path.relpath(before, here))
        before = here


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (pipe, "weights.bin: is a named pipe, want regular files"),
        (listening, "s: is a socket"),
        (circle, "a: cannot be read: Too many levels of symbolic links"),
        (way_back, "link 'deep/up' leads back to a folder that it is in"),
        (dangling, "link 'gone' leads to nothing"),
        (deep, "path of over 1024 bytes"),
        (huge, "more than 17179869184 bytes"),
        (many, "more than 2000 files and folders"),
    ],
)
def test_what_cannot_be_a_part_of_a_model_is_its_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], reason: str
) -> None:
    monkeypatch.setattr(files, "MAX_ENTRIES", 2000)
    touch(tmp_path, "a/m/model.py", "a/other/model.py")
    make(tmp_path / "a/m")
    models = FolderSource(tmp_path).list_models().models
    assert models["a", "m"].problem.startswith(reason)
    assert not models["a", "other"].problem


@pytest.fixture
def everyones() -> Iterator[Path]:
    """Open to all users; those of pytest are closed again whenever another pytest starts."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_what_cannot_be_read_is_listed_and_keeps_none_of_the_others_out(
    everyones: Path,
) -> None:
    touch(everyones, "a/m/model.py", "a/closed/model.py", "a/part/model.py", "a/part/x/y")
    touch(everyones, "b/m/model.py")
    for closed in ("a/closed", "a/part/x", "b"):
        (everyones / closed).chmod(0)
    script = (
        "import os, sys, pathlib\n"
        "from hydro_services.repository.folder import FolderSource\n"
        "os.setuid(65534)\n"
        "seen = FolderSource(pathlib.Path(sys.argv[1])).list_models()\n"
        "print({'/'.join(k): m.problem for k, m in seen.models.items()}, set(seen.unreadable))"
    )
    # A process of its own: threads of this one would become the other user, too.
    done = subprocess.run(
        [sys.executable, "-c", script, str(everyones)],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    denied = "cannot be read: Permission denied"
    assert done.stdout.strip() == (
        f"{{'a/closed': '{denied}', 'a/m': '', 'a/part': 'x: {denied}'}} {{'b'}}"
    )
