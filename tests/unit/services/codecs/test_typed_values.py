"""Numbers that have no place in the type of their column, and those that have the nearest one."""

import pytest

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import DataType, Dense
from hydro_runtimes.evaluator import Field, Signature
from hydro_services.codecs import json_rows, proto_encoding
from hydro_services.runtime import stage


@pytest.mark.parametrize("value", [1e39, -3.5e38])
def test_a_number_beyond_float32_is_an_error_in_its_row(value: float) -> None:
    sent: list[json_rows.Row] = [{"x": value}, {"x": 1.5}, {"x": "Infinity"}]
    columns, failures = json_rows.decode_rows(sent, Signature((Field("x", DataType.FLOAT32),), ()))
    assert {row: failure.reason for row, failure in failures.items()} == {0: "WRONG_TYPE"}
    assert columns.rows == 2


def test_a_double_of_a_stage_before_that_is_beyond_float32_is_an_error_in_its_row() -> None:
    frame = pb.Frame()
    frame.table.rows = 2
    target = frame.table.columns.add()
    column, _ = json_rows.decode_rows([{"x": 1e39}, {"x": 0.5}], Signature((), ()))
    proto_encoding.encode_column("x", column["x"], target)
    read = stage.read_inputs(frame, Signature((Field("x", DataType.FLOAT32),), ()), "s/m")
    assert [error.row for error in frame.errors] == [0]
    assert read["x"].rows == 1


@pytest.mark.parametrize("declared", ["first", "later"])
def test_an_integer_as_a_double_is_the_nearest_one_wherever_it_is_read(declared: str) -> None:
    signature = Signature((Field("x", DataType.FLOAT64),), ())
    columns, _ = json_rows.decode_rows(
        [{"x": 2**53 + 1}], signature if declared == "first" else NOTHING
    )
    frame = pb.Frame()
    frame.table.rows = 1
    proto_encoding.add_columns(columns, columns.present, frame.table)
    column = stage.read_inputs(frame, signature, "s/m")["x"]
    assert isinstance(column, Dense)
    assert column.values.tolist() == [2.0**53]


NOTHING = Signature((), ())
