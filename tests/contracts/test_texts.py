"""What the project's files must not say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def texts() -> dict[str, str]:
    """Every file that git tracks or would, but for binary ones."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = {}
    for name in names.splitlines():
        try:
            found[name] = (ROOT / name).read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue
    return found


TEXTS = texts()


@pytest.mark.parametrize("folder", ["home", "root", "Users", "work"])
def test_no_file_names_a_folder_of_some_machine(folder: str) -> None:
    path = re.compile(rf"(?<![\w./}}\]-])/{folder}/")
    assert [name for name, text in TEXTS.items() if path.search(text)] == []


def test_only_tests_and_training_know_of_the_shared_data() -> None:
    naming = [name for name, text in TEXTS.items() if "../shared" in text]
    assert [name for name in naming if not name.startswith(("tests/", "models/"))] == []


def test_scripts_name_no_host() -> None:
    # pip, apt and git take what the machine has configured; what is served is on this machine.
    elsewhere = re.compile(r"://(?!127\.0\.0\.1|localhost|\$)")
    scripts = [name for name in TEXTS if name.startswith(("scripts/", ".ci/"))]
    assert scripts
    assert [name for name in scripts if elsewhere.search(TEXTS[name])] == []
