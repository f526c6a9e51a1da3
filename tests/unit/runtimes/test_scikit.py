from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from hydro_models import save
from hydro_runtimes.columns import Columns, DataType, Dense, Strings
from hydro_runtimes.errors import InvalidModel, UntrustedModel
from hydro_runtimes.load import load

X, Y = load_iris(return_X_y=True)
NAMES = ["a", "b", "c", "d"]


def columns(matrix: np.ndarray) -> Columns:
    return Columns({name: Dense(matrix[:, i].copy()) for i, name in enumerate(NAMES)})


def test_a_fitted_estimator_is_saved_and_served(tmp_path: Path) -> None:
    estimator = make_pipeline(StandardScaler(), SVC()).fit(X, np.array(["s", "ve", "vi"])[Y])
    save(estimator, tmp_path / "iris", X, inputs=NAMES)
    model = load(tmp_path / "iris")
    assert [f.name for f in model.signature.inputs] == NAMES
    assert model.signature.outputs[0].type is DataType.STRING
    answer = model.evaluate(columns(X[:3])).outputs["prediction"]
    assert isinstance(answer, Strings)
    assert list(answer.values) == ["s", "s", "s"]


def test_probabilities_are_in_the_order_of_the_classes(tmp_path: Path) -> None:
    estimator = LogisticRegression(max_iter=500).fit(X, Y)
    save(estimator, tmp_path, X, inputs=NAMES)
    model = load(tmp_path)
    field = model.signature.outputs[1]
    assert (field.name, field.shape, field.nominal) == ("probability", (3,), ("0", "1", "2"))
    column = model.evaluate(columns(X)).outputs["probability"]
    assert isinstance(column, Dense)
    np.testing.assert_array_equal(column.values, estimator.predict_proba(X))


def test_a_row_with_nan_fails_alone_where_nan_is_not_taken(tmp_path: Path) -> None:
    save(LogisticRegression(max_iter=500).fit(X, Y), tmp_path, X, inputs=NAMES)
    rows = X[:3].copy()
    rows[1, 2] = np.nan
    answer = load(tmp_path).evaluate(columns(rows))
    assert {row: failure.column for row, failure in answer.failures.items()} == {1: "c"}
    assert answer.outputs["prediction"].rows == 2


def test_nan_is_let_through_where_the_estimator_takes_it(tmp_path: Path) -> None:
    save(StandardScaler().fit(X), tmp_path, X, inputs=NAMES)
    rows = X[:3].copy()
    rows[1, 2] = np.nan
    assert load(tmp_path).evaluate(columns(rows)).failures == {}


def test_a_pipeline_that_takes_texts_gets_texts(tmp_path: Path) -> None:
    texts = ["good fine", "bad poor", "fine", "poor"]
    estimator = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    save(estimator, tmp_path, texts)
    model = load(tmp_path)
    assert [(f.name, f.type) for f in model.signature.inputs] == [("text", DataType.STRING)]
    answer = model.evaluate(Columns({"text": Strings(["fine good", "bad"])})).outputs["prediction"]
    assert isinstance(answer, Dense)
    assert answer.values.tolist() == [1, 0]


def test_a_model_with_a_function_of_its_own_is_a_pickle_and_needs_trust(tmp_path: Path) -> None:
    steps = FunctionTransformer(lambda x: x * 2.0), LogisticRegression(max_iter=500)
    estimator = make_pipeline(*steps).fit(X, Y)
    assert save(estimator, tmp_path, X, inputs=NAMES).metadata.file == "model.pkl"
    with pytest.raises(UntrustedModel) as refused:
        load(tmp_path)
    column = load(tmp_path, {refused.value.digest}).evaluate(columns(X)).outputs["probability"]
    assert isinstance(column, Dense)
    np.testing.assert_array_equal(column.values, estimator.predict_proba(X))


def test_an_output_that_the_estimator_does_not_have_is_refused(tmp_path: Path) -> None:
    save(SVC().fit(X, Y), tmp_path, X, inputs=NAMES)
    path = tmp_path / "metadata.json"
    path.write_text(path.read_text().replace('"prediction"', '"probability"'))
    with pytest.raises(InvalidModel, match="want one of prediction"):
        load(tmp_path)


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    save(SVC().fit(X, Y), tmp_path, X, inputs=NAMES)
    (tmp_path / "model.skops").write_bytes(b"PK nothing")
    with pytest.raises(InvalidModel, match="cannot be read"):
        load(tmp_path)
