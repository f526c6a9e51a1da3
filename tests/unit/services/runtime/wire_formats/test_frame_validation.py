"""Frames as clients send them: what they hold is checked, and costs no more than it is."""

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from google.rpc import error_details_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from hydro.serving.v1 import frame_pb2 as pb
from hydro_envoy.headers import Position
from hydro_runtimes import python_values
from hydro_runtimes.columns import Columns, DataType, Dense, pack_texts
from hydro_runtimes.evaluator import Evaluation, Field, Signature
from hydro_services import errors
from hydro_services.codecs import proto_columns, typed_values
from hydro_services.codecs.grpc_messages import prefix_message
from hydro_services.runtime.evaluation import evaluate
from hydro_services.runtime.stage_stream import StageCall, StageStream

STREAM = "/hydro.serving.v1.PredictionService/PredictStream"
TYPES = [kind for kind in DataType if kind is not DataType.JSON]
INFINITY, NAN = float("inf"), float("nan")


class Echo:
    """Takes a column of each type, scalar or list, and reads all that comes."""

    signature = Signature(
        tuple(
            Field(f"{kind.value}{len(shape)}", kind, shape, nullable=True, optional=True)
            for kind in DataType
            for shape in ((), (-1,))
        ),
        (),
    )

    def evaluate(self, columns: Columns) -> Evaluation:
        for field in self.signature.inputs:
            if field.name in columns:
                python_values.to_plain(columns[field.name], field.shape)
        return Evaluation({})


def answered(frame: pb.Frame | bytes) -> pb.Frame:
    """What a stage answers to a client's frame.

    Raises:
        errors.HydroError: the call fails.
    """
    message = frame if isinstance(frame, bytes) else frame.SerializeToString()
    stream = StageStream(StageCall(STREAM, Position.ONLY, "m", "s/m"), Echo.signature, 64 << 20)
    frames = [frame for frame in stream.feed(prefix_message(message), ended=True).frames if frame]
    done = evaluate(Echo(), [frame.inputs for frame in frames])
    (answer,) = stream.answer(frames, done)
    return pb.Frame.FromString(answer)


def reason(error: pb.RowError) -> str:
    info = error_details_pb2.ErrorInfo()
    error.status.details[0].Unpack(info)
    return str(info.reason)


def typed(kind: DataType, rows: int = 2, **parts: Any) -> pb.Frame:
    """A frame of one column of values."""
    lists = {name: parts.pop(name) for name in typed_values.LISTS.values() if name in parts}
    frame = pb.Frame(id="f")
    frame.table.rows = rows
    frame.table.columns.add(
        name="x", type=proto_columns.TYPES[kind], values=pb.Values(**lists), **parts
    )
    return frame


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        pytest.param(typed(DataType.INT64, doubles=[1.9, 1]), "want int64 in integers", id="1.9"),
        pytest.param(typed(DataType.INT64, doubles=[NAN, 1]), "want int64 in integers", id="NaN"),
        pytest.param(typed(DataType.BOOL, doubles=[0.5, 1]), "want bool in bools", id="0.5"),
        pytest.param(typed(DataType.BOOL, integers=[0, 1]), "want bool in bools", id="1 as bool"),
        pytest.param(typed(DataType.FLOAT64, strings=["1", "2"]), "doubles alone", id="strings"),
        pytest.param(typed(DataType.STRING, doubles=[1, 2]), "strings alone", id="no strings"),
        pytest.param(
            typed(DataType.INT64, integers=[1, 2], doubles=[1, 2]), "integers alone", id="two lists"
        ),
        pytest.param(
            typed(DataType.INT64, integers=[1, 2], data=bytes(16)), "want one of them", id="both"
        ),
        pytest.param(typed(DataType.INT64, integers=[1, 2, 3]), "got 3 values, want 2", id="many"),
        pytest.param(
            typed(DataType.STRING, strings=["1", "2"], rows=3), "got 2 values, want 3", id="few"
        ),
        pytest.param(typed(DataType.INT64, integers=[1, 2], shape=[2]), "want 4", id="shape"),
        pytest.param(
            typed(DataType.INT64, integers=[1, 2], validity=b"\1\2"), "0 and 1", id="validity"
        ),
        pytest.param(
            typed(DataType.INT64, integers=[1, 2], indices=bytes(8)), "without offsets", id="stray"
        ),
    ],
)
def test_a_column_whose_parts_do_not_agree_is_refused(frame: pb.Frame, said: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=said):
        answered(frame)


