"""Four roots of packages, two distributions, and versions that agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOTS = ["envoy", "protos", "runtimes", "services"]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES: list[str] = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.mark.parametrize("root", ROOTS)
def test_root_of_packages_is_no_package(root: str) -> None:
    # envoy/__init__.py would hide the `envoy` of xds-protos from all that runs in this folder.
    assert not (ROOT / root / "__init__.py").exists()


def test_wheel_has_packages_from_every_root() -> None:
    assert {package.split("/")[0] for package in PACKAGES} == {*ROOTS}
    assert len(PACKAGES) == len(ROOTS) + 1  # hydro_models, which is a distribution of its own, too
    assert [package for package in PACKAGES if not (ROOT / package).is_dir()] == []


def test_packages_written_by_hand_say_that_they_are_typed() -> None:
    written = [package for package in PACKAGES if package != "protos/hydro"]
    assert [package for package in written if not (ROOT / package / "py.typed").exists()] == []


def test_version_is_that_of_the_newest_release_in_the_changelog() -> None:
    releases = re.findall(r"^## \[(\d[^]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert releases[0] == PYPROJECT["project"]["version"]


def test_hydro_models_has_the_same_version_and_is_not_required_from_an_index() -> None:
    models = tomllib.loads((ROOT / "runtimes/pyproject.toml").read_text())["project"]
    assert models["version"] == PYPROJECT["project"]["version"]
    required = PYPROJECT["project"]["dependencies"]
    assert [text for text in required if text.startswith(models["name"])] == []


@pytest.mark.parametrize(
    ("distribution", "pattern"),
    [
        pytest.param("protobuf", r"^# Protobuf Python Version: (\S+)$", id="protobuf"),
        pytest.param("grpcio", r"^GRPC_GENERATED_VERSION = '(\S+)'$", id="grpcio"),
    ],
)
def test_least_version_is_what_generated_code_demands(distribution: str, pattern: str) -> None:
    texts = [path.read_text() for path in (ROOT / "protos").rglob("*_pb2*.py")]
    demanded = {found for text in texts for found in re.findall(pattern, text, re.MULTILINE)}
    assert [f"{distribution}>={version}" for version in demanded] == [
        wanted
        for wanted in PYPROJECT["project"]["dependencies"]
        if re.match(rf"{distribution}\b(?!-)", wanted)
    ]
