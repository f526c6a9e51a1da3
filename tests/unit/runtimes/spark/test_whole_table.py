"""Statements over all columns of the table, and columns of types that only SQL has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.parity.saves import save_stage

from hydro_runtimes.columns import Columns, Dense, Strings
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.evaluator import Evaluation
from hydro_runtimes.load import load
from hydro_runtimes.spark.data.sql_columns import column_json

LIMITS = {"tinyint": 7, "smallint": 15}


def save_statement(folder: Path, statement: str, *inputs: dict[str, Any]) -> Path:
    params = {"statement": statement}
    saved = save_stage(folder / "m", "feature.SQLTransformer", params, version="4.3.0")
    if inputs:
        (saved / "metadata.json").write_text(json.dumps({"inputs": inputs}))
    return saved


def outputs_of(answer: Evaluation) -> dict[str, list[Any]]:
    return {
        name: [json.loads(text) for text in column_json(column)]
        for name, column in answer.outputs.items()
    }


STATED = ({"name": "b", "type": "int32"}, {"name": "a", "type": "string"})
COLUMNS = Columns({"a": Strings(["x", "y"]), "b": Dense(np.array([1, 2], dtype=np.int32))})


@pytest.mark.parametrize(
    ("statement", "name", "wanted"),
    [
        ("SELECT a, struct(*) AS q FROM __THIS__", "q", {"b": 1, "a": "x"}),
        ("SELECT to_json(struct(*)) AS q FROM __THIS__", "q", '{"b":1,"a":"x"}'),
        ("SELECT a, x + 1 AS q FROM __THIS__ AS t(x, y)", "q", None),
        ("SELECT y, t.x + 1 AS q FROM __THIS__ AS t(x, y)", "q", 2),
        ("SELECT * FROM __THIS__ AS t(x, y)", "y", "x"),
        ("SELECT array(*) AS q FROM (SELECT b, b + 1 AS c FROM __THIS__)", "q", [1, 2]),
    ],
)
def test_all_columns_are_those_that_are_stated_in_their_order(
    statement: str, name: str, wanted: Any, tmp_path: Path
) -> None:
    folder = save_statement(tmp_path, statement, *STATED)
    if wanted is None:  # the table has x and y then, and no a
        with pytest.raises(InvalidModel, match="there is no column 'a'"):
            load(folder)
        return
    assert outputs_of(load(folder).evaluate(COLUMNS))[name][0] == wanted


@pytest.mark.parametrize(
    "statement", ["SELECT struct(*) q FROM __THIS__", "SELECT x FROM __THIS__ t(x)"]
)
def test_columns_that_nothing_tells_are_asked_for(statement: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"all columns.*state it beside the model in metadata"):
        load(save_statement(tmp_path, statement))


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(LIMITS)), st.lists(st.integers(-40_000, 40_000), min_size=1))
def test_small_numbers_keep_their_type(
    tmp_path_factory: pytest.TempPathFactory, kind: str, numbers: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("small")
    statement = "SELECT x, typeof(x) AS t, cast(x AS double) AS d, x + x AS s FROM __THIS__"
    model = load(save_statement(folder, statement, {"name": "x", "type": kind}))
    answer = model.evaluate(Columns({"x": Dense(np.array(numbers, dtype=np.int32))}))
    limit = 1 << LIMITS[kind]
    right = [n for n in numbers if -limit <= n < limit and -limit <= 2 * n < limit]
    got = outputs_of(answer)
    assert got.get("s", []) == [2 * n for n in right]
    assert got.get("t", []) == [kind] * len(right)
    assert len(answer.failures) == len(numbers) - len(right)


def test_small_numbers_that_a_statement_makes_keep_their_type(tmp_path: Path) -> None:
    folder = save_stage(tmp_path / "m", "PipelineModel", {"stageUids": ["a", "b"]}, version="4.3.0")
    for place, statement in enumerate(
        (
            "SELECT cast(x AS smallint) AS h, X'6162' AS bytes FROM __THIS__",
            "SELECT typeof(h) AS t, h, bytes FROM __THIS__",
        )
    ):
        uid = "ab"[place]
        stage, params = folder / "stages" / f"{place}_{uid}", {"statement": statement}
        save_stage(stage, "feature.SQLTransformer", params, version="4.3.0", uid=uid)
    answer = load(folder).evaluate(Columns({"x": Strings(["7"])}))
    assert outputs_of(answer) == {"t": ["smallint"], "h": [7], "bytes": ["YWI="]}
    texts = answer.outputs["bytes"]
    assert isinstance(texts, Strings)
    assert texts.values == ["YWI="]  # as Spark writes binary as JSON