@pytest.mark.parametrize(
    ("frame", "failed"),
    [
        pytest.param(typed(DataType.INT32, integers=[2**40, 7]), [0], id="beyond int32"),
        pytest.param(typed(DataType.INT32, integers=[-(2**31), -(2**31) - 1]), [1], id="below"),
        pytest.param(typed(DataType.FLOAT32, doubles=[1e39, INFINITY]), [0], id="beyond float32"),
        pytest.param(typed(DataType.FLOAT32, doubles=[NAN, -1e39]), [1], id="below float32"),
        pytest.param(
            typed(DataType.INT32, integers=[1, 2, 2**31, 4], shape=[2]), [1], id="in a vector"
        ),
        pytest.param(
            typed(
                DataType.INT32,
                rows=3,
                integers=[1, 2**31, 2],
                offsets=np.array([0, 1, 1, 3], "<u4").tobytes(),
            ),
            [2],
            id="in a list",
        ),
        pytest.param(
            typed(DataType.INT32, integers=[2**31, 1], validity=b"\0\1"), [], id="of a null"
        ),
    ],
)
def test_a_number_out_of_range_is_an_error_in_its_rows_place(
    frame: pb.Frame, failed: list[int]
) -> None:
    answer = answered(frame)
    assert [error.row for error in answer.errors] == failed
    assert {reason(error) for error in answer.errors} <= {"WRONG_TYPE"}
    assert answer.table.rows == frame.table.rows - len(failed)


@pytest.mark.parametrize("kind", TYPES)
def test_values_of_the_right_list_are_what_comes_back(kind: DataType) -> None:
    lists: dict[str, Any] = {
        "strings": ["a", ""],
        "bools": [True, False],
        "integers": [7, 0],
        "doubles": [0.5, 0],
    }
    name = typed_values.LISTS[kind]
    frame = typed(kind, 2, **{name: lists[name]})
    assert answered(frame).table.columns[0].values == frame.table.columns[0].values


JSON_TEXTS = st.one_of(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
        max_leaves=4,
    ).map(json.dumps),
    st.sampled_from(["", "nope", "NaN", "{", "[1,]", "'a'", "1 2", "\ufeff1", " 1 "]),
    st.text(max_size=4),
)


def is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


@given(st.data(), st.lists(st.lists(JSON_TEXTS, max_size=3), min_size=1, max_size=5))
def test_text_that_is_not_json_is_an_error_in_its_rows_place(
    data: st.DataObject, lists: list[list[str]]
) -> None:
    rows = len(lists)
    has = data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows).filter(any))
    valid = data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    frame = pb.Frame(id="f", table=pb.Table(rows=rows))
    frame.table.columns.add(name="bytes", type=pb.DATA_TYPE_BOOL, data=bytes(rows))
    column = frame.table.columns.add(name="json1", type=proto_columns.TYPES[DataType.JSON])
    kept = [each for each, there in zip(lists, has, strict=True) if there]
    ok = [each for each, there in zip(valid, has, strict=True) if there]
    if not all(has):
        column.present = np.flatnonzero(has).astype("<u4").tobytes()
    column.offsets = np.cumsum([0, *map(len, kept)]).astype("<u4").tobytes()
    column.validity = bytes(ok)
    texts = [text for each in kept for text in each]
    if data.draw(st.booleans(), "in values"):
        column.values.SetInParent()
        column.values.strings.extend(texts)
    else:
        column.data = pack_texts(texts)
    answer = answered(frame)
    wrong = [
        row
        for row, (each, there, is_valid) in enumerate(zip(lists, has, valid, strict=True))
        if there and is_valid and not all(map(is_json, each))
    ]
    assert [error.row for error in answer.errors] == wrong
    assert {reason(error) for error in answer.errors} <= {"WRONG_TYPE"}
    assert answer.table.rows == rows - len(wrong)


