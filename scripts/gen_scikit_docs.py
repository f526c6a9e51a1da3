"""Writes docs/scikit.md, and in it what cannot be served: `gen_scikit_docs.py [FILE|-]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sklearn import __version__
from sklearn.utils import all_estimators

from hydro_models.scikit import METHODS

ROOT = Path(__file__).resolve().parent.parent
# ruff: noqa: E501
LIMITS = {
    "MiniBatchSparsePCA": "its answer to a row alone is not one row (scikit-learn drops the axis): an error; two rows or more are answered",
    "PatchExtractor": "makes several rows of each",
    "SparsePCA": "its answer to a row alone is not one row (scikit-learn drops the axis): an error; two rows or more are answered",
    "TruncatedSVD": "served, but a row alone may differ in its last bits: its components are a part of a larger array, which no file keeps",
}
"""Of estimators that have a method for new rows: what is otherwise than in-process."""
HEAD = """# scikit-learn models

```python
import hydro_models

hydro_models.save(model, "models/scikit/churn", example=X.head())
```

`save` takes any fitted estimator of scikit-learn, pipeline or search, and estimators of other libraries that
have its methods (imbalanced-learn, XGBoost and LightGBM within pipelines). It writes a folder that is complete:

| file | what |
|---|---|
| `model.skops` or `model.pkl` | the model |
| `metadata.json` | inputs and outputs; under `fitted` the schema of the example, and the versions of Python and of the libraries |
| `proof.json` | the first 100 rows of the example as clients send them, and the model's answers as clients get them |

It needs numpy alone (`pip install ./runtimes` in a clone, or the wheel `hydro-models`), beside what the model needs.

## What the model is given

What it was fitted on: what the example is decides what every request becomes.

| example | what the model is given | inputs of a request |
|---|---|---|
| DataFrame | a DataFrame of these columns, dtypes and labels (texts or integers) | one for each column, named as the label |
| Series | a Series of this dtype and name | one, named like the Series, or `text`, or `x` |
| array of 2 dimensions | an array of this dtype | `x0`, `x1`, ..., or `inputs=[...]`; with `inputs="features"` one vector |
| array of 1 dimension | an array of this dtype | `text`, or `x` |
| array of more | an array of this dtype and shape | `x`, an array of a row's shape |
| sparse matrix | a CSR matrix of this dtype | `x`, a sparse vector |
| list of texts, dictionaries or lists | a list of these | `text`, or `x` |

- Integers stay integers of their size and never pass through float64; float32 stays float32. A number out of the range
  of its dtype fails the row.
- A null becomes the missing value of the example's column: NaN, None, pandas.NA or NaT. In a column of plain
  integers it is what pandas makes of it: the column of that request is float64 with NaN. In a column of objects it is
  the missing value that the example has, or NaN if it has none: give an example with None if that is what the model
  was fitted on.
- Whether a null or NaN is taken is for the model to say (an imputer does). If it raises, the rows at fault fail
  and name the column; the others are answered.
- Times come as text in ISO 8601, or as milliseconds since 1970 in UTC, which is what `df.to_json(orient="records")`
  writes; durations as ISO 8601 or milliseconds.
- A category that the example does not have is added to the categories, as it would be in a DataFrame: what an unknown
  category means is for the model to say.
- The numbers lie in memory by rows or by columns as in the example.

Send `df.to_json(orient="records", double_precision=15)`: by default pandas writes 10 digits.

## Outputs

| method | output | type |
|---|---|---|
| `predict` | `prediction` | that of the answer: text, integer, float, boolean |
| `predict_proba` | `probability` | a vector, whose `nominal` names are the classes |
| `decision_function` | `decision_function` | a number or a vector |
| `predict_log_proba` | `predict_log_proba` | a vector |
| `score_samples` | `score_samples` | a number |
| `transform` | `transform` | a vector, a sparse vector, or a list of values |
| `kneighbors` | `kneighbors_distances`, `kneighbors_indices` | vectors |

By default these are prediction and probability; for an estimator with neither, what it has first of
`transform`, `kneighbors` and `score_samples`. `outputs=["prediction", "decision_function"]` chooses others; each costs a
call of its method.

Every output has one value for each row. Several targets are a vector in each row (`[3, 5]`), and their probabilities
a list of vectors, also where the classes differ in number. Sparse answers are sparse vectors. A DataFrame is a
vector if its columns are of one number type, and a list of values otherwise. A method that answers a tuple, such as
predictions with intervals, gives `prediction` and `prediction_1`. An answer that has not one value for each row, or has
the rows in another order, is an error of these rows: nobody gets the answer to a row of another.

## The same answers

Answers are those of the model in-process, to the last bit. Rows of several callers are not
evaluated together, since the library's own answers differ between a row alone and a batch in the last bits, as BLAS rounds
by the shape of what it multiplies; some models look at all rows at once. So compare a request with what the model
answers to the same rows: `model.predict(X.iloc[[3]])` for a row alone, not row 3 of `model.predict(X)`. (A slice such as
`X[3:4]` of a frame lies otherwise in memory than a frame of one row, and numpy rounds that differently, too.) A frame of
more than 4,096 rows is evaluated in pieces of that many, and a JSON body of over 128 KiB in pieces of about that size.

`save` sends the example through what a runtime does and refuses a model that answers otherwise, such as one that answers
at random. A runtime does so again when it loads the model, with a tolerance for the rounding of another processor
(1e-6 of float64, 1e-3 of float32; labels have to be equal). A model that answers otherwise, or cannot be read, since
the libraries are of other versions is refused before it gets any traffic, and the message names both versions.
`hydro models show` shows the versions and how many rows are proven.

## Trust

The file is `model.skops` where that can be read without running anything: it holds the types that skops trusts, and those
of scikit-learn beside its estimators that are listed in `hydro_models/skops_types.py`, each read for that; the trees in
it are checked before compiled code walks them. Otherwise it is `model.pkl`, made by cloudpickle, with the functions and classes
of your script or notebook in it: a pickle is a program, and its digest has to be trusted (`hydro models trust FOLDER`).
A skops file with other types has to be trusted as well. Models that you pickled yourself (`*.pkl`, `*.pickle`, `*.joblib`)
are served with a `metadata.json` of your own: the inputs are, in their order, the columns of a float64 matrix, or of a
DataFrame if the model was fitted on one.

## What cannot be served

Of the {count} estimators of scikit-learn {version}, these have no method that answers new rows; they tell only of the
rows that they were fitted on:

{unanswered}.

And of those that have one:

| estimator | what |
|---|---|
{limits}

`DummyClassifier` that draws its answers, and others with a random state that is None when they answer, are refused, since
they have no answer to compare with.
"""


def unanswered() -> Iterator[str]:
    """The estimators that have no method for new rows."""
    for name, kind in all_estimators():
        if name == "FrozenEstimator":  # it answers as the estimator that it holds
            continue
        if not any(hasattr(kind, method) for method in METHODS.values()):
            yield name


def page() -> str:
    """The text of docs/scikit.md."""
    limits = "\n".join(f"| `{name}` | {what} |" for name, what in sorted(LIMITS.items()))
    return (
        HEAD.replace("{count}", str(len(all_estimators())))
        .replace("{version}", ".".join(__version__.split(".")[:2]))
        .replace("{unanswered}", ", ".join(f"`{name}`" for name in unanswered()))
        .replace("{limits}", limits)
    )


def main() -> None:
    target = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "docs" / "scikit.md")
    if target == "-":
        sys.stdout.write(page())
    else:
        Path(target).write_text(page())


if __name__ == "__main__":
    main()
