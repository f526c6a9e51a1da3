import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_runtimes.columns import Columns, DataType, Dense, Ragged, Sparse, Strings
from hydro_runtimes.evaluator import Failure, Field, Signature
from hydro_services.codecs import json_rows
from hydro_services.errors import InvalidArgument


def decode(
    sent: Sequence[json_rows.Row], fields: Sequence[Field]
) -> tuple[Columns, Mapping[int, Failure]]:
    return json_rows.decode_rows(sent, Signature(tuple(fields), ()))


TITLE = Field("title", DataType.STRING)
PRICE = Field("price", DataType.FLOAT64)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b'[{"a":', "malformed JSON", id="malformed"),
        pytest.param(b'{"a": 1}', "is an object, want a JSON array of row objects", id="object"),
        pytest.param(b"null", "is null, want a JSON array", id="null"),
        pytest.param(b'[{"a":1}, 3]', "element 1 is a number, want a row object", id="element"),
    ],
)
def test_a_body_that_is_no_array_of_rows_says_what_was_expected(body: bytes, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        json_rows.parse_array(body)


def test_rows_become_columns_of_the_declared_types_and_others_come_along() -> None:
    columns, failures = decode(
        [{"id": 7, "price": 1, "title": "a"}, {"id": 8, "price": 2.5, "title": "b"}],
        [TITLE, PRICE],
    )
    assert not failures
    assert list(columns) == ["title", "price", "id"]
    assert columns["price"].type is DataType.FLOAT64
    assert columns["id"].type is DataType.INT64


def test_only_the_rows_at_fault_are_lost() -> None:
    given_rows: list[json_rows.Row] = [
        {"title": "a", "price": 1.0},
        {"title": "b"},
        {"title": 3, "price": 1.0},
        {"title": None, "price": 1.0},
        {"title": "e", "price": "12"},
        {"title": "f", "price": "NaN"},
    ]
    columns, failures = decode(given_rows, [TITLE, PRICE])
    assert {i: f.reason for i, f in failures.items()} == {
        1: "MISSING_COLUMN",
        2: "WRONG_TYPE",
        3: "NULL_VALUE",
        4: "WRONG_TYPE",
    }
    assert failures[2].column == "title"
    assert "got 3, want a string" in failures[2].message
    assert json_rows.encode_rows(columns) == [
        {"title": "a", "price": 1.0},
        {"title": "f", "price": "NaN"},
    ]


def test_a_boolean_is_no_number() -> None:
    _, failures = decode([{"price": True}], [PRICE])
    assert failures[0].reason == "WRONG_TYPE"


def test_an_integer_that_does_not_fit_fails_by_itself() -> None:
    field = Field("n", DataType.INT32)
    columns, failures = decode([{"n": 2**31}, {"n": -5}, {"n": 2.0}, {"n": 2.5}], [field])
    assert set(failures) == {0, 3}
    assert json_rows.encode_rows(columns) == [{"n": -5}, {"n": 2}]


def test_a_number_that_single_precision_cannot_hold_fails_by_itself() -> None:
    field = Field("x", DataType.FLOAT32)
    columns, failures = decode([{"x": 1e39}, {"x": 1.5}, {"x": "Infinity"}], [field])
    assert {i: f.reason for i, f in failures.items()} == {0: "WRONG_TYPE"}
    assert json_rows.encode_rows(columns) == [{"x": 1.5}, {"x": "Infinity"}]


def test_a_vector_of_the_wrong_size_fails_by_itself() -> None:
    field = Field("v", DataType.FLOAT64, (3,))
    columns, failures = decode([{"v": [1, 2, 3]}, {"v": [1, 2]}, {"v": [1, "x", 3]}], [field])
    assert {i: f.reason for i, f in failures.items()} == {1: "WRONG_SHAPE", 2: "WRONG_TYPE"}
    assert columns["v"].shape == (3,)


def test_a_vector_with_a_null_element_stands_beside_a_sparse_one() -> None:
    field = Field("v", DataType.FLOAT64, (-1,), nullable=True)
    sparse = {"type": "sparse", "size": 3, "indices": [1], "values": [2]}
    rows: list[json_rows.Row] = [{"v": [1.5, None]}, {"v": sparse}]
    columns, failures = decode(rows, [field])
    assert not failures
    assert json_rows.encode_rows(columns) == rows


def test_sparse_and_dense_vectors_mix() -> None:
    field = Field("v", DataType.FLOAT64, (3,))
    sparse = {"type": "sparse", "size": 3, "indices": [1], "values": [5.0]}
    columns, failures = decode(
        [{"v": sparse}, {"v": [1, 0, 2]}, {"v": {"type": "dense", "values": [1, 2, 3]}}], [field]
    )
    assert not failures
    vector = columns["v"]
    assert isinstance(vector, Sparse)
    assert vector.dense().values.tolist() == [[0, 5, 0], [1, 0, 2], [1, 2, 3]]
    assert json_rows.encode_rows(columns) == [{"v": sparse}, {"v": [1, 0, 2]}, {"v": [1, 2, 3]}]


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "sparse", "size": 3, "indices": [3], "values": [5.0]},
        {"type": "sparse", "size": 3, "indices": [1, 1], "values": [5.0, 6.0]},
        {"type": "sparse", "size": 3, "indices": [1], "values": []},
        {"type": "other", "values": [1]},
        {"values": [1]},
        {"type": "sparse"},
        {},
    ],
)
def test_a_malformed_vector_object_fails_by_itself(bad: dict[str, object]) -> None:
    field = Field("v", DataType.FLOAT64, (3,))
    columns, failures = decode([{"v": bad}, {"v": [1, 2, 3]}], [field])
    assert list(failures) == [0]
    assert columns.rows == 1


