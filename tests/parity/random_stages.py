"""Random stages of PySpark, for the comparison with a fresh Spark."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from pyspark.ml.linalg import Vectors
from tests.parity.random_rows import INF

# Untyped on purpose: the stubs know no call with a dict of params.
cl, cu, ft, fp, rc, rg, tu, ev, ml = (
    import_module(f"pyspark.ml{name}")
    for name in (
        ".classification",
        ".clustering",
        ".feature",
        ".fpm",
        ".recommendation",
        ".regression",
        ".tuning",
        ".evaluation",
        "",
    )
)


_PATTERNS = (
    r"\s+",
    r"\W",
    r"[^a-z0-9]+",
    r"\b",
    r"(?i)o|x",
    r"[\w&&[^x]]+",
    r"\p{L}+",
    r"[,.]|\s",
    r"(?s)o.",
    r"(?m)^.",
    r"(?U)\W+",
    r"|o",
    "",
)
_INVALID = ("error", "skip", "keep")


def _regression_stages(rng: random.Random) -> Sequence[Callable[[], Any]]:
    family, link, label = rng.choice(
        [
            ("gaussian", "identity", "label"),
            ("poisson", "log", "label"),
            ("poisson", "sqrt", "label"),
            ("binomial", "logit", "two"),
            ("binomial", "probit", "two"),
            ("binomial", "cloglog", "two"),
            ("gamma", "log", "positive"),
            ("gamma", "inverse", "positive"),
        ]
    )
    common = {"featuresCol": "f", "maxIter": 4, "labelCol": "label"}
    generalized = common | {"labelCol": label, "family": family, "link": link, "regParam": 0.1}
    survival = common | {"labelCol": "positive", "censorCol": "two", "quantilesCol": "q"}
    tweedie = {"labelCol": "positive", "family": "tweedie", "variancePower": 1.5, "regParam": 0.1}
    shares = sorted(rng.uniform(0.001, 0.999) for _ in range(rng.randrange(1, 5)))
    has_intercept = rng.random() < 0.5
    return (
        lambda: rg.LinearRegression(regParam=0.1, **common),
        lambda: rg.LinearRegression(loss="huber", fitIntercept=has_intercept, **common),
        lambda: rg.LinearRegression(elasticNetParam=1.0, regParam=1.0, **common),
        lambda: rg.GeneralizedLinearRegression(**generalized),
        lambda: rg.GeneralizedLinearRegression(
            linkPredictionCol="eta", offsetCol="y", **common | tweedie
        ),
        lambda: rg.FMRegressor(factorSize=2, **common),
        lambda: rg.IsotonicRegression(featuresCol="y", isotonic=rng.random() < 0.5),
        lambda: rg.AFTSurvivalRegression(**survival),
        lambda: rg.AFTSurvivalRegression(quantileProbabilities=shares, **survival),
    )


def _tree_stages(rng: random.Random) -> Sequence[Callable[[], Any]]:
    few = {"maxDepth": rng.randrange(1, 7), "maxBins": rng.choice([4, 32])}
    common = {"featuresCol": "f", "labelCol": "label", **few}
    two = common | {"labelCol": "two", "maxIter": 4, "leafCol": "leaf"}
    index = ft.VectorIndexer(inputCol="c", outputCol="xi", maxCategories=8, handleInvalid="keep")
    parts = ft.VectorAssembler(inputCols=["label", "two", "y"], outputCol="c")
    kind = rng.choice([cl.RandomForestClassifier, rg.RandomForestRegressor])
    nominal = kind(featuresCol="xi", labelCol="two", numTrees=4, maxDepth=4)
    count = rng.randrange(1, 12)
    three = [rng.choice([0.0, 0.2, 0.5, 1.0]), 0.4, 0.3]
    return (
        lambda: cl.DecisionTreeClassifier(leafCol="leaf", **common),
        lambda: cl.RandomForestClassifier(numTrees=count, **common),
        lambda: cl.RandomForestClassifier(leafCol="leaf", **common).setThresholds([0.2, 0.5, 0.3]),
        lambda: cl.DecisionTreeClassifier(impurity="entropy", **common).setThresholds(three),
        lambda: cl.GBTClassifier(**two),
        lambda: cl.GBTClassifier(**two).setThresholds(three[:2]),
        lambda: rg.DecisionTreeRegressor(varianceCol="variance", leafCol="leaf", **common),
        lambda: rg.RandomForestRegressor(numTrees=count, **common),
        lambda: rg.GBTRegressor(maxIter=4, **common),
        lambda: ml.Pipeline(stages=[parts, index, nominal]),
    )


def _classifier_stages(rng: random.Random) -> Sequence[Callable[[], Any]]:
    three = {"featuresCol": "f", "labelCol": "label"}
    two = three | {"labelCol": "two", "maxIter": 4}
    inner = rng.choice([cl.LogisticRegression(maxIter=3), cl.RandomForestClassifier(numTrees=2)])
    counted = three | {"featuresCol": "counts"}
    kind = rng.choice(["multinomial", "complement"])
    grid = tu.ParamGridBuilder().addGrid(cl.LogisticRegression.regParam, [0.1]).build()
    search = {"estimatorParamMaps": grid, "numFolds": 2}
    judge = ev.MulticlassClassificationEvaluator(labelCol="label")
    one, other = rng.random() < 0.5, rng.random() < 0.5
    lean = rng.choice([{"rawPredictionCol": ""}, {"probabilityCol": ""}, {"predictionCol": ""}])
    mixed = {"elasticNetParam": rng.random(), "regParam": 0.1, "fitIntercept": one}
    return (
        lambda: cl.LogisticRegression(threshold=rng.random(), **two),
        lambda: cl.LogisticRegression(thresholds=[0.4, 0.6], **two),
        lambda: cl.LogisticRegression(family="multinomial", **two),
        lambda: cl.LogisticRegression(
            thresholds=[0.2, 0.5, 0.0], elasticNetParam=1.0, regParam=0.2, **three
        ),
        lambda: cl.LogisticRegression(standardization=other, **mixed, **three),
        lambda: cl.LogisticRegression(**mixed, **lean, **two),
        lambda: cl.LinearSVC(threshold=rng.gauss(0, 1), **two),
        lambda: cl.LinearSVC(fitIntercept=one, standardization=other, regParam=0.5, **two),
        lambda: cl.OneVsRest(classifier=inner, **three),
        lambda: cl.FMClassifier(factorSize=2, **two),
        lambda: cl.FMClassifier(
            factorSize=3, fitIntercept=one, fitLinear=other, **two
        ).setThresholds([0.3, 0.7]),
        lambda: cl.MultilayerPerceptronClassifier(layers=[4, 5, 3], maxIter=4, **three),
        lambda: cl.NaiveBayes(modelType="gaussian", **three),
        lambda: cl.NaiveBayes(modelType=kind, **counted),
        lambda: tu.CrossValidator(
            estimator=cl.LogisticRegression(maxIter=3, **three), evaluator=judge, **search
        ),
    )


def _cluster_stages(rng: random.Random) -> Sequence[Callable[[], Any]]:
    common = {"featuresCol": "f", "k": rng.randrange(2, 6), "maxIter": 4}
    method = rng.choice(["online", "em"])
    cold = rng.choice(["nan", "drop"])
    return (
        lambda: cu.KMeans(**common),
        lambda: cu.BisectingKMeans(**common),
        lambda: cu.GaussianMixture(**common),
        lambda: cu.LDA(featuresCol="counts", k=3, maxIter=3, optimizer=method),
        lambda: rc.ALS(ratingCol="y", rank=3, maxIter=2, coldStartStrategy=cold),
        lambda: fp.FPGrowth(itemsCol="u", minSupport=0.05, minConfidence=0.2),
    )


def _vector_stages(rng: random.Random) -> Sequence[Callable[[], Any]]:
    names = {"inputCol": "f", "outputCol": "o"}
    one, other = rng.random() < 0.5, rng.random() < 0.5
    weights = Vectors.dense([1.0, 0.0, -2.0, 3.5])
    invalid = rng.choice(_INVALID)
    hint = {
        "size": rng.choice([4, 5]),
        "handleInvalid": rng.choice(["error", "skip", "optimistic"]),
    }
    chosen = {"featuresCol": "f", "outputCol": "o", "labelCol": "label"}
    mode, amount = rng.choice(
        [
            ("numTopFeatures", 2),
            ("percentile", 0.5),
            ("fpr", 0.6),
            ("fdr", 0.9),
            ("fwe", 0.9),
        ]
    )
    kinds = rng.choice(
        [
            ("categorical", "categorical"),
            ("continuous", "categorical"),
            ("continuous", "continuous"),
        ]
    )
    univariate = ft.UnivariateFeatureSelector(selectionMode=mode, **chosen)
    univariate.setFeatureType(kinds[0]).setLabelType(kinds[1]).setSelectionThreshold(amount)
    return (
        lambda: ft.StandardScaler(withMean=one, withStd=other, **names),
        lambda: ft.MinMaxScaler(min=-1.0, max=2.5, **names),
        lambda: ft.MaxAbsScaler(**names),
        lambda: ft.RobustScaler(withCentering=one, withScaling=other, **names),
        lambda: ft.Normalizer(p=rng.choice([1.0, 2.0, 3.5, INF]), **names),
        lambda: ft.ElementwiseProduct(scalingVec=weights, **names),
        lambda: ft.PCA(k=2, **names),
        lambda: ft.PolynomialExpansion(degree=rng.randrange(1, 5), **names),
        lambda: ft.DCT(inverse=one, **names),
        lambda: ft.VectorSlicer(indices=rng.sample(range(4), 2), **names),
        lambda: ft.VectorIndexer(maxCategories=20, handleInvalid=invalid, **names),
        lambda: ft.Binarizer(threshold=rng.choice([-1.0, 0.0, 1.0]), **names),
        lambda: ft.BucketedRandomProjectionLSH(bucketLength=1.5, numHashTables=2, **names),
        lambda: ft.MinHashLSH(numHashTables=3, **names),
        lambda: ft.VarianceThresholdSelector(featuresCol="f", outputCol="o", varianceThreshold=1.0),
        lambda: ft.VectorSizeHint(inputCol="f", **hint),
        lambda: ft.ChiSqSelector(selectorType=mode, **chosen, **{mode: amount}),
        lambda: univariate,
    )


def _number_stages(rng: random.Random) -> Sequence[Callable[[], Any]]:
    invalid = {"handleInvalid": rng.choice(_INVALID)}
    one, two = (
        {"inputCol": "x", "outputCol": "o"},
        {"inputCols": ["x", "y"], "outputCols": ["o", "p"]},
    )
    strategy = rng.choice(["mean", "median", "mode"])
    hashed = rng.choice([[], ["n", "k"], ["k", "g", "x"]])
    many = [[-3.0, 0.0, 3.0], [-INF, 0.0, INF]]
    hint = ft.VectorSizeHint(inputCol="f", size=4, handleInvalid="optimistic")
    parts = ["x", "n", "f", "flag", "g", "b"]
    sides = ft.VectorAssembler(inputCols=["y", "b"], outputCol="v", handleInvalid="keep")
    return (
        lambda: ft.Bucketizer(splits=[-INF, -1.0, 0.0, 2.5, INF], **one, **invalid),
        lambda: ft.Bucketizer(splitsArray=many, **two, **invalid),
        lambda: ft.QuantileDiscretizer(inputCol="y", outputCol="o", numBuckets=4, **invalid),
        lambda: ft.Binarizer(thresholds=[0.0, 1.0], **two),
        lambda: ft.Imputer(
            inputCols=["x", "n", "g"], outputCols=["o", "p", "q"], strategy=strategy
        ),
        lambda: ft.Imputer(inputCols=["y"], outputCols=["o"], missingValue=0.0),
        lambda: ml.Pipeline(
            stages=[hint, ft.VectorAssembler(inputCols=parts, outputCol="o", **invalid)]
        ),
        lambda: ft.FeatureHasher(
            inputCols=["x", "n", "flag", "s", "k", "b", "g"],
            outputCol="o",
            numFeatures=50,
            categoricalCols=hashed,
        ),
        lambda: ml.Pipeline(stages=[sides, ft.Interaction(inputCols=["y", "v"], outputCol="o")]),
    )


def _category_stages(rng: random.Random) -> Sequence[Callable[[], Any]]:
    invalid = {"handleInvalid": rng.choice(_INVALID)}
    lenient = {"handleInvalid": rng.choice(["error", "keep"])}
    order = rng.choice(["frequencyDesc", "alphabetAsc"])
    names = {"inputCols": [rng.choice("skn"), "cls"], "outputCols": ["i", "j"]}
    index = ft.StringIndexer(stringOrderType=order, **names, **invalid)
    hot = {"inputCols": ["i", "j"], "outputCols": ["o", "p"], "dropLast": rng.random() < 0.5}
    joined = ft.VectorAssembler(inputCols=["y", "i", "label", "two", "k"], outputCol="v")
    coded = ft.VectorIndexer(inputCol="f", outputCol="v", maxCategories=5, handleInvalid="keep")
    crossed = ft.Interaction(inputCols=["i", "y", "j", "v"], outputCol="q")
    formula = rng.choice(
        ["label ~ s + y", "cls ~ y + s:y", "label ~ s*cls", "label ~ y + flag - 1"]
    )
    target = {"targetType": rng.choice(["binary", "continuous"]), "labelCol": "two", **lenient}
    return (
        lambda: index,
        lambda: ml.Pipeline(stages=[index, ft.IndexToString(inputCol="i", outputCol="back")]),
        lambda: ml.Pipeline(stages=[index, ft.OneHotEncoder(**hot, **lenient)]),
        lambda: ml.Pipeline(stages=[index, joined, crossed]),
        lambda: ml.Pipeline(stages=[index, coded, crossed]),
        lambda: ft.OneHotEncoder(inputCols=["k"], outputCols=["o"], handleInvalid="keep"),
        lambda: ft.RFormula(formula=formula, featuresCol="fx", labelCol="lx", **invalid),
        lambda: ft.TargetEncoder(
            inputCols=["k"], outputCols=["o"], smoothing=rng.choice([0.0, 3.0]), **target
        ),
    )


def _text_stages(rng: random.Random) -> Sequence[Callable[[], Any]]:
    words, text = {"inputCol": "w", "outputCol": "o"}, {"inputCol": "text", "outputCol": "o"}
    size, binary = rng.choice([7, 1 << 18]), rng.random() < 0.5
    hashed = ft.HashingTF(inputCol="o", outputCol="p", numFeatures=size, binary=binary)
    stop = ["THE", "İstanbul", "it's", "οδος", "7", "çA"]
    locale = rng.choice(["en_US", "de"])  # the Java of PyPI has no Turkish
    regex = {"pattern": rng.choice(_PATTERNS), "gaps": rng.random() < 0.5}
    shortest = {"minTokenLength": rng.choice([0, 1, 2]), "toLowercase": rng.random() < 0.5}
    counted = ft.CountVectorizer(minTF=rng.choice([1.0, 2.0, 0.3]), binary=binary, **words)
    return (
        lambda: ml.Pipeline(
            stages=[ft.Tokenizer(**text), hashed, ft.IDF(inputCol="p", outputCol="q")]
        ),
        lambda: ft.RegexTokenizer(**text, **regex, **shortest),
        lambda: ft.NGram(n=rng.randrange(1, 4), **words),
        lambda: ft.StopWordsRemover(stopWords=stop, caseSensitive=binary, locale=locale, **words),
        lambda: ml.Pipeline(stages=[counted, ft.IDF(inputCol="o", outputCol="p")]),
        lambda: ft.Word2Vec(vectorSize=4, minCount=3, maxIter=1, **words),
    )


_ITEMS = (
    "x / y AS a1", "x * y - n AS a2", "n + b AS a3", "n % 3 AS a4", "n div 2 AS a5", "-n AS a6",
    "n / 2 AS a7", "g * 2 AS a8", "n * 2.0D AS a9", "pow(y, 2) AS b1", "exp(y / 100) AS b2",
    "ln(y) AS b3", "log10(y) AS b4", "sqrt(x) AS b5", "abs(n) AS b6", "sign(y) AS b7",
    "round(y, 1) AS b8", "floor(y) AS b9", "ceil(y) AS c1", "CAST(y AS INT) AS c2",
    "CAST(x AS STRING) AS c3", "CAST(k AS BIGINT) AS c4", "CAST(flag AS INT) AS c5",
    "CAST(g AS STRING) AS c6", "CAST(g AS DOUBLE) AS c7", "upper(text) AS d1",
    "lower(text) AS d2", "trim(text) AS d3", "length(text) AS d4", "concat(s, '-', n) AS d5",
    "substring(text, 2, 3) AS d6", "s LIKE 'a%' AS d7", "coalesce(x, y, 0) AS e1",
    "nanvl(x, y) AS e2", "isnan(x) AS e3", "nullif(n, 1) AS e4", "if(n > 1, 'p', s) AS e5",
    "CASE WHEN s = 'a' THEN 1 WHEN s IS NULL THEN 2 END AS e6", "greatest(x, y) AS e7",
    "x BETWEEN -1 AND 1 AS f1", "s IN ('a', 'b') AS f2", "NOT flag OR x > 0 AS f3",
    "x <=> y AS f4", "x = x AS f5", "x > 1 AND flag AS f6", "s NOT LIKE 'a%' AS g1",
    "left(text, 3) AS g2", "lpad(s, 3, '*') AS g3", "instr(text, 'o') AS g4",
    "regexp_replace(text, '[aeiou]', '#') AS g5", "concat_ws('-', s, text) AS g6",
    "translate(text, 'abc', 'xy') AS g7", "nvl2(x, 1, 0) AS g8", "pmod(n, 3) AS g9",
    "regexp_extract(text, '([a-z]+)', 1) AS h1", "atan2(x, y) AS h2", "repeat(s, 2) AS h3",
)  # fmt: skip
_STRICT = (
    "n + 2147483647 AS o", "n * 1000000000 AS o", "b + 9223372036854775807 AS o",
    "b * 4611686018427387904 AS o", "1 / (n - 1) AS o", "x / (y - y) AS o", "n % (n - 2) AS o",
    "n div (n - 1 - 1) AS o", "pmod(n, n - 1) AS o", "CAST(s AS INT) AS o",
    "CAST(text AS DOUBLE) AS o", "CAST(b AS INT) AS o", "CAST(x * 1e10 AS INT) AS o",
    "CAST(x * 1e20 AS BIGINT) AS o", "CAST(text AS BOOLEAN) AS o", "CAST(n * 60 AS TINYINT) AS o",
    "CAST(b * 700 AS SMALLINT) AS o",
    "CAST(n AS TINYINT) * CAST(b AS TINYINT) AS o", "try_cast(text AS INT) AS o",
    "CAST(g AS TINYINT) AS o", "abs(n - 2147483647 - 1) AS o", "-(n - 2147483645) AS o",
    "CASE WHEN n > 0 THEN 1 / (n - 2) ELSE CAST(s AS INT) END AS o",
    "n > 0 AND 6 / (n - 1) > 2 AS o", "coalesce(x, 1 / n) AS o", "n = s AS o",
    "CAST(k AS TINYINT) + g AS o", "CAST(CAST(n AS SMALLINT) AS STRING) AS o",
)  # fmt: skip
"""What ANSI mode makes an error of in some rows."""
_CONDITIONS = ("", " WHERE x > 0 OR y < 1", " WHERE s IS NOT NULL", " WHERE n IN (1, 2, 3)")


def _sql_stages(rng: random.Random) -> Sequence[Callable[[], Any]]:
    chosen = [*rng.sample(_ITEMS, 4), rng.choice(("1 AS o", *_STRICT))]
    items, condition = ", ".join(chosen), rng.choice(_CONDITIONS)
    return (lambda: ft.SQLTransformer(statement=f"SELECT *, {items} FROM __THIS__{condition}"),)


_FAMILIES = (
    *(_regression_stages, _tree_stages, _classifier_stages, _cluster_stages, _vector_stages),
    *(_number_stages, _category_stages, _text_stages, _sql_stages),
)


def random_stage(rng: random.Random, family: int) -> Any:
    """A random estimator or transformer of a family (a number from 0)."""
    return rng.choice(_FAMILIES[family % len(_FAMILIES)](rng))()
