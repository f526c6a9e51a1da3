"""A row is answered alone as among others, in all formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_chain import RAISING, Echo, Row, by_json, echo, exact, served

from hydro_runtimes.columns import DataType
from hydro_runtimes.evaluator import Evaluator, Field, Signature
from hydro_runtimes.python import PythonEvaluator

TYPES = {
    "f": DataType.FLOAT64,
    "g": DataType.FLOAT32,
    "i": DataType.INT64,
    "j": DataType.INT32,
    "b": DataType.BOOL,
    "s": DataType.STRING,
}
SHAPES = ((), (-1,), (2,), (-1, 2), (2, -1), (-1, -1), (2, 2), (-1, -1, 3))


Case = tuple[list[list[Field]], list[Row]]


odd = st.sampled_from([2**53 + 1, 2**31, -(2**63), 2**63, 1e300, 0.1, "NaN", "Infinity", "", -0.0])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(-3, 3, width=32),
    st.sampled_from("ab"),
    odd,
)
sparse = st.builds(
    lambda size, values: {
        "type": "sparse",
        "size": size,
        "indices": list(range(size))[: len(values)],
        "values": values[:size],
    },
    st.integers(0, 3),
    st.lists(st.floats(-3, 3), max_size=3),
)
anything = st.recursive(scalars | sparse, lambda inner: st.lists(inner, max_size=3), max_leaves=8)


def fitting(field: Field) -> st.SearchStrategy[Any]:
    """Values of a field, nulls in them at any depth."""
    kinds: dict[DataType, st.SearchStrategy[Any]] = {
        DataType.FLOAT64: st.floats(-3, 3) | st.integers(-3, 3) | st.just("NaN"),
        DataType.FLOAT32: st.floats(-3, 3, width=32),
        DataType.INT64: st.integers(-(2**63), 2**63 - 1) | st.just(2.0),
        DataType.INT32: st.integers(-(2**31), 2**31 - 1),
        DataType.BOOL: st.booleans(),
        DataType.STRING: st.text(max_size=3),
    }
    found = st.none() | kinds[field.type]
    for size in reversed(field.shape):
        least, most = (0, 3) if size < 0 else (size, size)
        found = st.none() | st.lists(found, min_size=least, max_size=most)
    return found


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Fields of one to three stages, and rows that fit, do not, or lack them."""
    names = draw(st.lists(st.sampled_from("xyz"), min_size=1, max_size=3, unique=True))
    fields = [
        Field(name, draw(st.sampled_from([*TYPES.values()])), draw(st.sampled_from(SHAPES)))
        for name in names
    ]
    stages = [
        [field for field in fields if draw(st.booleans())] for _ in range(draw(st.integers(1, 3)))
    ]
    rows: list[Row] = []
    for key in range(draw(st.integers(1, 4))):
        row: Row = {"key": draw(st.sampled_from([key, key, RAISING]))}
        for field in fields:
            if draw(st.booleans()):
                row[field.name] = draw(fitting(field) if draw(st.booleans()) else anything)
        if draw(st.booleans()):
            row["own"] = draw(anything)
        rows.append(row)
    return stages, rows


@pytest.mark.parametrize("kind", ["array", "lines", "frames", "frame a row"])
@given(case=cases(), data=st.data())
def test_a_row_is_answered_alone_as_among_others(
    kind: str, case: Case, data: st.DataObject
) -> None:
    stages, sent = case
    models = [echo(fields, "opq"[i] * 2) for i, fields in enumerate(stages)]
    alone = [exact(served(models, [row], kind)[0]) for row in sent]
    for places in (
        range(len(sent)),
        data.draw(st.permutations(range(len(sent)))),
        data.draw(st.lists(st.sampled_from(range(len(sent))), max_size=4)),
    ):
        answers = served(models, [sent[i] for i in places], kind)
        assert [exact(answer) for answer in answers] == [alone[i] for i in places]


@given(case=cases())
def test_what_a_client_sends_comes_back_as_it_was(
    case: Case,
) -> None:
    _, sent = case
    models = [echo([], prefix) for prefix in "opq"]
    for kind in ("array", "lines", "frames"):
        for row, answer in zip(sent, served(models, sent, kind), strict=True):
            brought = {name: value for name, value in answer.items() if name in row}
            assert exact(brought) == exact(row)
            assert answer.keys() == row.keys()


