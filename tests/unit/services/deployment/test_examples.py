"""What an example's file holds, and how a model takes it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hydro_runtimes.columns import DataType
from hydro_runtimes.evaluator import Field, Signature
from hydro_services.deployment.examples import SENT_ROWS, fit_rows, read_example
from hydro_services.errors import InvalidArgument

FRAME = pd.DataFrame({"n": [1, 2], "x": [0.1, 0.2], "t": ["a", "b"]})
ROWS = [{"n": 1, "x": 0.1, "t": "a"}, {"n": 2, "x": 0.2, "t": "b"}]


def write(folder: Path, name: str) -> Path:
    file = folder / name
    match file.suffix:
        case ".json":
            FRAME.to_json(file, orient="records")
        case ".ndjson" | ".jsonl":
            FRAME.to_json(file, orient="records", lines=True)
        case ".csv":
            FRAME.to_csv(file, index="with" in name)
        case ".parquet":
            FRAME.to_parquet(file)
    return file


@pytest.mark.parametrize(
    "name", ["a.json", "a.ndjson", "a.jsonl", "a.csv", "with.csv", "a.parquet"]
)
def test_each_kind_of_file_has_the_same_rows(tmp_path: Path, name: str) -> None:
    example = read_example(write(tmp_path, name))
    assert example.rows == ROWS
    given, names = example.of_model(SimpleNamespace(feature_names_in_=np.array(["x", "n"])))
    pd.testing.assert_frame_equal(given, FRAME[["x", "n"]])
    assert names is None


def test_rows_a_line_may_be_in_a_json_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"x": 1}\n\n{"x": 2}\n')
    assert read_example(tmp_path / "a.json").rows == [{"x": 1}, {"x": 2}]


def test_the_first_rows_are_sent_without_nan(tmp_path: Path) -> None:
    pd.DataFrame({"x": [None, *range(SENT_ROWS)]}).to_csv(tmp_path / "a.csv", index=False)
    rows = read_example(tmp_path / "a.csv").rows
    assert len(rows) == SENT_ROWS
    assert rows[:2] == [{"x": None}, {"x": 0.0}]


@pytest.mark.parametrize(
    ("model", "given", "names"),
    [
        pytest.param({"n_features_in_": 2}, [[1.0, 0.1], [2.0, 0.2]], ["n", "x"], id="array"),
        pytest.param({"feature_names_": ["x"]}, [[0.1], [0.2]], None, id="catboost"),
        pytest.param(
            {"feature_names_": ["0", "1"]}, [[1, 0.1], [2, 0.2]], ["n", "x"], id="numbered"
        ),
        pytest.param({}, [[1, 0.1], [2, 0.2]], None, id="untold"),
    ],
)
def test_a_model_is_given_what_it_was_fitted_on(
    tmp_path: Path, model: dict[str, object], given: list[object], names: list[str] | None
) -> None:
    FRAME[["n", "x"]].to_parquet(tmp_path / "a.parquet")
    got, columns = read_example(tmp_path / "a.parquet").of_model(SimpleNamespace(**model))
    assert np.asarray(got).tolist() == given
    assert columns == names


def test_texts_are_a_list(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"t": "a"}, {"t": "b"}]')
    assert read_example(tmp_path / "a.json").of_model(SimpleNamespace()) == (["a", "b"], ["t"])


@pytest.mark.parametrize(
    ("model", "told"),
    [
        pytest.param({"feature_names_in_": ["x", "z"]}, "lacks the model's column 'z'", id="name"),
        pytest.param({"n_features_in_": 4}, "has 3 columns, the model was fitted on 4", id="few"),
        pytest.param({"n_features_in_": 2}, "has 3 columns, the model was fitted on 2", id="many"),
    ],
)
def test_columns_that_are_not_the_models_are_named(
    tmp_path: Path, model: dict[str, object], told: str
) -> None:
    example = read_example(write(tmp_path, "a.csv"))
    with pytest.raises(InvalidArgument, match=told):
        example.of_model(SimpleNamespace(**model))


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.txt", "", r"want rows in a file of \.json, "),
        ("a.json", "[]", "has no rows"),
        ("a.json", "[1]", "row 0 is not an object"),
        ("a.json", "{", "cannot be read"),
        ("a.json", "[{}", "cannot be read"),
        ("a.csv", "", "cannot be read"),
        ("a.csv", "x\n", "has no rows"),
        ("a.parquet", "PAR1", "cannot be read"),
        ("b.json", None, "no such file"),
    ],
)
def test_what_holds_no_rows_is_refused(
    tmp_path: Path, name: str, text: str | None, told: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InvalidArgument, match=told):
        read_example(tmp_path / name)


def signature(*fields: Field) -> Signature:
    return Signature(fields, (Field("y", DataType.FLOAT64),))


VECTOR = Field("v", DataType.FLOAT32, (2,))


@pytest.mark.parametrize(
    ("fields", "rows", "want"),
    [
        pytest.param((VECTOR,), [{"a": 1, "b": 2}], [{"v": [1, 2]}], id="fills it"),
        pytest.param((VECTOR,), [{"v": [1, 2]}], [{"v": [1, 2]}], id="is it"),
        pytest.param((VECTOR,), [{"a": 1}], [{"a": 1}], id="too few"),
        pytest.param(
            (VECTOR, Field("x", DataType.INT64)), [{"a": 1, "b": 2}], [{"a": 1, "b": 2}], id="two"
        ),
    ],
)
def test_columns_become_the_one_vector_of_a_model(
    fields: tuple[Field, ...], rows: list[dict[str, object]], want: list[dict[str, object]]
) -> None:
    assert fit_rows(rows, signature(*fields)) == want
