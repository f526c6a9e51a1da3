from typing import Any

import numpy as np
import pytest

from hydro.serving.v1 import frame_pb2 as pb
from hydro_runtimes.columns import Column, Columns, DataType, Dense, Ragged, Sparse, Strings
from hydro_services.codecs import json_rows, proto_columns, proto_encoding
from hydro_services.errors import InvalidArgument

NULL = np.array([True, False, True])
OFFSETS = np.array([0, 2, 2, 3])


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(Dense(np.arange(3.0)), id="doubles"),
        pytest.param(Dense(np.arange(3, dtype=np.int32), NULL), id="integers with null"),
        pytest.param(Dense(np.array([True, False, True])), id="booleans"),
        pytest.param(Dense(np.ones((3, 2, 2), np.float32)), id="tensors"),
        pytest.param(Strings(["a", "", "čšž"], NULL), id="texts with null"),
        pytest.param(Strings(["{}", "1", "[2]"], None, DataType.JSON), id="json"),
        pytest.param(Ragged(OFFSETS, Strings(["a", "b", "c"])), id="lists of texts"),
        pytest.param(Ragged(OFFSETS, Strings(["a", "", "c"], NULL), NULL), id="lists with nulls"),
        pytest.param(Ragged(OFFSETS, Dense(np.arange(3.0))), id="lists of numbers"),
        pytest.param(Ragged(OFFSETS, Strings(["a", "b", "c"]), NULL), id="null beside lists"),
        pytest.param(Ragged(OFFSETS, Dense(np.ones((3, 2)))), id="lists of pairs"),
        pytest.param(Ragged(OFFSETS, Dense(np.ones((3, 0)))), id="lists of empty lists"),
        pytest.param(
            Ragged(OFFSETS, Ragged(OFFSETS, Strings(["a", "", "c"], NULL), NULL), NULL),
            id="lists of lists of texts with nulls everywhere",
        ),
        pytest.param(
            Ragged(OFFSETS, Ragged(OFFSETS, Ragged(OFFSETS, Dense(np.arange(3))))), id="deep lists"
        ),
        pytest.param(
            Sparse(
                3,
                np.array([0, 1, 3, 3]),
                np.array([2, 0, 1], np.int32),
                np.arange(3.0),
                None,
                np.array([3, 2, 1]),
                np.array([True, False, True]),
            ),
            id="sparse of differing sizes with a null",
        ),
        pytest.param(
            Sparse(9, OFFSETS, np.array([1, 8, 0], np.int32), np.arange(3.0), NULL), id="sparse"
        ),
    ],
)
def test_a_column_comes_back_as_it_was_written(column: Column) -> None:
    message = pb.Column()
    proto_encoding.encode_column("x", column, message)
    read = proto_columns.decode_column(pb.Column.FromString(message.SerializeToString()), 3)
    assert type(read) is type(column)
    assert as_json(read) == as_json(column)
    proto_columns.bytes_to_lists(message, 3)
    assert as_json(proto_columns.decode_column(message, 3)) == as_json(column)


def as_json(column: Column) -> bytes:
    return json_rows.write_array(json_rows.encode_rows(Columns({"x": column})))


def lists(elements: pb.Column | None = None, last: int = 0) -> pb.Column:
    offsets = np.array([0, 0, last], "<u4").tobytes()
    return pb.Column(name="x", type=pb.DATA_TYPE_FLOAT64, offsets=offsets, elements=elements)


def deep(depth: int) -> pb.Column:
    inner = deep(depth - 1) if depth else pb.Column(type=pb.DATA_TYPE_FLOAT64, data=bytes(8))
    offsets = np.array([0, 1], "<u4").tobytes()
    return pb.Column(type=pb.DATA_TYPE_FLOAT64, offsets=offsets, elements=inner)


def sparse(**fields: Any) -> pb.Column:
    return pb.Column(
        name="x",
        type=pb.DATA_TYPE_FLOAT64,
        shape=[3],
        offsets=np.array([0, 1, 2], "<u4").tobytes(),
        indices=np.array([0, 1], "<i4").tobytes(),
        data=bytes(16),
        **fields,
    )


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (pb.Column(name="x"), "data type 0 is not known"),
        (
            pb.Column(name="x", type=pb.DATA_TYPE_FLOAT64, data=b"123"),
            "got 3 bytes of data, want 16",
        ),
        (pb.Column(name="x", type=pb.DATA_TYPE_BOOL, data=b"11", validity=b"1"), "validity for 1"),
        (pb.Column(name="x", type=pb.DATA_TYPE_STRING, shape=[2]), "text has no shape"),
        (pb.Column(name="x", type=pb.DATA_TYPE_STRING, offsets=b"1234"), "4 bytes of offsets"),
        (
            pb.Column(name="x", type=pb.DATA_TYPE_INT32, values=pb.Values(integers=[1])),
            "got 1 values, want 2",
        ),
        (
            pb.Column(
                name="x",
                type=pb.DATA_TYPE_FLOAT64,
                shape=[3],
                offsets=np.array([0, 2, 2], "<u4").tobytes(),
                indices=np.array([1, 1], "<i4").tobytes(),
                data=bytes(16),
            ),
            "do not ascend",
        ),
        (lists(elements=pb.Column(type=pb.DATA_TYPE_BOOL)), "elements are of type 1, want 5"),
        (lists(elements=lists(), last=1), "offsets, want 8"),
        (lists(elements=deep(8), last=1), "want 8 dimensions at most"),
        (
            lists(elements=pb.Column(type=pb.DATA_TYPE_FLOAT64, shape=[0]), last=2_000_000),
            "over 1000000 empty lists",
        ),
        (lists(elements=sparse(), last=2), "elements are sparse vectors"),
        (sparse(sizes=np.array([3, 4], "<u4").tobytes()), "of size 4, want at most the shape, 3"),
        (sparse(sizes=b"1234"), "4 bytes of sizes, want 8"),
        (sparse(element_validity=b"\1\0"), "a sparse vector has null elements"),
    ],
)
def test_parts_that_do_not_agree_are_refused(message: pb.Column, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        proto_columns.decode_column(message, 2)


@pytest.mark.parametrize(
    ("present", "said"),
    [
        (b"123", "3 bytes of present rows"),
        (np.array([1, 1], "<u4").tobytes(), "want ascending numbers below 2"),
        (np.array([2], "<u4").tobytes(), "want ascending numbers below 2"),
    ],
)
def test_rows_that_have_a_column_are_rows_of_its_table(present: bytes, said: str) -> None:
    message = pb.Column(name="x", type=pb.DATA_TYPE_JSON, present=present)
    with pytest.raises(InvalidArgument, match=said):
        proto_columns.decode_present(message, 2)
