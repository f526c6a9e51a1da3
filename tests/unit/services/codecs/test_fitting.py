"""Columns read as the fields of a model: as their values would be, if a client had sent these."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from hydro_runtimes.column_forms import to_model_form
from hydro_runtimes.columns import Column, DataType, Sparse
from hydro_runtimes.evaluator import Field
from hydro_services.codecs import fitting, json_columns, json_values

NUMBERS = (DataType.INT32, DataType.INT64, DataType.FLOAT32, DataType.FLOAT64)
SHAPES = ((), (-1,), (2,), (-1, 2), (2, -1))
odd = st.sampled_from(
    [0, -0.0, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), 2**24 + 1, 0.5, 1e39, 3.4028236e38]
    + [3.402823466e38, 2.0**63, 2.0**31, -(2.0**63), 1e-46, "NaN", "Infinity", "-Infinity", 7]
)


@st.composite
def columns(draw: st.DrawFn) -> tuple[Column, Field]:
    """A column of numbers, and a field of other numbers of as many dimensions."""
    kind, wanted = draw(st.sampled_from(NUMBERS)), draw(st.sampled_from(NUMBERS))
    shape = draw(st.sampled_from(SHAPES))
    own = Field("x", kind, tuple(-1 for _ in shape), nullable=True)
    value: st.SearchStrategy[Any] = st.none() | odd | st.integers(-3, 3)
    value = value.filter(
        lambda each: json_columns.find_fault(each, Field("x", kind, nullable=True)) is None
    )
    for size in reversed(shape):
        lists = [st.lists(value, max_size=3)]
        if size > 0:
            lists.append(st.lists(value, min_size=size, max_size=size))
        value = st.one_of(st.none(), *lists)
    values = draw(st.lists(value, min_size=1, max_size=4))
    return json_columns.parse_column(values, own), Field(
        "x", wanted, shape, nullable=draw(st.booleans())
    )


@given(columns())
def test_numbers_of_another_type_are_as_those_of_json(
    case: tuple[Column, Field],
) -> None:
    column, field = case
    found, failures = fitting.fit_column(column, field)
    values = orjson.loads(orjson.dumps(json_values.list_values(column)))
    faults = ((i, json_columns.find_fault(value, field)) for i, value in enumerate(values))
    assert failures == {i: fault for i, fault in faults if fault}
    well = [i for i in range(len(values)) if i not in failures]
    want = json_columns.parse_column([values[i] for i in well], field)
    got = found.take(np.array(well, np.int64))
    assert not isinstance(got, Sparse)
    got = to_model_form(got, field.shape)
    assert got.type is want.type
    assert orjson.dumps(json_values.list_values(got)) == orjson.dumps(json_values.list_values(want))
