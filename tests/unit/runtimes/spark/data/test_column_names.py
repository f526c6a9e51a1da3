"""Stages find columns by the names that Spark takes for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parity.cases import plain_values
from tests.parity.saves import save_stage

from hydro_runtimes.columns import Columns, DataType, Strings
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Evaluator, Failure
from hydro_runtimes.load import load
from hydro_runtimes.spark.data.column_names import matching_names, parse_name
from hydro_runtimes.spark.data.sql_columns import column_json

Stage = tuple[str, dict[str, Any]]


def sql_stage(statement: str) -> Stage:
    return "feature.SQLTransformer", {"statement": statement}


def assembler_stage(*inputs: str) -> Stage:
    return "feature.VectorAssembler", {"inputCols": list(inputs), "outputCol": "f"}


def binarizer_stage(source: str, output: str, threshold: float = 3.0) -> Stage:
    return "feature.Binarizer", {"inputCol": source, "outputCol": output, "threshold": threshold}


def save_pipeline(folder: Path, *stages: Stage) -> Path:
    uids = [f"s{at}" for at in range(len(stages))]
    save_stage(folder, "PipelineModel", {"stageUids": uids}, version="4.3.0")
    for at, (name, params) in enumerate(stages):
        save_stage(folder / "stages" / f"{at}_s{at}", name, params, uid=f"s{at}", version="4.3.0")
    return folder


def answer_row(folder: Path, row: dict[str, Any]) -> dict[str, Any] | Failure:
    """The outputs for a row of JSON."""
    columns = {
        name: Strings([json.dumps(value)], None, DataType.JSON) for name, value in row.items()
    }
    answer = load(folder).evaluate(Columns(columns, 1))
    if answer.failures:
        return answer.failures[0]
    return {name: json.loads(column_json(column)[0]) for name, column in answer.outputs.items()}


STRUCT = {"x": {"p": None, "q": 1}}
NULL, NONE = {"s": None, "n": 1}, {"x": None, "y": None}
NESTED = {"s": {"a": 1, "b": {"c": 2.5}}, "a": 10, "d.e": 7.0}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("a", 10), ("A", 10), ("s.a", 1), ("S.A", 1), ("s.b.c", 2.5), ("`d.e`", 7), ("`a`", 10)],
)
def test_a_name_is_resolved_as_in_spark(name: str, wanted: float, tmp_path: Path) -> None:
    folder = save_pipeline(
        tmp_path / "m", sql_stage("SELECT *, s.a + a AS known FROM __THIS__"), assembler_stage(name)
    )
    answer = answer_row(folder, NESTED)
    assert isinstance(answer, dict)
    assert answer["f"] == [wanted]


@pytest.mark.parametrize("name", ["MADE.p", "made.P", "Made.`p`"])
def test_fields_of_a_struct_that_a_statement_makes(name: str, tmp_path: Path) -> None:
    folder = save_pipeline(
        tmp_path / "m",
        sql_stage("SELECT struct(a AS p) AS made FROM __THIS__"),
        assembler_stage(name),
    )
    assert answer_row(folder, {"a": 4}) == {"made": {"p": 4}, "f": [4.0]}


def test_an_output_takes_the_place_of_one_whose_case_differs(tmp_path: Path) -> None:
    folder = save_pipeline(
        tmp_path / "m",
        binarizer_stage("Income", "X"),
        binarizer_stage("Income", "x", 5.0),
        assembler_stage("X"),
    )
    assert answer_row(folder, {"Income": 4.0}) == {"x": 0.0, "f": [0.0]}


def test_an_ambiguous_name_is_refused(tmp_path: Path) -> None:
    folder = save_pipeline(tmp_path / "m", assembler_stage("x", "X"), assembler_stage("x"))
    loaded = load(folder)  # each is an input of its own name
    assert [field.name for field in loaded.signature.inputs] == ["x"]
    folder = save_pipeline(
        tmp_path / "n", sql_stage("SELECT a AS x, b AS X FROM __THIS__"), assembler_stage("x")
    )
    with pytest.raises(InvalidModel, match="two columns have the name"):
        load(folder)


@pytest.mark.parametrize(
    ("statement", "row", "wanted"),
    [
        ("SELECT *, -d AS e FROM (SELECT *, a AS d FROM __THIS__)", {"a": 1}, {"d": 1, "e": -1}),
        ("SELECT b FROM (SELECT * FROM __THIS__) q WHERE q.a > 1", {"a": 2, "b": 5}, {"b": 5}),
        ("WITH q AS (SELECT * FROM __THIS__) SELECT q.*, b + 1 AS c FROM q", {"b": 5}, {"c": 6}),
        ("FROM __THIS__ |> WHERE a > 1 |> EXTEND b + 1 AS c", {"a": 2, "b": 5}, {"c": 6}),
        ("SELECT * EXCEPT (a), b + 1 AS c FROM __THIS__", {"a": 2, "b": 5}, {"c": 6}),
        ("SELECT a + 1 AS b, b * 2 AS c FROM __THIS__", {"a": 1, "b": 5}, {"b": 2, "c": 10}),
        ("SELECT a + 1 AS b, b * 2 AS c FROM __THIS__", {"a": 1}, {"b": 2, "c": 4}),
        ("SELECT a AS b, b AS a FROM __THIS__", {"a": 1, "b": 5}, {"b": 1, "a": 5}),
        ("SELECT s.* FROM __THIS__", {"s": {"a": 1, "b": "x"}}, {"a": 1, "b": "x"}),
        ("SELECT A + a AS x FROM __THIS__ WHERE aGe > 1", {"a": 2, "AGE": 3}, {"x": 4}),
        ("SELECT transform(w, i -> i.p * i.q) AS x FROM __THIS__", {"w": []}, {"x": []}),
        ("SELECT w.p AS x, exists(w, i -> i.q > 1) AS y FROM __THIS__", {"w": None, "n": 1}, NONE),
        ("SELECT struct(a AS p, 1 AS q) AS x FROM __THIS__", {"a": None, "b": 1}, STRUCT),
        ("SELECT t.s.*, a + 1 AS c FROM __THIS__ t", {"s": {"a": 1}, "a": 7}, {"a": 1, "c": 8}),
        ("SELECT s.a + 1 AS x, s.b.c AS y FROM __THIS__", NULL, NONE),
        ("SELECT s.a + 1 AS x, s.b.c AS y FROM __THIS__", {"s": {"a": 1}}, {"x": 2, "y": None}),
        ("SELECT s[0] AS x, exists(s, i -> i > 1) AS y FROM __THIS__", NULL, NONE),
    ],
)  # fmt: skip
def test_a_statement_reads_what_comes_in(
    statement: str, row: dict[str, Any], wanted: dict[str, Any], tmp_path: Path
) -> None:
    assert answer_row(save_pipeline(tmp_path / "m", sql_stage(statement)), row) == wanted


def test_the_fields_of_a_struct_go_on(tmp_path: Path) -> None:
    folder = save_pipeline(
        tmp_path / "m", sql_stage("SELECT s.* FROM __THIS__"), assembler_stage("a", "B")
    )
    assert answer_row(folder, {"s": {"a": 1, "b": 2, "c": "x"}}) == {
        "a": 1,
        "b": 2,
        "c": "x",
        "f": [1.0, 2.0],
    }


NO_STRUCT = st.one_of(
    st.booleans(), st.integers(-9, 9), st.floats(-9, 9), st.text("ab7", max_size=2),
    st.lists(st.integers(0, 3), min_size=1, max_size=2),
)  # fmt: skip
NUMBERS = st.one_of(st.none(), st.integers(0, 9), st.floats(0, 9))
INNER = st.fixed_dictionaries({}, optional={"a": NUMBERS, "z": NUMBERS})
VALUES = st.one_of(
    st.none(), NO_STRUCT, st.fixed_dictionaries({}, optional={"b": st.none() | NO_STRUCT | INNER})
)


@given(st.lists(VALUES, min_size=1, max_size=6))
def test_a_field_of_what_is_no_struct_fails_its_row_alone(
    nested: Evaluator, values: list[Any]
) -> None:
    answer = answer_values(nested, values)
    for row, value in enumerate(values):
        inner = value.get("b") if isinstance(value, dict) else value
        is_wrong = inner is not None and not isinstance(inner, dict)
        assert isinstance(answer[row], Failure) == is_wrong
        if isinstance(failure := answer[row], Failure):
            assert (failure.reason, failure.column) == ("INVALID_VALUE", "s")
        assert answer[row] == answer_values(nested, [value])[0], "whatever the others are"


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    folder = tmp_path_factory.mktemp("nested") / "m"
    return load(save_pipeline(folder, binarizer_stage("s.b.a", "o")))


def answer_values(model: Evaluator, values: list[Any]) -> list[float | Failure]:
    """For rows that have these as the column `s`."""
    column = Strings([json.dumps(value) for value in values], None, DataType.JSON)
    answer = model.evaluate(Columns({"s": column}))
    answered = iter(plain_values(answer.outputs["o"]) if "o" in answer.outputs else ())
    return [answer.failures.get(row) or next(answered) for row in range(len(values))]


PLAIN = st.text("abAB_1 é", min_size=1, max_size=3)
QUOTED = st.text("ab.`é ", min_size=1, max_size=4)


@given(st.lists(st.one_of(PLAIN, QUOTED), min_size=1, max_size=3))
def test_names_are_read_as_they_are_quoted(parts: list[str]) -> None:
    quoted = ["`" + part.replace("`", "``") + "`" for part in parts]
    assert parse_name(".".join(quoted)) == tuple(parts)


@given(st.text("a.`b", max_size=6))
def test_any_text_is_a_name(name: str) -> None:
    assert parse_name(name)


@given(st.lists(PLAIN, unique=True, max_size=4), PLAIN)
def test_the_same_name_is_found_before_others(columns: list[str], name: str) -> None:
    found = matching_names(name, columns)
    assert found == [name] if name in columns else all(one.lower() == name.lower() for one in found)
