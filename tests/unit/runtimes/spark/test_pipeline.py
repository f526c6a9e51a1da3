"""What a saved pipeline does with columns that do not fit, and what its signature tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hydro_runtimes.columns import Column, Columns, DataType, Dense, Ragged, Strings
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.load import describe, load
from hydro_runtimes.spark.data.vocabulary import Vocabulary


def save_pipeline(folder: Path, *stages: tuple[str, dict[str, Any]]) -> Path:
    """A pipeline of stages that have params only."""
    uids = [f"s{i}" for i in range(len(stages))]
    write_stage(folder, "PipelineModel", "pipeline", {"stageUids": uids})
    for i, (name, params) in enumerate(stages):
        write_stage(folder / "stages" / f"{i}_s{i}", name, f"s{i}", params)
    return folder


def write_stage(folder: Path, name: str, uid: str, params: dict[str, Any]) -> None:
    (folder / "metadata").mkdir(parents=True)
    document = {
        "class": f"org.apache.spark.ml.{name}",
        "sparkVersion": "4.3.0",
        "uid": uid,
        "paramMap": params,
    }
    (folder / "metadata" / "part-00000").write_text(json.dumps(document))


TOKENIZER = ("feature.Tokenizer", {"inputCol": "t", "outputCol": "w"})
HASHED = ("feature.HashingTF", {"inputCol": "w", "outputCol": "f", "numFeatures": 8})
JOINED = ("feature.VectorAssembler", {"inputCols": ["a", "b"], "outputCol": "v"})
SQL = ("feature.SQLTransformer", {"statement": "SELECT a * 2 AS c FROM __THIS__ WHERE a > 0"})


def column_values(column: Column) -> Any:
    assert isinstance(column, Dense)
    return column.values.tolist()


def test_the_signature_is_derived_from_the_stages(tmp_path: Path) -> None:
    derived, parts, _ = describe(save_pipeline(tmp_path, TOKENIZER, HASHED))
    assert [(part.name, part.depth) for part in parts] == [
        ("PipelineModel", 0),
        ("Tokenizer", 1),
        ("HashingTF", 1),
    ]
    assert [(f.name, f.type, f.shape) for f in derived.inputs] == [("t", DataType.STRING, ())]
    assert [(f.name, f.type, f.shape) for f in derived.outputs] == [
        ("w", DataType.STRING, (-1,)),
        ("f", DataType.FLOAT64, (8,)),
    ]


def test_stages_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    normalizer = ("feature.Normalizer", {"inputCol": "w", "outputCol": "n"})
    with pytest.raises(InvalidModel, match="column 'w' is a list or vector of string, want"):
        load(save_pipeline(tmp_path, TOKENIZER, normalizer))


def test_a_column_that_an_earlier_select_left_out_is_refused(tmp_path: Path) -> None:
    bucketizer = ("feature.Binarizer", {"inputCol": "b", "outputCol": "o"})
    with pytest.raises(InvalidModel, match="'b' was left out by an earlier SELECT"):
        load(save_pipeline(tmp_path, SQL, bucketizer))


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DROP TABLE x", "want SELECT"),
        ("SELECT a FROM t", "another table"),
        ("SELECT a FROM __THIS__ JOIN t", "JOIN reads"),
        ("SELECT count(*) AS n FROM __THIS__", r"count\(\*\) needs other rows"),
        ("SELECT a, sum(a) AS s FROM __THIS__ GROUP BY a", "GROUP"),
        ("SELECT a.b.c, sum(a) OVER (ORDER BY a) FROM __THIS__", "sum.* OVER .* needs other rows"),
        ("SELECT Sounddex(a) AS x FROM __THIS__", "'Sounddex' is not supported; did you mean"),
        ("SELECT CAST(a AS VARIANT) AS x FROM __THIS__", "type 'variant' is not supported"),
        ("SELECT (SELECT 1) AS x FROM __THIS__", "needs other rows"),
        ("SELECT", "statement"),
        ("SELECT " + "(" * 5000 + "a" + ")" * 5000 + " AS x FROM __THIS__", "statement"),
    ],
    ids=range(11),
)
def test_statements_that_are_not_known_are_refused_when_loaded(
    tmp_path: Path, statement: str, message: str
) -> None:
    stage = ("feature.SQLTransformer", {"statement": statement})
    with pytest.raises(InvalidModel, match=message):
        load(save_pipeline(tmp_path, stage))


def test_rows_that_where_leaves_out_are_dropped(tmp_path: Path) -> None:
    a = Dense(np.array([1.5, -1.0, 2.0]))
    answer = load(save_pipeline(tmp_path, SQL)).evaluate(Columns({"a": a}))
    assert {row: failure.reason for row, failure in answer.failures.items()} == {1: "ROW_DROPPED"}
    assert column_values(answer.outputs["c"]) == [3.0, 4.0]


def test_a_column_of_a_wrong_form_fails_its_rows_by_stage_and_column(tmp_path: Path) -> None:
    columns = Columns({"a": Strings(["x", "y"]), "b": Dense(np.array([1.0, 2.0]))})
    answer = load(save_pipeline(tmp_path, JOINED)).evaluate(columns)
    assert set(answer.failures) == {0, 1}
    assert answer.failures[0].stage == "s0"
    assert answer.failures[0].column == "a"
    assert "want a number" in answer.failures[0].message


def test_a_json_value_of_a_wrong_kind_fails_its_row_alone(tmp_path: Path) -> None:
    a = Strings(["1", '"x"', "true", "null"], np.array([True, True, True, False]), DataType.JSON)
    columns = Columns({"a": a, "b": Dense(np.zeros(4))})
    answer = load(save_pipeline(tmp_path, JOINED)).evaluate(columns)
    assert set(answer.failures) == {1, 3}
    assert "got a text" in answer.failures[1].message
    assert "got null" in answer.failures[3].message
    assert column_values(answer.outputs["v"]) == [[1.0, 0.0], [1.0, 0.0]]


def test_vectors_of_differing_sizes_are_taken_where_spark_takes_them(tmp_path: Path) -> None:
    normalizer = ("feature.Normalizer", {"inputCol": "f", "outputCol": "n", "p": 1.0})
    f = Ragged(np.array([0, 2, 3]), Dense(np.array([1.0, 3.0, -5.0])))
    (column,) = (
        load(save_pipeline(tmp_path, normalizer)).evaluate(Columns({"f": f})).outputs.values()
    )
    assert isinstance(column, Ragged)
    assert column_values(column.elements) == [0.25, 0.75, -1.0]


def test_a_label_indexer_is_left_out_where_the_label_is_not_there(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    index = ("feature.StringIndexerModel", {"inputCol": "label", "outputCol": "y"})
    folder = save_pipeline(tmp_path, index, TOKENIZER)
    data = folder / "stages" / "0_s0" / "data"
    data.mkdir()
    pq.write_table(pa.table({"labelsArray": [[["no", "yes"]]]}), data / "part-0.parquet")
    model = load(folder)
    label = model.signature.inputs[0]
    assert (label.name, label.optional) == ("label", True)
    answer = model.evaluate(Columns({"t": Strings(["a b"])}))
    assert list(answer.outputs) == ["w"]
    both = model.evaluate(Columns({"t": Strings(["a b"]), "label": Strings(["yes"])}))
    assert column_values(both.outputs["y"]) == [1.0]


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("CAST(a AS INT)", [1, -1, None]),
        ("a / 4", [0.375, -0.25, None]),
        ("ln(a)", [float(np.log(1.5)), None, None]),
        ("a > 0 OR a IS NULL", [True, False, True]),
        ("coalesce(a, 7)", [1.5, -1.0, 7.0]),
        ("CASE WHEN a > 0 THEN 'p' ELSE 'n' END", ["p", "n", "n"]),
        ("CAST(a * 1e7 AS STRING)", ["1.5E7", "-1.0E7", None]),
        ("a NOT IN (1.5, NULL)", [False, None, None]),
        ("round(a * 1.1, 1)", [1.7, -1.1, None]),
        ("abs(a) BETWEEN 1 AND 1.2", [False, True, None]),
        ("CAST(a AS TINYINT)", [1, -1, None]),
        ("CAST(a * 100 AS SMALLINT) * CAST(7 AS TINYINT)", [1050, -700, None]),
        ("CAST(-1 AS TINYINT) + 0.5", ["-0.5", "-0.5", "-0.5"]),
        ("NULL * (1 / (a - a))", [None, None, None]),
        ("(1 / (a - a)) / NULL", [None, None, None]),
    ],
)
def test_expressions_give_what_spark_gives(
    tmp_path: Path, expression: str, wanted: list[object]
) -> None:
    stage = ("feature.SQLTransformer", {"statement": f"SELECT *, {expression} AS o FROM __THIS__"})
    a = Dense(np.array([1.5, -1.0, 0.0]), np.array([True, True, False]))
    answer = load(save_pipeline(tmp_path, stage)).evaluate(Columns({"a": a}))
    column = answer.outputs["o"]
    assert isinstance(column, Dense | Strings)
    given = column.values.tolist() if isinstance(column, Dense) else list(column.values)
    valid = [True] * 3 if column.validity is None else column.validity.tolist()
    assert [one if ok else None for one, ok in zip(given, valid, strict=True)] == wanted


def test_a_division_by_zero_fails_its_row_alone(tmp_path: Path) -> None:
    stage = ("feature.SQLTransformer", {"statement": "SELECT 1 / a AS o FROM __THIS__"})
    answer = load(save_pipeline(tmp_path, stage)).evaluate(
        Columns({"a": Dense(np.array([0.0, 4.0]))})
    )
    assert list(answer.failures) == [0]
    assert "DIVIDE_BY_ZERO" in answer.failures[0].message
    assert column_values(answer.outputs["o"]) == [0.25]


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("CAST(a * 100 AS TINYINT)", "CAST_OVERFLOW"),
        ("CAST(a * 2 AS TINYINT) * CAST(50 AS TINYINT)", "ARITHMETIC_OVERFLOW"),
    ],
)
def test_what_does_not_fit_into_a_tinyint_fails_its_row_alone(
    tmp_path: Path, expression: str, error: str
) -> None:
    stage = ("feature.SQLTransformer", {"statement": f"SELECT {expression} AS o FROM __THIS__"})
    answer = load(save_pipeline(tmp_path, stage)).evaluate(
        Columns({"a": Dense(np.array([1.0, 1.5]))})
    )
    assert list(answer.failures) == [1]
    assert error in answer.failures[1].message
    assert column_values(answer.outputs["o"]) == [100]


def test_types_that_the_stages_do_not_tell_may_be_stated(tmp_path: Path) -> None:
    save_pipeline(tmp_path, JOINED)
    stated = {"inputs": [{"name": "a", "type": "int32"}, {"name": "other", "type": "bool"}]}
    (tmp_path / "metadata.json").write_text(json.dumps(stated))
    assert [(f.name, f.type) for f in load(tmp_path).signature.inputs] == [
        ("a", DataType.INT32),
        ("b", DataType.JSON),
    ]


def test_stated_types_that_a_stage_cannot_read_are_refused(tmp_path: Path) -> None:
    save_pipeline(tmp_path, TOKENIZER)
    (tmp_path / "metadata.json").write_text('{"inputs": [{"name": "t", "type": "int32"}]}')
    with pytest.raises(InvalidModel, match="column 't' is int32, want string"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("condition", "kept"),
    [("t NOT LIKE 'a%'", ["b"]), ("t NOT IN ('b')", ["ab"]), ("t NOT BETWEEN 'b' AND 'c'", ["ab"])],
)
def test_a_negated_condition_is_negated(tmp_path: Path, condition: str, kept: list[str]) -> None:
    statement = f"SELECT t AS o FROM __THIS__ WHERE {condition}"
    model = load(save_pipeline(tmp_path, ("feature.SQLTransformer", {"statement": statement})))
    found = model.evaluate(Columns({"t": Strings(["ab", "b"])})).outputs["o"]
    assert isinstance(found, Strings)
    assert found.values == kept


def test_many_words_are_found_by_their_texts() -> None:
    words = [f"word{i}" for i in range(1000)] + ["", "\u00e9", "\U0001f600", "word7"]
    vocabulary = Vocabulary(words)
    assert vocabulary.find_all(words).tolist() == [*range(7), 1003, *range(8, 1003), 1003]
    assert vocabulary.find_all(["word1000", None, "wor"]).tolist() == [-1, -1, -1]
    assert Vocabulary([]).find("a") == -1
