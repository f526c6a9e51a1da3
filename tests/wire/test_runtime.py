"""A runtime's two ports: rows as Envoy brings them, and models as the manager asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import resource
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from google.api import httpbody_pb2
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2

from hydro.manager.v1 import registry_service_pb2 as registry_pb
from hydro.manager.v1 import registry_service_pb2_grpc as registry_grpc
from hydro.repository.v1 import repository_service_pb2 as repository_pb
from hydro.repository.v1 import repository_service_pb2_grpc as repository_grpc
from hydro.runtime.v1 import runtime_service_pb2 as runtime_pb
from hydro.runtime.v1 import runtime_service_pb2_grpc as runtime_grpc
from hydro.serving.v1 import frame_pb2, prediction_service_pb2
from hydro_runtimes import files
from hydro_runtimes.columns import Columns, DataType, Dense
from hydro_runtimes.evaluator import Evaluation, Evaluator, Field, Signature
from hydro_services import errors, http2, rpc
from hydro_services.codecs import proto_columns
from hydro_services.codecs.grpc_messages import Messages, framed
from hydro_services.manager.domain import conversion
from hydro_services.runtime import data, process, processor
from hydro_services.runtime.control import RuntimeServicer
from hydro_services.runtime.fetch import Cache
from hydro_services.runtime.host import Host, ModelId

LIMIT = 4 << 20
SERVICE = "/hydro.serving.v1.PredictionService/"
SERVE, STREAM = SERVICE + "Serve", SERVICE + "PredictStream"
OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1))


class Plus:
    """x + 1 as `out`; the test says what else happens."""

    def __init__(self, out: str = "y", source: str = "x") -> None:
        self.source, self.out = source, out
        self.signature = Signature(
            (Field(source, DataType.FLOAT64),), (Field(out, DataType.FLOAT64),)
        )
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def evaluate(self, columns: Columns) -> Evaluation:
        self.entered.set()
        assert self.gate.wait(30)
        column = columns[self.source]
        assert isinstance(column, Dense)
        if 13 in column.values:
            raise RuntimeError("thirteen")
        return Evaluation({self.out: Dense(column.values + 1)})


def model(name: str) -> ModelId:
    return ModelId(name, "1", hashlib.sha256(name.encode()).hexdigest())


class Port:
    """A data port with models, and a client of it."""

    def __init__(self, host: Host, channel: grpc.aio.Channel) -> None:
        self.host, self.channel = host, channel
        self.health = data.Health()

    def call(self, path: str, position: str, name: str = "plus", requests: Any = None) -> Any:
        metadata = {
            "x-hydro-model": model(name).key,
            "x-hydro-stage": f"s/{name}",
            "x-hydro-position": position,
        }
        made: Any = self.channel.stream_stream(path)
        return made(requests, metadata=tuple(metadata.items()))

    def process(self, position: str, name: str = "plus", requests: Any = None) -> Any:
        return self.call(processor.PROCESS, position, name, requests)


async def sent(requests: Sequence[bytes], ended: asyncio.Event) -> AsyncIterator[bytes]:
    """More may come until then: gRPC takes it for a failure if it sends as a call ends."""
    for request in requests:
        yield request
    await ended.wait()


@contextlib.asynccontextmanager
async def serving(**models: Evaluator) -> AsyncIterator[Port]:
    async def fetch(id: ModelId, repository: str) -> Path:
        return Path(id.model)

    host = Host(fetch, lambda folder: models[folder.name])
    for name in models:
        await host.load(model(name), "")
    health = data.Health()
    handlers = data.handlers(host, LIMIT, health)
    async with (
        http2.serve("127.0.0.1", 0, handlers, grace_s=0.1) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", OPTIONS) as channel,
    ):
        target = Port(host, channel)
        target.health = health
        yield target


def frame(*values: float, id: str = "") -> bytes:
    message = frame_pb2.Frame(id=id)
    message.table.rows = len(values)
    proto_columns.encode("x", Dense(np.array(values)), message.table.columns.add())
    made: bytes = message.SerializeToString()
    return made


def column(message: bytes, name: str = "y") -> list[float]:
    found = frame_pb2.Frame.FromString(message)
    (wanted,) = [c for c in found.table.columns if c.name == name]
    decoded = proto_columns.decode(wanted, found.table.rows)
    assert isinstance(decoded, Dense)
    return [float(value) for value in decoded.values]


def body(text: str, content_type: str = "application/json") -> bytes:
    content = httpbody_pb2.HttpBody(content_type=content_type, data=text.encode())
    made: bytes = prediction_service_pb2.ServeRequest(body=content).SerializeToString()
    return made


def rows(messages: Sequence[bytes]) -> Any:
    return json.loads(b"".join(httpbody_pb2.HttpBody.FromString(m).data for m in messages))


async def answers(call: Any, *requests: bytes) -> list[bytes]:
    for request in requests:
        await call.write(request)
    await call.done_writing()
    return [answer async for answer in call]


# As Envoy's external processor filter does it


def headers(path: str = STREAM, *, end: bool = False) -> bytes:
    request = ext_proc.ProcessingRequest()
    request.request_headers.end_of_stream = end
    header = request.request_headers.headers.headers.add()
    header.key, header.raw_value = ":path", path.encode()
    made: bytes = request.SerializeToString()
    return made


def piece(data: bytes, *, end: bool = False) -> bytes:
    request = ext_proc.ProcessingRequest()
    request.request_body.body = data
    request.request_body.end_of_stream = end
    made: bytes = request.SerializeToString()
    return made


TRAILERS = ext_proc.ProcessingRequest(request_trailers=ext_proc.HttpTrailers()).SerializeToString()


async def response(call: Any) -> ext_proc.ProcessingResponse:
    return ext_proc.ProcessingResponse.FromString(await asyncio.wait_for(call.read(), 20))


def streamed(found: Any) -> Any:
    assert found.WhichOneof("response") == "request_body"
    return found.request_body.response.body_mutation.streamed_response


async def through(call: Any) -> bytes:
    """All of the body that goes on, up to the end of the stream."""
    gathered: bytes = b""
    while True:
        found = streamed(await response(call))
        assert len(found.body) <= processor.CHUNK
        gathered += found.body
        if found.end_of_stream:
            return gathered


async def test_stage_answers_headers_then_each_piece_then_the_end() -> None:
    async with serving(plus=Plus()) as port:
        call = port.process("first")
        await call.write(headers())
        assert (await response(call)).WhichOneof("response") == "request_headers"
        await call.write(piece(framed(frame(1, 2))))
        found = streamed(await response(call))
        assert not found.end_of_stream
        assert column(Messages(LIMIT).feed(found.body)[0]) == [2, 3]
        await call.write(piece(b"", end=True))
        found = streamed(await response(call))
        assert (found.body, found.end_of_stream) == (b"", True)
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_trailers_end_the_body_and_are_answered() -> None:
    async with serving(plus=Plus()) as port:
        call = port.process("middle")
        for request in (headers(), piece(framed(frame(1))), TRAILERS):
            await call.write(request)
        kinds = []
        while (message := await call.read()) is not grpc.aio.EOF:
            kinds.append(ext_proc.ProcessingResponse.FromString(message).WhichOneof("response"))
        assert kinds[0] == "request_headers"
        assert kinds[-1] == "request_trailers"
        assert set(kinds[1:-1]) == {"request_body"}


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_message_split_over_pieces_is_put_together(size: int) -> None:
    sent = framed(frame(1)) + framed(frame(2, 3))
    async with serving(plus=Plus()) as port:
        call = port.process("first")
        await call.write(headers())
        for at in range(0, len(sent), size):
            await call.write(piece(sent[at : at + size]))
        await call.write(piece(b"", end=True))
        await response(call)
        messages = Messages(LIMIT).feed(await through(call))
        assert [column(m) for m in messages] == [[2], [3, 4]]


async def test_big_body_goes_on_in_pieces_that_envoy_can_take() -> None:
    values = np.arange(200_000, dtype=float) + 100
    async with serving(plus=Plus()) as port:
        call = port.process("first")
        await call.write(headers())
        await response(call)
        sent = framed(frame(*values))
        for at in range(0, len(sent), 60_000):
            await call.write(piece(sent[at : at + 60_000], end=at + 60_000 >= len(sent)))
        (message,) = Messages(2 * LIMIT).feed(await through(call))
        assert column(message) == list(values + 1)


class Halting(Plus):
    """Does its first evaluation, and waits with the others until `goes_on`."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()

    def evaluate(self, columns: Columns) -> Evaluation:
        assert not self.entered.is_set() or self.goes_on.wait(30)
        return super().evaluate(columns)


