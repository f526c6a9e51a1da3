"""Expressions of SQL answer as Spark: name, type and every row, recorded and fresh."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.parity.sql_cases import (
    MODES,
    RECORDED,
    answer_expression,
    read_expressions,
    texts_agree,
)
from tests.parity.sql_generator import Generator

from hydro_runtimes.spark.sql.functions import ALIASES, FUNCTIONS
from hydro_runtimes.spark.sql.functions.higher_order import HIGHER_ORDER
from hydro_runtimes.spark.sql.functions.refused import REFUSED

ROOT = Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("HYDRO_SEED", "1"))
FRESH = 60
GENERATED = 300


@cache
def recorded_answers(table: str) -> dict[str, dict[str, Any]]:
    document: dict[str, dict[str, Any]] = json.loads(RECORDED[table].read_text())
    return document


def difference_of(mine: dict[str, Any] | None, of_spark: dict[str, Any] | None) -> str | None:
    """What differs between two answers; None where nothing does."""
    if mine is None or of_spark is None:
        return (
            None
            if mine == of_spark
            else f"refused: here {mine is None}, by Spark {of_spark is None}"
        )
    if mine["type"] != of_spark["type"]:
        return f"type {mine['type']}, want {of_spark['type']}"
    for row, (one, other) in enumerate(zip(mine["rows"], of_spark["rows"], strict=True)):
        if not texts_agree(one, other):
            return f"row {row}: {one}, want {other}"
    if mine["name"] != of_spark["name"]:
        return f"name {mine['name']}, want {of_spark['name']}"
    return None


@pytest.mark.parametrize(("ansi", "zone"), MODES)
@pytest.mark.parametrize("expression", read_expressions())
def test_an_expression_answers_as_spark_did(expression: str, ansi: bool, zone: str) -> None:
    wanted = recorded_answers("plain")[f"{ansi} {zone}"][expression]
    assert difference_of(answer_expression(expression, ansi, zone), wanted) is None


@pytest.mark.parametrize(("ansi", "zone"), MODES)
def test_edge_values_answer_as_spark_did(ansi: bool, zone: str) -> None:
    wanted = recorded_answers("edges")[f"{ansi} {zone}"]
    found = {
        one: difference_of(answer_expression(one, ansi, zone, "edges"), wanted[one])
        for one in read_expressions("edges")
    }
    assert {one: text for one, text in found.items() if text is not None} == {}


def nested_expression(chooser: random.Random, given: list[str]) -> str:
    """An expression within another, of whatever types."""
    outer, inner = chooser.choice(given), chooser.choice(given)
    form = chooser.choice(
        ["coalesce(({a}), ({b}))", "cast(({a}) as string)", "({a}) = ({b})", "hash({a}, {b})"]
    )
    return form.format(a=outer, b=inner)


@pytest.mark.parametrize(("ansi", "zone"), MODES)
def test_generated_expressions_are_answered_or_refused(ansi: bool, zone: str) -> None:
    generator = Generator(SEED)
    for _ in range(GENERATED):
        answer_expression(generator.expression(), ansi, zone, "edges")  # raises nothing else


@pytest.mark.timeout(600)
def test_new_expressions_answer_as_spark() -> None:
    if os.environ.get("CI") != "true":
        pytest.importorskip("pyspark")
    chooser, given = random.Random(SEED), read_expressions()
    generator = Generator(SEED)
    chosen = {
        "plain": [nested_expression(chooser, given) for _ in range(FRESH)],
        "edges": [generator.expression() for _ in range(FRESH)],
    }
    failed: list[str] = []
    for table, modes in of_spark(chosen).items():
        for (ansi, _), answers in zip(MODES, modes, strict=False):
            for expression, wanted in zip(chosen[table], answers, strict=True):
                mine = answer_expression(expression, ansi, "UTC", table)
                if table == "plain" and mine is not None and wanted is not None:
                    mine["name"] = wanted["name"]  # compared for the recorded ones
                found = difference_of(mine, wanted)
                if found is not None:
                    failed.append(f"{expression} (ANSI {ansi}): {found}")
    assert failed == []


def of_spark(given: dict[str, list[str]]) -> dict[str, list[list[dict[str, Any] | None]]]:
    """Spark's answers in the first two modes, by table."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "runtimes")])
    done = subprocess.run(
        [sys.executable, "-m", "tests.parity.sql_of_spark"],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers: dict[str, list[list[dict[str, Any] | None]]]
    answers = json.loads(done.stdout.splitlines()[-1])
    return answers


def test_the_docs_list_the_functions() -> None:
    text = " ".join((ROOT / "docs" / "spark.md").read_text().split())
    known = {name for name in (*FUNCTIONS, *ALIASES, *HIGHER_ORDER) if name.isidentifier()}
    assert [name for name in known if not re.search(rf"\b{name}\b", text)] == []
    assert [name for name, why in REFUSED.items() if name not in text or why not in text] == []
