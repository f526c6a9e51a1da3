"""Saved Spark models that strangers brought, against Spark's own answers: the data beside us."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.statement import parse_statement


@pytest.mark.timeout(900)
def test_cases_answer_as_spark(shared: Path) -> None:
    hydro = Path(sys.prefix) / "bin" / "hydro"
    command = (sys.executable, str(shared / "cases" / "spark" / "check.py"), str(hydro))
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_expressions_from_the_field_are_read(shared: Path) -> None:
    lines = (shared / "cases" / "spark-expressions.txt").read_text().splitlines()
    given = [line for line in lines if line and not line.startswith("#")]
    assert len(given) >= 100
    for line in given:
        expression = line.partition(" -> 'AGG")[0]
        try:
            parse_statement(f"SELECT {expression} AS o FROM __THIS__")
        except StatementError as error:
            pytest.fail(f"{expression}: {error}")
