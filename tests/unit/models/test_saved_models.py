"""What `hydro_models.save` writes, what it refuses, and what a runtime refuses of it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fitted_models import check_served, load_trusted, served, to_body
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from hydro.repository.v1 import repository_service_pb2 as pb
from hydro_models import CannotSave, save
from hydro_models.node_checks import check_nodes
from hydro_models.skops_types import TRUSTED
from hydro_runtimes.errors import InvalidModel
from hydro_runtimes.load import describe, load
from hydro_services.cli.models import render_model
from hydro_services.cli.output import Output

FRAME = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0)[::-1] ** 2})
LABELS = np.where(FRAME.a > 9, "high", "low")


class Repeating:
    """An estimator whose answer is what a function makes of its rows."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def fit(self, rows: Any) -> Repeating:
        return self

    def predict(self, rows: Any) -> Any:
        return self.answer(rows)


def edited(path: Path, **changes: Any) -> None:
    """A JSON file with some values under other names changed."""
    document = json.loads(path.read_text())
    for name, value in changes.items():
        *parents, last = name.split("__")
        inner = document
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    path.write_text(json.dumps(document))


def test_the_folder_tells_what_it_was_fitted_with(tmp_path: Path) -> None:
    save(LogisticRegression().fit(FRAME, LABELS), tmp_path, FRAME.head())
    fitted = describe(tmp_path).fitted
    assert fitted is not None
    assert fitted.proven_rows == 5
    assert {"python", "numpy", "scikit-learn", "skops"} <= fitted.versions.keys()
    assert all(fitted.versions.values())


def test_models_show_tells_versions_and_what_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    shown = pb.FittedModel(versions={"python": "3.11.7", "scikit-learn": "1.9.1"}, proven_rows=5)
    render_model(pb.ModelVersion(model="m", version="1", fitted=shown), Output(json=False))
    printed = capsys.readouterr().out
    assert "python 3.11.7, scikit-learn 1.9.1" in printed
    assert "the answers to 5 rows" in printed


def test_a_model_that_answers_otherwise_is_refused_with_both_versions(tmp_path: Path) -> None:
    model = LogisticRegression().fit(FRAME, LABELS)
    save(model, tmp_path, FRAME.head())
    edited(tmp_path / "metadata.json", **{"fitted__versions__scikit-learn": "1.2.3"})
    assert load(tmp_path)
    answers = json.loads((tmp_path / "proof.json").read_text())["answers"]["probability"]
    edited(tmp_path / "proof.json", answers__probability=[[b, a] for a, b in answers])
    with pytest.raises(InvalidModel, match=r"scikit-learn 1\.2\.3 \(here \d+") as refused:
        load(tmp_path)
    assert "'probability' is" in str(refused.value)


def test_a_model_that_cannot_be_read_is_refused_with_both_versions(tmp_path: Path) -> None:
    save(LogisticRegression().fit(FRAME, LABELS), tmp_path, FRAME.head())
    edited(tmp_path / "metadata.json", **{"fitted__versions__skops": "0.1"})
    (tmp_path / "model.skops").write_bytes(b"PK nothing")
    with pytest.raises(InvalidModel, match=r"cannot be read.*skops 0\.1 \(here"):
        load(tmp_path)


def test_rounding_of_another_processor_is_no_other_answer(tmp_path: Path) -> None:
    save(LinearRegression().fit(FRAME, FRAME.a * 3), tmp_path, FRAME.head())
    answers = json.loads((tmp_path / "proof.json").read_text())["answers"]["prediction"]
    edited(tmp_path / "proof.json", answers__prediction=[one * (1 + 1e-12) for one in answers])
    assert load(tmp_path)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(lambda rows: rows["a"].dropna()[:1], "1 rows for a batch of 4", id="fewer"),
        pytest.param(lambda rows: rows[::-1], "in another order", id="another order"),
        pytest.param(lambda rows: float(rows["a"].sum()), "want one value for each", id="one"),
        pytest.param(lambda rows: np.random.default_rng().random(len(rows)), "random", id="random"),
        pytest.param(lambda rows: [object()] * len(rows), "JSON has not", id="objects"),
    ],
)
def test_answers_that_are_not_the_rows_own_are_refused(
    answer: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(CannotSave, match=message):
        save(Repeating(answer), tmp_path / "model", FRAME.head(4))
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        pytest.param(lambda r: (r["a"], r[["a", "b"]].to_numpy()), [0.0, [0.0, 361.0]], id="tuple"),
        pytest.param(lambda r: r, [[0.0, 361.0]], id="frame"),
        pytest.param(lambda r: r.assign(t="x"), [[0.0, 361.0, "x"]], id="frame of several types"),
        pytest.param(lambda r: [np.ones((len(r), n)) for n in (2, 1)], [[[1, 1], [1]]], id="k"),
        pytest.param(lambda r: r.astype("float32").to_numpy(), [[0.0, 361.0]], id="float32"),
        pytest.param(lambda r: r["a"] > 1, [False], id="booleans"),
        pytest.param(lambda r: np.array([["x", None]] * len(r), object), [["x", None]], id="texts"),
    ],
)
def test_answers_are_a_value_for_each_row(answer: Any, want: list[Any], tmp_path: Path) -> None:
    save(Repeating(answer), tmp_path, FRAME.head(4))
    evaluator = load_trusted(tmp_path)
    row = served(evaluator, to_body(FRAME.head(1), evaluator))[0]
    assert [row[field.name] for field in evaluator.signature.outputs] == want


