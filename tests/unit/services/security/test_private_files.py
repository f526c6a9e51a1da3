"""Folders and files that only their owner may use."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydro_services.errors import FailedPrecondition
from hydro_services.security import private_files

NOBODY = 65534


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_a_new_folder_is_for_its_owner_whatever_the_umask(tmp_path: Path) -> None:
    private_files.make_private_folder(tmp_path / "above" / "data")
    assert mode(tmp_path / "above" / "data") == 0o700


@pytest.mark.parametrize("wide", [0o755, 0o770, 0o707, 0o777, 0o2775])
def test_a_folder_that_others_could_enter_is_closed(tmp_path: Path, wide: int) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(wide)
    private_files.make_private_folder(data)
    assert mode(data) & 0o077 == 0


def test_what_is_ours_in_it_is_closed_and_nothing_else(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("of somebody")
    for name in ("store/manager.sqlite", "store/deep/er", "notes"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text("x")
        (tmp_path / "data" / name).chmod(0o664)
    (tmp_path / "data" / "store" / "link").symlink_to(outside)
    private_files.make_private_folder(tmp_path / "data", ["store"])
    closed = {name: mode(tmp_path / "data" / name) for name in ("store", "store/deep")}
    assert closed == {"store": 0o700, "store/deep": 0o700}
    assert mode(tmp_path / "data" / "store" / "manager.sqlite") == 0o600
    assert mode(tmp_path / "data" / "store" / "deep" / "er") == 0o600
    assert mode(tmp_path / "data" / "notes") == 0o664
    assert mode(outside) == 0o666


def test_a_folder_that_all_users_share_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(FailedPrecondition, match=r"all users share; name another folder by --data"):
        private_files.make_private_folder(tmp_path)
    assert mode(tmp_path) == 0o1777


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["data", "data/manager", "data/manager/ca.key", "link"])
def test_what_belongs_to_another_user_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "data" / "manager").mkdir(parents=True)
    (tmp_path / "data" / "manager" / "ca.key").touch()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    os.chown(tmp_path / name, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(FailedPrecondition, match=r"belongs to the user with id 65534"):
        private_files.make_private_folder(tmp_path / "link", ["manager"])


def test_a_secret_that_all_can_read_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = tmp_path / "admin.key"
    private_files.write_private(key, b"x")
    assert mode(key) == 0o600
    private_files.warn_if_readable(key)
    assert not caplog.records
    key.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        private_files.warn_if_readable(key)
    assert "chmod 600" in caplog.text
