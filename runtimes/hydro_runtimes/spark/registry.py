"""The classes that Spark saves, and the modules that mirror them, loaded when first needed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol

from hydro_runtimes.errors import UnsupportedStage
from hydro_runtimes.evaluator import ModelStage
from hydro_runtimes.spark import unsupported_classes
from hydro_runtimes.spark.data.batch import Transformer
from hydro_runtimes.spark.data.schema import Schema
from hydro_runtimes.spark.format.saved import Saved


class SparkStage(Transformer, Protocol):
    """A stage that has been loaded."""

    @classmethod
    def load(cls, saved: Saved, schema: Schema) -> SparkStage:
        """Reads the stage and brings the schema to what it is after it.

        Raises:
            InvalidModel: its files are not as Spark writes them, or it cannot work here.
        """
        ...


_CLASSES: Mapping[str, tuple[str, ...]] = {
    "assembler": ("feature.VectorAssembler",),
    "clustering": (
        "clustering.BisectingKMeansModel",
        "clustering.GaussianMixtureModel",
        "clustering.KMeansModel",
    ),
    "expansion": ("feature.DCT", "feature.PCAModel", "feature.PolynomialExpansion"),
    "factorization": (
        "classification.FMClassificationModel",
        "recommendation.ALSModel",
        "regression.FMRegressionModel",
    ),
    "fpm": ("fpm.FPGrowthModel",),
    "glm": ("regression.GeneralizedLinearRegressionModel",),
    "hashing": ("feature.FeatureHasher", "feature.HashingTF"),
    "interaction": ("feature.Interaction",),
    "isotonic": ("regression.IsotonicRegressionModel",),
    "lda": ("clustering.DistributedLDAModel", "clustering.LocalLDAModel"),
    "linear": (
        "classification.LinearSVCModel",
        "classification.LogisticRegressionModel",
        "regression.AFTSurvivalRegressionModel",
        "regression.LinearRegressionModel",
    ),
    "lsh": ("feature.BucketedRandomProjectionLSHModel", "feature.MinHashLSHModel"),
    "naive_bayes": ("classification.NaiveBayesModel",),
    "numeric": ("feature.Binarizer", "feature.Bucketizer", "feature.ImputerModel"),
    "one_hot_encoder": ("feature.OneHotEncoder", "feature.OneHotEncoderModel"),
    "perceptron": ("classification.MultilayerPerceptronClassificationModel",),
    "pipeline_model": (
        "PipelineModel",
        "classification.OneVsRestModel",
        "tuning.CrossValidatorModel",
        "tuning.TrainValidationSplitModel",
    ),
    "rformula": (
        "feature.ColumnPruner",
        "feature.RFormulaModel",
        "feature.VectorAttributeRewriter",
    ),
    "scalers": (
        "feature.ElementwiseProduct",
        "feature.MaxAbsScalerModel",
        "feature.MinMaxScalerModel",
        "feature.Normalizer",
        "feature.RobustScalerModel",
        "feature.StandardScalerModel",
    ),
    "selectors": (
        "feature.ChiSqSelectorModel",
        "feature.UnivariateFeatureSelectorModel",
        "feature.VarianceThresholdSelectorModel",
        "feature.VectorSizeHint",
        "feature.VectorSlicer",
    ),
    "sql_transformer": ("feature.SQLTransformer",),
    "string_indexer": ("feature.IndexToString", "feature.StringIndexerModel"),
    "target_encoder": ("feature.TargetEncoderModel",),
    "tokenizers": (
        "feature.NGram",
        "feature.RegexTokenizer",
        "feature.StopWordsRemover",
        "feature.Tokenizer",
    ),
    "trees": (
        "classification.DecisionTreeClassificationModel",
        "classification.GBTClassificationModel",
        "classification.RandomForestClassificationModel",
        "regression.DecisionTreeRegressionModel",
        "regression.GBTRegressionModel",
        "regression.RandomForestRegressionModel",
    ),
    "vector_indexer": ("feature.VectorIndexerModel",),
    "vocabularies": ("feature.CountVectorizerModel", "feature.IDFModel", "feature.Word2VecModel"),
}
STAGES: Mapping[str, str] = {
    unsupported_classes.PREFIX + name: module
    for module, names in _CLASSES.items()
    for name in names
}
"""Saved class to module."""


def find_stage(name: str) -> type[SparkStage] | None:
    """The stage that mirrors a saved class; None where there is none.

    Python's writer names classes by Python's modules, such as pyspark.ml.pipeline.PipelineModel.
    """
    name = unsupported_classes.java_name(name)
    if name not in STAGES:
        return None
    module = import_module(f"hydro_runtimes.spark.stages.{STAGES[name]}")
    stage: type[SparkStage] = getattr(module, name.rpartition(".")[2])
    return stage


def load_stage(saved: Saved, schema: Schema, position: str) -> Transformer:
    """A saved stage by its class.

    Raises:
        InvalidModel: its files are not as Spark writes them, or it cannot work here.
        UnsupportedStage: no stage mirrors the class.
    """
    stage = find_stage(saved.name)
    if stage is None or unsupported_classes.is_estimator(saved.name, saved.version, STAGES.keys()):
        uid = f", '{saved.uid}'," if saved.uid else ""
        reason = unsupported_classes.unsupported_reason(saved.name, saved.version, STAGES.keys())
        message = f"{position}{uid} is of the class {saved.name}, {reason}"
        raise UnsupportedStage(saved.path, saved.name, saved.uid, message)
    schema.parts.append(ModelStage(saved.name.rpartition(".")[2], saved.uid, saved.depth))
    before = schema.begin_stage()
    try:
        return schema.end_stage(stage.load(saved, schema), before)
    except _MATHS_ERRORS as error:
        reason = f"{type(error).__name__}: {error}"
        raise saved.invalid(f"is not as Spark writes it: {reason[:200]}") from error


_MATHS_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What the maths raise on numbers and shapes that no Spark writes."""