async def test_rows_that_are_evaluated_go_on_while_later_ones_of_the_body_are_not() -> None:
    halting = Halting()
    sent = framed(body(json.dumps([{"x": i + 100.0} for i in range(700)])))
    async with serving(plus=halting) as port:
        call = port.process("first")
        for request in (headers(SERVE), piece(sent, end=True)):
            await call.write(request)
        await response(call)
        found = streamed(await response(call))
        assert not found.end_of_stream
        (first,) = Messages(LIMIT).feed(found.body)
        halting.goes_on.set()
        (second,) = Messages(LIMIT).feed(await through(call))
        assert column(first) + column(second) == [i + 101.0 for i in range(700)]


@pytest.mark.parametrize(
    ("name", "requests", "code", "text"),
    [
        pytest.param("other", [], "UNAVAILABLE", "is not loaded here", id="no model"),
        pytest.param("plus", [piece(b"x")], "INVALID_ARGUMENT", "want request_headers", id="order"),
        pytest.param("plus", [headers(end=True)], "INVALID_ARGUMENT", "no message", id="no body"),
        pytest.param("plus", [headers()] * 2, "INVALID_ARGUMENT", "request_headers", id="twice"),
        pytest.param(
            "plus", [headers(), piece(framed(b"\xff"))], "INVALID_ARGUMENT", "Frame", id="no frame"
        ),
        pytest.param(
            "plus",
            [headers(), piece(b"\1\0\0\0\1x")],
            "UNIMPLEMENTED",
            "compressed message",
            id="compressed",
        ),
        pytest.param(
            "plus",
            [headers(), piece(b"\0\x7f\0\0\0x")],
            "RESOURCE_EXHAUSTED",
            "send fewer rows",
            id="too large",
        ),
        pytest.param(
            "plus",
            [headers(SERVE), piece(framed(body("[1"))), piece(b"", end=True)],
            "INVALID_ARGUMENT",
            "malformed JSON",
            id="no JSON",
        ),
    ],
)
async def test_error_before_the_first_answer_ends_the_call_with_its_status(
    name: str, requests: Sequence[bytes], code: str, text: str
) -> None:
    ended = asyncio.Event()
    async with serving(plus=Plus()) as port:
        call = port.process("first", name, sent(requests, ended))
        while (found := await response(call)).WhichOneof("response") == "request_headers":
            pass
        told = found.immediate_response
        assert told.grpc_status.status == grpc.StatusCode[code].value[0]
        assert text in told.body.decode()
        assert await call.read() is grpc.aio.EOF
        ended.set()


