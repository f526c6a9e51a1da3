from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_services import model_names
from hydro_services.errors import InvalidArgument
from hydro_services.manager.domain.references import (
    NAME,
    VERSION,
    StageReference,
    check_name,
    parse_chain,
)

NAMES = st.from_regex(NAME, fullmatch=True)
MODELS = st.from_regex(model_names.NAME, fullmatch=True)
VERSIONS = st.one_of(
    st.from_regex(VERSION, fullmatch=True), st.from_regex(model_names.VERSION, fullmatch=True)
)
REFERENCES = st.builds(StageReference, NAMES, MODELS, st.one_of(st.just(""), VERSIONS))


@given(st.lists(REFERENCES, min_size=1, max_size=16))
def test_what_is_parsed_is_written_as_it_was(references: list[StageReference]) -> None:
    texts = [str(reference) for reference in references]
    assert parse_chain(texts) == tuple(references)


@given(st.text(alphabet="ab1:/.-\n ", max_size=8))
def test_text_is_either_refused_or_written_as_it_was(text: str) -> None:
    try:
        (reference,) = parse_chain([text])
    except InvalidArgument:
        return
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    ["iris", "/iris", "serving-scikit/", "a/b/c", "a/b:", "1a/b", "a/b:-1", "a b/c", "a/b:c:d"],
)
def test_malformed_stage_is_refused_by_its_number(text: str) -> None:
    with pytest.raises(InvalidArgument, match="stage 2"):
        parse_chain(["serving-scikit/iris", text])


@pytest.mark.parametrize("length", [0, 17])
def test_chain_of_no_or_too_many_stages_is_refused(length: int) -> None:
    with pytest.raises(InvalidArgument, match=f"chain has {length} stages, want 1 to 16"):
        parse_chain(["serving-scikit/iris"] * length)


@pytest.mark.parametrize("name", ["", "1st", "a" * 64, "a/b", "ä", "a\n", ".hidden"])
def test_name_that_does_not_keep_the_rule_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match=r"name is .* want at most 63 letters"):
        check_name(name, "name")
