"""Our package for this machine's Debian, and packages of Debian that tests need."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from whole_mesh import ROOT


def debian_release() -> str:
    """Of this machine, such as "12"; on others the test is skipped."""
    lines = Path("/etc/os-release").read_text().replace('"', "").splitlines()
    release = dict(line.split("=", 1) for line in lines if line)
    if release.get("ID") != "debian":
        pytest.skip("this machine is no Debian")
    return release["VERSION_ID"]


def built(folder: Path, *arguments: str) -> Path:
    """Builds the package of this machine's Debian; its path."""
    return built_for(f"debian{debian_release()}", folder, *arguments)


def built_for(target: str, folder: Path, *arguments: str) -> Path:
    """Builds a package; its path."""
    return Path(script("scripts/package", target, str(folder), *arguments))


def debian_packages(*names: str) -> None:
    """Sees that they are installed."""
    debian_release()
    script("scripts/debian_packages", *names)


def script(*command: str) -> str:
    """What one of our scripts printed; fails with its words if it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
