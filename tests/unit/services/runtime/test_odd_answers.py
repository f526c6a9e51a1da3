"""What a model answers for one row costs no other row its answer, whatever it is."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from google.api import httpbody_pb2

from hydro.serving.v1 import prediction_service_pb2
from hydro_envoy.headers import Position
from hydro_runtimes.columns import DataType
from hydro_runtimes.evaluator import Field, Signature
from hydro_runtimes.python import PythonEvaluator
from hydro_services.codecs.grpc_messages import prefix_message
from hydro_services.runtime.evaluation import evaluate
from hydro_services.runtime.stage_stream import StageCall, StageStream
from hydro_services.runtime.wire_formats.table import SERVE

GOOD: Mapping[DataType, Any] = {
    DataType.BOOL: True,
    DataType.INT32: 1,
    DataType.INT64: 1,
    DataType.FLOAT32: 1.0,
    DataType.FLOAT64: 1.0,
    DataType.STRING: "a",
    DataType.JSON: '{"a":1}',
}


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("has no words")


class HalfPair(Exception):
    def __str__(self) -> str:
        return "\ud800"


def raising(error: Exception) -> Callable[[], Any]:
    def odd() -> Any:
        raise error

    return odd


ODD: list[Any] = [
    "\ud800",
    np.str_("\udfff"),
    "{not JSON",
    '"\ud800"',
    b"bytes",
    {"a": "b"},
    object(),
    1j,
    2**70,
    -(2**70),
    2**1100,
    np.uint64(2**64 - 1),
    np.datetime64("2020-01-01"),
    1e39,
    [[["nested"]]],
    json.loads("[" * 300 + "]" * 300),
    raising(Unspeakable()),
    raising(HalfPair()),
]


class Odd:
    """A column of a type, of which one row is another thing."""

    def __init__(self, kind: DataType, shape: tuple[int, ...], odd: Any) -> None:
        self.good = [GOOD[kind]] if shape else GOOD[kind]
        self.odd = odd

    def evaluate(self, columns: Mapping[str, Sequence[str]]) -> Mapping[str, Any]:
        return {"y": [self.value(key) for key in columns["key"]]}

    def value(self, key: str) -> Any:
        if key != "odd":
            return self.good
        return self.odd() if callable(self.odd) else self.odd


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: ascii(odd)[:20])
@pytest.mark.parametrize("shape", [(), (-1,)], ids=["scalar", "list"])
@pytest.mark.parametrize("kind", list(DataType))
def test_an_odd_answer_costs_its_row_alone(kind: DataType, shape: tuple[int], odd: Any) -> None:
    signature = Signature((Field("key", DataType.STRING),), (Field("y", kind, shape),))
    model = PythonEvaluator(signature, Odd(kind, shape, odd))
    first, _, last = served(model, [{"key": key} for key in ("a", "odd", "b")])
    good = GOOD[kind] if kind is not DataType.JSON else {"a": 1}
    assert first["y"] == last["y"] == ([good] if shape else good)


def served(model: PythonEvaluator, rows: Sequence[Mapping[str, str]]) -> list[Any]:
    stream = StageStream(StageCall(SERVE, Position.ONLY, "m", "s/m"), model.signature, 1 << 20)
    body = httpbody_pb2.HttpBody(data=json.dumps(rows).encode())
    request = prediction_service_pb2.ServeRequest(body=body).SerializeToString()
    decodable = stream.feed(prefix_message(request), ended=True)
    frames = [frame for frame in decodable.frames if frame]
    messages = stream.answer(frames, evaluate(model, [frame.inputs for frame in frames]))
    text = b"".join(httpbody_pb2.HttpBody.FromString(message).data for message in messages)
    found: list[Any] = json.loads(text)
    return found