def packed(name: str, rows: int, **parts: Any) -> pb.Frame:
    frame = pb.Frame()
    frame.table.rows = rows
    frame.table.columns.add(name=name, **parts)
    return frame


def offsets(*numbers: int) -> bytes:
    return np.array(numbers, "<u4").tobytes()


CLAIMS = [
    pytest.param(pb.Frame(table=pb.Table(rows=1_000_000)), id="rows"),
    pytest.param(pb.Frame(id="x" * 100_000, table=pb.Table(rows=100_000)), id="rows and an id"),
    pytest.param(packed("x", 1_000_000, type=pb.DATA_TYPE_FLOAT64, shape=[0]), id="no elements"),
    pytest.param(
        packed("x", 10, type=pb.DATA_TYPE_INT64, shape=[2**32 - 1] * 3, data=bytes(80)), id="shape"
    ),
    pytest.param(
        packed("x", 10, type=pb.DATA_TYPE_INT64, shape=[0, 2**31], data=bytes(80)), id="no shape"
    ),
    pytest.param(
        packed("float641", 1, type=pb.DATA_TYPE_FLOAT64, shape=[1], offsets=offsets(0, 2**31)),
        id="sparse elements",
    ),
    pytest.param(
        packed("x", 1, type=pb.DATA_TYPE_STRING, offsets=offsets(0, 2**32 - 1)),
        id="texts",
    ),
    pytest.param(
        packed("x", 2, type=pb.DATA_TYPE_INT64, offsets=offsets(0, 9, 1)),
        id="descending",
    ),
]


@pytest.mark.parametrize("frame", CLAIMS)
def test_what_a_frame_claims_costs_nothing(frame: pb.Frame) -> None:
    def ask() -> None:
        with pytest.raises((errors.InvalidArgument, errors.TooLarge)):
            answered(frame)

    ask()
    assert peak(ask) < 1 << 20


