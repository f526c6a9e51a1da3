"""Saved classes that cannot be evaluated: what each is, and the way out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set

PREFIX = "org.apache.spark.ml."
_MLLIB = "org.apache.spark.mllib."

_UNFITTED = frozenset(
    {"clustering.LDA", "feature.OneHotEncoderEstimator", "feature.QuantileDiscretizer"}
)
"""Estimators whose models are named otherwise."""
_NO_ROWS = {
    "clustering.PowerIterationClustering": "which clusters the edges of a graph at once",
    "fpm.PrefixSpan": "which searches all sequences at once",
}
_LIGHTGBM = "saveNativeModel gives LightGBM's own format"
_LIBRARIES: Mapping[str, tuple[str, str]] = {
    "ai.catboost.": ("CatBoost", "saveNativeModel gives its own format"),
    "ai.h2o.": ("Sparkling Water", "write a MOJO"),
    "com.johnsnowlabs.": ("Spark NLP", ""),
    "com.microsoft.": ("SynapseML", _LIGHTGBM),
    "ml.combust.": ("MLeap", ""),
    "ml.dmlc.": ("XGBoost", "nativeBooster.saveModel gives its own format"),
    "spark_rapids_ml.": ("Spark RAPIDS ML", "model.cpu() gives Spark's own model"),
    "synapse.": ("SynapseML", _LIGHTGBM),
    "xgboost.": ("XGBoost", "get_booster().save_model gives its own format"),
}
"""By the start of the class: whose it is, and what else it can be saved as."""
_OLD_NAMES: Mapping[str, str] = {
    "classification.SVMModel": "classification.LinearSVC",
    "recommendation.MatrixFactorizationModel": "recommendation.ALS",
    "regression.LassoModel": "regression.LinearRegression",
    "regression.RidgeRegressionModel": "regression.LinearRegression",
    "tree.DecisionTreeModel": "classification.DecisionTreeClassifier or DecisionTreeRegressor",
    "tree.GradientBoostedTreesModel": "classification.GBTClassifier or GBTRegressor",
    "tree.RandomForestModel": "classification.RandomForestClassifier or RandomForestRegressor",
}
"""Of spark.mllib, where spark.ml has another name."""
_CHAIN = (
    "save the stages before and after it as pipelines of their own, put what it does into a "
    "model.py, and chain the three with hydro pipelines apply"
)
_SAVE = "save the fitted model: {}.fit(df).write().overwrite().save(path)"


def java_name(name: str) -> str:
    """The name that Scala's writer gives a class; Python's gives that of Python's module."""
    if not name.startswith("pyspark.ml."):
        return name
    return PREFIX + name.removeprefix("pyspark.ml.").removeprefix("pipeline.")


def is_estimator(name: str, version: tuple[int, ...], stages: Set[str]) -> bool:
    """Whether a class of Spark answers nothing before it is fitted.

    Args:
        name: as `java_name` gives it.
        version: of the Spark that saved it. OneHotEncoder needs no fitting before 3.0.
        stages: the classes that are supported, models among them.
    """
    short = name.removeprefix(PREFIX)
    if short == "feature.OneHotEncoder":
        return version >= (3,)
    models = {
        f"{name}Model",
        name.replace("Classifier", "ClassificationModel"),
        name.replace("Regressor", "RegressionModel"),
    } - {name}
    return short in _UNFITTED or not models.isdisjoint(stages)


def unsupported_reason(name: str, version: tuple[int, ...], stages: Set[str]) -> str:
    """Why a saved class cannot be evaluated, and the way out. Args: as `is_estimator`'s."""
    java = java_name(name)
    short = java.removeprefix(PREFIX)
    if is_estimator(java, version, stages):
        return f"which is not fitted and answers no rows: {_how_to_fit(short)}"
    if java.startswith(f"{PREFIX}evaluation."):
        return "which measures models and answers no rows: save a fitted model"
    if short in _NO_ROWS:
        return f"{_NO_ROWS[short]} and has no model that answers rows"
    if java.startswith(_MLLIB):
        return _mllib_reason(java.removeprefix(_MLLIB), stages)
    if java.startswith(PREFIX):
        return (
            f"a class of Spark that is not supported: docs/spark.md lists those that are; {_CHAIN}"
        )
    return _foreign_reason(name)


def _how_to_fit(short: str) -> str:
    name = {"Pipeline": "pipeline", "tuning.CrossValidator": "cv"}.get(short, "estimator")
    return _SAVE.format(name)


def _mllib_reason(name: str, stages: Set[str]) -> str:
    old = name.replace(".model.", ".")
    new = _OLD_NAMES.get(old, old.removesuffix("Model") if PREFIX + old in stages else "")
    again = f"org.apache.spark.ml.{new}" if new else "an estimator of org.apache.spark.ml"
    return (
        "of spark.mllib, the old API of RDDs, whose saves name no columns and are not served: "
        f"train it again with spark.ml ({again}) and {_SAVE.format('estimator')}"
    )


def _foreign_reason(name: str) -> str:
    if name.startswith("__main__."):
        return f"a class of your own from a notebook or script, whose code is not saved: {_CHAIN}"
    for start, (library, instead) in _LIBRARIES.items():
        if name.startswith(start):
            also = f"{instead}; or " if instead else ""
            return f"a class of {library}, not of Spark, whose code is not saved: {also}{_CHAIN}"
    return f"a class that is not Spark's, whose code is not saved: {_CHAIN}"
