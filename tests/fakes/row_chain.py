"""Chains of models in this process, which rows go through in each of the formats of clients."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.api import httpbody_pb2

from hydro.serving.v1 import frame_pb2 as pb
from hydro.serving.v1 import prediction_service_pb2
from hydro_envoy.headers import Position
from hydro_runtimes.columns import DataType
from hydro_runtimes.evaluator import Evaluator, Field, Signature
from hydro_runtimes.python import PythonEvaluator
from hydro_services.codecs import json_rows, proto_columns, proto_encoding
from hydro_services.codecs.grpc_messages import prefix_message
from hydro_services.runtime.evaluation import evaluate
from hydro_services.runtime.stage_stream import StageCall, StageStream
from hydro_services.runtime.wire_formats.frame_validation import validate_frame
from hydro_services.runtime.wire_formats.table import SERVE

LIMIT = 64 << 20
PREDICT = "/hydro.serving.v1.PredictionService/PredictStream"


RAISING = 9
Row = dict[str, Any]


class Echo:
    """What came in, and whether it did; raises where it gets a certain row."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def evaluate(self, columns: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.names and RAISING in list(columns["key"]):
            raise RuntimeError("this row is not liked")
        return {mine: columns[name] for name, mine in self.names.items() if name in columns} | {
            f"n_{mine}": [name in columns] * len(next(iter(columns.values())))
            for name, mine in self.names.items()
        }


def echo(fields: Sequence[Field], prefix: str) -> Evaluator:
    """A model that reads `key` and these fields, which are optional and may be null."""
    inputs = [Field("key", DataType.INT64)]
    outputs = []
    for field in fields:
        inputs.append(Field(field.name, field.type, field.shape, nullable=True, optional=True))
        name = prefix + field.name
        outputs.append(Field(name, field.type, field.shape, nullable=True, optional=True))
        outputs.append(Field(f"n_{name}", DataType.BOOL))
    names = {field.name: prefix + field.name for field in fields}
    return PythonEvaluator(Signature(tuple(inputs), tuple(outputs)), Echo(names))


def chain(*models: Evaluator, method: str = SERVE) -> list[tuple[StageStream, Evaluator]]:
    if len(models) == 1:
        positions = [Position.ONLY]
    else:
        positions = [Position.FIRST, *[Position.MIDDLE] * (len(models) - 2), Position.LAST]
    return [
        (StageStream(StageCall(method, position, "m", f"s/{i}"), model.signature, LIMIT), model)
        for i, (position, model) in enumerate(zip(positions, models, strict=True))
    ]


def through(
    stages: Sequence[tuple[StageStream, Evaluator]], messages: Sequence[bytes]
) -> list[bytes]:
    for stream, model in stages:
        decodable = stream.feed(b"".join(map(prefix_message, messages)), ended=True)
        frames = [frame for frame in decodable.frames if frame]
        answers = evaluate(model, [frame.inputs for frame in frames])
        messages = stream.answer(frames, answers) + stream.close()
    return list(messages)


def served(models: Sequence[Evaluator], sent: Sequence[Row], kind: str) -> list[Row]:
    """What a client gets for its rows, over a face."""
    if kind == "frames":
        return by_frames(models, [sent])
    if kind == "frame a row":
        return by_frames(models, [[row] for row in sent])
    return by_json(
        models,
        json_rows.write_array(sent) if kind == "array" else json_rows.write_lines(sent),
        kind,
    )


def by_json(models: Sequence[Evaluator], body: bytes, kind: str) -> list[Row]:
    is_array = kind == "array"
    content_type = "application/json" if is_array else "application/x-ndjson"
    http = httpbody_pb2.HttpBody(content_type=content_type, data=body)
    request = prediction_service_pb2.ServeRequest(body=http).SerializeToString()
    answers = through(chain(*models), [request])
    data = b"".join(httpbody_pb2.HttpBody.FromString(each).data for each in answers)
    data = re.sub(rb"log id \w+", b"", data)  # of its own in every answer
    found: list[Row] = json.loads(data) if is_array else [*map(json.loads, data.splitlines())]
    return found


def by_frames(models: Sequence[Evaluator], sent: Sequence[Sequence[Row]]) -> list[Row]:
    """Frames that come together, and are evaluated together."""
    messages = [frame(some, i).SerializeToString() for i, some in enumerate(sent)]
    answers = through(chain(*models, method=PREDICT), messages)
    return [row for answer in answers for row in rows_of(pb.Frame.FromString(answer))]


def frame(sent: Sequence[Row], number: int) -> pb.Frame:
    columns, failures = json_rows.decode_rows(sent, Signature((Field("key", DataType.INT64),), ()))
    assert not failures
    encoding = pb.ENCODING_RAW if number % 2 else pb.ENCODING_TYPED
    message = pb.Frame(encoding=encoding)
    message.table.rows = len(sent)
    proto_encoding.add_columns(columns, columns.present, message.table)
    return message


def rows_of(answer: pb.Frame) -> list[Row]:
    messages = {error.row: error.status.message for error in answer.errors}
    errors = {row: {"error": text.split("log id")[0]} for row, text in messages.items()}
    if answer.table.rows:
        validate_frame(answer, "s/m")  # from lists of protobuf to bytes
    listed = json_rows.encode_rows(proto_columns.decode_table(answer.table))
    found: list[Row] = json.loads(json_rows.write_array(json_rows.merge_failed(listed, errors)))
    return found


def exact(row: Row) -> str:
    """Equal where rows are, 1 and 1.0 and true apart."""
    return json.dumps(row, sort_keys=True)
