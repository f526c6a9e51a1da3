"""A chain of sessions, without I/O: what a client sends, through stages, to what it reads."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from google.api import httpbody_pb2
from hypothesis import given
from hypothesis import strategies as st

from hydro.serving.v1 import frame_pb2 as pb
from hydro.serving.v1 import prediction_service_pb2
from hydro_envoy.headers import Position
from hydro_runtimes.columns import Columns, DataType, Dense, Strings
from hydro_runtimes.evaluator import Evaluation, Evaluator, Failure, Field, Signature
from hydro_services import errors
from hydro_services.codecs.grpc_messages import prefix_message
from hydro_services.runtime.evaluation import evaluate
from hydro_services.runtime.offload import DecodableInput
from hydro_services.runtime.stage import FrameInStage
from hydro_services.runtime.stage_stream import StageCall, StageStream
from hydro_services.runtime.wire_formats.http_body import PIECE_BYTES
from hydro_services.runtime.wire_formats.table import SERVE

PREDICT = "/hydro.serving.v1.PredictionService/PredictStream"
LIMIT = 1 << 20


class Length:
    """The length of a text; refuses "bad", raises on "worse"."""

    signature = Signature((Field("text", DataType.STRING),), (Field("length", DataType.FLOAT64),))

    def evaluate(self, columns: Columns) -> Evaluation:
        texts = columns["text"]
        assert isinstance(texts, Strings)
        if "worse" in texts.values:
            raise RuntimeError("worse came")
        failures = {
            i: Failure("INVALID_VALUE", "bad came", "text", "uid_1")
            for i, t in enumerate(texts.values)
            if t == "bad"
        }
        lengths = [float(len(text)) for text in texts.values if text != "bad"]
        return Evaluation({"length": Dense(np.array(lengths))}, failures)


class Twice:
    """Two times the length."""

    signature = Signature((Field("length", DataType.FLOAT64),), (Field("twice", DataType.FLOAT64),))

    def evaluate(self, columns: Columns) -> Evaluation:
        length = columns["length"]
        assert isinstance(length, Dense)
        return Evaluation({"twice": Dense(length.values * 2)})


MODELS = (Length(), Twice())


def answered(stream: StageStream, model: Evaluator, decodable: DecodableInput) -> list[bytes]:
    """What a stream answers to what has come."""
    frames = [frame for frame in decodable.frames if frame]
    return stream.answer(frames, evaluate(model, [frame.inputs for frame in frames]))


def through(method: str, chunks: list[bytes], limit: int = LIMIT) -> list[bytes]:
    """The messages that a client reads after sending these chunks through both stages."""
    first = StageStream(StageCall(method, Position.FIRST, "a", "s/a"), MODELS[0].signature, limit)
    last = StageStream(StageCall(method, Position.LAST, "b", "s/b"), MODELS[1].signature, limit)
    answers: list[bytes] = []

    def onward(messages: list[bytes]) -> None:
        for message in messages:
            answers.extend(answered(last, MODELS[1], last.feed(prefix_message(message))))

    for chunk in chunks:
        onward(answered(first, MODELS[0], first.feed(chunk)))
    onward(answered(first, MODELS[0], first.feed(b"", ended=True)))
    onward(first.close())
    assert not list(last.feed(b"", ended=True).frames)
    return answers + last.close()


def piece(data: bytes, content_type: str = "application/json") -> bytes:
    body = httpbody_pb2.HttpBody(content_type=content_type, data=data)
    return prefix_message(prediction_service_pb2.ServeRequest(body=body).SerializeToString())


def served(data: bytes, content_type: str = "application/json") -> bytes:
    pieces = [piece(data[i : i + 7], content_type) for i in range(0, len(data) or 1, 7)]
    messages = through(SERVE, pieces)
    return b"".join(httpbody_pb2.HttpBody.FromString(message).data for message in messages)


def test_an_array_is_answered_by_an_array_of_the_same_length_and_order() -> None:
    answer = json.loads(served(b'[{"text": "abc", "id": 7}, {"text": "", "id": null}]'))
    assert answer == [
        {"text": "abc", "id": 7, "length": 3, "twice": 6},
        {"text": "", "id": None, "length": 0, "twice": 0},
    ]


def test_no_rows_are_answered_by_no_rows() -> None:
    assert served(b"[]") == b"[]"


def test_many_rows_come_back_in_order() -> None:
    sent = [{"text": "x" * (i % 7), "i": i} for i in range(1700)]
    answer = json.loads(served(json.dumps(sent).encode()))
    assert [row["i"] for row in answer] == list(range(1700))
    assert all(row["twice"] == 2 * (row["i"] % 7) for row in answer)


def test_rows_that_fail_are_answered_in_their_places_by_what_went_wrong() -> None:
    sent = [
        {"text": "a"},
        {"texd": "b"},
        {"text": 3},
        {"text": "bad"},
        {"text": "worse"},
        {"text": "f"},
    ]
    answer = json.loads(served(json.dumps(sent).encode()))
    assert len(answer) == 6
    assert [row.get("twice") for row in answer] == [2, None, None, None, None, 2]
    found = [row["error"] for row in answer[1:5]]
    assert [e["reason"] for e in found] == [
        "MISSING_COLUMN",
        "WRONG_TYPE",
        "INVALID_VALUE",
        "MODEL_FAILED",
    ]
    assert [e["status"] for e in found] == ["INVALID_ARGUMENT"] * 3 + ["INTERNAL"]
    assert {e["stage"] for e in found} == {"s/a"}
    assert [e.get("column") for e in found] == ["text", "text", "text", None]
    assert found[2]["part"] == "uid_1"
    assert "Traceback" not in found[3]["message"]


def test_lines_are_answered_by_lines_also_the_last_without_an_end() -> None:
    sent = b'{"text": "a"}\n\n{"text": \n3\n{"text": "bb"}'
    answers = [json.loads(line) for line in served(sent, "application/x-ndjson").splitlines()]
    assert [row.get("twice") for row in answers] == [2, None, None, 4]
    assert "malformed JSON" in answers[1]["error"]["message"]
    assert "the line is a number, want a row object" in answers[2]["error"]["message"]


def test_a_line_is_answered_before_the_next_is_sent() -> None:
    stream = StageStream(StageCall(SERVE, Position.ONLY, "a", "s/a"), MODELS[0].signature, LIMIT)
    decodable = stream.feed(piece(b'{"text": "a"}\n{"te', "application/x-ndjson"))
    assert [each.inputs.rows for each in decodable.frames if each] == [1]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "malformed JSON"),
        (b"{", "malformed JSON"),
        (b"{}", "want a JSON array"),
        (b"[1]", "element 0 is a number"),
    ],
)
def test_what_is_no_array_of_rows_fails_the_call(data: bytes, said: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=said):
        served(data)


def test_a_body_over_the_limit_fails_the_call_before_it_is_whole() -> None:
    stream = StageStream(StageCall(SERVE, Position.FIRST, "a", "s/a"), MODELS[0].signature, 100)
    stream.feed(piece(b"[" + b" " * 60))
    with pytest.raises(errors.TooLarge, match="over 100 bytes"):
        stream.feed(piece(b" " * 60))


def test_an_array_that_is_read_in_spans_is_answered_like_a_small_one() -> None:
    sent = [{"text": "x" * (i % 700), "i": i} for i in range(1000)]
    answer = json.loads(answer_text(json.dumps(sent).encode()))
    assert [(row["i"], row["length"]) for row in answer] == [(i, i % 700) for i in range(1000)]


def test_an_array_that_ends_in_garbage_fails_before_anything_is_answered() -> None:
    body = json.dumps([{"text": "x" * 1000}] * 300).encode()
    with pytest.raises(errors.InvalidArgument, match="malformed JSON"):
        answer_text(body[:-2] + b",]")


def test_an_answer_goes_in_messages_of_bounded_size() -> None:
    texts = ["x" * (5 << 20), "y", "z" * (1 << 20)]
    for kind in ("application/json", "application/x-ndjson"):
        body = b"\n".join(json.dumps({"text": text}).encode() for text in texts)
        array = json.dumps([{"text": text} for text in texts]).encode()
        sent = array if kind == "application/json" else body
        messages = through(SERVE, [piece(sent, kind)], 32 << 20)
        pieces = [httpbody_pb2.HttpBody.FromString(message).data for message in messages]
        assert max(map(len, pieces)) <= PIECE_BYTES
        answer = b"".join(pieces)
        rows = json.loads(answer) if sent is array else map(json.loads, answer.splitlines())
        assert [row["text"] for row in rows] == texts


def answer_text(body: bytes) -> bytes:
    messages = through(SERVE, [piece(body)])
    return b"".join(httpbody_pb2.HttpBody.FromString(message).data for message in messages)


def frame(texts: list[str], **fields: object) -> pb.Frame:
    message = pb.Frame(**fields)  # type: ignore[arg-type]
    message.table.rows = len(texts)
    column = message.table.columns.add(name="text", type=pb.DATA_TYPE_STRING)
    column.data = Strings(texts).packed
    return message


def streamed(messages: list[bytes]) -> list[pb.Frame]:
    return [pb.Frame.FromString(answer) for answer in through(PREDICT, [b"".join(messages)])]


def test_frames_are_answered_one_by_one_in_order() -> None:
    answers = streamed(
        [prefix_message(frame(["ab"] * i, id=str(i)).SerializeToString()) for i in range(4)]
    )
    assert [answer.id for answer in answers] == ["0", "1", "2", "3"]
    assert [answer.table.rows for answer in answers] == [0, 1, 2, 3]
    column = {c.name: c for c in answers[2].table.columns}["twice"]
    assert np.frombuffer(column.data).tolist() == [4, 4]


def test_a_frame_sent_with_values_is_answered_with_values() -> None:
    message = pb.Frame()
    message.table.rows = 2
    column = message.table.columns.add(name="text", type=pb.DATA_TYPE_STRING)
    column.values.strings.extend(["a", "bad"])
    (answer,) = streamed([prefix_message(message.SerializeToString())])
    columns = {c.name: c for c in answer.table.columns}
    assert list(columns["text"].values.strings) == ["a"]
    assert list(columns["twice"].values.doubles) == [2.0]
    assert [error.row for error in answer.errors] == [1]


def test_a_frame_that_cannot_be_read_is_answered_in_its_place_once_the_stream_has_begun() -> None:
    good = prefix_message(frame(["a"]).SerializeToString())
    answers = streamed([good, prefix_message(b"\xff\xff"), good])
    assert [answer.failure.code for answer in answers] == [0, 3, 0]
    assert "want a hydro.serving.v1.Frame" in answers[1].failure.message


def broken(change: Callable[[pb.Frame], object]) -> bytes:
    message = frame(["a", "b"])
    change(message)
    return prefix_message(message.SerializeToString())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.table.columns[0].ClearField("data"), "claims 2 rows"),
        (lambda f: f.table.columns.add(name="text", type=1, data=b"\1\1"), "not distinct"),
        (lambda f: setattr(f.table, "rows", 2**32 - 1), "want at most 1000000"),
    ],
)
def test_a_first_frame_that_does_not_hold_what_it_says_fails_the_call(
    change: Callable[[pb.Frame], object], said: str
) -> None:
    with pytest.raises(errors.HydroError, match=said):
        streamed([broken(change)])


def test_a_frame_without_a_needed_column_fails_all_its_rows() -> None:
    message = frame(["a", "b"])
    message.table.columns[0].name = "texd"
    (answer,) = streamed([prefix_message(message.SerializeToString())])
    assert [error.row for error in answer.errors] == [0, 1]
    assert "column 'text' is missing" in answer.errors[0].status.message


def test_a_message_over_the_limit_is_refused_by_its_prefix() -> None:
    with pytest.raises(errors.TooLarge, match="want at most 10"):
        through(PREDICT, [prefix_message(b"x" * 11)], limit=10)


def only(method: str) -> StageStream:
    """A stage that is told which pipeline it is of."""
    return StageStream(
        StageCall(method, Position.ONLY, "a", "s/a", "mine"), MODELS[0].signature, LIMIT
    )


def fed(stream: StageStream, chunk: bytes) -> list[FrameInStage]:
    return [frame for frame in stream.feed(chunk).frames if frame]


@given(st.lists(st.sampled_from(["", "mine", "other", "mine ", "MINE", "min"]), min_size=1))
def test_a_later_frame_for_another_pipeline_fails_in_its_place(names: list[str]) -> None:
    stream, answers = only(PREDICT), []
    for name in ("mine", *names):
        sent = frame(["a"])
        sent.pipeline, sent.id = name, name
        frames = fed(stream, prefix_message(sent.SerializeToString()))
        evaluations = evaluate(MODELS[0], [frame.inputs for frame in frames])
        answers += [pb.Frame.FromString(each) for each in stream.answer(frames, evaluations)]
    fits = [name in ("", "mine") for name in ("mine", *names)]
    assert [each.failure.code for each in answers] == [0 if fit else 3 for fit in fits]
    assert [each.table.rows for each in answers] == [int(fit) for fit in fits]
    assert [each.id for each in answers] == ["mine", *names]
    assert all("mine" in each.failure.message for each in answers if each.HasField("failure"))


def test_a_first_frame_for_another_pipeline_fails_the_call() -> None:
    # The gateway routes by the first `pipeline` in the bytes, protobuf takes the last.
    twice = b"".join(pb.Frame(pipeline=name).SerializeToString() for name in ("mine", "other"))
    with pytest.raises(errors.InvalidArgument, match="'other' in a call of pipeline 'mine'"):
        fed(only(PREDICT), prefix_message(twice))


def test_a_later_piece_of_a_body_for_another_pipeline_fails_the_call() -> None:
    stream = only(SERVE)
    body = httpbody_pb2.HttpBody(content_type="application/x-ndjson", data=b'{"text": "a"}\n')
    fed(stream, named("mine", body) + named("", body))
    with pytest.raises(errors.InvalidArgument, match="want the same or none"):
        fed(stream, named("other", body))


def named(pipeline: str, body: httpbody_pb2.HttpBody) -> bytes:
    request = prediction_service_pb2.ServeRequest(pipeline=pipeline, body=body)
    return prefix_message(request.SerializeToString())


def test_a_frame_without_rows_to_stand_for_breaks_an_answer_over_http() -> None:
    last = StageStream(StageCall(SERVE, Position.LAST, "b", "s/b"), MODELS[1].signature, LIMIT)
    good = prefix_message(pb.Frame(encoding=pb.ENCODING_NDJSON).SerializeToString())
    frames = fed(last, good + prefix_message(b"\xff\xff"))
    evaluations = evaluate(MODELS[1], [frame.inputs for frame in frames])
    with pytest.raises(errors.Internal, match="a part of the answer was lost"):
        last.answer(frames, evaluations)
