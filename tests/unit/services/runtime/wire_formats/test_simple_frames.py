"""Frames that are read the short way are as they would be the long way, errors and all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import Columns, DataType
from hydro_runtimes.evaluator import Field, Signature
from hydro_services import errors
from hydro_services.codecs import json_rows, proto_columns
from hydro_services.runtime import stage
from hydro_services.runtime.wire_formats import frame_validation
from hydro_services.runtime.wire_formats.frame_validation import validate_frame

KINDS = [pb.DATA_TYPE_UNSPECIFIED, *proto_columns.TYPES.values()]
LISTS = {
    "strings": st.text(max_size=3),
    "doubles": st.floats(width=32),
    "integers": st.sampled_from([0, -1, 2**31, -(2**63)]),
    "bools": st.booleans(),
}
PARTS: dict[str, Any] = {"validity": b"\1\0", "shape": [1], "data": b"\0", "present": b"\0\0\0\0"}


@st.composite
def columns(draw: st.DrawFn, rows: int) -> pb.Column:
    """A column of lists, most often with a value a row, as most clients send it."""
    listed = draw(st.sampled_from([*LISTS, None]))
    column = pb.Column(name=draw(st.sampled_from("abAB")), type=draw(st.sampled_from(KINDS)))
    if draw(st.integers(0, 3)):
        column.type = {
            "strings": pb.DATA_TYPE_STRING,
            "doubles": pb.DATA_TYPE_FLOAT64,
            "integers": pb.DATA_TYPE_INT64,
            "bools": pb.DATA_TYPE_BOOL,
        }.get(listed or "", pb.DATA_TYPE_STRING)
    if listed:
        count = rows if draw(st.integers(0, 5)) else draw(st.integers(0, 3))
        values = draw(st.lists(LISTS[listed], min_size=count, max_size=count))
        getattr(column.values, listed).extend(values)
    if not draw(st.integers(0, 4)):
        part = draw(st.sampled_from([*PARTS]))
        column.MergeFrom(pb.Column(**{part: PARTS[part]}))
    return column


@st.composite
def frames(draw: st.DrawFn) -> pb.Frame:
    rows = draw(st.integers(0, 2))
    frame = pb.Frame(id="f", encoding=draw(st.sampled_from(pb.Encoding.values())))  # type: ignore[arg-type]
    frame.table.rows = rows
    frame.table.columns.extend(draw(st.lists(columns(rows), max_size=4)))
    return frame


def signature(fields: list[tuple[str, DataType, bool]], ignores_case: bool) -> Signature:
    inputs = tuple(Field(name, kind, optional=optional) for name, kind, optional in fields)
    outputs = (Field("out", DataType.BOOL), Field("B", DataType.BOOL))
    return Signature(inputs, outputs, ignores_case=ignores_case)


SIGNATURES = st.builds(
    signature,
    st.lists(
        st.tuples(st.sampled_from("abA"), st.sampled_from(list(DataType)), st.booleans()),
        unique_by=lambda field: field[0].lower(),
        max_size=3,
    ),
    st.booleans(),
)


def rows_of(columns: Columns | None) -> object:
    if columns is None:
        return None
    kinds = [(name, type(column), column.type, column.shape) for name, column in columns.items()]
    return kinds, json_rows.write_array(json_rows.encode_rows(columns))


def read(frame: pb.Frame, signature: Signature) -> object:
    """All that reading a frame brings about."""
    frame = pb.Frame.FromString(frame.SerializeToString())
    try:
        columns = validate_frame(frame, "s/m")
        got = rows_of(columns)
        inputs = stage.read_inputs(frame, signature, "s/m", columns)
    except errors.HydroError as error:
        return type(error), error.message
    return got, rows_of(inputs), frame.SerializeToString(deterministic=True)


@settings(max_examples=400, deadline=None)
@given(frames(), SIGNATURES)
def test_the_short_way_and_the_long_way_agree(frame: pb.Frame, signature: Signature) -> None:
    short = read(frame, signature)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_validation, "_simple_columns", lambda table: None)
        patch.setattr(stage, "_exact_inputs", lambda columns, signature: None)
        long = read(frame, signature)
    assert short == long


def test_a_frame_of_many_clients_goes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the long way")

    frame = pb.Frame()
    frame.table.rows = 2
    frame.table.columns.add(
        name="a", type=pb.DATA_TYPE_STRING, values=pb.Values(strings=["x", "y"])
    )
    frame.table.columns.add(name="n", type=pb.DATA_TYPE_FLOAT64, values=pb.Values(doubles=[1, 2]))
    monkeypatch.setattr(frame_validation, "_check_table", fail)
    monkeypatch.setattr(stage, "_fail_existing_outputs", fail)
    found = validate_frame(frame, "s/m")
    assert found is not None
    assert list(found["a"].values) == ["x", "y"]  # type: ignore[union-attr]
    assert frame.table.columns[1].data == np.array([1.0, 2.0]).tobytes()
    assert frame.encoding == pb.ENCODING_TYPED
    wanted = Signature((Field("a", DataType.STRING), Field("b", DataType.JSON, optional=True)), ())
    assert list(stage.read_inputs(frame, wanted, "s/m", found)) == ["a"]
