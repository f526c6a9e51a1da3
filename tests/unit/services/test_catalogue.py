"""The catalogue: order of versions, the latest, names across frameworks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_services import errors
from hydro_services.repository import catalogue
from hydro_services.repository.catalogue import File, ModelVersion, Stamp


def version(model: str, number: str = "1", framework: str = "a", refused: str = "") -> ModelVersion:
    folder = Path("/models") / framework / model
    return ModelVersion(framework, model, number, folder, refused=refused)


@pytest.mark.parametrize(
    "ordered",
    [
        pytest.param(["1", "2", "10"], id="numbers, not letters"),
        pytest.param(["v1", "v2", "v10"], id="with a v"),
        pytest.param(["1", "v2", "3"], id="with and without a v"),
        pytest.param(["1.0.2", "1.0.10", "1.2", "1.10"], id="dotted"),
        pytest.param(["1", "1.0", "1.0.1"], id="the longer is the later"),
        pytest.param(["1.0-alpha", "1.0-rc1", "1.0-rc2", "1.0"], id="before the release"),
        pytest.param(["2024-12-31", "2025-01-01"], id="dates"),
        pytest.param(["9", "9" * 60], id="very long"),
    ],
)
def test_versions_are_in_natural_order(ordered: list[str]) -> None:
    found = catalogue.build(version("m", number) for number in reversed(ordered))
    assert [v.version for v in found.models["m"]] == ordered
    assert found.find("m").version == ordered[-1]


@given(st.lists(st.from_regex(r"v?[0-9][A-Za-z0-9_.-]{0,12}", fullmatch=True), unique=True))
def test_the_order_does_not_depend_on_the_order_of_finding(numbers: list[str]) -> None:
    forward = catalogue.build(version("m", number) for number in numbers)
    backward = catalogue.build(version("m", number) for number in reversed(numbers))
    assert forward == backward


@pytest.mark.parametrize("folder", ["1", "2", "v3", "1.0.2", "1.0.2-rc1", "2024-06-01"])
def test_a_folder_can_be_a_version(folder: str) -> None:
    assert catalogue.is_version(folder)


@pytest.mark.parametrize(
    "folder", ["", "v", "version1", "data", ".1", "-1", "1/2", "1 2", "\u0661"]
)
def test_a_folder_can_be_no_version(folder: str) -> None:
    assert not catalogue.is_version(folder)


@pytest.mark.parametrize("folder", ["pm_scikit", "iris", "a.b-c_D9", "_x", "x" * 128])
def test_a_folder_can_be_a_model(folder: str) -> None:
    assert catalogue.is_name(folder)


@pytest.mark.parametrize(
    "folder", ["", ".", "..", ".x", "-x", "a/b", "a b", "a:b", "a\n", "é", "x" * 129], ids=repr
)
def test_a_folder_can_be_no_model(folder: str) -> None:
    assert not catalogue.is_name(folder)


def test_models_are_sorted_by_name_and_version() -> None:
    found = catalogue.build([version("b"), version("a", "10"), version("a", "9")])
    assert [(v.model, v.version) for v in found.versions] == [("a", "9"), ("a", "10"), ("b", "1")]


def test_a_name_belongs_to_the_first_framework() -> None:
    found = catalogue.build([version("m", framework="b"), version("m", framework="a")])
    assert found.find("m").framework == "a"
    assert [v.framework for v in found.published] == ["a"]
    (refused,) = (v for v in found.versions if v.refused)
    assert refused.framework == "b"
    assert "'a'" in refused.refused
    assert "unique" in refused.refused


def test_a_name_belongs_to_the_framework_that_can_serve_it() -> None:
    found = catalogue.build([version("m", framework="a", refused="bad"), version("m", "1", "b")])
    assert found.find("m").framework == "b"


def test_a_name_is_refused_in_all_versions_of_the_other_framework() -> None:
    found = catalogue.build([version("m"), version("m", "2", "b"), version("m", "3", "b")])
    assert [v.version for v in found.published] == ["1"]
    assert found.find("m").version == "1"


def test_the_latest_is_the_latest_that_is_published() -> None:
    found = catalogue.build([version("m", "1"), version("m", "2", refused="half of it is missing")])
    assert found.find("m").version == "1"
    with pytest.raises(errors.ModelRefused, match="half of it") as caught:
        found.find("m", "2")
    assert caught.value.metadata == {"model": "m", "version": "2"}


def test_a_model_of_which_all_is_refused_tells_why() -> None:
    found = catalogue.build([version("m", "1", refused="one"), version("m", "2", refused="two")])
    with pytest.raises(errors.ModelRefused, match="two"):
        found.find("m")
    assert found.published == ()


def test_an_unknown_version_is_told_apart_from_an_unknown_model() -> None:
    found = catalogue.build([version("m")])
    with pytest.raises(errors.NotFound, match="model 'm' has no version '2'"):
        found.find("m", "2")
    with pytest.raises(errors.NotFound, match="no model 'x'; the repository has: m"):
        found.find("x")


def test_a_file_is_found_by_its_exact_path_only() -> None:
    file = File("metadata/part-0", "00", Stamp(1, 2, 3, 4))
    model = ModelVersion("a", "m", "1", Path("/models/a/m"), files=(file,))
    assert model.file("metadata/part-0") is file
    for path in ("metadata//part-0", "./metadata/part-0", "metadata/../metadata/part-0", ""):
        with pytest.raises(errors.NotFound):
            model.file(path)