def test_an_answer_of_other_rows_than_the_batch_has_is_an_error_of_these_rows(
    tmp_path: Path,
) -> None:
    save(Repeating(lambda rows: rows[rows.a >= 0]["a"]), tmp_path, FRAME.head(4))
    evaluator = load_trusted(tmp_path)
    rows = FRAME.head(3).assign(a=[1.0, -1.0, 2.0])
    got = served(evaluator, to_body(rows, evaluator))
    assert [row.get("prediction") for row in got] == [1.0, None, 2.0]
    assert got[1]["error"]["reason"] == "MODEL_FAILED"


def test_a_column_named_like_an_output_is_replaced(tmp_path: Path) -> None:
    frame = FRAME.rename(columns={"b": "prediction"})
    model = LogisticRegression().fit(frame, LABELS)
    save(model, tmp_path, frame.head())
    check_served(model, load_trusted(tmp_path), frame)


def test_a_model_that_draws_its_answers_is_refused(tmp_path: Path) -> None:
    model = DummyClassifier(strategy="uniform").fit(FRAME, LABELS)
    with pytest.raises(CannotSave, match="random"):
        save(model, tmp_path / "model", FRAME)


@pytest.mark.parametrize("is_older", [False, True])
def test_a_new_save_takes_the_place_of_the_old_one_and_leaves_the_rest(
    is_older: bool, tmp_path: Path
) -> None:
    save(LogisticRegression().fit(FRAME, LABELS), tmp_path, FRAME.head())
    (tmp_path / "README.md").write_text("mine")
    if is_older:
        edited(tmp_path / "metadata.json", fitted=None)
        (tmp_path / "proof.json").unlink()
    steps = FunctionTransformer(lambda rows: rows * 2), LogisticRegression()
    save(make_pipeline(*steps).fit(FRAME, LABELS), tmp_path, FRAME.head())
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"README.md", "metadata.json", "model.pkl", "proof.json"}


def test_unknown_categories_are_for_the_model_to_judge(tmp_path: Path) -> None:
    frame = pd.DataFrame({"c": pd.Categorical(["a", "b", "a"])})
    strict = OrdinalEncoder().fit(frame)
    save(strict, tmp_path, frame)
    got = served(load_trusted(tmp_path), b'[{"c": "z"}, {"c": "b"}]')
    assert "Found unknown categories" in got[0]["error"]["message"]
    assert got[1]["transform"] == [1.0]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(DecisionTreeClassifier(), id="tree"),
        pytest.param(RandomForestClassifier(3), id="forest"),
        pytest.param(KNeighborsClassifier(3, algorithm="kd_tree"), id="kd tree"),
        pytest.param(KNeighborsClassifier(3, algorithm="ball_tree"), id="ball tree"),
        pytest.param(make_pipeline(StandardScaler(), DecisionTreeClassifier()), id="pipeline"),
    ],
)
def test_trees_are_skops_files_that_need_no_trust(model: Any, tmp_path: Path) -> None:
    save(model.fit(FRAME, LABELS), tmp_path, FRAME.head())
    assert zipfile.is_zipfile(tmp_path / "model.skops")
    check_served(model, load(tmp_path), FRAME)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("left_child", 0, id="a circle"),
        pytest.param("right_child", 1 << 40, id="out of the nodes"),
        pytest.param("feature", 99, id="out of the features"),
    ],
)
def test_a_tree_that_leads_out_of_its_arrays_is_refused(field: str, value: int) -> None:
    model = DecisionTreeClassifier(max_depth=2).fit(FRAME, LABELS)
    state = model.tree_.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"][field][0] = value
    model.tree_.__setstate__(state)
    with pytest.raises(ValueError, match="tree"):
        check_nodes(model)


def test_the_types_that_need_no_trust_are_there() -> None:
    import importlib

    for name in TRUSTED:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
