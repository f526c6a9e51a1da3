"""Folders that MLflow saved are models as they are; see scripts/make_mlflow.py."""

from __future__ import annotations

import importlib.util
import pickle
import shutil
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import xgboost
from frames import answers, assert_own_answers, columns_of

from hydro_runtimes import mlflow_folder
from hydro_runtimes.columns import DataType
from hydro_runtimes.errors import InvalidModel, UntrustedModel
from hydro_runtimes.files import digest_folder
from hydro_runtimes.load import describe, load
from hydro_runtimes.model_formats import detect_format

FOLDER = Path(__file__).parent / "mlflow"
FRAME = pd.DataFrame({"age": [18, 25, 40, 66], "income": [1e4, 2.5e4, 1e5, 7e4]})
LABELS = np.array(["young", "young", "old", "old"])


def loaded(name: str) -> Any:
    folder = FOLDER / name
    return load(folder, {digest_folder(folder)})


def own(name: str) -> dict[str, Any]:
    """The answers of the library itself."""
    folder = FOLDER / name
    match name:
        case "xgboost_classifier":
            model = xgboost.XGBClassifier()
            model.load_model(folder / "model.ubj")
        case "xgboost_booster":
            booster = xgboost.Booster(model_file=folder / "model.ubj")
            return {"prediction": booster.predict(xgboost.DMatrix(FRAME))}
        case "lightgbm_booster":
            light = lightgbm.Booster(model_file=folder / "model.lgb")
            return {"prediction": light.predict(FRAME)}
        case "catboost_classifier":
            model = catboost.CatBoostClassifier().load_model(str(folder / "model.cb"))
        case "onnx_ridge":
            session = onnxruntime.InferenceSession(folder / "model.onnx")
            (answer,) = session.run(None, {"X": FRAME.to_numpy(np.float32)})
            return {"variable": answer}
    return {"prediction": model.predict(FRAME), "probability": model.predict_proba(FRAME)}


FORMATS = {
    "catboost_classifier": "catboost",
    "lightgbm_booster": "lightgbm",
    "onnx_ridge": "onnx",
    "pyfunc_double": "pyfunc",
    "sklearn_pickle": "pickle",
    "sklearn_skops": "skops",
    "xgboost_booster": "xgboost",
    "xgboost_classifier": "xgboost",
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_flavor_tells_the_format_and_the_signature_the_columns(name: str) -> None:
    assert detect_format(FOLDER / name).name == FORMATS[name]
    signature = describe(FOLDER / name).signature
    types = {field.name: field.type for field in signature.inputs}
    assert types == {"age": DataType.INT64, "income": DataType.FLOAT64}


@pytest.mark.parametrize(
    "name",
    [
        "catboost_classifier",
        "lightgbm_booster",
        "onnx_ridge",
        "xgboost_booster",
        "xgboost_classifier",
    ],
)
def test_native_flavors_need_no_trust(name: str) -> None:
    model = load(FOLDER / name)
    want = own(name)
    found = answers(model, columns_of(FRAME, model))
    assert found.keys() == want.keys()
    for output, values in want.items():
        np.testing.assert_array_equal(found[output], values)


def test_an_estimator_of_skops_needs_no_trust() -> None:
    model = load(FOLDER / "sklearn_skops")
    assert_own_answers(model, columns_of(FRAME, model), {"prediction": LABELS})


def test_a_pickled_estimator_needs_trust() -> None:
    with pytest.raises(UntrustedModel, match=r"'model\.pkl' runs code"):
        load(FOLDER / "sklearn_pickle")
    want = pickle.loads((FOLDER / "sklearn_pickle" / "model.pkl").read_bytes()).predict(FRAME)
    model = loaded("sklearn_pickle")
    assert_own_answers(model, columns_of(FRAME, model), {"prediction": want})


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType")
def test_pyfunc_runs_its_own_code_if_it_is_trusted() -> None:
    with pytest.raises(UntrustedModel, match="'MLmodel' runs code"):
        load(FOLDER / "pyfunc_double")
    if importlib.util.find_spec("mlflow") is None:  # it is in no set of requirements
        with pytest.raises(InvalidModel, match=r"needs mlflow.*; pip install mlflow-skinny"):
            loaded("pyfunc_double")
        return
    model = loaded("pyfunc_double")
    assert_own_answers(model, columns_of(FRAME, model), {"prediction": (FRAME.age * 2).to_numpy()})


@pytest.mark.parametrize("name", FORMATS)
def test_the_input_example_has_rows(name: str) -> None:
    rows = mlflow_folder.read_example(FOLDER / name)
    assert len(rows) == 3
    assert rows[0].keys() == {"age", "income"}


def copied(name: str, folder: Path, old: str, new: str) -> Path:
    shutil.copytree(FOLDER / name, folder / name)
    path = folder / name / "MLmodel"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return folder / name


CHANGES = [
    pytest.param(
        "  outputs:", "  results:", "states no outputs: log the model with", id="no outputs"
    ),
    pytest.param('"long"', '"binary"', "which is not supported", id="type"),
    pytest.param("flavors:", "flavors: [", "MLmodel cannot be read", id="not YAML"),
    pytest.param("inputs: '[", "inputs: '[[", "inputs that are not JSON", id="not JSON"),
]


@pytest.mark.parametrize(("old", "new", "reason"), CHANGES)
def test_what_cannot_be_read_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    with pytest.raises(InvalidModel, match=reason):
        describe(copied("sklearn_skops", tmp_path, old, new))


def test_without_a_signature_a_native_model_tells_its_columns_itself(tmp_path: Path) -> None:
    folder = copied("xgboost_classifier", tmp_path, "signature:", "other:")
    model = load(folder)
    assert [field.name for field in model.signature.inputs] == ["age", "income"]


def test_columns_that_may_lack_are_nullable(tmp_path: Path) -> None:
    text = '"name": "age", "required": true'
    folder = copied("sklearn_skops", tmp_path, text, text.replace("true", "false"))
    assert [f.nullable for f in describe(folder).signature.inputs] == [True, True]
    assert [f.nullable for f in describe(FOLDER / "sklearn_skops").signature.inputs] == [
        False,
        True,
    ]
