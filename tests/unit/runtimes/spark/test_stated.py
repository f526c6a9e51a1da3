"""What a save does not tell of its inputs is asked for with the line that states it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.parity.saves import save_stage

from hydro_runtimes.columns import Columns, DataType, Dense, Strings
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.load import load
from hydro_runtimes.spark.data.sql_columns import column_json

SLICER = {"inputCol": "f", "outputCol": "g", "indices": [0], "names": ["age", "income"]}


def save_stated(folder: Path, **entry: Any) -> Path:
    (folder / "metadata.json").write_text(json.dumps({"inputs": [entry]}))
    return folder


def stated_line(error: InvalidModel) -> dict[str, Any]:
    found = re.search(r"metadata\.json: (\{.*\})$", error.message)
    assert found, error.message
    document: dict[str, Any] = json.loads(found[1])
    return document


def test_names_of_a_vector_are_asked_for(tmp_path: Path) -> None:
    folder = save_stage(tmp_path / "m", "feature.VectorSlicer", SLICER)
    with pytest.raises(InvalidModel) as refused:
        load(folder)
    entry = stated_line(refused.value)["inputs"][0]
    assert entry["name"] == "f"
    entry["elements"] = ["income", "sex", "age"]
    save_stated(folder, **entry)
    given = Columns({"f": Dense(np.array([[1.0, 2.0, 3.0]]))}, 1)
    answer = load(folder).evaluate(given).outputs["g"]
    assert isinstance(answer, Dense)
    assert answer.values.tolist() == [[1.0, 3.0, 1.0]]


@pytest.mark.parametrize("shape", [{}, {"shape": [3]}, {"shape": [-1]}])
def test_names_go_through_stages_as_in_spark(shape: Any, tmp_path: Path) -> None:
    folder = save_stage(tmp_path / "m", "PipelineModel", {"stageUids": ["a", "b", "c"]})
    assembler = {"inputCols": ["f", "x"], "outputCol": "all"}
    save_stage(folder / "stages" / "0_a", "feature.VectorAssembler", assembler, uid="a")
    first = {"inputCol": "all", "outputCol": "few", "names": ["x", "f_age"], "indices": []}
    save_stage(folder / "stages" / "1_b", "feature.VectorSlicer", first, uid="b")
    second = {"inputCol": "few", "outputCol": "one", "names": ["f_age"], "indices": []}
    save_stage(folder / "stages" / "2_c", "feature.VectorSlicer", second, uid="c")
    save_stated(folder, name="f", type="float64", elements=["income", "sex", "age"], **shape)
    given = Columns({"f": Dense(np.array([[1.0, 2.0, 3.0]])), "x": Dense(np.array([4.0]))}, 1)
    outputs = load(folder).evaluate(given).outputs
    few, one = outputs["few"], outputs["one"]
    assert isinstance(few, Dense)
    assert isinstance(one, Dense)
    assert (few.values.tolist(), one.values.tolist()) == ([[4.0, 3.0]], [[3.0]])


def test_a_name_that_is_not_stated_is_told_with_those_that_are(tmp_path: Path) -> None:
    folder = save_stage(tmp_path / "m", "feature.VectorSlicer", SLICER)
    save_stated(folder, name="f", type="float64", elements=["age", "sex"])
    with pytest.raises(InvalidModel, match="has no element named 'income', but age, sex"):
        load(folder)


@pytest.mark.parametrize(
    "entry",
    [{"elements": ["a", "a"]}, {"elements": ["a"], "shape": [2]}, {"elements": "a"}],
)
def test_names_that_do_not_fit_are_refused(entry: Any, tmp_path: Path) -> None:
    folder = save_stage(tmp_path / "m", "feature.VectorSlicer", SLICER)
    save_stated(folder, name="f", type="float64", **entry)
    with pytest.raises(InvalidModel, match="elements"):
        load(folder)


def test_labels_of_an_input_are_asked_for(tmp_path: Path) -> None:
    folder = save_stage(
        tmp_path / "m", "feature.IndexToString", {"inputCol": "i", "outputCol": "s", "labels": []}
    )
    with pytest.raises(InvalidModel) as refused:
        load(folder)
    entry = stated_line(refused.value)["inputs"][0]
    save_stated(folder, **{**entry, "nominal": ["no", "yes"]})
    answer = load(folder).evaluate(Columns({"i": Dense(np.array([1.0]))}, 1))
    assert list(answer.outputs["s"].values) == ["yes"]  # type: ignore[union-attr]


def test_categories_of_an_input_are_asked_for(tmp_path: Path) -> None:
    params = {"inputCol": "i", "outputCol": "v", "dropLast": True}
    folder = save_stage(tmp_path / "m", "feature.OneHotEncoder", params, version="2.4.8")
    with pytest.raises(InvalidModel) as refused:
        load(folder)
    entry = stated_line(refused.value)["inputs"][0]
    save_stated(folder, **{**entry, "nominal": ["a", "b", "c"]})
    signature = load(folder).signature
    assert signature.outputs[0].shape == (2,)


TYPES = {
    "decimal(10,2)": ("5.10", "x * 1.1", 5.61),
    "date": ('"2020-02-29"', "year(x)", 2020),
    "timestamp": ('"2020-02-29T10:00:00Z"', "unix_seconds(x)", 1582970400),
    "array<int>": ("[1, 2]", "aggregate(x, 0, (a, v) -> a + v)", 3),
    "struct<a:int,b:string>": ('{"b": "y"}', "concat_ws('-', x.a, x.b)", "y"),
    "map<string,int>": ('{"k": 4}', "x['k']", 4),
}


def compute_column(folder: Path, text: str) -> Any:
    """The only output for a row of which a column is this JSON."""
    answer = load(folder).evaluate(Columns({"x": Strings([text], None, DataType.JSON)}, 1))
    if answer.failures:
        return answer.failures[0].message
    return json.loads(column_json(answer.outputs["o"])[0])


@pytest.mark.parametrize("kind", TYPES)
def test_types_of_sql_are_stated(kind: str, tmp_path: Path) -> None:
    text, expression, wanted = TYPES[kind]
    statement = {"statement": f"SELECT {expression} AS o FROM __THIS__"}
    folder = save_stage(tmp_path / "m", "feature.SQLTransformer", statement, version="4.3.0")
    save_stated(folder, name="x", type=kind)
    assert compute_column(folder, text) == wanted
    assert compute_column(folder, "null") in (None, "")
    if kind in ("decimal(10,2)", "date", "array<int>"):
        assert f"want {kind}" in compute_column(folder, '{"no": "such"}')


def test_types_that_columns_have_are_stated_in_the_words_of_sql(tmp_path: Path) -> None:
    statement = {"statement": "SELECT x AS o FROM __THIS__"}
    folder = save_stage(tmp_path / "m", "feature.SQLTransformer", statement, version="4.3.0")
    for kind, wanted in {
        "int": DataType.INT32,
        "BIGINT": DataType.INT64,
        "float": DataType.FLOAT32,
    }.items():
        save_stated(folder, name="x", type=kind)
        assert load(folder).signature.inputs[0].type is wanted


@pytest.mark.parametrize("kind", ["decimal(", "decimals", "struct<a>", "int int"])
def test_a_type_that_is_none_is_refused(kind: str, tmp_path: Path) -> None:
    statement = {"statement": "SELECT x AS o FROM __THIS__"}
    folder = save_stage(tmp_path / "m", "feature.SQLTransformer", statement, version="4.3.0")
    save_stated(folder, name="x", type=kind)
    with pytest.raises(InvalidModel, match=r"input 'x' is .*decimal\(10,2\)"):
        load(folder)


def test_sql_asks_for_types_that_it_cannot_know(tmp_path: Path) -> None:
    statement = {"statement": "SELECT aggregate(x, 0, (a, v) -> a + v) AS o FROM __THIS__"}
    folder = save_stage(tmp_path / "m", "feature.SQLTransformer", statement, version="4.3.0")
    message = compute_column(folder, "[1, 2]")
    found = re.search(r"metadata\.json: (\{.*\})$", message)
    assert found, message
    (entry,) = json.loads(found[1])["inputs"]
    assert entry == {"name": "x", "type": "array<bigint>"}
    save_stated(folder, **{**entry, "type": "array<int>"})
    assert compute_column(folder, "[1, 2]") == 3
