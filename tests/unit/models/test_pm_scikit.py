"""The product-matching features: what is read from listings, and how pairs are compared."""

from __future__ import annotations

import importlib
import json
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_runtimes.columns import Columns, Dense, Strings
from hydro_runtimes.files import digest_folder
from hydro_runtimes.load import load
from hydro_runtimes.python import PythonEvaluator

FOLDER = Path(__file__).resolve().parents[3] / "models" / "scikit" / "pm_scikit"
CAMERA = (
    "Sony Cyber Shot DSC W530 14 1 MP Digital Camera Silver 027242808577",
    "'Brand': ' Sony'; 'Model': ' DSC-W530'; 'Screen Size': ' 2.7''; 'MPN': ' Does not apply'",
)
PHONE = ("Apple iPhone 5 - 32GB - White (Verizon)", "'Brand': ' Apple'; 'Model': ' iPhone 5'")
SPECIFICS = st.lists(
    st.tuples(
        st.sampled_from(["Brand", "Model", "MPN", "UPC", "Price", "Color", "Megapixels", "Other"]),
        st.text(max_size=30),
    ),
    max_size=8,
).map(lambda entries: "; ".join(f"'{name}': ' {value}'" for name, value in entries))
TITLES = st.text(max_size=80) | st.lists(
    st.sampled_from([*CAMERA[0].split(), *PHONE[0].split(), "WG", "II", "2.5", '3"', "x", "mp"]),
    max_size=15,
).map(" ".join)
LISTINGS = st.tuples(TITLES, st.text(max_size=120) | SPECIFICS)
Listing = tuple[str, str]


@cache
def evaluator() -> PythonEvaluator:
    loaded = load(FOLDER, {digest_folder(FOLDER)})
    assert isinstance(loaded, PythonEvaluator)
    return loaded


def module(name: str) -> ModuleType:
    package = type(evaluator().model).__module__.rpartition(".")[0]
    return importlib.import_module(f"{package}.{name}")


def features(*pairs: tuple[Listing, Listing]) -> npt.NDArray[np.float64]:
    rows = [(*one, *two) for one, two in pairs]
    names = ("Title1", "ItemSpecifics1", "Title2", "ItemSpecifics2")
    columns = {name: Strings([row[i] for row in rows]) for i, name in enumerate(names)}
    found = evaluator().evaluate(Columns(columns)).outputs["features"]
    assert isinstance(found, Dense)
    return found.values


def named(one: Listing, two: Listing) -> dict[str, float]:
    return dict(zip(module("pair").FEATURES, features((one, two))[0].tolist(), strict=True))


def read(title: str, specifics: str = "") -> Any:
    return evaluator().model.listing(title, specifics)


@given(LISTINGS, LISTINGS)
def test_any_text_has_finite_features(one: Listing, two: Listing) -> None:
    assert np.isfinite(features((one, two))).all()


@given(LISTINGS, LISTINGS)
def test_features_stay_the_same_when_the_listings_change_places(one: Listing, two: Listing) -> None:
    forth, back = features((one, two), (two, one))
    np.testing.assert_allclose(forth, back, rtol=1e-12)


@given(LISTINGS)
def test_a_listing_and_itself_disagree_in_nothing(one: Listing) -> None:
    found = named(one, one)
    for name in ("codes_unshared_max", "numbers_unshared", "measures_conflict"):
        assert found[name] == 0, name
    for name in ("codes_containment", "model_equal", "ids_equal", "brand_equal", "price_ratio"):
        assert found[name] in (-1, 1), name


@given(st.lists(st.tuples(LISTINGS, LISTINGS), min_size=2, max_size=5))
def test_a_row_does_not_depend_on_the_others(pairs: list[tuple[Listing, Listing]]) -> None:
    alone = np.concatenate([features(pair) for pair in pairs])
    np.testing.assert_array_equal(features(*pairs), alone)


