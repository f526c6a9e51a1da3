"""Every saved pipeline of the parity set answers as Spark does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.parity.cases import Case, load_cases, plain_values, shared_folder, value_agrees

from hydro_runtimes.columns import Column, Columns
from hydro_runtimes.evaluator import Evaluation, Evaluator
from hydro_runtimes.load import load
from hydro_runtimes.spark.registry import find_stage

SET = shared_folder() / "spark-parity"
SHARED = load_cases(SET) if SET.is_dir() else []
CASES = SHARED + load_cases(Path(__file__).parent / "fixtures")
UNTOLD = {"imputer"}
"""Cases in which null alone does not tell whether a column has whole numbers: it is stated."""


def test_the_parity_set_is_whole(shared: Path) -> None:
    assert SET.parent == shared
    assert len({case.document["model"] for case in SHARED}) >= 100


@pytest.mark.usefixtures("shared")
def test_all_classes_of_the_set_are_supported() -> None:
    assert not {name for case in CASES for name in case.classes if find_stage(name) is None}


@pytest.fixture(params=CASES, ids=lambda case: case.document["name"])
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def test_all_rows_together_answer_as_spark(case: Case) -> None:
    check_rows(case, load(case.folder).evaluate(case.inputs), range(case.inputs.rows))


def test_each_row_alone_answers_as_spark(case: Case) -> None:
    model, inputs = load(case.folder), case.inputs
    for row in range(inputs.rows):
        check_rows(case, model.evaluate(inputs.take(np.array([row]))), range(row, row + 1))


def test_rows_from_json_answer_as_spark(case: Case, tmp_path: Path) -> None:
    model = load(state_types(case, tmp_path))
    inputs = case.json_inputs(model.signature)
    check_rows(case, model.evaluate(inputs), range(inputs.rows))


def state_types(case: Case, tmp_path: Path) -> Path:
    """The model's folder, with the types of its inputs where the saved stages do not tell them."""
    if case.document["name"] not in UNTOLD:
        return case.folder
    folder = shutil.copytree(case.folder, tmp_path / "model")
    (folder / "metadata.json").write_text(json.dumps({"inputs": case.stated}))
    return folder


def test_each_row_from_json_answers_as_spark(case: Case, tmp_path: Path) -> None:
    model = load(state_types(case, tmp_path))
    inputs = case.json_inputs(model.signature)
    for row in range(inputs.rows):
        check_rows(case, model.evaluate(inputs.take(np.array([row]))), range(row, row + 1))


def test_signature_has_the_columns_of_the_case(case: Case) -> None:
    signature = load(case.folder).signature
    names = {entry["name"] for entry in case.document["input_schema"]}
    assert {field.name for field in signature.inputs if not field.optional} <= names
    made = [entry["name"] for entry in case.document["output_schema"]]
    assert [field.name for field in signature.outputs if not field.optional] == made or set(
        made
    ) <= {field.name for field in signature.outputs}


def test_no_rows_answer_no_rows(case: Case) -> None:
    model: Evaluator = load(case.folder)
    evaluation = model.evaluate(case.inputs.take(np.zeros(0, dtype=np.int64)))
    assert all(column.rows == 0 for column in evaluation.outputs.values())
    assert evaluation.failures == {}


def check_rows(case: Case, evaluation: Evaluation, rows: range) -> None:
    dropped = {row for row in case.document["dropped"] if row in rows}
    errors = {row for row in case.error_rows if row in rows}
    failed = {rows[row]: failure for row, failure in evaluation.failures.items()}
    assert {row for row, f in failed.items() if f.reason == "ROW_DROPPED"} == dropped, failed
    assert {row for row, f in failed.items() if f.reason != "ROW_DROPPED"} == errors, failed
    answered = [row for row in rows if row not in failed]
    for entry in case.document["output_schema"]:
        column: Column = evaluation.outputs[entry["name"]]
        assert column.rows == len(answered)
        for row, got in zip(answered, plain_values(column), strict=True):
            want = case.document["outputs"][row][entry["name"]]
            assert agrees_in(case, entry, got, want), f"row {row}, {entry['name']}: {got} != {want}"
    assert isinstance(Columns(evaluation.outputs, len(answered)), Columns)


def agrees_in(case: Case, entry: dict[str, str], got: Any, want: Any) -> bool:
    tolerance = case.document["tolerance"]
    limits = {**tolerance, **tolerance["columns"].get(entry["name"], {})}
    if entry["name"] in case.document["unordered"] and got is not None and want is not None:
        return sorted(got) == sorted(want)
    return value_agrees(got, want, limits["rel"], limits["abs"])
