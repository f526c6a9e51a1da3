"""Types that a skops file may hold without being trusted, beside those that skops trusts itself.

skops makes an object without calling its `__init__`, and sets its attributes. Each type here was
read with the question what it does then, and when a model that holds it answers: it keeps numbers,
or other objects whose types are asked for in turn, and computes with them; none opens a file, runs
a command or imports what its attributes name. Those that walk arrays in compiled code by indices
that they hold are checked before they do: see `node_checks`. A file with other types needs trust.
"""

from __future__ import annotations


def _of(module: str, *names: str) -> frozenset[str]:
    return frozenset(f"{module}.{name}" for name in names)


_COMPILED = (
    _of("sklearn.tree._tree", "Tree")
    | _of("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor")
    | _of("sklearn.neighbors._kd_tree", "KDTree", "KDTree64", "KDTree32")
    | _of("sklearn.neighbors._ball_tree", "BallTree", "BallTree64", "BallTree32")
    | _of(
        "sklearn.metrics._dist_metrics",
        *(
            f"{name}Distance{bits}"
            for name in ("Euclidean", "Manhattan", "Chebyshev", "Minkowski")
            for bits in ("64", "32")
        ),
    )
)
_CLASSES = (
    _of("sklearn.calibration", "_CalibratedClassifier", "_SigmoidCalibration")
    | _of("sklearn.cluster._bisect_k_means", "_BisectingTree")
    | _of("sklearn.gaussian_process._gpc", "_BinaryGaussianProcessClassifierLaplace")
    | _of(
        "sklearn.gaussian_process.kernels",
        "CompoundKernel",
        "ConstantKernel",
        "DotProduct",
        "ExpSineSquared",
        "Exponentiation",
        "Matern",
        "Product",
        "RBF",
        "RationalQuadratic",
        "Sum",
        "WhiteKernel",
    )
    | _of(
        "sklearn._loss.loss",
        "AbsoluteError",
        "ExponentialLoss",
        "HalfBinomialLoss",
        "HalfGammaLoss",
        "HalfMultinomialLoss",
        "HalfPoissonLoss",
        "HalfSquaredError",
        "HalfTweedieLoss",
        "HalfTweedieLossIdentity",
        "HuberLoss",
        "PinballLoss",
    )
    | _of("sklearn.metrics._scorer", "_CurveScorer", "_PassthroughScorer", "_Scorer")
    | _of(
        "sklearn.model_selection._search_successive_halving",
        "HalvingGridSearchCV",
        "HalvingRandomSearchCV",
    )
    | _of(
        "sklearn.model_selection._split",
        "GroupKFold",
        "KFold",
        "RepeatedKFold",
        "RepeatedStratifiedKFold",
        "ShuffleSplit",
        "StratifiedGroupKFold",
        "StratifiedKFold",
        "StratifiedShuffleSplit",
        "TimeSeriesSplit",
    )
    | _of("sklearn.multiclass", "_ConstantPredictor")
    | _of("sklearn.neural_network._stochastic_optimizers", "AdamOptimizer", "SGDOptimizer")
    | _of("sklearn.utils._bunch", "Bunch")
    | _of("sklearn.utils._metadata_requests", "MetadataRequest", "MethodMetadataRequest")
    | _of("scipy.interpolate._bsplines", "BSpline")
    | _of("numpy", "dtype")
)
_FUNCTIONS = (
    _of("sklearn.cluster._kmeans", "_kmeans_single_elkan", "_kmeans_single_lloyd")
    | _of(
        "sklearn.feature_selection._univariate_selection",
        "chi2",
        "f_classif",
        "f_regression",
        "r_regression",
    )
    | _of(
        "sklearn.metrics._classification",
        "accuracy_score",
        "balanced_accuracy_score",
        "f1_score",
        "log_loss",
        "precision_score",
        "recall_score",
    )
    | _of(
        "sklearn.metrics._regression",
        "mean_absolute_error",
        "mean_squared_error",
        "r2_score",
        "root_mean_squared_error",
    )
    | _of("sklearn.metrics._ranking", "average_precision_score", "roc_auc_score")
    | _of("numpy", "max", "mean", "median", "min")
    | _of("scipy._lib.array_api_compat.numpy._aliases", "asarray")
)
TRUSTED = _COMPILED | _CLASSES | _FUNCTIONS
