"""The classes that Spark saves, and the modules that mirror them, loaded when first needed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol

from hydro_runtimes.errors import UnsupportedStage
from hydro_runtimes.evaluator import Part
from hydro_runtimes.spark import foreign
from hydro_runtimes.spark.batch import Batch
from hydro_runtimes.spark.saved import Saved
from hydro_runtimes.spark.schema import Schema


class Stage(Protocol):
    """A loaded stage: pure, without state of a batch."""

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> Stage:
        """Reads the stage and brings the schema to what it is after it.

        Raises:
            InvalidModel: its files are not as Spark writes them, or it cannot work here.
        """
        ...

    def transform(self, batch: Batch) -> Batch:
        """Adds its columns; takes out the rows that fail."""
        ...


_CLASSES: Mapping[str, tuple[str, ...]] = {
    "assembling": ("feature.VectorAssembler",),
    "bayes": ("classification.NaiveBayesModel",),
    "clustering": (
        "clustering.BisectingKMeansModel",
        "clustering.GaussianMixtureModel",
        "clustering.KMeansModel",
    ),
    "counting": ("feature.CountVectorizerModel", "feature.IDFModel", "feature.Word2VecModel"),
    "encoding": (
        "feature.OneHotEncoder",
        "feature.OneHotEncoderModel",
        "feature.TargetEncoderModel",
        "feature.VectorIndexerModel",
    ),
    "expansion": ("feature.DCT", "feature.PCAModel", "feature.PolynomialExpansion"),
    "factors": (
        "classification.FMClassificationModel",
        "recommendation.ALSModel",
        "regression.FMRegressionModel",
    ),
    "formula": (
        "feature.ColumnPruner",
        "feature.RFormulaModel",
        "feature.VectorAttributeRewriter",
    ),
    "glm": ("regression.GeneralizedLinearRegressionModel",),
    "hashing": ("feature.FeatureHasher", "feature.HashingTF"),
    "indexing": ("feature.IndexToString", "feature.StringIndexerModel"),
    "interaction": ("feature.Interaction",),
    "linear": (
        "classification.LinearSVCModel",
        "classification.LogisticRegressionModel",
        "regression.AFTSurvivalRegressionModel",
        "regression.LinearRegressionModel",
    ),
    "lsh": ("feature.BucketedRandomProjectionLSHModel", "feature.MinHashLSHModel"),
    "meta": (
        "PipelineModel",
        "classification.OneVsRestModel",
        "tuning.CrossValidatorModel",
        "tuning.TrainValidationSplitModel",
    ),
    "monotone": ("regression.IsotonicRegressionModel",),
    "neural": ("classification.MultilayerPerceptronClassificationModel",),
    "numeric": ("feature.Binarizer", "feature.Bucketizer", "feature.ImputerModel"),
    "patterns": ("fpm.FPGrowthModel",),
    "scaling": (
        "feature.ElementwiseProduct",
        "feature.MaxAbsScalerModel",
        "feature.MinMaxScalerModel",
        "feature.Normalizer",
        "feature.RobustScalerModel",
        "feature.StandardScalerModel",
    ),
    "slicing": (
        "feature.ChiSqSelectorModel",
        "feature.UnivariateFeatureSelectorModel",
        "feature.VarianceThresholdSelectorModel",
        "feature.VectorSizeHint",
        "feature.VectorSlicer",
    ),
    "sql.transformer": ("feature.SQLTransformer",),
    "text": (
        "feature.NGram",
        "feature.RegexTokenizer",
        "feature.StopWordsRemover",
        "feature.Tokenizer",
    ),
    "topics": ("clustering.DistributedLDAModel", "clustering.LocalLDAModel"),
    "trees": (
        "classification.DecisionTreeClassificationModel",
        "classification.GBTClassificationModel",
        "classification.RandomForestClassificationModel",
        "regression.DecisionTreeRegressionModel",
        "regression.GBTRegressionModel",
        "regression.RandomForestRegressionModel",
    ),
}
STAGES: Mapping[str, str] = {
    foreign.PREFIX + name: module for module, names in _CLASSES.items() for name in names
}
"""Saved class to module."""


def find(name: str) -> type[Stage] | None:
    """The stage that mirrors a saved class; None where there is none.

    Python's writer names classes by Python's modules, such as pyspark.ml.pipeline.PipelineModel.
    """
    name = foreign.java_name(name)
    if name not in STAGES:
        return None
    module = import_module(f"hydro_runtimes.spark.{STAGES[name]}")
    stage: type[Stage] = getattr(module, name.rpartition(".")[2])
    return stage


def load_stage(saved: Saved, schema: Schema, position: str) -> Stage:
    """A saved stage by its class.

    Raises:
        InvalidModel: its files are not as Spark writes them, or it cannot work here.
        UnsupportedStage: no stage mirrors the class.
    """
    stage = find(saved.name)
    if stage is None or foreign.is_estimator(saved.name, saved.version, STAGES.keys()):
        uid = f", '{saved.uid}'," if saved.uid else ""
        reason = foreign.reason(saved.name, saved.version, STAGES.keys())
        message = f"{position}{uid} is of the class {saved.name}, {reason}"
        raise UnsupportedStage(saved.path, saved.name, saved.uid, message)
    schema.parts.append(Part(saved.name.rpartition(".")[2], saved.uid, saved.depth))
    try:
        return stage.load(saved, schema)
    except _ODD as error:
        reason = f"{type(error).__name__}: {error}"
        raise saved.invalid(f"is not as Spark writes it: {reason[:200]}") from error


_ODD = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What the maths raise on numbers and shapes that no Spark writes."""
