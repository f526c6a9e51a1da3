"""What the parts of a mesh tell each other has one name, in Python and in Envoy's scripts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hydro_envoy
from hydro_envoy import headers

ROOT = Path(hydro_envoy.__file__).parents[2]
NAMES = {v for v in vars(headers).values() if isinstance(v, str) and v.startswith(headers.PREFIX)}
SCRIPTS = sorted((ROOT / "envoy").rglob("*.lua"))
MODULES = sorted(path for folder in ("envoy", "services") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_use_the_names_of_the_module(script: Path) -> None:
    for found in re.findall(rf"{headers.PREFIX}[a-z_-]*", script.read_text()):
        assert found in NAMES or found.startswith(headers.ERROR_FACT), found


def test_no_other_module_has_a_name_of_its_own() -> None:
    own = Path(headers.__file__)
    texts = {path: path.read_text() for path in MODULES if path != own}
    assert [path.name for path, text in texts.items() if f'"{headers.PREFIX}' in text] == []


NAME = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True)


@given(NAME, NAME, st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_key_tells_the_name_and_the_version(name: str, version: str, digest: str) -> None:
    assert headers.name_and_version(headers.model_key(name, version, digest)) == (name, version)


@pytest.mark.parametrize("key", ["", "iris", "@", "iris@12"])
def test_what_is_no_key_has_no_version_or_no_name(key: str) -> None:
    assert "" in headers.name_and_version(key)
