"""requirements/*.txt have all that pyproject.toml requires, with hashes, and name no index."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT: dict[str, Any] = PYPROJECT["project"]
MODELS: dict[str, Any] = tomllib.loads((ROOT / "runtimes/pyproject.toml").read_text())["project"]
BUILD_SYSTEM: dict[str, Any] = PYPROJECT["build-system"]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(
    r"^([a-z0-9-]+)==([^ ]+)((?: ;[^\\\n]*)?) \\\n((?:    --hash=sha256:.*\n?)+)", re.M
)


def pins(name: str) -> dict[str, str]:
    """Versions by library."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return {found[1]: found[2] for found in PIN.finditer(text)}


def group(name: str) -> Iterator[str]:
    """The requirements of a dependency group, with those of the groups that it includes."""
    for entry in PYPROJECT["dependency-groups"][name]:
        if isinstance(entry, str):
            yield entry
        else:
            yield from group(entry["include-group"])


def everything() -> list[str]:
    """What the project requires with all extras."""
    extras = [texts for name, texts in PROJECT["optional-dependencies"].items() if name != "all"]
    required = [*PROJECT["dependencies"], *MODELS["dependencies"]]
    return [*required, *(text for texts in extras for text in texts)]


@pytest.mark.parametrize(
    ("name", "requirements"),
    [
        pytest.param("all", everything(), id="all"),
        pytest.param("dev", [*everything(), *group("dev")], id="dev"),
        pytest.param("build", [*group("build"), *BUILD_SYSTEM["requires"]], id="build"),
        pytest.param("java", [*group("java")], id="java"),
        pytest.param("package", [*group("package")], id="package"),
        pytest.param("stores", [*group("stores")], id="stores"),
    ],
)
def test_all_that_is_required_is_locked(name: str, requirements: list[str]) -> None:
    locked = pins(name)
    for text in requirements:
        requirement = Requirement(text)
        version = locked.get(canonicalize_name(requirement.name))
        assert version, f"{text} is not in requirements/{name}.txt; run scripts/lock"
        assert requirement.specifier.contains(version), f"{text}, got {version}; run scripts/lock"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_each_library_has_its_hashes_and_no_index_is_named(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    rest = PIN.sub("", text)
    assert [line for line in rest.splitlines() if not line.startswith("#")] == []


def test_what_is_tested_is_what_runs() -> None:
    tested = pins("dev")
    for name in ("all", "package"):
        shipped = pins(name)
        assert shipped == {library: tested[library] for library in shipped}


def test_the_extra_all_is_all_extras() -> None:
    extras = PROJECT["optional-dependencies"]
    (text,) = extras["all"]
    assert Requirement(text).extras == extras.keys() - {"all"}
