"""What hints tell to install is there: a name of an extra that is none installs nothing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"hydro-serving\[([a-z0-9_,-]+)\]")
TEXTS = [
    *(path for folder in ("services", "runtimes", "docs") for path in (ROOT / folder).rglob("*.*")),
    ROOT / "README.md",
]


@pytest.fixture(scope="module")
def extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["optional-dependencies"])


def test_extras_that_are_named_exist(extras: set[str]) -> None:
    texts = [path.read_text() for path in TEXTS if path.suffix in (".py", ".md")]
    named = {name for text in texts for found in NAMED.findall(text) for name in found.split(",")}
    assert "s3" in named
    assert named <= extras
