"""Saves the small models of tests/unit/runtimes/mlflow with MLflow, one of each flavor.

    python -m venv ENV
    ENV/bin/pip install mlflow xgboost-cpu lightgbm catboost onnx onnxruntime skl2onnx
    ENV/bin/python scripts/make_mlflow.py

MLflow is no requirement of the project, and takes too long to run in each test.
"""

from __future__ import annotations

import pathlib
import shutil
import sys
import tempfile
import warnings
from typing import Any

import catboost
import lightgbm
import mlflow
import numpy as np
import pandas as pd
import xgboost
from mlflow.models import infer_signature
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression, Ridge

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "tests" / "unit" / "runtimes" / "mlflow"
FRAME = pd.DataFrame(
    {"age": np.arange(18, 66) * 7 % 60, "income": np.linspace(1.5e4, 9.5e4, 48).round(2)}
)
YOUNG = np.where(FRAME.age < 30, "young", "old")
CLASSES = (FRAME.age < 30).to_numpy().astype(int)
MODULE = '''"""Beside the model, as code_paths saves it."""

import mlflow.pyfunc


class Double(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input["age"] * 2
'''


def main() -> None:
    """Writes all folders anew."""
    warnings.simplefilter("ignore")
    small: dict[str, Any] = {"n_estimators": 3, "max_depth": 2}
    quiet = {"iterations": 3, "depth": 2, "verbose": 0, "allow_writing_files": False}
    values = FRAME.to_numpy(np.float32)
    logistic = LogisticRegression(max_iter=1000).fit(FRAME, YOUNG)
    save("sklearn_skops", mlflow.sklearn, logistic, serialization_format="skops")
    save("sklearn_pickle", mlflow.sklearn, logistic, serialization_format="cloudpickle")
    save("xgboost_classifier", mlflow.xgboost, xgboost.XGBClassifier(**small).fit(FRAME, CLASSES))
    booster = xgboost.train({"max_depth": 2}, xgboost.DMatrix(FRAME, CLASSES), 3)
    save("xgboost_booster", mlflow.xgboost, booster, answer=booster.predict(xgboost.DMatrix(FRAME)))
    light = lightgbm.train({"verbose": -1}, lightgbm.Dataset(FRAME, CLASSES), 3)
    save("lightgbm_booster", mlflow.lightgbm, light)
    cat = catboost.CatBoostClassifier(**quiet).fit(FRAME, YOUNG)
    save("catboost_classifier", mlflow.catboost, cat)
    converted = to_onnx(Ridge().fit(values, CLASSES), values[:1], target_opset=17)
    save("onnx_ridge", mlflow.onnx, converted, answer={"variable": np.zeros((3, 1), np.float32)})
    save_pyfunc()


def save(name: str, flavor: Any, model: Any, answer: Any = None, **options: Any) -> None:
    """One folder."""
    shutil.rmtree(FOLDER / name, ignore_errors=True)
    signature = infer_signature(FRAME, model.predict(FRAME) if answer is None else answer)
    flavor.save_model(
        model,
        str(FOLDER / name),
        signature=signature,
        input_example=FRAME.head(3),
        pip_requirements=["numpy"],
        **options,
    )


def save_pyfunc() -> None:
    """A model of its own code, in a module beside it."""
    shutil.rmtree(FOLDER / "pyfunc_double", ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        module = pathlib.Path(folder) / "doubling.py"
        module.write_text(MODULE)
        sys.path.insert(0, folder)
        import doubling  # type: ignore[import-not-found]

        mlflow.pyfunc.save_model(
            str(FOLDER / "pyfunc_double"),
            python_model=doubling.Double(),
            code_paths=[str(module)],
            signature=infer_signature(FRAME, FRAME.age * 2),
            input_example=FRAME.head(3),
            pip_requirements=["numpy"],
        )


if __name__ == "__main__":
    main()