async def test_bug_before_the_first_answer_is_told_as_an_id(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(processor, "header", bug)
    async with serving(plus=Plus()) as port:
        call = port.process("first")
        await call.write(headers())
        told = (await response(call)).immediate_response
        assert told.grpc_status.status == grpc.StatusCode.INTERNAL.value[0]
        assert b"secret" not in told.body
        (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
        assert record.__dict__["id"].encode() in told.body


async def test_frame_that_cannot_be_read_after_the_first_answer_fails_in_its_place() -> None:
    async with serving(plus=Plus()) as port:
        call = port.process("middle")
        await call.write(headers())
        await call.write(piece(framed(frame(1))))
        await response(call)
        assert Messages(LIMIT).feed(streamed(await response(call)).body)
        await call.write(piece(framed(b"\xff") + framed(frame(5))))
        bad, good = Messages(LIMIT).feed(streamed(await response(call)).body)
        assert frame_pb2.Frame.FromString(bad).failure.code == 3
        assert column(good) == [6]


# As Envoy's router does it


@pytest.mark.parametrize("method", ["Predict", "PredictStream"])
@pytest.mark.parametrize("position", ["only", "last"])
async def test_last_stage_answers_frames(method: str, position: str) -> None:
    async with serving(plus=Plus()) as port:
        (answer,) = await answers(port.call(SERVICE + method, position), frame(1, 2))
        assert column(answer) == [2, 3]


async def test_stream_answers_each_frame_before_the_next() -> None:
    async with serving(plus=Plus()) as port:
        call = port.call(STREAM, "only")
        for i in range(10):
            await call.write(frame(i, id=str(i)))
            answer = await call.read()
            assert column(answer) == [i + 1]
            assert frame_pb2.Frame.FromString(answer).id == str(i)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def test_serve_answers_an_array_by_an_array() -> None:
    async with serving(plus=Plus()) as port:
        call = port.call(SERVE, "only")
        assert rows(await answers(call, body('[{"x": 1}, '), body('{"x": 2}]'))) == [
            {"x": 1, "y": 2},
            {"x": 2, "y": 3},
        ]


async def test_serve_without_any_message_is_an_error() -> None:
    async with serving(plus=Plus()) as port:
        call = port.call(SERVE, "only")
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_chain_of_three_stages_answers_what_the_client_sent() -> None:
    models = {"a": Plus("y", "x"), "b": Plus("z", "y"), "c": Plus("end", "z")}
    async with serving(**models) as port:
        passed = framed(body('[{"x": 1}, {"x": 13}]'))
        for name, position in (("a", "first"), ("b", "middle")):
            call = port.process(position, name)
            for request in (headers(SERVE), piece(passed), piece(b"", end=True)):
                await call.write(request)
            await response(call)
            passed = await through(call)
        last = await answers(port.call(SERVE, "last", "c"), *Messages(LIMIT).feed(passed))
        well, failed = rows(last)
        assert well == {"x": 1, "y": 2, "z": 3, "end": 4}
        assert failed["error"]["stage"] == "s/a"
        assert failed["error"]["status"] == "INTERNAL"


@pytest.mark.parametrize("missing", ["x-hydro-stage", "x-hydro-position"])
async def test_call_that_is_not_from_the_gateway_is_refused(missing: str) -> None:
    async with serving(plus=Plus()) as port:
        told = {"x-hydro-model": model("plus").key, "x-hydro-stage": "s", "x-hydro-position": "x"}
        told.pop(missing)
        stream: Any = port.channel.stream_stream(STREAM)
        call = stream(metadata=tuple(told.items()))
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "call through the gateway" in await call.details()


# Models that misbehave


async def test_model_that_raises_costs_its_rows() -> None:
    async with serving(plus=Plus()) as port:
        (answer,) = await answers(port.call(STREAM, "only"), frame(1, 13, 3))
        assert column(answer) == [2, 4]
        (error,) = frame_pb2.Frame.FromString(answer).errors
        assert (error.row, error.status.code) == (1, grpc.StatusCode.INTERNAL.value[0])
        assert "Traceback" not in error.status.message


async def test_models_that_hang_hold_up_no_other() -> None:
    hung = {f"hung{i}": Plus() for i in range(5)}
    for each in hung.values():
        each.gate.clear()
    async with serving(plus=Plus(), **hung) as port:
        calls = {name: port.call(STREAM, "only", name) for name in hung}
        for name, call in calls.items():
            await call.write(frame(1))
            assert await asyncio.to_thread(hung[name].entered.wait, 10)
        for i in range(20):
            (answer,) = await answers(port.call(STREAM, "only"), frame(-i))
            assert column(answer) == [1 - i]
        for each in hung.values():
            each.gate.set()
        assert [column(await call.read()) for call in calls.values()] == [[2]] * 5


async def test_unloaded_model_serves_its_streams_to_their_end_and_no_new_ones() -> None:
    async with serving(plus=Plus()) as port:
        call = port.call(STREAM, "only")
        await call.write(frame(1))
        assert column(await call.read()) == [2]
        port.host.unload(model("plus").key)
        await call.write(frame(2))
        assert column(await call.read()) == [3]
        assert await port.call(STREAM, "only").code() is grpc.StatusCode.UNAVAILABLE


async def test_health_is_what_the_process_says() -> None:
    async with serving() as port:
        check = port.channel.unary_unary(
            data.CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        assert (await check(health_pb2.HealthCheckRequest())).status == 1
        port.health.stop()
        assert (await check(health_pb2.HealthCheckRequest())).status == 2


# The manager's port


class Repository(repository_grpc.RepositoryServiceServicer):
    """One model of two files, which a test may spoil."""

    def __init__(self) -> None:
        self.content: Mapping[str, bytes] = {"a.bin": b"a" * 100_000, "sub/b.bin": b"b" * 10}
        self.sent: dict[str, bytes] = {}
        """In place of what is listed."""
        self.downloads: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def version(self) -> repository_pb.ModelVersion:
        listed = [
            files.File(path, len(content), hashlib.sha256(content).hexdigest())
            for path, content in sorted(self.content.items())
        ]
        return repository_pb.ModelVersion(
            model="m",
            version="1",
            digest=files.digest_of(listed),
            files=[
                repository_pb.File(path=f.path, size_bytes=f.size_bytes, sha256=f.sha256)
                for f in listed
            ],
        )

    async def GetModel(
        self, request: repository_pb.GetModelRequest, context: Any
    ) -> repository_pb.GetModelResponse:
        if request.model != "m":
            raise errors.NotFound(f"no model {request.model}")
        return repository_pb.GetModelResponse(model=self.version)

    async def Download(
        self, request: repository_pb.DownloadRequest, context: Any
    ) -> AsyncIterator[repository_pb.DownloadResponse]:
        self.downloads.append(request.path)
        await self.gate.wait()
        content = self.sent.get(request.path, self.content[request.path])
        for at in range(0, len(content), 30_000):
            yield repository_pb.DownloadResponse(chunk=content[at : at + 30_000])


class Control:
    """A runtime's control port with a repository beside it."""

    def __init__(self, cache: Path, repository: Repository, stub: Any, address: str) -> None:
        self.cache, self.repository, self.stub, self.address = cache, repository, stub, address
        self.loaded: list[Path] = []
        self.on_load: Callable[[Path], None] = lambda folder: None

    def load_folder(self, folder: Path) -> Evaluator:
        self.loaded.append(folder)
        self.on_load(folder)
        return Plus()

    def request(self, **changes: str) -> runtime_pb.LoadModelRequest:
        version = self.repository.version
        fields = {"model": "m", "version": "1", "digest": version.digest}
        return runtime_pb.LoadModelRequest(**{**fields, "repository": self.address, **changes})

    async def load(self, **changes: str) -> runtime_pb.LoadedModel:
        answer: runtime_pb.LoadModelResponse
        answer = await self.stub.LoadModel(self.request(**changes), timeout=20)
        return answer.model

    async def models(self) -> list[runtime_pb.LoadedModel]:
        return list((await self.stub.ListModels(runtime_pb.ListModelsRequest())).models)

    def leftovers(self) -> list[Path]:
        return list(self.cache.glob("partial-*"))


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    repository = Repository()  # type: ignore[abstract]  # what a runtime does not ask for

    def offer(server: grpc.aio.Server) -> None:
        repository_grpc.add_RepositoryServiceServicer_to_server(repository, server)

    async with contextlib.AsyncExitStack() as stack:
        beside = await stack.enter_async_context(rpc.serve("127.0.0.1:0", offer, (), grace_s=0.1))
        target = Control(tmp_path / "cache", repository, None, beside.address)
        host = Host(Cache(target.cache).fetch, target.load_folder)

        def manage(server: grpc.aio.Server) -> None:
            runtime_grpc.add_RuntimeServiceServicer_to_server(RuntimeServicer(host), server)

        served = await stack.enter_async_context(rpc.serve("127.0.0.1:0", manage, (), grace_s=0.1))
        channel = await stack.enter_async_context(rpc.channel(served.address))
        target.stub = runtime_grpc.RuntimeServiceStub(channel)
        yield target


@contextlib.contextmanager
def fails(code: grpc.StatusCode, text: str) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield
    assert caught.value.code() is code
    assert text in str(caught.value.details())


async def test_model_is_fetched_once_loaded_listed_and_unloaded(control: Control) -> None:
    found = await control.load()
    assert found.state == runtime_pb.MODEL_STATE_LOADED
    assert [field.name for field in found.signature.inputs] == ["x"]
    folder = control.cache / control.repository.version.digest
    assert {p: (folder / p).read_bytes() for p in control.repository.content} == dict(
        control.repository.content
    )
    assert [m.key for m in await control.models()] == [found.key]
    await control.stub.UnloadModel(runtime_pb.UnloadModelRequest(key=found.key))
    assert await control.models() == []
    await control.load()
    assert len(control.repository.downloads) == 2
    assert len(control.loaded) == 2
    assert not control.leftovers()


async def test_two_loads_of_a_model_join(control: Control) -> None:
    control.repository.gate.clear()
    tasks = [asyncio.create_task(control.load()) for _ in range(3)]
    await until(lambda: control.repository.downloads)
    assert [m.state for m in await control.models()] == [runtime_pb.MODEL_STATE_LOADING]
    tasks[0].cancel()
    control.repository.gate.set()
    assert {(await task).state for task in tasks[1:]} == {runtime_pb.MODEL_STATE_LOADED}
    assert len(control.loaded) == 1


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110  # what is waited for is in another layer
            await asyncio.sleep(0.002)


async def test_model_unloaded_while_it_loads_does_not_come_back(control: Control) -> None:
    control.repository.gate.clear()
    task = asyncio.create_task(control.load())
    await until(lambda: control.repository.downloads)
    (entry,) = await control.models()
    await control.stub.UnloadModel(runtime_pb.UnloadModelRequest(key=entry.key))
    control.repository.gate.set()
    with fails(grpc.StatusCode.ABORTED, "was unloaded while it was loading"):
        await task
    assert await control.models() == []


@pytest.mark.parametrize(
    "sent", [b"a" * 99_999 + b"b", b"a" * 10, b"a" * 200_000], ids=["changed", "cut", "longer"]
)
async def test_corrupted_download_is_refused(control: Control, sent: bytes) -> None:
    control.repository.sent["a.bin"] = sent
    with fails(grpc.StatusCode.FAILED_PRECONDITION, "it was not loaded"):
        await control.load()
    (entry,) = await control.models()
    assert entry.state == runtime_pb.MODEL_STATE_FAILED
    assert status_pb2.Status.FromString(entry.error.SerializeToString()).message
    assert not control.loaded
    assert not control.leftovers()
    control.repository.sent.clear()
    assert (await control.load()).state == runtime_pb.MODEL_STATE_LOADED


@pytest.mark.parametrize("path", ["../out.bin", "/tmp/out.bin", "x/../../out.bin", "n\0ul"])
async def test_file_outside_of_the_models_folder_is_refused(control: Control, path: str) -> None:
    control.repository.content = {path: b"x"}
    with fails(grpc.StatusCode.FAILED_PRECONDITION, "leaves the model's folder"):
        await control.load()
    assert not control.repository.downloads


async def test_content_that_has_changed_is_told(control: Control) -> None:
    with fails(grpc.StatusCode.ABORTED, "it has changed, try again"):
        await control.load(digest="0" * 64)


@pytest.mark.parametrize("digest", ["../../etc", "0" * 63, "G" * 64])
async def test_digest_that_is_none_is_refused(control: Control, digest: str) -> None:
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "want SHA-256 in hex"):
        await control.load(digest=digest)


async def test_request_that_lacks_a_field_is_refused(control: Control) -> None:
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "lacks a field"):
        await control.load(repository="")


async def test_full_disk_is_told_with_the_way_out(control: Control) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with fails(grpc.StatusCode.UNAVAILABLE, "free some space"):
            await control.load()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not control.leftovers()
    assert (await control.load()).state == runtime_pb.MODEL_STATE_LOADED


async def test_spoiled_cache_is_fetched_again(control: Control) -> None:
    found = await control.load()
    (control.cache / control.repository.version.digest / "a.bin").write_bytes(b"spoiled")
    await control.stub.UnloadModel(runtime_pb.UnloadModelRequest(key=found.key))
    await control.load()
    path = control.cache / control.repository.version.digest / "a.bin"
    assert path.read_bytes() == control.repository.content["a.bin"]


async def test_repository_that_is_not_there_is_told(control: Control) -> None:
    with fails(grpc.StatusCode.UNAVAILABLE, ""):
        await control.load(repository="127.0.0.1:1")


@pytest.mark.parametrize("raised", [RuntimeError("no way"), SystemExit(1)])
async def test_model_whose_own_code_fails_to_load_is_refused(
    control: Control, raised: BaseException
) -> None:
    def bad(folder: Path) -> None:
        raise raised

    control.on_load = bad
    with fails(grpc.StatusCode.FAILED_PRECONDITION, "own code failed to load"):
        await control.load()


async def test_load_that_hangs_holds_up_no_other(control: Control) -> None:
    gate, first = threading.Event(), control.repository.version.digest

    def hang(folder: Path) -> None:
        assert folder.name != first or gate.wait(30)

    control.on_load = hang
    stuck = asyncio.create_task(control.load())
    await until(lambda: control.loaded)
    control.repository.content = {"c.bin": b"c"}
    assert (await control.load()).state == runtime_pb.MODEL_STATE_LOADED
    gate.set()
    await stuck


# The whole process


class Registry(registry_grpc.RegistryServiceServicer):
    """A manager that looks at the runtime's health when it is told of its end."""

    def __init__(self) -> None:
        self.endpoint: Any = None
        self.at_end: list[int] = []

    async def RegisterEndpoint(
        self, request: registry_pb.RegisterEndpointRequest, context: Any
    ) -> registry_pb.RegisterEndpointResponse:
        self.endpoint = request.endpoint
        answer = registry_pb.RegisterEndpointResponse()
        answer.lease.FromSeconds(10)
        return answer

    async def DeregisterEndpoint(
        self, request: registry_pb.DeregisterEndpointRequest, context: Any
    ) -> registry_pb.DeregisterEndpointResponse:
        async with grpc.aio.insecure_channel(self.endpoint.traffic_address, OPTIONS) as channel:
            check: Any = channel.unary_unary(data.CHECK)
            answer = health_pb2.HealthCheckResponse.FromString(await check(b"", timeout=10))
            self.at_end.append(answer.status)
        return registry_pb.DeregisterEndpointResponse()


async def test_runtime_that_ends_says_so_leaves_the_list_then_finishes_its_calls(
    tmp_path: Path,
) -> None:
    registry, ready = Registry(), asyncio.Event()

    def offer(server: grpc.aio.Server) -> None:
        registry_grpc.add_RegistryServiceServicer_to_server(registry, server)

    async with rpc.serve("127.0.0.1:0", offer, (), grace_s=0.1) as manager:
        config = process.Config(
            service="serving-customscikit", manager=manager.address, cache=tmp_path / "cache"
        )
        running = asyncio.create_task(process.run(config, lambda _: ready.set()))
        await asyncio.wait_for(ready.wait(), 20)
        await until(lambda: registry.endpoint)
        address = registry.endpoint.traffic_address
        async with grpc.aio.insecure_channel(address, OPTIONS) as channel:
            # A call under way, whose client takes its time to send the rest.
            call: Any = channel.stream_stream(data.CHECK)()
            await call.write(b"")
            running.cancel()
            await until(lambda: registry.at_end)
            assert registry.at_end == [2]
            assert not running.done()
            await call.done_writing()
            answer = health_pb2.HealthCheckResponse.FromString(await call.read())
            assert answer.status == 2
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 20)


@pytest.mark.parametrize(
    ("listen", "host"),
    [
        ("[::1]:0", "[::1]"),
        ("localhost:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.1"),
        ("[::]:0", "[::1]"),
    ],
)
async def test_a_runtime_registers_where_it_is_reached_by_no_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listen: str, host: str
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    registry = Registry()

    def offer(server: grpc.aio.Server) -> None:
        registry_grpc.add_RegistryServiceServicer_to_server(registry, server)

    async with rpc.serve(listen, offer, (), grace_s=0.1) as manager:
        config = process.Config(
            service="serving-customscikit",
            manager=manager.address,
            listen=listen,
            metrics=listen,
            cache=tmp_path / "cache",
        )
        running = asyncio.create_task(process.run(config))
        await until(lambda: registry.endpoint)
        found = conversion.endpoint(registry.endpoint)
        assert str(found.traffic).startswith(f"{host}:")
        assert found.metrics.startswith(f"{host}:")
        async with rpc.channel(str(found.traffic)) as channel:
            call: Any = channel.unary_unary(data.CHECK)
            answer = health_pb2.HealthCheckResponse.FromString(await call(b"", timeout=20))
            assert answer.status == 1
        running.cancel()
        await asyncio.wait([running])
