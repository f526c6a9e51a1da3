"""The catalogue: order of versions, the latest, names across frameworks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_services import errors
from hydro_services.repository import catalogue, name_owners
from hydro_services.repository.catalogue import ModelVersion, PublishedFile
from hydro_services.repository.source import Stamp


def version(
    model: str, number: str = "1", framework: str = "a", refused: str = "", since_ns: int = 0
) -> ModelVersion:
    """A version in a folder of its own."""
    digest = "" if refused else "d"
    return ModelVersion(
        (framework, model, number), digest=digest, refused=refused, since_ns=since_ns
    )


def flat(model: str, framework: str = "a") -> ModelVersion:
    """A version in the model's folder itself."""
    return replace(version(model), key=(framework, model))


def refusals(found: catalogue.Catalogue) -> dict[str, str]:
    return {version.path: version.refused for version in found.versions if version.refused}


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
    found = catalogue.build_catalogue(version("m", number) for number in reversed(ordered))
    assert [v.version for v in found.models["m"]] == ordered
    assert found.find("m").version == ordered[-1]


@given(st.lists(st.from_regex(r"v?[0-9][A-Za-z0-9_.-]{0,12}", fullmatch=True), unique=True))
def test_the_order_does_not_depend_on_the_order_of_finding(numbers: list[str]) -> None:
    forward = catalogue.build_catalogue(version("m", number) for number in numbers)
    backward = catalogue.build_catalogue(version("m", number) for number in reversed(numbers))
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
    found = catalogue.build_catalogue([version("b"), version("a", "10"), version("a", "9")])
    assert [(v.model, v.version) for v in found.versions] == [("a", "9"), ("a", "10"), ("b", "1")]


def test_a_name_that_nobody_had_belongs_to_the_oldest_folder() -> None:
    newer, older = version("m", framework="a", since_ns=2), version("m", framework="b", since_ns=1)
    found = catalogue.build_catalogue([newer, older])
    assert found.find("m").key[0] == "b"
    assert [v.key[0] for v in found.published] == ["b"]
    (reason,) = refusals(found).values()
    assert "'a/m'" in reason
    assert "'b/m'" in reason
    assert "unique" in reason


def test_a_name_belongs_to_the_framework_that_can_serve_it() -> None:
    found = catalogue.build_catalogue(
        [version("m", framework="a", refused="bad"), version("m", "1", "b")]
    )
    assert found.find("m").key[0] == "b"


@pytest.mark.parametrize("state", ["good", "broken", "being read", "another version"])
def test_a_name_stays_with_who_has_it(state: str) -> None:
    mine = {
        "good": version("m", framework="b", since_ns=9),
        "broken": version("m", framework="b", refused="half of it is missing"),
        "being read": replace(version("m", framework="b"), digest="", is_reading=True),
        "another version": version("m", "2", "b"),
    }[state]
    found = catalogue.build_catalogue([version("m", framework="a"), mine], {"b/m/1"})
    assert "'b/m' stays" in refusals(found)["a/m/1"]


def test_a_name_that_was_given_up_is_free() -> None:
    assert not refusals(catalogue.build_catalogue([version("m", framework="a")], {"b/m/1"}))


def test_files_beside_versions_are_refused_and_so_are_versions_beside_files() -> None:
    both = [flat("m"), version("m", "2"), version("m", "3"), version("other")]
    assert set(refusals(catalogue.build_catalogue(both, {"a/m"}))) == {"a/m/2", "a/m/3"}
    assert set(refusals(catalogue.build_catalogue(both, {"a/m/2"}))) == {"a/m"}
    neither = refusals(catalogue.build_catalogue(both))
    assert set(neither) == {"a/m", "a/m/2", "a/m/3"}
    assert all("'a/m'" in reason and "'a/m/" in reason for reason in neither.values())


@pytest.mark.parametrize("twins", [["1", "01", "v1"], ["1.0-rc1", "1.0-RC1", "1_0_rc1"]])
def test_versions_that_mean_the_same_are_refused_but_for_one(twins: list[str]) -> None:
    for winner in twins:
        found = catalogue.build_catalogue(
            [version("m", number) for number in twins], {f"a/m/{winner}"}
        )
        assert [v.version for v in found.published] == [winner]
        assert all(f"'a/m/{winner}' stays" in reason for reason in refusals(found).values())


