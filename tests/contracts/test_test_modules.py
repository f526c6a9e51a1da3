"""Tests are cut by feature, so that whoever looks for one finds it."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parents[1]
MAX_LINES = 400


def test_no_test_module_is_longer_than_a_feature() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in TESTS.rglob("*.py")}
    assert [f"{path}: {n}" for path, n in lines.items() if n > MAX_LINES] == []