def test_lists_of_texts_are_ragged_and_keep_nulls() -> None:
    field = Field("words", DataType.STRING, (-1,), nullable=True)
    columns, failures = decode([{"words": ["a", None]}, {"words": []}], [field])
    assert not failures
    assert isinstance(columns["words"], Ragged)
    assert json_rows.encode_rows(columns) == [{"words": ["a", None]}, {"words": []}]


def test_special_numbers_have_names_in_json() -> None:
    columns = Columns({"x": Dense(np.array([[math.nan, 1.0], [math.inf, -math.inf]]))})
    assert json_rows.encode_rows(columns) == [{"x": ["NaN", 1.0]}, {"x": ["Infinity", "-Infinity"]}]


def test_no_rows_are_no_rows() -> None:
    columns, failures = decode([], [TITLE])
    assert (columns.rows, failures, json_rows.encode_rows(columns)) == (0, {}, [])


def test_a_failed_row_is_answered_in_its_place() -> None:
    assert json_rows.merge_failed(["a", "c"], {1: "b", 3: "d"}) == ["a", "b", "c", "d"]


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), anything), max_size=5))
def test_undeclared_columns_come_back_as_they_were_sent(sent: list[dict[str, object]]) -> None:
    columns, failures = decode(sent, [])
    assert not failures
    names = {name for row in sent for name in row}
    answered = json.loads(json_rows.write_array(json_rows.encode_rows(columns)))
    assert answered == sent
    assert set(columns) == names


@given(st.lists(st.dictionaries(st.sampled_from(["title", "price", "v"]), anything), max_size=5))
def test_each_row_is_answered_or_failed_whatever_is_sent(sent: list[dict[str, object]]) -> None:
    fields = [TITLE, PRICE, Field("v", DataType.FLOAT64, (-1,), nullable=True)]
    columns, failures = decode(sent, fields)
    assert columns.rows + len(failures) == len(sent)
    json_rows.write_array(json_rows.encode_rows(columns))


def test_strings_are_decoded_only_when_asked_for() -> None:
    column = Strings(packed=b"\x02\x00\x00\x00hi", rows=1)
    assert column.packed == b"\x02\x00\x00\x00hi"
    assert column.values == ["hi"]
