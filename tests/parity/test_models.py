"""The committed models are as good as their READMEs say, by the project's own evaluators."""

from __future__ import annotations

import csv
import importlib
import json
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import f1_score, roc_auc_score
from tests.parity.cases import ROOT, shared_folder

from hydro_runtimes.columns import Columns, Dense, Strings
from hydro_runtimes.evaluator import Evaluator
from hydro_runtimes.files import digest_folder
from hydro_runtimes.load import load

INPUTS = ("Title1", "ItemSpecifics1", "Title2", "ItemSpecifics2")
WALMART_AMAZON = 2049
"""The first rows of test.csv are the published test set of that benchmark."""
Row = tuple[str, ...]


@cache
def load_model(path: str) -> Evaluator:
    folder = ROOT / "models" / path
    return load(folder, {digest_folder(folder)})


def predict_chain(rows: Sequence[Row]) -> Columns:
    columns = Columns({name: Strings([row[i] for row in rows]) for i, name in enumerate(INPUTS)})
    for path in ("scikit/pm_scikit", "spark/pm_spark"):
        evaluation = load_model(path).evaluate(columns)
        assert not evaluation.failures
        columns = columns.plus(evaluation.outputs)
    return columns


def dense_values(columns: Columns, name: str) -> npt.NDArray[np.float64]:
    column = columns[name]
    assert isinstance(column, Dense)
    return column.values


def match_chances(*rows: Row) -> list[float]:
    return [float(chance) for chance in dense_values(predict_chain(rows), "probability")[:, 1]]


def shared_file(name: str) -> Path:
    path = shared_folder() / name
    if not path.exists() and os.environ.get("CI") != "true":
        pytest.skip(f"no {path}")
    return path


@pytest.fixture(scope="module")
def labelled() -> tuple[list[Row], npt.NDArray[np.int64]]:
    path = shared_file("product-matching/test.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    known = np.array([int(row["label"]) for row in rows])
    return [tuple(row[name] for name in INPUTS) for row in rows], known


def test_matching_reaches_its_quality(
    labelled: tuple[list[Row], npt.NDArray[np.int64]],
) -> None:
    rows, known = labelled
    answer = predict_chain(rows)
    assert f1_score(known, dense_values(answer, "prediction")) >= 0.90
    assert roc_auc_score(known, dense_values(answer, "probability")[:, 1]) >= 0.985


def test_matching_beats_the_best_published_figure(
    labelled: tuple[list[Row], npt.NDArray[np.int64]],
) -> None:
    rows, known = labelled
    answer = predict_chain(rows[:WALMART_AMAZON])
    assert f1_score(known[:WALMART_AMAZON], dense_values(answer, "prediction")) >= 0.868


def test_item_specifics_are_found_as_by_the_published_pattern(
    labelled: tuple[list[Row], npt.NDArray[np.int64]],
) -> None:
    package = type(load_model("scikit/pm_scikit").model).__module__.rpartition(".")[0]  # type: ignore[attr-defined]
    specifics = importlib.import_module(f"{package}.specifics")
    pattern = re.compile(r"'([^']+?)':\s'\s?(.*?)'(?=;\s*'|\s*;?\s*$)")
    for text in (text.lower() for row in labelled[0] for text in row[1::2]):
        again = "; ".join(f"'{name}': '{value}'" for name, value in pattern.findall(text))
        found = {value.strip(" '") for _, value in pattern.findall(text)}
        assert specifics.parse(text) == specifics.parse(again)
        assert found.issuperset(specifics.parse(text).values())


def test_predictions_go_with_probabilities_and_labels() -> None:
    answer = predict_chain([("Sony DSC-W530", "", "Sony DSC W530", ""), ("Book", "", "Pump", "")])
    chances = dense_values(answer, "probability")
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)
    np.testing.assert_array_equal(dense_values(answer, "prediction"), chances.argmax(axis=1))
    labels = answer["predictionLabel"]
    assert isinstance(labels, Strings)
    assert list(labels.values) == ["yes", "no"]


def test_the_rows_of_the_demo_are_told_apart() -> None:
    rows = json.loads(shared_file("bench/peers/rows.json").read_text())
    different, same = match_chances(*[tuple(row[name] for name in INPUTS) for row in rows])
    assert different < 0.2
    assert same > 0.8


PUMP = (
    "Aquarium Fish Tank Gravel Cleaner Siphon Pump",
    "'Brand': ' Unbranded'; 'EAN': ' 4894462250013'; 'MPN': ' Does not apply'",
)
PHONE = (
    "Apple iPhone 5 - 32GB - White & Silver Smartphone",
    "'Brand': ' Apple'; 'Model': ' iPhone 5'; 'Storage Capacity': ' 32GB'; 'Screen Size': ' 4''",
)
SHIRT = ("Red Cotton Shirt", "")
FOREIGN = ("\u30b3\u30fc\u30d2\u30fc\u30e1\u30fc\u30ab\u30fc EC-YT60", "")


@pytest.mark.parametrize("one", [PUMP, PHONE, SHIRT, FOREIGN])
def test_a_listing_matches_itself_also_without_item_specifics(one: tuple[str, str]) -> None:
    title, specifics = one
    answers = match_chances((*one, *one), (title, "", title, ""), (title, specifics, title, ""))
    assert min(answers) > 0.8


@pytest.mark.parametrize(
    ("one", "two"), [(PUMP, PHONE), (PHONE, SHIRT), (SHIRT, PUMP), (FOREIGN, PUMP)]
)
def test_unrelated_listings_do_not_match(one: tuple[str, str], two: tuple[str, str]) -> None:
    answers = match_chances((*one, *two), (one[0], "", two[0], ""), (*two, *one))
    assert max(answers) < 0.2
    assert answers[0] == answers[2]


def test_iris_tells_the_species() -> None:
    data = load_iris()
    iris = load_model("scikit/iris")
    fields = iris.signature.inputs
    columns = {field.name: Dense(data.data[:, i].copy()) for i, field in enumerate(fields)}
    answer = iris.evaluate(Columns(columns)).outputs
    species, chances = answer["prediction"], answer["probability"]
    assert isinstance(species, Strings)
    assert isinstance(chances, Dense)
    assert np.mean(np.array(species.values) == data.target_names[data.target]) >= 0.95
    assert chances.values.shape == (150, 3)
    np.testing.assert_allclose(chances.values.sum(axis=1), 1.0)
