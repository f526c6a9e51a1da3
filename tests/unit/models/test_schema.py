"""An example, sent as JSON rows or as a frame, comes back as what it was."""

from __future__ import annotations

import datetime
import json
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from hydro.serving.v1 import frame_pb2 as pb
from hydro_models import schema
from hydro_models.errors import BadRows, CannotSave
from hydro_models.schema import InputSchema
from hydro_runtimes import metadata
from hydro_runtimes.evaluator import Signature
from hydro_services.codecs import json_rows, proto_columns, proto_encoding

ROWS = 3
INTEGERS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
FLOATS = {"float64": st.floats(width=64), "float32": st.floats(width=32)}
SPAN = datetime.timedelta(days=9)
TIMES = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1))


def several(values: st.SearchStrategy[Any], missing: Any = ...) -> st.SearchStrategy[list[Any]]:
    one = values if missing is ... else st.one_of(values, st.just(missing))
    return st.lists(one, min_size=ROWS, max_size=ROWS)


def integers(bits: int, signed: bool = True) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2 ** min(bits, 63))
    return st.integers(low, high - 1)


def of(dtype: Any, values: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[pd.Series]:
    return values.map(lambda listed: pd.Series(listed, dtype=dtype))


SERIES = st.one_of(
    *(of(name, several(integers(bits))) for name, bits in INTEGERS.items()),
    *(of(f"u{name}", several(integers(bits, signed=False))) for name, bits in INTEGERS.items()),
    *(of(name, several(values)) for name, values in FLOATS.items()),
    of("bool", several(st.booleans())),
    of("Int64", several(integers(64), None)),
    of("UInt8", several(integers(8, signed=False), None)),
    of("Float32", several(st.floats(width=32, allow_nan=False), None)),
    of("boolean", several(st.booleans(), None)),
    of("str", several(TEXT, None)),
    of("string", several(TEXT, None)),
    of(object, several(TEXT, None)),
    of(object, several(TEXT, np.nan)),
    of(object, several(st.one_of(TEXT, st.booleans(), integers(64)), None)),
    of("datetime64[ns]", several(TIMES, None)),
    of("datetime64[us]", several(TIMES, None)),
    of("datetime64[us]", several(TIMES)).map(lambda s: s.dt.tz_localize("UTC")),
    of("datetime64[us]", several(TIMES)).map(
        lambda s: s.dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    ),
    of("timedelta64[us]", several(st.timedeltas(-SPAN, SPAN), None)),
    several(st.sampled_from("abc"), None).map(
        lambda v: pd.Series(pd.Categorical(v, ["c", "b", "a"], ordered=True))
    ),
    several(st.sampled_from([7, 2**60]), None).map(
        lambda v: pd.Series(pd.Categorical(v, [2**60, 7]))
    ),
)
LABELS = st.one_of(st.text("abc é", min_size=1, max_size=3), st.integers(-5, 5))
FRAMES = st.lists(st.tuples(LABELS, SERIES), min_size=1, max_size=4, unique_by=lambda c: str(c[0]))


def signature_of(described: InputSchema) -> Signature:
    """As a runtime reads it in metadata.json."""
    inputs = [field.entry() for field in described.inputs]
    outputs = [{"name": "the answer", "type": "float64"}]
    return metadata.parse_signature(json.dumps({"inputs": inputs, "outputs": outputs}))


def decoded(described: InputSchema, rows: list[dict[str, Any]]) -> Any:
    """The columns that a runtime makes of a client's rows."""
    columns, failures = json_rows.decode_rows(rows, signature_of(described))
    assert not failures
    return columns


def as_json(described: InputSchema, example: Any) -> Any:
    """As a client sends it."""
    return decoded(described, orjson.loads(json.dumps(described.encode(example))))


def as_frame(described: InputSchema, example: Any) -> Any:
    """As another stage sends it."""
    columns = as_json(described, example)
    table = pb.Table(rows=columns.rows)
    proto_encoding.add_columns(columns, {}, table)
    return proto_columns.decode_table(pb.Table.FromString(table.SerializeToString()))


def stored(described: InputSchema) -> InputSchema:
    return schema.schema_from_json(json.loads(json.dumps(described.to_json())))


@given(FRAMES)
def test_a_frame_comes_back_with_its_dtypes_and_values(
    columns: list[tuple[Any, pd.Series]],
) -> None:
    frame = pd.DataFrame(dict(enumerate(series for _, series in columns)))
    frame.columns = pd.Index([label for label, _ in columns])
    described = stored(schema.describe(frame))
    for columns_of in (as_json, as_frame):
        built = described.build(columns_of(described, frame))
        pd.testing.assert_frame_equal(built, frame, check_exact=True)


@given(SERIES)
def test_a_series_comes_back(series: pd.Series) -> None:
    described = stored(schema.describe(series.rename("one")))
    built = described.build(as_json(described, series))
    pd.testing.assert_series_equal(built, series.rename("one"), check_exact=True)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_comes_back_in_its_order(dtype: str, order: str) -> None:
    array = np.asarray(np.arange(12).reshape(4, 3) % 5, dtype, order=order)  # type: ignore[call-overload]
    described = stored(schema.describe(array))
    built = described.build(as_json(described, array))
    np.testing.assert_array_equal(built, array)
    assert (built.dtype, built.strides) == (array.dtype, array.strides)


@pytest.mark.parametrize(
    ("example", "names"),
    [
        pytest.param(np.array([[1.5, 2.5], [3.5, np.nan]]), "features", id="rows as vectors"),
        pytest.param(np.arange(16, dtype=np.uint8).reshape(2, 4, 2), None, id="images"),
        pytest.param(np.array([3, 2**60]), None, id="one dimension"),
        pytest.param(np.array([["a", "bcd"], ["e", "f"]]), None, id="texts"),
        pytest.param(np.array([["a", 1], [None, True]], object), None, id="objects"),
        pytest.param(["good film", "bad"], None, id="list of texts"),
        pytest.param([{"a": 1}, {"b": "c"}], None, id="list of dictionaries"),
        pytest.param([["a"], ["b", "c"]], None, id="list of lists"),
        pytest.param(sparse.csr_matrix(np.eye(3, dtype=np.float32)), None, id="sparse matrix"),
        pytest.param(sparse.csr_array(np.eye(3)), None, id="sparse array"),
    ],
)
def test_other_examples_come_back(example: Any, names: str | None) -> None:
    described = stored(schema.describe(example, names))
    built = described.build(as_json(described, example))
    assert type(built) is type(example)
    if hasattr(example, "toarray"):
        assert built.dtype == example.dtype
        example, built = example.toarray(), built.toarray()
    if isinstance(example, list):
        assert built == example
    else:
        assert built.dtype == example.dtype
        np.testing.assert_array_equal(built, example)


def test_integers_with_a_null_become_what_pandas_makes_of_them() -> None:
    frame = pd.DataFrame({"n": [1, 2], "b": [True, False]})
    described = schema.describe(frame)
    rows: list[dict[str, Any]] = [{"n": 3, "b": None}, {"n": None, "b": True}]
    built = described.build(decoded(described, rows))
    assert [str(dtype) for dtype in built.dtypes] == ["float64", "object"]
    assert built["n"].tolist()[0] == 3.0
    assert built.isna().to_numpy().tolist() == [[False, True], [True, False]]


def test_numbers_out_of_the_range_of_the_dtype_fail_their_rows() -> None:
    described = schema.describe(pd.DataFrame({"n": np.array([1, 2], np.uint8)}))
    columns = decoded(described, [{"n": 255}, {"n": 256}, {"n": -1}])
    with pytest.raises(BadRows) as refused:
        described.build(columns)
    assert {row: fault.column for row, fault in refused.value.faults.items()} == {1: "n", 2: "n"}


@pytest.mark.filterwarnings("ignore")  # pandas will write them otherwise, some day
def test_times_are_taken_as_pandas_writes_them() -> None:
    times = pd.to_datetime(["2024-03-01 12:00", "2024-07-01 12:00"])
    frame = pd.DataFrame({"naive": times, "zoned": times.tz_localize("Europe/Berlin")})
    described = schema.describe(frame)
    sent = json.loads(frame.to_json(orient="records", date_format="epoch"))
    built = described.build(decoded(described, sent))
    pd.testing.assert_frame_equal(built, frame, check_exact=True)


def test_a_category_that_the_example_lacks_is_added() -> None:
    frame = pd.DataFrame({"c": pd.Categorical(["a", "b"])})
    described = schema.describe(frame)
    built = described.build(decoded(described, [{"c": "z"}]))
    assert built["c"].tolist() == ["z"]
    assert built["c"].cat.categories.tolist() == ["a", "b", "z"]


@pytest.mark.parametrize(
    ("example", "message"),
    [
        pytest.param(pd.DataFrame({"p": pd.period_range("2020", periods=2)}), "period", id="p"),
        pytest.param(pd.DataFrame({"o": [object()]}), "JSON does not have", id="objects"),
        pytest.param(pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than once", id="twice"),
        pytest.param(pd.DataFrame([[1]], columns=[(1, 2)]), "text or an integer", id="label"),
        pytest.param(np.array([[1j]]), "complex128", id="complex"),
        pytest.param(5, "want a DataFrame", id="a number"),
    ],
)
def test_an_example_that_cannot_be_sent_is_refused(example: Any, message: str) -> None:
    with pytest.raises(CannotSave, match=message):
        schema.describe(example)
