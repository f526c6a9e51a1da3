"""When the mesh's answers are those of the model in this process."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_services.deployment.answers import compare_answers, first_failure
from hydro_services.errors import ModelRefused

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ROWS = st.lists(st.dictionaries(st.text(min_size=1), VALUES, max_size=3), max_size=3)


@given(ROWS)
def test_what_is_equal_is_equal_whatever_else_is_answered(rows: list[dict[str, Any]]) -> None:
    assert compare_answers("p", [{**row, "": 1} for row in rows], rows)


@given(VALUES, VALUES)
def test_what_differs_by_more_than_rounding_is_refused(mine: Any, other: Any) -> None:
    if mine == other or isinstance(mine, float) or _has_floats(mine):
        return
    with pytest.raises(ModelRefused, match="row 0: 'y' is"):
        compare_answers("p", [{"y": other}], [{"y": mine}])


def _has_floats(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, float) or any(map(_has_floats, inner))


@pytest.mark.parametrize(
    ("got", "want", "is_equal"),
    [
        (1.0, 1.0, True),
        (1, 1.0, True),
        (1.0000001, 1.0, False),
        ([0.5, 1e-9], [0.5, 2e-9], False),
        ({"size": 2, "values": [0.25]}, {"size": 2, "values": [0.250001]}, False),
    ],
)
def test_rounding_is_told_apart(got: Any, want: Any, is_equal: bool) -> None:
    assert compare_answers("p", [{"y": got}], [{"y": want}]) is is_equal


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (1.1, 1.0),
        (True, 1.5),
        ("1", 1.0),
        (None, 1.0),
        (2, 1),
        ([1.0], [1.0, 1.0]),
        ([[1.0], 1.0], [[1.0, 1.0]]),
        ({"a": 1.0}, {"b": 1.0}),
    ],
)
def test_other_answers_are_refused(got: Any, want: Any) -> None:
    with pytest.raises(ModelRefused, match=r"row 0: 'y' is .* in the mesh and .* in this process"):
        compare_answers("p", [{"y": got}], [{"y": want}])


def test_rows_that_the_model_leaves_out_count_on_neither_side() -> None:
    assert compare_answers("p", [{"y": 2}], [None, {"y": 2}])
    with pytest.raises(ModelRefused, match="0 rows are answered in the mesh and 1 in this"):
        compare_answers("p", [], [{"y": 2}])


def test_a_failed_row_is_told_apart_from_a_column_of_that_name() -> None:
    assert first_failure([{"error": "text"}, {"error": {}, "y": 1}]) is None
    failed = {"error": {"message": "no"}}
    assert first_failure([{"y": 1}, failed]) == "row 1 of the example: no"
