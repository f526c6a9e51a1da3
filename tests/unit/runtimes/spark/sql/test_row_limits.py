"""What a statement makes of a row is bounded, whatever it asks for; the row alone is in error."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.runtimes.spark.test_pipeline import save_pipeline

from hydro_runtimes.columns import Columns, Strings
from hydro_runtimes.evaluator import Evaluation
from hydro_runtimes.load import load
from hydro_runtimes.spark.sql import java_regex

MOST_BYTES = 600 << 20
"""Elements of arrays are Python's, of some 36 bytes each."""
BILLION = 1_000_000_000
HUGE = [
    f"repeat(t, {BILLION})",
    f"lpad(t, {BILLION}, 'ab')",
    f"rpad(t, {BILLION}, 'ab')",
    f"space({BILLION})",
    f"format_string('%{BILLION}d', 1)",
    f"format_string('%-{BILLION}s', t)",
    f"format_string('%.{BILLION}f', 1.5D)",
    f"format_number(1.5D, {BILLION})",
    f"sequence(1, {BILLION})",
    f"array_repeat(t, {BILLION})",
    "array_repeat(array_repeat(array_repeat(t, 10000), 10000), 10000)",
    "flatten(array_repeat(sequence(1, 100000), 100000))",
    "transform(sequence(1, 100000), x -> transform(sequence(1, 100000), y -> x * y))",
    "array_join(array_repeat('a', 1000000), repeat('b', 1000))",
    "concat_ws(repeat('b', 1000), array_repeat('a', 1000000))",
    "replace(repeat('a', 100000), 'a', repeat('a', 100000))",
    "regexp_replace(repeat('a', 100000), 'a', repeat('a', 100000))",
    "levenshtein(repeat('a', 100000), repeat('b', 100000))",
]
GROWING = [
    "repeat({}, 1000)",
    "replace({}, 'a', repeat('a', 5000))",
    "regexp_replace({}, '.', 'aaaaaaaaaaaaaaaa')",
    "concat({0}, {0}, {0}, {0})",
    "array_join(array_repeat({}, 1000), 'a')",
    "rpad({}, 1000000, 'b')",
    "array_join(split({}, ''), 'aaaaaaaaaaaaaaaa')",
    "translate({}, 'a', 'b')",
]


def evaluate_expression(folder: Path, expression: str, *texts: str) -> Evaluation:
    statement = f"SELECT *, {expression} AS o FROM __THIS__"
    model = load(save_pipeline(folder, ("feature.SQLTransformer", {"statement": statement})))
    return model.evaluate(Columns({"t": Strings(texts)}))


def peak_memory(folder: Path, expression: str) -> tuple[Evaluation, int]:
    tracemalloc.start()
    try:
        return evaluate_expression(
            folder, expression, "aaaaaaaaaa"
        ), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("expression", HUGE, ids=range(len(HUGE)))
def test_what_asks_for_too_much_is_told_the_limit(tmp_path: Path, expression: str) -> None:
    answer, taken = peak_memory(tmp_path, expression)
    assert "the limit here" in answer.failures[0].message
    assert taken < MOST_BYTES


@pytest.mark.slow
@pytest.mark.timeout(400)  # tracing memory makes each example several times as slow
def test_functions_around_functions_make_no_more(tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.sampled_from(GROWING), min_size=1, max_size=6))
    def check(steps: list[str]) -> None:
        expression = "t"
        for step in steps:
            expression = step.format(expression)
        expression = f"length({expression})"
        answer, taken = peak_memory(tmp_path_factory.mktemp("m"), expression)
        assert taken < MOST_BYTES
        for failure in answer.failures.values():
            assert "the limit here" in failure.message

    check()


def test_a_row_that_is_too_much_costs_no_other(tmp_path: Path) -> None:
    answer = evaluate_expression(tmp_path, "length(repeat(t, 1000000))", "a", "aaaa", "")
    assert [*answer.failures] == [1]


def test_an_expression_that_takes_too_long_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(java_regex, "MATCH_S", 0.05)
    start = time.process_time()
    answer = evaluate_expression(tmp_path, "t RLIKE '^(a|aa)+$'", "a" * 60 + "!", "aaa")
    assert time.process_time() - start < 10
    assert [*answer.failures] == [0]
    assert "the limit here" in answer.failures[0].message
