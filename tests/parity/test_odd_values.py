"""Whatever kind of JSON a column gets, the row is answered, or fails with what was wanted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.parity.cases import Case
from tests.parity.test_spark import CASES

from hydro_runtimes.load import load
from hydro_services.codecs.json_rows import parse_array, write_lines
from hydro_services.runtime.scoring import score_rows

VALUES: list[Any] = [
    *("35", "abc", "", "NaN", 5, 5.5, 2**70, True, None, {"a": 1}),
    *([1, 2], ["a"], [], [[1]], [None], [1, "a"], [{"a": 1}], [True]),
    {"type": 0, "size": 3, "indices": [1], "values": [1.0]},
    {"type": 1, "values": [1, 2]},
    {"type": 1},
]


@pytest.fixture(params=CASES, ids=lambda case: case.document["name"])
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def answer_rows(model: Any, rows: list[Any]) -> list[Any]:
    made, _ = score_rows(model, list(parse_array(json.dumps(rows).encode())))
    return [json.loads(line) for line in write_lines(made).splitlines()]


def test_a_value_of_any_kind_is_no_failure_of_the_model(case: Case) -> None:
    model, good = load(case.folder), case.document["inputs"][0]
    for field in model.signature.inputs:
        rows = [{**good, field.name: value} for value in VALUES]
        alone = [answer_rows(model, [row])[0] for row in rows]
        for row, answer in zip(rows, alone, strict=True):
            failure = (answer or {}).get("error", {"reason": "", "message": ""})
            told = f"{row[field.name]!r} in {field.name}: {failure}"
            assert failure["reason"] != "MODEL_FAILED", told
            assert "stage ''" not in failure["message"], told
            assert "column ''" not in failure["message"], told
        together = answer_rows(model, rows)
        assert [kind_of_answer(answer) for answer in together] == [
            kind_of_answer(answer) for answer in alone
        ]


def kind_of_answer(answer: Any) -> str:
    """What became of a row; answers are compared with Spark's elsewhere."""
    return "dropped" if answer is None else str(answer.get("error", {}).get("reason", "answered"))
