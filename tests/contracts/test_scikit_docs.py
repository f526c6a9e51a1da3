"""docs/scikit.md says which estimators cannot be served."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_page_is_the_generated_one() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "gen_scikit_docs.py"), "-"]
    environment = {"PYTHONPATH": str(ROOT / "runtimes")}
    made = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert (ROOT / "docs" / "scikit.md").read_text() == made.stdout, "run scripts/fix"
