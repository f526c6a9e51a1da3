"""Python's own gRPC servers: every failure of a call has the one form, and logs have its id."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from google.rpc import status_pb2

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import manager_service_pb2_grpc as pb_grpc
from hydro_envoy.address import ANY_PORT, Address
from hydro_services import errors, logs, rpc

MANAGER = "hydro.manager.v1.ManagerService"
ID = "my-id.7_A"


class Failing(pb_grpc.ManagerServiceServicer):
    """Each method fails in its own way."""

    async def GetPipeline(self, request: Any, context: Any) -> Any:
        raise errors.NotFound(f"no pipeline {request.name!r}", pipeline=request.name)

    async def ListServices(self, request: Any, context: Any) -> Any:
        return {}["a secret"]  # type: ignore[index]

    async def WatchPipelines(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield pb.WatchPipelinesResponse()
        raise errors.Aborted("x" * 100_000)


@pytest.fixture
async def address() -> AsyncIterator[Address]:
    def register(server: grpc.aio.Server) -> None:
        pb_grpc.add_ManagerServiceServicer_to_server(Failing(), server)  # type: ignore[abstract]

    async with rpc.serve(ANY_PORT, register, (MANAGER,)) as served:
        yield served.address


@pytest.fixture
async def channel(address: Address) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(str(address)) as found:
        yield found


async def refused(
    channel: grpc.aio.Channel, method: str, request: bytes, id: str | None = ID
) -> grpc.aio.AioRpcError:
    call: Any = channel.unary_stream(f"/{MANAGER}/{method}")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for _ in call(request, metadata=(("x-request-id", id),) if id else ()):
            pass
    return raised.value


@pytest.mark.parametrize(
    ("method", "request_", "wanted"),
    [
        ("GetPipeline", b"\x0a\x01p", errors.NotFound),
        ("GetPipeline", b"\xff\xff", errors.InvalidArgument),
        ("ListServices", b"", errors.Internal),
        ("WatchPipelines", b"", errors.Aborted),
        ("Guess", b"", errors.Unimplemented),
    ],
)
async def test_every_failure_has_the_form_and_the_id(
    channel: grpc.aio.Channel,
    own_logging: None,
    method: str,
    request_: bytes,
    wanted: type[errors.HydroError],
) -> None:
    log = io.StringIO()
    logs.set_up_logging("INFO", "test", log)
    error = await refused(channel, method, request_)
    told = dict(error.trailing_metadata() or ())
    assert told["x-request-id"] == ID
    status = status_pb2.Status.FromString(told["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    found = errors.from_rpc(error)
    assert (type(found), found.request_id) == (wanted, ID)
    assert errors.as_json(status)["details"][0]["domain"] == "hydro"
    assert "secret" not in str(error.details())
    logged = [json.loads(line) for line in log.getvalue().splitlines()]
    assert ID in {line.get("request_id") for line in logged if line["message"].startswith("call")}


@pytest.mark.parametrize("id", [None, "a b", "x" * 129, "a=b", "a,b"])
async def test_an_id_that_is_none_is_replaced(channel: grpc.aio.Channel, id: str | None) -> None:
    error = errors.from_rpc(await refused(channel, "GetPipeline", b"", id))
    assert len(error.request_id) == 36
    assert error.request_id != id


@pytest.mark.parametrize("text", ["a\nERROR forged", "\x1b[2J", "a\rb", "\u2028", "\x9b", "\ud800"])
def test_no_text_makes_a_line_of_a_log(text: str) -> None:
    record = logging.makeLogRecord({"msg": "call", "levelname": "INFO", "error": text})
    for line in (logs.TextFormatter("p").format(record), logs.JsonFormatter("p").format(record)):
        assert len(line.splitlines()) == 1
        assert line.encode()
        assert "\x1b" not in line
        assert "\x9b" not in line


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("a secret")


def test_no_call_of_a_log_prints_a_traceback(
    own_logging: None, capsys: pytest.CaptureFixture[str]
) -> None:
    log, logger = io.StringIO(), logging.getLogger("odd")
    logs.set_up_logging("INFO", "test", log)
    logger.error("of %s", "two", "one")
    logger.error("odd", extra={"value": Unspeakable()})
    logger.error("well")
    texts = [json.loads(line)["message"] for line in log.getvalue().splitlines()]
    told = [text.partition(":")[0] for text in texts]
    assert told == ["a record cannot be logged"] * 2 + ["well"]
    log.close()
    logger.error("nobody reads it")
    assert not capsys.readouterr().err


async def test_a_peer_that_takes_seconds_for_its_handshake_is_reached(address: Address) -> None:
    connected: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)

    async def serve_late() -> None:
        reader, writer = connected[0]
        await asyncio.sleep(2)  # as a busy machine does
        to_read, to_write = await asyncio.open_connection(*address)
        with contextlib.closing(writer), contextlib.closing(to_write):
            await asyncio.gather(pass_on(reader, to_write), pass_on(to_read, writer))

    accepted = asyncio.Event()

    def note(*streams: Any) -> None:
        connected.append(streams)
        accepted.set()

    async with await asyncio.start_server(note, "127.0.0.1", 0) as server:
        _, port = server.sockets[0].getsockname()
        async with rpc.open_channel(Address("127.0.0.1", port)) as channel:
            call = asyncio.create_task(refused(channel, "GetPipeline", b"\x0a\x01p"))
            await accepted.wait()
            proxy = asyncio.create_task(serve_late())
            error = await call
            proxy.cancel()
            await asyncio.wait([proxy])
    assert isinstance(errors.from_rpc(error), errors.NotFound)
