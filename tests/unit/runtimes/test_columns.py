"""Columns keep their values when rows are taken, joined and parted."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_runtimes import python_values
from hydro_runtimes.column_forms import concat_columns, split_by_form, to_model_form
from hydro_runtimes.columns import (
    Column,
    Columns,
    DataType,
    Dense,
    DenseTooLarge,
    Ragged,
    Sparse,
    Strings,
)
from hydro_runtimes.evaluator import Field

SHAPES = ((), (-1,), (3,), (-1, 2), (2, -1), (-1, -1), (2, 2), (-1, -1, 3))
TYPES = (DataType.FLOAT64, DataType.INT64, DataType.BOOL, DataType.STRING)
VALUES: dict[DataType, st.SearchStrategy[Any]] = {
    DataType.FLOAT64: st.floats(-3, 3),
    DataType.INT64: st.integers(-(2**63), 2**63 - 1),
    DataType.BOOL: st.booleans(),
    DataType.STRING: st.text(max_size=2),
}


def values(field: Field) -> st.SearchStrategy[Any]:
    found = VALUES[field.type]
    for size in reversed(field.shape):
        least, most = (0, 3) if size < 0 else (size, size)
        found = st.lists(st.none() | found, min_size=least, max_size=most)
    return st.none() | found


fields = st.builds(
    lambda kind, shape: Field("x", kind, shape, nullable=True),
    st.sampled_from(TYPES),
    st.sampled_from(SHAPES),
)


def listed(column: Column) -> list[Any]:
    """The values of the rows, None for null."""
    valid = [True] * column.rows if column.validity is None else column.validity.tolist()
    found: list[Any]
    match column:
        case Dense():
            found = column.values.tolist()
        case Strings():
            found = list(column.values)
        case Ragged():
            inner, ends = listed(column.elements), column.offsets.tolist()
            found = [inner[a:b] for a, b in itertools.pairwise(ends)]
        case Sparse():
            sizes = column.sizes if column.sizes is not None else [column.size] * column.rows
            spans = zip(column.offsets[:-1], column.offsets[1:], sizes, strict=True)
            found = [
                (int(n), column.indices[a:b].tolist(), column.values[a:b].tolist())
                for a, b, n in spans
            ]
    return [value if ok else None for value, ok in zip(found, valid, strict=True)]


@given(st.data())
def test_what_a_model_gives_is_kept_whatever_is_done_with_the_rows(data: st.DataObject) -> None:
    field = data.draw(fields)
    given_ = data.draw(st.lists(values(field), max_size=6))
    column = python_values.to_column(field, given_, len(given_))
    assert listed(column) == given_
    places = data.draw(st.lists(st.integers(0, max(len(given_) - 1, 0)), max_size=5))
    if given_:
        taken = column.take(np.array(places, np.int64))
        assert listed(taken) == [given_[i] for i in places]
    cut = data.draw(st.integers(0, len(given_)))
    parts = [given_[:cut], given_[cut:]]
    joined = concat_columns([python_values.to_column(field, part, len(part)) for part in parts])
    assert listed(joined) == given_
    assert (
        listed(concat_columns([column.take(slice(cut)), column.take(slice(cut, None))])) == given_
    )
    if not isinstance(joined, Sparse):
        assert listed(to_model_form(joined, field.shape)) == given_


@given(st.data())
def test_what_a_model_gets_of_a_row_is_the_same_in_any_batch(data: st.DataObject) -> None:
    field = data.draw(fields)
    given_ = data.draw(st.lists(values(field), min_size=1, max_size=6))
    column = python_values.to_column(field, given_, len(given_))
    among = python_values.to_plain(column, field.shape)
    for row, value in enumerate(given_):
        (alone,) = python_values.to_plain(python_values.to_column(field, [value], 1), field.shape)
        assert type(among[row]) is type(alone)
        assert repr(among[row]) == repr(alone)


vector = st.tuples(st.integers(0, 4), st.booleans()).flatmap(
    lambda drawn: st.lists(st.floats(-2, 2), min_size=drawn[0], max_size=drawn[0]).map(
        lambda cells: vectors([cells], sparse=drawn[1])
    )
)


def vectors(rows: list[list[float]], *, sparse: bool) -> Column:
    if not sparse:
        return Dense(np.array(rows, np.float64))
    kept = [i for i, cell in enumerate(rows[0]) if cell]
    indices = np.array(kept, np.int32)
    cells = np.array([rows[0][i] for i in kept], np.float64)
    return Sparse(len(rows[0]), np.array([0, len(kept)]), indices, cells)


@given(st.lists(vector, min_size=1, max_size=5))
def test_vectors_of_any_sizes_are_joined_and_parted(parts: list[Column]) -> None:
    joined = concat_columns(parts)
    for row, part in enumerate(parts):
        alone = joined.take(np.array([row]))
        assert alone.shape == part.shape or isinstance(joined, Ragged)
        assert dense(alone) == dense(part)


def dense(column: Column) -> list[Any]:
    return listed(column.dense() if isinstance(column, Sparse) else column)


@given(st.integers(1, 6), st.data())
def test_rows_that_have_the_same_columns_are_together(rows: int, data: st.DataObject) -> None:
    numbers = st.integers(0, rows - 1)
    places = {name: sorted(data.draw(st.sets(numbers, min_size=1), label=name)) for name in "ab"}
    columns = Columns(
        {"x": Dense(np.arange(rows))} | {n: Dense(np.array(at)) for n, at in places.items()},
        rows,
        {n: np.array(at) for n, at in places.items() if len(at) < rows},
    )
    found: dict[int, set[str]] = {}
    for at, part in split_by_form(columns):
        assert not part.present
        for name in part:
            assert listed(part[name]) == at.tolist()
        found |= {row: set(part) for row in at.tolist()}
    assert found == {r: {"x", *(n for n in "ab" if r in places[n])} for r in range(rows)}
    kept = sorted(data.draw(st.sets(numbers)))
    taken = columns.take(np.array(kept, np.int64))
    for name in "ab":
        here = [row for row in kept if row in places[name]]
        assert (listed(taken[name]) if name in taken else []) == here


def test_a_sparse_vector_of_any_size_is_not_written_out_for_a_model() -> None:
    column = Sparse(2**31 - 1, np.array([0, 0]), np.zeros(0, np.int32), np.zeros(0))
    with pytest.raises(DenseTooLarge, match="1 sparse vectors of size 2147483647"):
        python_values.to_plain(column, (-1,))


def test_what_a_model_gives_as_json_is_json() -> None:
    with pytest.raises(ValueError, match="'y' holds text that is not JSON"):
        python_values.to_column(Field("y", DataType.JSON), ["{}", "x"], 2)


@pytest.mark.parametrize("kind", [DataType.INT64, DataType.FLOAT64, DataType.BOOL])
@pytest.mark.parametrize("shape", [(), (2,), (-1,)])
def test_what_a_masked_array_masks_is_null(kind: DataType, shape: tuple[int, ...]) -> None:
    values = np.ma.masked_array(np.ones((2, 2) if shape else 2, kind.dtype))
    values[1] = np.ma.masked
    field = Field("y", kind, shape, nullable=True)
    column = python_values.to_column(field, values, 2)
    alone = [python_values.to_column(field, values[i : i + 1], 1) for i in range(2)]
    for found in (column, concat_columns(alone)):
        listed = python_values.to_plain(found, shape)
        first, second = (np.array(each, object).tolist() for each in listed)
        assert first == ([1, 1] if shape else 1)
        assert all(v is None or v != v for v in (second if shape else [second]))
    with pytest.raises(ValueError, match="null"):
        python_values.to_column(Field("y", kind, shape), values, 2)
