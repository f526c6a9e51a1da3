"""The text of an array, cut into spans, holds what the array holds."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_runtimes.evaluator import Failure
from hydro_services.codecs import json_spans
from hydro_services.errors import InvalidArgument

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text('a"\\[]{},: é', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('k"\\,]'), inner, max_size=4)
    ),
    max_leaves=12,
)
TEXTS = st.lists(VALUES).map(orjson.dumps) | st.lists(VALUES).map(
    lambda values: json.dumps(values, indent=1).encode()
)
DEEP = b"[" * 1100 + b"]" * 1100
ODD = [
    pytest.param(b'{"d":' + DEEP + b"}", "depth limit", id="deep"),
    pytest.param(b'{"s":"\\ud800"}', "surrogate", id="lone surrogate"),
    pytest.param(b'{"n":1e999}', "infinity", id="beyond doubles"),
    pytest.param(b'{"n":' + b"9" * 5000 + b"}", "infinity", id="thousands of digits"),
    pytest.param(b'{"u":"\xff"}', "UTF-8", id="not UTF-8"),
]


def read(text: bytes) -> list[Any]:
    """All elements, span by span."""
    spans = list(json_spans.split_spans(text))
    return [value for start, end in spans for value in json_spans.parse_span(text[start:end])]


@pytest.fixture(params=[1, 2, 7, 1 << 17])
def span_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(json_spans, "SPAN_BYTES", request.param)
    return int(request.param)


@pytest.mark.usefixtures("span_bytes")
def test_spans_hold_all_elements_whatever_their_size() -> None:
    @given(TEXTS)
    def check(text: bytes) -> None:
        assert read(text) == orjson.loads(text)
        assert [json_spans.parse_element(e) for e in elements(text)] == orjson.loads(text)

    check()


def elements(text: bytes) -> list[bytes]:
    found = map(bytes, json_spans.split_elements(text.strip()[1:-1]))
    return [each for each in found if each.strip()]


@pytest.mark.usefixtures("span_bytes")
def test_what_a_parser_refuses_is_refused_and_what_it_takes_is_taken() -> None:
    @given(TEXTS, st.data())
    def check(text: bytes, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(at, min(len(text), at + 3)))
        put = data.draw(
            st.sampled_from([b"", b",", b"]", b"[", b"{", b"}", b'"', b"\\", b"1", b" "])
        )
        broken = text[:at] + put + text[end:]
        try:
            want = orjson.loads(broken)
            assert isinstance(want, list)
        except (orjson.JSONDecodeError, AssertionError):
            assert not isinstance(taken(broken), list)
        else:
            assert taken(broken) == want

    check()


def taken(text: bytes) -> list[Any] | None:
    """The elements, unless one of them or the array is refused."""
    try:
        values = read(text)
    except InvalidArgument:
        return None
    return None if any(isinstance(value, Failure) for value in values) else values


@pytest.mark.parametrize(("odd", "said"), ODD)
def test_an_element_that_cannot_be_taken_costs_no_other(odd: bytes, said: str) -> None:
    first, failure, last = read(b'[{"a":1},' + odd + b',{"a":2}]')
    assert (first, last) == ({"a": 1}, {"a": 2})
    assert isinstance(failure, Failure)
    assert said in failure.message


@pytest.mark.parametrize("text", [b'{"a":tru}', b'{"a":NaN}', b'{"a":"\x01"}', b'{"a" 1}', b"\xff"])
def test_an_element_that_is_not_json_fails_all(text: bytes) -> None:
    with pytest.raises(InvalidArgument, match="malformed JSON"):
        read(b'[{"a":1},' + text + b"]")


def test_a_row_of_too_many_values_is_refused_before_they_are_made() -> None:
    many = b'{"x":[' + b"1," * json_spans.MAX_VALUES + b"1]}"
    text = b'{"x":"' + b"[,{" * json_spans.MAX_VALUES + b'"}'
    refused, answered = read(b"[" + many + b"," + text + b"]")
    assert isinstance(refused, Failure)
    assert refused.reason == "TOO_LARGE"
    assert len(answered["x"]) == 3 * json_spans.MAX_VALUES
