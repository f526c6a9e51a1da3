"""Writes docs/spark.md from the registry of Spark's classes: `gen_spark_docs.py [FILE|-]`."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from hydro_runtimes.spark.registry import STAGES, find

ROOT = Path(__file__).resolve().parent.parent
# ruff: noqa: E501
HEAD = """# Spark ML models without Spark

A folder that Spark ML saved is served as it is: a `PipelineModel`, nested at any depth, or a single
model or transformer, saved by Spark 2.0 to 4.3 from Scala, Java or Python. No Spark, no Java.

    hydro score path/to/model rows.ndjson

## Saving a model for serving

    model.write().overwrite().save("models/spark/my_model")   # PySpark

Nothing else is needed. The columns that the model reads and adds, with their types,
sizes of vectors and names of nominal values, are derived from the saved stages; `hydro models show`
prints them. Save the model without the stages that only training needs where you can; a
StringIndexerModel of the label is left out where the label is not there, as Spark does.

A column whose type the saved pipeline does not tell is shown as `json`: it may be of any type that
Spark would take there (an input of a VectorAssembler may be a number, a boolean or a vector). Typed
callers state the type. In JSON each value has its own type, whatever the other rows are: a number with
a point or an exponent is a double, one without is a bigint, an object is a struct, null has no type.
That matters where null alone or a number without a point does not tell it: an Imputer gives an int
column whole numbers, and a FeatureHasher hashes 5 and 5.0 apart. State such types beside the model:

    {"inputs": [{"name": "tenure", "type": "int32"}]}         # models/spark/my_model/metadata.json

Names that Spark keeps in the metadata of columns are derived through the stages. Those of an input are not
saved; where a stage needs them, loading says so with the line to write: `"elements": ["age", "income"]` are
the names of a vector's elements (VectorSlicer by names), `"nominal": ["no", "yes"]` those of the values of a
column (IndexToString without labels, OneHotEncoder of Spark 2).

The same file takes what a session would have set: `"ansi": false` (by default as in the Spark that saved
the model: false before 4.0) and `"timeZone": "Europe/Berlin"` (by default UTC).

Names of columns differ in more than case alone, as in Spark: a row may bring `age` for `AGE`. A row that
lacks some of the inputs has null in their place, as in what Spark writes as JSON; one that lacks all is
an error. `s.a` in inputCols is the field `a` of the column `s`.

Vectors are JSON arrays, `{"type": "dense", "values": [...]}`, or
`{"type": "sparse", "size": n, "indices": [...], "values": [...]}`, or as Spark writes them, with 0 for
sparse and 1 for dense. Decimals come out as numbers of JSON with all their digits, dates and timestamps
as texts, maps and structs as objects.

## Rows that fail and rows that are dropped

A row that Spark would refuse (an unseen label with handleInvalid=error, NaN outside all buckets, ...)
is answered in its place by an error that names the stage, the column and the value; all other rows
are answered. A row that Spark would leave out (handleInvalid=skip, WHERE, coldStartStrategy=drop) is
answered as dropped: `null` from `hydro score`, an error with the reason ROW_DROPPED in a pipeline.

## What may be around it, and what is refused

A folder is served as other tools made it, and the only model in a folder is that folder's:

- MLflow: `MLmodel` with the flavor `spark`, or a `python_function` of `mlflow.spark`. The types in its
  signature (boolean, integer, long, float, double, string) count as stated; metadata.json beats them.
- SparkR: `rMetadata` beside the pipeline. Answers have all columns of the pipeline; SparkR's `predict`
  leaves out some.

What cannot be served is refused when it is loaded, with what it is and the way out: a Pipeline, search or
estimator that is not fitted (`pipeline.fit(df).write().overwrite().save(path)`), a model of `spark.mllib`
(train it again with spark.ml), a class of another library or of your own (its code is not in the save: put
what it does into a `model.py` between two pipelines), a folder without its metadata or some of its stages.

## One save, and the whole of it

A folder that holds part files of two saves is refused when it is loaded: two rows of one id (users of
ALS, clusters, words, nodes of trees), two rows where there is one, files whose names tell two jobs. The
message names the table, the id and both files. So is what is not whole: trees with nodes that are
missing, a file whose `.crc` alone is left or does not match it, a save that was broken off. The way out
is always the same: save the model again into an empty folder, with `overwrite`. Of a few tables no one
can tell that a part file is missing: users and items of ALS, the last clusters of KMeans, the largest sets
of FPGrowth.

