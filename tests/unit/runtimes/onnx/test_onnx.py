"""ONNX models give onnxruntime's own answers."""

from __future__ import annotations

import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import orjson
import pandas as pd
import pytest
from frames import answers, assert_own_answers, columns_of
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DictionaryType, FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hydro_runtimes.columns import Columns, DataType, Dense, Ragged, Strings
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.load import describe, load

ROWS = 40
RANDOM = np.random.default_rng(6)
X = RANDOM.normal(size=(ROWS, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
CLASSES = Y + (X[:, 1] > 0)


def saved(model: Any, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


def ran(folder: Path, feeds: dict[str, np.ndarray]) -> list[Any]:
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    found: list[Any] = session.run(None, feeds)
    return found


def graph(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: Any = ()) -> Any:
    made = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def value(name: str, kind: int, shape: list[Any] | None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.mark.parametrize("labels", [CLASSES, np.array(["a", "b", "c"])[CLASSES]])
def test_a_classifiers_map_is_a_vector_with_names(tmp_path: Path, labels: np.ndarray) -> None:
    """sklearn-onnx gives a map for each row."""
    model = LogisticRegression(max_iter=500).fit(X, labels)
    loaded = load(saved(to_onnx(model, X[:1]), tmp_path))

    def own(rows: slice) -> dict[str, Any]:
        label, maps = ran(tmp_path, {"X": X[rows]})
        vectors = np.array([list(each.values()) for each in maps], np.float32)
        return {"output_label": label, "output_probability": vectors}

    assert_own_answers(loaded, Columns({"X": Dense(X)}), own)
    assert loaded.signature.outputs[1].elements == tuple(map(str, model.classes_))
    assert describe(tmp_path).signature == loaded.signature


def test_columns_of_numbers_and_texts(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": X[:, 0], "city": RANDOM.choice(["Köln", "東京"], ROWS)})
    model = make_pipeline(
        ColumnTransformer(
            [
                ("numbers", StandardScaler(), ["age"]),
                ("texts", OneHotEncoder(handle_unknown="ignore"), ["city"]),
            ]
        ),
        LogisticRegression(),
    ).fit(frame, Y)
    kinds = [("age", FloatTensorType([None, 1])), ("city", StringTensorType([None, 1]))]
    converted = to_onnx(model, initial_types=kinds, options={"zipmap": "columns"})
    loaded = load(saved(converted, tmp_path))
    assert [(f.name, f.shape) for f in loaded.signature.inputs] == [("age", ()), ("city", ())]
    odd = pd.DataFrame({"age": X[:, 1], "city": RANDOM.choice(["Oslo", "Köln"], ROWS)})
    for some in (frame, odd):

        def own(rows: slice, some: pd.DataFrame = some) -> dict[str, Any]:
            age, city = some[["age"]].to_numpy(), some[["city"]].to_numpy(object)
            values = ran(tmp_path, {"age": age[rows], "city": city[rows]})
            return dict(zip(("output_label", "i0", "i1"), values, strict=True))

        assert_own_answers(loaded, columns_of(some, loaded), own)


def test_what_a_converter_states_wrongly_does_not_matter(tmp_path: Path) -> None:
    """Of several targets sklearn-onnx states one."""
    model = RandomForestRegressor(3, random_state=0).fit(X, X[:, :2])
    loaded = load(saved(to_onnx(model, X[:1]), tmp_path))
    (want,) = ran(tmp_path, {"X": X})
    assert want.shape == (ROWS, 2)
    assert_own_answers(loaded, Columns({"X": Dense(X)}), {"variable": want})


def test_the_axis_of_the_rows_comes_first(tmp_path: Path) -> None:
    """With as many targets as rows, a row would otherwise get the answer of another."""
    model = RandomForestClassifier(3, random_state=0).fit(X, np.c_[Y, CLASSES > 1])
    converted = to_onnx(model, X[:1], options={"zipmap": False})
    loaded = load(saved(converted, tmp_path))
    for rows in (X, X[:2], X[5:6]):
        label, probabilities = ran(tmp_path, {"X": rows})
        want = {"label": label, "probabilities": np.moveaxis(probabilities, 1, 0)}
        assert_own_answers(loaded, Columns({"X": Dense(rows)}), want)


@pytest.mark.filterwarnings("ignore:Option zipmap is ignored")
def test_a_tensor_for_each_target_is_json(tmp_path: Path) -> None:
    model = MultiOutputClassifier(LogisticRegression()).fit(X, np.c_[Y, CLASSES > 1])
    loaded = load(saved(to_onnx(model, X[:1]), tmp_path))
    got = answers(loaded, Columns({"X": Dense(X[:2])}))["probabilities"]
    parts = ran(tmp_path, {"X": X[:2]})[1]
    for row, text in enumerate(got):
        np.testing.assert_array_equal(
            np.array(orjson.loads(str(text)), np.float32), [part[row] for part in parts]
        )


def test_a_map_as_input_takes_objects(tmp_path: Path) -> None:
    rows: list[dict[str, float]] = [{"a": 1.0, "b": 2.0}, {"a": 2.0}] * 5
    model = make_pipeline(DictVectorizer(sparse=False), LogisticRegression()).fit(rows, [0, 1] * 5)
    kinds = [("x", DictionaryType(StringTensorType([1]), FloatTensorType([])))]
    loaded = load(saved(to_onnx(model, initial_types=kinds), tmp_path))
    texts = Strings(['{"a": 1, "b": 2.5}', '{"a": 3}', '{"c": 1}'], None, DataType.JSON)
    label = [ran(tmp_path, {"x": orjson.loads(text)})[0][0] for text in texts.values]
    got = answers(loaded, Columns({"x": texts}))
    np.testing.assert_array_equal(got["output_label"], label)


def test_axes_that_vary_from_row_to_row(tmp_path: Path) -> None:
    total = helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=0)
    double = helper.make_node("Add", ["x", "x"], ["double"])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    inputs = [value("x", TensorProto.FLOAT, ["rows", "length"])]
    outputs = [
        value("sum", TensorProto.FLOAT, ["rows"]),
        value("double", TensorProto.FLOAT, ["rows", "length"]),
    ]
    loaded = load(saved(graph([total, double], inputs, outputs, [axes]), tmp_path))
    lists = Ragged(np.array([0, 2, 3, 5]), Dense(np.array([1, 2, 3, 4, 5], np.float32)))
    found = loaded.evaluate(Columns({"x": lists})).outputs
    assert found["sum"].values.tolist() == [3, 3, 9]  # type: ignore[union-attr]
    doubled = found["double"]
    assert isinstance(doubled, Ragged)
    assert doubled.offsets.tolist() == [0, 2, 3, 5]
    assert doubled.elements.values.tolist() == [2, 4, 6, 8, 10]  # type: ignore[union-attr]


def test_a_graph_of_one_row_is_run_for_each(tmp_path: Path) -> None:
    inputs, outputs = ([value(name, TensorProto.FLOAT, [1, 2])] for name in ("x", "y"))
    loaded = load(saved(graph([helper.make_node("Neg", ["x"], ["y"])], inputs, outputs), tmp_path))
    given = Dense(X[:3, :2].copy())
    assert_own_answers(loaded, Columns({"x": given}), {"y": -X[:3, :2]})


TYPES = [
    pytest.param(TensorProto.DOUBLE, np.float64, np.float64, id="double"),
    pytest.param(TensorProto.FLOAT16, np.float16, np.float32, id="float16"),
    pytest.param(TensorProto.INT64, np.int64, np.int64, id="int64"),
    pytest.param(TensorProto.INT32, np.int32, np.int32, id="int32"),
    pytest.param(TensorProto.UINT8, np.uint8, np.int32, id="uint8"),
    pytest.param(TensorProto.BOOL, np.bool_, np.bool_, id="bool"),
]


@pytest.mark.parametrize(("kind", "theirs", "ours"), TYPES)
def test_types(tmp_path: Path, kind: int, theirs: Any, ours: Any) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    loaded = load(
        saved(graph([node], [value("x", kind, ["n"])], [value("y", kind, ["n"])]), tmp_path)
    )
    values = np.array([0, 1, 100, 7], ours)
    want = values.astype(theirs).astype(ours)
    assert_own_answers(loaded, Columns({"x": Dense(values)}), {"y": want})
    if theirs is np.uint8:
        with pytest.raises(ValueError, match="input 'x' takes 0 to 255"):
            loaded.evaluate(Columns({"x": Dense(np.array([256], ours))}))


def test_null_is_nan(tmp_path: Path) -> None:
    node = helper.make_node("IsNaN", ["x"], ["y"])
    inputs = [value("x", TensorProto.FLOAT, ["n", 1])]
    outputs = [value("y", TensorProto.BOOL, ["n", 1])]
    loaded = load(saved(graph([node], inputs, outputs), tmp_path))
    given = Dense(np.array([1, 0], np.float32), np.array([True, False]))
    assert answers(loaded, Columns({"x": given}))["y"].tolist() == [[False], [True]]


def test_metadata_states_the_columns_of_the_one_input_and_the_names_of_outputs(
    tmp_path: Path,
) -> None:
    saved(to_onnx(Ridge().fit(X, X[:, 0]), X[:1]), tmp_path)
    inputs = [{"name": name, "type": "float64"} for name in "abcd"]
    outputs = [{"name": "price", "type": "float32", "shape": [1]}]
    metadata = tmp_path / "metadata.json"
    metadata.write_text(json.dumps({"inputs": inputs, "outputs": outputs}))
    loaded = load(tmp_path)
    frame = pd.DataFrame(X.astype(np.float64), columns=list("abcd"))
    assert_own_answers(
        loaded,
        columns_of(frame, loaded),
        lambda rows: {"price": ran(tmp_path, {"X": X[rows]})[0]},
    )
    metadata.write_text(json.dumps({"inputs": inputs[:3]}))
    with pytest.raises(InvalidModel, match=r"inputs a, b, c, want X \[4\]"):
        load(tmp_path)


ROWLESS = [
    pytest.param(value("x", TensorProto.FLOAT, []), "of shape \\[\\]", id="a scalar"),
    pytest.param(value("x", TensorProto.FLOAT, [3, 2]), "of shape \\[3, 2\\]", id="three rows"),
    pytest.param(value("x", TensorProto.FLOAT, None), "of no stated shape", id="no shape"),
    pytest.param(value("x", TensorProto.BFLOAT16, ["n"]), "not supported", id="type"),
]


@pytest.mark.parametrize(("given", "reason"), ROWLESS)
def test_an_input_without_rows_is_refused(tmp_path: Path, given: Any, reason: str) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    out = value("y", given.type.tensor_type.elem_type, ["n"])
    saved(graph([node], [given], [out]), tmp_path)
    with pytest.raises(InvalidModel, match=reason):
        describe(tmp_path)


def test_an_output_without_rows_is_refused_before_traffic(tmp_path: Path) -> None:
    """A mean over the batch is no row's answer."""
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [0])
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[0], keepdims=1)
    inputs = [value("x", TensorProto.FLOAT, ["n", 2])]
    saved(graph([node], inputs, [value("y", TensorProto.FLOAT, ["n", 2])], [axes]), tmp_path)
    with pytest.raises(InvalidModel, match="'y' has 1 values for 2 rows, want one for each row"):
        load(tmp_path)


@cache
def file() -> bytes:
    data: bytes = to_onnx(LogisticRegression().fit(X, Y), X[:1]).SerializeToString()
    return data


@given(st.data())
def test_a_changed_file_is_described_or_refused(data: st.DataObject) -> None:
    changed = bytearray(file())
    for place in data.draw(st.lists(st.integers(0, len(changed) - 1), max_size=4)):
        changed[place] = data.draw(st.integers(0, 255))
    size = data.draw(st.one_of(st.just(len(changed)), st.integers(0, len(changed))))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.onnx").write_bytes(bytes(changed[:size]))
        try:
            described = describe(Path(folder))
        except InvalidModel:
            return
    assert described.signature.inputs


@given(
    st.lists(st.sampled_from([None, 1, 2, "n"]), min_size=1, max_size=4),
    st.sampled_from([TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING]),
    st.text(min_size=1, max_size=5),
)
def test_the_reader_agrees_with_onnx(shape: list[Any], kind: int, name: str) -> None:
    from hydro_runtimes.onnx.graph import Tensor, parse_graph

    node = helper.make_node("Identity", [name], ["y"])
    made = graph([node], [value(name, kind, shape)], [value("y", kind, shape)])
    read = parse_graph(onnx.load_from_string(made.SerializeToString()).SerializeToString())
    sizes = tuple(each if isinstance(each, int) else -1 for each in shape)
    assert read.inputs == ((name, Tensor(kind, sizes)),)
    assert read.outputs[0].type == Tensor(kind, sizes)


def test_one_thread_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(to_onnx(Ridge().fit(X, X[:, 0]), X[:1]), tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = len(os.listdir("/proc/self/task"))
    loaded = load(tmp_path)
    loaded.evaluate(Columns({"X": Dense(X)}))
    assert len(os.listdir("/proc/self/task")) <= before
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    told = load(tmp_path)
    told.evaluate(Columns({"X": Dense(X)}))
    assert len(os.listdir("/proc/self/task")) == before + 2