def any_case(fields: Sequence[Field], prefix: str) -> Evaluator:
    """As `echo`, and finds its inputs whatever their case, as Spark's models do."""
    made = echo(fields, prefix)
    names = {field.name: prefix + field.name for field in fields}
    inputs = tuple(replace(each, optional=False) for each in made.signature.inputs)
    signature = replace(made.signature, inputs=inputs, absent_is_null=True, ignores_case=True)
    return PythonEvaluator(signature, Echo(names))


@st.composite
def named_cases(draw: st.DrawFn) -> Case:
    """Rows that name a column as declared, in another case, both, or in several ways."""
    field = Field("text", draw(st.sampled_from([*TYPES.values()])), draw(st.sampled_from(SHAPES)))
    rows: list[Row] = []
    for key in range(draw(st.integers(1, 4))):
        row: Row = {"key": key}
        for name in draw(st.lists(st.sampled_from(["text", "Text", "TEXT"]), unique=True)):
            row[name] = draw(fitting(field) if draw(st.booleans()) else anything)
        rows.append(row)
    return [[field]] * draw(st.integers(1, 3)), rows


@pytest.mark.parametrize("kind", ["array", "lines", "frames", "frame a row"])
@given(case=named_cases(), data=st.data())
def test_a_row_names_its_columns_whatever_the_others_call_theirs(
    kind: str, case: Case, data: st.DataObject
) -> None:
    stages, sent = case
    models = [any_case(fields, "opq"[i] * 2) for i, fields in enumerate(stages)]
    alone = [exact(served(models, [row], kind)[0]) for row in sent]
    places = data.draw(st.permutations(range(len(sent))))
    answers = served(models, [sent[i] for i in places], kind)
    assert [exact(answer) for answer in answers] == [alone[i] for i in places]


def test_rows_may_name_a_column_in_different_cases() -> None:
    models = [any_case([Field("text", DataType.STRING)], "o")]
    sent: list[Row] = [
        {"key": 0, "text": "a", "Text": 1},
        {"KEY": 1, "Text": "b"},
        {"key": 2, "TEXT": "c", "Text": "d"},
        {"Key": 3, "text": None},
    ]
    for kind in ("array", "lines"):
        answers = served(models, sent, kind)
        assert [row.get("otext") for row in answers] == ["a", "b", None, None]
        assert [row["n_otext"] for row in answers] == [True, True, False, True]


@pytest.mark.parametrize("kind", ["array", "lines"])
@pytest.mark.parametrize("depth", [200, 253, 254, 255, 1000, 2000])
@pytest.mark.parametrize("name", ["x", "own"])
def test_a_value_that_is_nested_deeply_costs_nobody_else_an_answer(
    kind: str, depth: int, name: str
) -> None:
    models = [echo([Field("x", DataType.FLOAT64, (-1,))], "o"), echo([], "p")]
    odd = b'{"key":1,"%b":%b%b}' % (name.encode(), b"[" * depth, b"]" * depth)
    plain = b'{"key":0}'
    body = b"[%b,%b,%b]" if kind == "array" else b"%b\n%b\n%b\n"
    answers = by_json(models, body % (plain, odd, plain), kind)
    assert [row.get("key") for row in (answers[0], answers[2])] == [0, 0]
    assert "error" in answers[1] or answers[1]["key"] == 1
    assert answers[1:2] == by_json(models, b"[%b]" % odd, "array")


shaped = st.builds(
    lambda type, shape: Field("x", type, shape, nullable=True, optional=True),
    st.sampled_from([*TYPES.values()]),
    st.sampled_from(SHAPES),
)


@given(st.data())
def test_values_of_every_shape_come_through_a_model(data: st.DataObject) -> None:
    field = data.draw(shaped)
    values = data.draw(st.lists(fitting(field), min_size=1, max_size=4))
    sent = [{"key": 0, "x": value} for value in values]
    for models in (1, 2, 3):
        chained = [echo([field], "opq"[i]) for i in range(models)]
        for kind in ("array", "lines", "frames"):
            for value, answer in zip(values, served(chained, sent, kind), strict=True):
                assert "error" not in answer
                assert answer["x"] == value
                assert answer["ox"] == as_model_gave(value, field)