## How large a model may be

A table of a model, or a vector or matrix with its zeros, has up to 134,217,728 values (numbers or texts)
of 32 bytes on average. That is more than nearly all have, and bounds what a folder that nobody vouches for
can take. Who runs the process that loads models may allow more in its environment, a model cannot:

    HYDRO_MAX_MODEL_VALUES=200000000 hydro up        # ALS of 2.8 million users and rank 50 has 142,800,000

The variable is read by `hydro up`, `hydro runtime`, `hydro repository` and `hydro score`; set it for all
parts that read the model.

Large models load without a Python object for each node, word or factor, in pieces: a forest of 500 trees
of depth 15 in under 1 s of CPU and at most its own size in memory (its parquet, expanded), ALS of 2.8
million users of rank 50 in 2.5 s and 1.1 times its size. Large batches are computed in pieces that stay in
the processor's cache. Figures beside onnxruntime are in [benchmarks.md](benchmarks.md).

A saved class that is not in the table below is refused when the model is loaded, by name, uid and
position.

## Supported classes

"""
TAIL = """
## Known differences

- DistributedLDAModel: Spark starts the inference of documents from random numbers, others each time
  that it loads the model; here it starts from ones. Shares of topics differ by up to 2e-3, and more
  where a document has more than one solution. LocalLDAModel starts from Spark's own numbers.
- FPGrowthModel: Spark does not define the order of the predicted items; here it is that of the rules.
- SQLTransformer: SELECT, FROM, WHERE, subqueries in FROM and WITH, over __THIS__, with what Spark has for
  rows: arithmetic, decimals, dates, timestamps and intervals, arrays, maps and structs, functions that
  take functions, JSON, regular expressions and hashes, some 280 functions in all. What needs other rows,
  the session or chance (aggregates, windows, joins, LIMIT, explode, rand, current_date) is refused when
  the model is loaded, with that reason; so is a function that is not known here. Not known: collations,
  variants, XML, CSV, format_number with a pattern, and patterns `zzzz` of dates.
- What SQL makes of one row has limits, and a row beyond them is in error: 67,108,864 characters beyond
  what functions are given, an element of an array being 32 of them; 1,048,576 characters or elements of
  one repetition, padding, width or sequence; 16,777,216 pairs of characters for levenshtein; for a
  regular expression 2 s of CPU time, and 2 us more for each character of the text.
- Texts of doubles are those of JDK 19 and later (the shortest that reads back); JDK 17 writes 2.0E-3 as
  2.0E-3 too, but some numbers with one digit more.
- ImputerModel: where the type of a column is stated nowhere and rows come as JSON, a batch of nothing
  but null gives the surrogate as a double.
- Vectors of another size than the model was trained on are refused, row by row. Spark answers some of
  them: trees where no element that is missing is asked for, Gaussian NaiveBayes and OneVsRest of it on
  longer ones, LDA, RobustScaler that neither centres nor scales, VectorSlicer on short sparse ones.
  An error says more than an answer from the wrong features.
- VectorAssembler, handleInvalid=keep: Spark refuses vectors whose size it cannot know beforehand;
  here the size is taken from the rows that have one.
- StopWordsRemover: the locales tr and az have their own lower case; all others share one (Lithuanian
  differs in Java).
- RegexTokenizer: expressions are those of java.util.regex as far as Python's `regex` has a
  counterpart; what has none is refused when the model is loaded. A pattern that matches nothing at all
  splits a character outside the Basic Multilingual Plane into its two halves in Java, and not here.
"""


def page() -> str:
    """The text of docs/spark.md."""
    lines = ["| class | what it does here | mirrors | module |", "| --- | --- | --- | --- |"]
    for name, module in sorted(STAGES.items()):
        stage = find(name)
        text = inspect.cleandoc(stage.__doc__ or "") if stage is not None else ""
        summary = text.partition("\n")[0].replace("|", "\\|")
        version = re.findall(r"\d+\.\d+\.\d+", text.partition("Source: ")[2])[0]
        short = name.removeprefix("org.apache.spark.ml.")
        lines.append(f"| {short} | {summary} | Spark {version} | `{module.replace('.', '/')}.py` |")
    return HEAD + "\n".join(lines) + "\n" + TAIL


def main() -> None:
    target = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "docs" / "spark.md")
    if target == "-":
        sys.stdout.write(page())
    else:
        Path(target).write_text(page())


if __name__ == "__main__":
    main()