def test_no_rows_have_no_features() -> None:
    assert features().shape == (0, len(module("pair").FEATURES))


def test_metadata_states_the_number_of_features() -> None:
    stated = json.loads((FOLDER / "metadata.json").read_text())["outputs"]
    width = len(module("pair").FEATURES)
    assert stated == [{"name": "features", "type": "float64", "shape": [width]}]


def test_names_of_features_are_distinct() -> None:
    assert len(set(module("pair").FEATURES)) == len(module("pair").FEATURES)


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        pytest.param("", {}, id="empty"),
        pytest.param("'brand': ' sony'", {"brand": "sony"}, id="one"),
        pytest.param("'brand':'sony';'model':'w5';", {"brand": "sony", "model": "w5"}, id="tight"),
        pytest.param("'manufacturer': ' sony'", {"brand": "sony"}, id="other name"),
        pytest.param("'screen size': ' 4''; 'upc': ' 1'", {"inch": "4", "upc": "1"}, id="inches"),
        pytest.param("'mpn': ' does not apply'", {}, id="says nothing"),
        pytest.param("'brand': ' a'; 'brand': ' b'", {"brand": "a"}, id="twice"),
        pytest.param("brand sony, model w5", {}, id="no entries"),
        pytest.param("'brand'; ': 'model': ' w5'", {}, id="broken"),
        pytest.param("'brand': ''; 'model': ' o'neil'", {"model": "o'neil"}, id="apostrophe"),
    ],
)
def test_item_specifics_are_parsed(text: str, entries: dict[str, str]) -> None:
    assert module("specifics").parse(text) == entries


@pytest.mark.parametrize(
    ("title", "code"),
    [
        pytest.param("Sony DSC-W530 camera", "w530", id="hyphen"),
        pytest.param("Pentax Optio WG 2", "wg2", id="split"),
        pytest.param("Pentax Optio WG-II", "wg2", id="roman"),
        pytest.param("Canon EOS 5D Mk II", "mark2", id="mark"),
        pytest.param("Canon EOS 70D Kit", "70d", id="digits first"),
        pytest.param("Apple iPhone 5 White", "iphone5", id="name and number"),
    ],
)
def test_model_codes_are_found(title: str, code: str) -> None:
    assert code in read(title).codes


@pytest.mark.parametrize("title", ["a 8 2 MP b", "a 8.2MP b", "a 8.2 Megapixels", "8.2-mp"])
def test_megapixels_are_read_in_all_spellings(title: str) -> None:
    assert read(title).measures == {"mp": {8.2}}
    assert not read(title).codes


def test_a_code_is_found_across_the_words_of_the_other_title() -> None:
    found = named(("Sony KDL26M4000", ""), ("Sony Bravia KDL 26M4000", ""))
    assert found["codes_containment"] == 1
    assert found["codes_unshared_min"] == 0


def test_a_longer_number_is_another_code() -> None:
    found = named(("Pentax K-5 body", ""), ("Pentax K-50 body", ""))
    assert found["codes_containment"] == 0
    assert found["cores_same_letters"] == 1
    assert found["codes_longest_core"] == 0


def test_article_numbers_agree_without_leading_zeros() -> None:
    ean = ("camera", "'EAN': ' 0027242808577'")
    assert named(CAMERA, ean)["ids_equal"] == 1
    assert named(CAMERA, ("camera", "'UPC': ' 4894462250013'"))["ids_equal"] == 0
    assert named(CAMERA, ("camera", "'UPC': ' Does not apply'"))["ids_equal"] == -1


def test_accents_and_width_do_not_matter() -> None:
    assert read("Caf\u00e9 \uff37\uff27\uff0d\uff12").words == read("cafe wg-2").words


def test_what_is_beyond_the_limits_is_not_read() -> None:
    model = module("model")
    assert not read(" " * model.TITLE_CHARACTERS + "word").words
    assert not read("", " " * model.SPECIFICS_CHARACTERS + "'brand': ' x'").brand