def as_model_gave(value: Any, field: Field) -> Any:
    """Null floats are NaN to a model, in lists too."""
    if value is None and field.type in (DataType.FLOAT32, DataType.FLOAT64) and not field.shape:
        return "NaN"
    if isinstance(value, list):
        return [as_model_gave(each, replace(field, shape=field.shape[1:])) for each in value]
    return value


def test_a_null_or_missing_list_takes_nothing_of_another_row() -> None:
    models = [echo([Field("x", DataType.FLOAT64, (-1,))], "o")]
    sent: list[Row] = [{"key": 0, "x": [1.5, 2.5]}, {"key": 1, "x": None}, {"key": 2}]
    assert served(models, sent, "array") == [
        {"key": 0, "x": [1.5, 2.5], "ox": [1.5, 2.5], "n_ox": True},
        {"key": 1, "x": None, "ox": None, "n_ox": True},
        {"key": 2, "n_ox": False},
    ]


def test_a_list_of_the_wrong_length_is_the_error_of_its_row() -> None:
    models = [echo([Field("x", DataType.FLOAT64, (-1, 2))], "o")]
    points = [[[1, 2], [3, 4]], [[5, 6]], [[5, 6, 7]], []]
    sent: list[Row] = [{"key": i, "x": value} for i, value in enumerate(points)]
    for chained in (models, [echo([], "p"), *models]):
        answers = served(chained, sent, "array")
        assert [row.get("ox") for row in answers] == [points[0], points[1], None, points[3]]
        error = answers[2]["error"]
        assert (error["reason"], error["column"]) == ("WRONG_SHAPE", "x")
        want = "want an array of any number of x 2 float64"
        assert error["message"] == f"column 'x': got 3 elements in a list of depth 2, {want}"


def test_numbers_of_two_kinds_are_read_by_the_stage_that_declares_them() -> None:
    models = [echo([], "p"), echo([Field("x", DataType.FLOAT64)], "o")]
    sent = [{"key": i, "x": x} for i, x in enumerate([1, 1.5, True, "NaN", "a", 2**53 + 1])]
    answers = served(models, sent, "array")
    assert [row.get("ox") for row in answers] == [1.0, 1.5, None, "NaN", None, 2.0**53]
    assert [row.get("x") for row in answers] == [1, 1.5, None, "NaN", None, 2**53 + 1]
    assert [row["error"]["reason"] for row in answers if "error" in row] == ["WRONG_TYPE"] * 2


def test_a_row_that_brings_a_column_of_an_output_fails_alone() -> None:
    first, second = echo([], "p"), echo([Field("x", DataType.FLOAT64)], "o")
    sent: list[Row] = [{"key": 0, "ox": 1}, {"key": 1}, {"key": 2, "n_ox": None, "x": 1.5}]
    for models, where in (([second], "s/0"), ([first, second], "s/1")):
        for kind in ("array", "lines"):
            answers = served(models, sent, kind)
            assert answers[1] == {"key": 1, "n_ox": False}
            for row, name in ((0, "ox"), (2, "n_ox")):
                error = answers[row]["error"]
                found = [error[fact] for fact in ("reason", "column", "stage")]
                assert found == ["COLUMN_EXISTS", name, where]
                assert "rename yours, or declare" in error["message"]


def test_an_output_that_replaces_takes_the_place_of_what_came_in() -> None:
    signature = Signature(
        (Field("key", DataType.INT64), Field("x", DataType.FLOAT64, optional=True)),
        (Field("ox", DataType.FLOAT64, optional=True, replaces=True),),
    )
    model = PythonEvaluator(signature, Own())
    sent: list[Row] = [
        {"key": 0, "x": 1.5, "ox": "mine"},
        {"key": 1, "ox": "mine"},
        {"key": 2, "x": 2.5},
    ]
    for kind in ("array", "frames"):
        assert served([model], sent, kind) == [
            {"key": 0, "x": 1.5, "ox": 1.5},
            {"key": 1},
            {"key": 2, "x": 2.5, "ox": 2.5},
        ]


class Own:
    """Gives its one output where its one input is there."""

    def evaluate(self, columns: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"ox": columns["x"]} if "x" in columns else {}
