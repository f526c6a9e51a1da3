"""Odd requests through a whole mesh, with the right answers: the cases of the data beside it.

All are run at once, by the program that comes with them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.parity.cases import shared_folder as beside

CASES = beside() / "cases" / "serving"
FILE = CASES / "cases.json"
NAMES = [case["name"] for case in json.loads(FILE.read_text())] if FILE.is_file() else []
LIMIT_S = 600


@pytest.fixture(scope="module")
def faults(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is wrong in each case that is not answered as it should be, by its name."""
    checkout = tmp_path_factory.mktemp("checkout")
    (checkout / ".venv").symlink_to(sys.prefix)
    program = shared / "cases" / "serving" / "check.py"
    command = (sys.executable, str(program), str(checkout))
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    *told, last = done.stdout.splitlines() or [""]
    assert last.endswith("cases right"), done.stderr
    return dict(line.split(": ", 1) for line in told)


@pytest.mark.usefixtures("shared")
def test_there_are_cases() -> None:
    assert len(NAMES) >= 16


@pytest.mark.parametrize("name", NAMES)
def test_an_odd_request_is_answered_as_it_should_be(name: str, faults: dict[str, str]) -> None:
    assert name not in faults, faults[name]
