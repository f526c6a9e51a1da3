"""The Alpine package, unpacked where there is nothing but a shell: no glibc, no Python."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from packages import built_for, debian_packages

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file system with the package, without libraries, and busybox."""
    if os.geteuid() != 0:
        pytest.skip("only root can change the root folder")
    debian_packages("busybox-static")
    package = built_for("alpine", tmp_path_factory.mktemp("package"), "--no-deps")
    root = tmp_path_factory.mktemp("root")
    # What apk adds to the archive are further archives, of which tar warns.
    unpacked = subprocess.run(["tar", "-xzf", package, "-C", root], capture_output=True, text=True)
    assert (root / ".PKGINFO").is_file(), unpacked.stderr
    for folder in ("bin", "dev/shm", "tmp"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for command in ("sh", "find", "rm"):
        (root / "bin" / command).write_bytes(Path("/bin/busybox").read_bytes())
        (root / "bin" / command).chmod(0o755)
    return root


def run(root: Path, *command: str) -> str:
    """What a command prints with this root folder; fails with its words if it fails."""
    done = subprocess.run(["chroot", root, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_command_runs_without_a_library_of_the_system(root: Path) -> None:
    assert not (root / "lib").exists()
    assert not (root / "lib64").exists()
    assert "hydro deploy churn.joblib" in run(root, "/usr/bin/hydro", "--help")
    modules = "import ctypes, hashlib, lzma, multiprocessing.synchronize, sqlite3, ssl"
    run(root, "/usr/lib/hydro-serving/bin/python3", "-c", modules)


def test_byte_code_comes_and_goes_with_the_package(root: Path) -> None:
    assert not list(root.rglob("*.pyc"))
    run(root, "/bin/sh", "/.post-install")
    assert len(list(root.rglob("*.pyc"))) > 500
    run(root, "/bin/sh", "/.pre-deinstall")
    assert not list(root.rglob("*.pyc"))