def test_names_that_differ_by_case_are_different_models() -> None:
    found = catalogue.build_catalogue([version("m"), version("M")])
    assert [v.model for v in found.published] == ["M", "m"]


def test_what_is_no_version_by_its_name_claims_nothing() -> None:
    found = catalogue.build_catalogue(
        [version("m", "latest", refused="no version"), version("m", "1")]
    )
    assert refusals(found) == {"a/m/latest": "no version"}


def test_a_model_that_is_being_read_is_to_be_asked_for_again() -> None:
    found = catalogue.build_catalogue([replace(version("m"), digest="", is_reading=True)])
    with pytest.raises(errors.Unavailable, match="'m' version '1' is being read"):
        found.find("m")


PLACES = st.builds(
    lambda model, framework, number, refused, since_ns: (
        flat(model, framework)
        if number is None
        else version(model, number, framework, refused, since_ns)
    ),
    st.sampled_from("mn"),
    st.sampled_from("abc"),
    st.sampled_from([None, "1", "01", "v1", "2", "3"]),
    st.sampled_from(["", "broken"]),
    st.integers(0, 3),
)


@given(st.lists(PLACES, unique_by=lambda v: v.path), st.lists(PLACES, unique_by=lambda v: v.path))
def test_who_is_published_stays_until_it_goes(
    before: list[ModelVersion], more: list[ModelVersion]
) -> None:
    first = catalogue.build_catalogue(before)
    owners = {v.path for v in first.published}
    for model in first.models:
        assert len({v.home for v in first.published if v.model == model}) <= 1
    new = [v for v in more if v.path not in {b.path for b in before}]
    second = catalogue.build_catalogue([*before, *new], owners)
    assert owners <= {v.path for v in second.published}
    assert second == catalogue.build_catalogue([*reversed(new), *reversed(before)], owners)
    stay = name_owners.update_owners(
        owners, {v.path for v in (*before, *new)}, {v.path for v in second.published}
    )
    assert catalogue.build_catalogue([*before, *new], stay) == second, "a restart changes nothing"


def test_a_name_is_refused_in_all_versions_of_the_other_framework() -> None:
    found = catalogue.build_catalogue(
        [version("m"), version("m", "2", "b", since_ns=1), version("m", "3", "b", since_ns=2)]
    )
    assert [v.version for v in found.published] == ["1"]
    assert found.find("m").version == "1"


def test_the_latest_is_the_latest_that_is_published() -> None:
    found = catalogue.build_catalogue(
        [version("m", "1"), version("m", "2", refused="half of it is missing")]
    )
    assert found.find("m").version == "1"
    with pytest.raises(errors.ModelRefused, match="half of it") as caught:
        found.find("m", "2")
    assert caught.value.metadata == {"model": "m", "version": "2"}


def test_a_model_of_which_all_is_refused_tells_why() -> None:
    found = catalogue.build_catalogue(
        [version("m", "1", refused="one"), version("m", "2", refused="two")]
    )
    with pytest.raises(errors.ModelRefused, match="two"):
        found.find("m")
    assert found.published == ()


def test_an_unknown_version_is_told_apart_from_an_unknown_model() -> None:
    found = catalogue.build_catalogue([version("m")])
    with pytest.raises(errors.NotFound, match="model 'm' has no version '2'"):
        found.find("m", "2")
    with pytest.raises(errors.NotFound, match="no model 'x'; the repository has: m"):
        found.find("x")


def test_a_file_is_found_by_its_exact_path_only() -> None:
    file = PublishedFile("metadata/part-0", "00", Stamp(1, 2, (3, 4, 5)))
    model = ModelVersion(("a", "m"), files=(file,))
    assert model.file("metadata/part-0") is file
    for path in ("metadata//part-0", "./metadata/part-0", "metadata/../metadata/part-0", ""):
        with pytest.raises(errors.NotFound):
            model.file(path)