def peak(call: Callable[[], object]) -> int:
    """Bytes of Python's and numpy's at most, while it runs."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_sparse_vector_that_claims_a_size_fails_its_row() -> None:
    parts = {"offsets": np.array([0, 1], "<u4").tobytes(), "indices": bytes(4), "data": bytes(8)}
    frame = packed("float641", 1, type=pb.DATA_TYPE_FLOAT64, shape=[2**31 - 1], **parts)
    found: list[pb.Frame] = []
    assert peak(lambda: found.append(answered(frame))) < 1 << 20
    assert [error.row for error in found[0].errors] == [0]


def test_a_column_that_many_rows_lack_is_one_error() -> None:
    Needs = Signature((Field("need", DataType.STRING),), ())
    stream = StageStream(StageCall(STREAM, Position.ONLY, "m", "s/m"), Needs, 64 << 20)
    frame = packed("x", 1_000_000, type=pb.DATA_TYPE_BOOL, data=bytes(1_000_000))
    with pytest.raises(errors.InvalidArgument, match=r"'need' is missing.*in all 1000000 rows"):
        list(stream.feed(prefix_message(frame.SerializeToString())).frames)


@pytest.mark.parametrize("odd", [1, 4096])
def test_values_of_a_wrong_type_fail_their_rows_of_a_frame_of_any_size(odd: int) -> None:
    rows = 20_000
    values = np.arange(rows, dtype="<f8")
    values[-odd:] += 0.5
    signature = Signature((Field("x", DataType.INT64),), ())
    stream = StageStream(StageCall(STREAM, Position.ONLY, "m", "s/m"), signature, 64 << 20)
    frame = packed("x", rows, type=pb.DATA_TYPE_FLOAT64, data=values.tobytes())
    (read,) = stream.feed(prefix_message(frame.SerializeToString())).frames
    assert read is not None
    assert [error.row for error in read.frame.errors] == [*range(rows - odd, rows)]
    column = read.inputs["x"]
    assert isinstance(column, Dense)
    assert column.values.tolist() == [*range(rows - odd)]


def test_a_column_of_another_type_is_one_error() -> None:
    signature = Signature((Field("x", DataType.INT64),), ())
    stream = StageStream(StageCall(STREAM, Position.ONLY, "m", "s/m"), signature, 64 << 20)
    halves = np.full(1_000_000, 0.5, "<f8").tobytes()
    frame = packed("x", 1_000_000, type=pb.DATA_TYPE_FLOAT64, data=halves)
    with pytest.raises(errors.InvalidArgument, match="in 1000000 of 1000000 rows"):
        list(stream.feed(prefix_message(frame.SerializeToString())).frames)


# Frames of all forms, then changed at random: refused or answered at a cost that follows the size.

SHAPES = st.lists(st.integers(0, 3), max_size=2)


@st.composite
def columns(draw: st.DrawFn, rows: int) -> pb.Column:
    """A column of any form, of the type that its name says."""
    kind = draw(st.sampled_from(list(DataType)))
    column = pb.Column(name=f"{kind.value}0", type=proto_columns.TYPES[kind])
    count = rows
    if draw(st.booleans()):
        column.name = f"{kind.value}1"
        lengths = draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows))
        column.offsets = np.cumsum([0, *lengths]).astype("<u4").tobytes()
        count = sum(lengths)
    elif kind not in (DataType.STRING, DataType.JSON):
        column.shape.extend(draw(SHAPES))
        count *= int(np.prod(column.shape))
    if draw(st.booleans()):
        column.validity = bytes(draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)))
    if kind in (DataType.STRING, DataType.JSON):
        texts = [b"", b"1", b'"a"', b"null"]
        some = [draw(st.sampled_from(texts)) for _ in range(count)]
        column.data = b"".join(len(text).to_bytes(4, "little") + text for text in some)
    elif draw(st.booleans()):
        column.data = bytes(count * kind.dtype.itemsize)
    else:
        column.values.SetInParent()
        getattr(column.values, typed_values.LISTS[kind]).extend([0] * count)
    return column


@st.composite
def frames(draw: st.DrawFn) -> pb.Frame:
    rows = draw(st.integers(1, 4))
    frame = pb.Frame(id="f")
    frame.table.rows = rows
    frame.table.columns.add(name="bytes", type=pb.DATA_TYPE_BOOL, data=bytes(rows))
    for column in draw(st.lists(columns(rows), max_size=4, unique_by=lambda c: c.name)):
        frame.table.columns.append(column)
    return frame


@given(frames())
def test_every_row_of_a_frame_is_answered(frame: pb.Frame) -> None:
    answer = answered(frame)
    assert answer.table.rows + len(answer.errors) == frame.table.rows


NUMBERS = st.sampled_from([0, 1, 2, 5, 127, 2**16, 2**31 - 1, 2**31, 2**32 - 1])


def changed(frame: pb.Frame, data: st.DataObject) -> bytes:
    """The frame with a claim changed, or some of its bytes."""
    if data.draw(st.booleans()):
        frame.table.rows = data.draw(NUMBERS)
    for column in frame.table.columns:
        match data.draw(st.integers(0, 6)):
            case 0:
                column.shape.append(data.draw(NUMBERS))
            case 1:
                some = data.draw(st.lists(NUMBERS, max_size=5))
                column.offsets = np.array(some, "<u4").tobytes()
            case 2:
                column.indices = data.draw(st.binary(max_size=12))
            case 3:
                column.data = data.draw(st.binary(max_size=40))
            case 4:
                column.type = data.draw(st.integers(0, 9))  # type: ignore[assignment]
    message = bytearray(frame.SerializeToString())
    for _ in range(data.draw(st.integers(0, 2))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    return bytes(message)


@settings(max_examples=300)
@given(frames(), st.data())
def test_whatever_is_changed_in_a_frame_is_refused_or_answered(
    frame: pb.Frame, data: st.DataObject
) -> None:
    message = changed(frame, data)

    def ask() -> None:
        try:
            answer = answered(message)
        except (errors.InvalidArgument, errors.TooLarge):
            return
        assert all(reason(error) != "INTERNAL" for error in answer.errors)

    assert peak(ask) < (1 << 19) + 64 * len(message)
