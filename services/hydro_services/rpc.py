"""gRPC servers and channels of the mesh: options, errors, one log line a call, health, drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from hydro_envoy.address import Address
from hydro_services import errors, logs

logger = logging.getLogger(__name__)

KEEPALIVE = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Of the PINGs by which gRPC measures bandwidth: while one is under way it sends no other.
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
DIRECT = (("grpc.enable_http_proxy", 0),)
"""Without a proxy: the variable http_proxy is for the web, and the proxy would see rows."""
SERVER_OPTIONS = (
    *KEEPALIVE,
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.so_reuseport", 0),
)


Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]
Check: TypeAlias = Callable[[str, Metadata], None]
"""Given `/service/method` and what the client sent with it; raises a class of `errors`."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A running server."""

    server: grpc.aio.Server
    address: Address
    """With the port that was bound."""
    health: health.aio.HealthServicer

    async def set_serving(self, serving: bool) -> None:
        """Sets what grpc.health.v1 answers for the process as a whole."""
        state = "SERVING" if serving else "NOT_SERVING"
        await self.health.set("", health_pb2.HealthCheckResponse.ServingStatus.Value(state))

    async def answer_for(self, incarnation: str) -> None:
        """Lets those who ask for this incarnation of the process hear that it serves."""
        await self.health.set(incarnation, health_pb2.HealthCheckResponse.SERVING)


@contextlib.asynccontextmanager
async def serve(
    address: Address,
    register: Callable[[grpc.aio.Server], None],
    services: Sequence[str],
    *,
    options: Sequence[tuple[str, Any]] = (),
    unwrapped: frozenset[str] = frozenset(),
    check: Check | None = None,
    grace_s: float = 5.0,
) -> AsyncIterator[RunningServer]:
    """Serves until the context ends, then lets calls under way finish for `grace_s` seconds.

    Args:
        address: where to listen; port 0 binds a free one.
        register: adds the servicers.
        services: full names of the services, for reflection.
        options: gRPC channel arguments; they override ours.
        unwrapped: full names of services that handle errors and logs of their calls themselves.
        check: called before every call of the other services.
        grace_s: seconds.

    Raises:
        errors.Unavailable: the address cannot be bound.
    """
    # Interceptors see each call once, whatever its kind: errors and logs have one place.
    server = grpc.aio.server(
        interceptors=(_CallInterceptor(unwrapped, check),), options=(*SERVER_OPTIONS, *options)
    )
    register(server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    served = RunningServer(server, _bind_port(server, address), checks)
    await server.start()
    await served.set_serving(True)
    try:
        yield served
    finally:
        # Health first: whoever asks for it sends no new calls while those under way finish.
        await checks.enter_graceful_shutdown()
        await server.stop(grace_s)


def open_channel(
    address: Address,
    *,
    max_message_bytes: int = 64 << 20,
    tls: grpc.ChannelCredentials | None = None,
) -> grpc.aio.Channel:
    """A channel to an address, without a proxy, that notices a dead peer within 15 seconds."""
    options = (
        *DIRECT,
        *KEEPALIVE,
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.initial_reconnect_backoff_ms", 50),
        # How long an attempt to connect may take, whatever the name says: a busy machine needs
        # seconds for a handshake, and a peer that is given up earlier each time is never reached.
        ("grpc.min_reconnect_backoff_ms", 5_000),
        # gRPC's default goes up to two minutes: a mesh that restarts is back in one second.
        ("grpc.max_reconnect_backoff_ms", 1_000),
    )
    if tls:
        return grpc.aio.secure_channel(str(address), tls, options=options)
    return grpc.aio.insecure_channel(str(address), options=options)


def _bind_port(server: grpc.aio.Server, address: Address) -> Address:
    listen = resolve_address(address)
    try:
        port = server.add_insecure_port(str(listen))
    except RuntimeError:
        port = 0
    if not port:
        way_out = "stop what listens there or choose another port"
        raise errors.Unavailable(f"cannot listen on {address}; {way_out}", address=str(address))
    return listen._replace(port=listen.port or port)


def resolve_address(address: Address) -> Address:
    """Where to listen: with an IP address where the host is a name.

    Raises:
        errors.InvalidArgument: the name is not known.
    """
    try:
        return address.resolved()
    except ValueError as error:
        raise errors.InvalidArgument(f"cannot listen on {address}: {error}") from error


class _CallInterceptor(grpc.aio.ServerInterceptor):
    """Turns exceptions into statuses and logs a line for each call."""

    def __init__(self, unwrapped: frozenset[str], check: Check | None) -> None:
        self.unwrapped = unwrapped | {health.SERVICE_NAME, reflection.SERVICE_NAME}
        self.check = check

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None:
            return grpc.stream_stream_rpc_method_handler(
                # An unknown method is wrapped as well, so that its error has the same form.
                _wrap_stream(_unknown_method(method), method, None, None)
            )
        if method.split("/")[1] in self.unwrapped:
            return handler
        kind = "stream" if handler.response_streaming else "unary"
        source = "stream" if handler.request_streaming else "unary"
        inner = getattr(handler, f"{source}_{kind}")
        wrapped = _wrap_stream if kind == "stream" else _wrap_unary
        read = _make_reader(handler.request_deserializer, method, is_stream=source == "stream")
        outer = wrapped(inner, method, self.check, read)
        wrap = getattr(grpc, f"{source}_{kind}_rpc_method_handler")
        # Without a deserializer: bytes come, and `read` parses them where errors are handled.
        return wrap(outer, None, handler.response_serializer)


Read: TypeAlias = Callable[[Any], Any]


def _wrap_unary(inner: Any, method: str, check: Check | None, read: Read) -> Any:
    async def call(request: Any, context: Any) -> Any:
        async with handle_call(method, context):
            if check:
                check(method, context.invocation_metadata())
            return await inner(read(request), context)

    return call


def _wrap_stream(inner: Any, method: str, check: Check | None, read: Read | None) -> Any:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        async with handle_call(method, context):
            if check:
                check(method, context.invocation_metadata())
            async for response in inner(read(request) if read else request, context):
                yield response

    return call


def _make_reader(
    deserialize: Callable[[bytes], Any] | None, method: str, *, is_stream: bool
) -> Read:
    """Parses a request, or each of a stream; gRPC itself answers a malformed one with INTERNAL."""

    def read(request: bytes) -> Any:
        try:
            return deserialize(request) if deserialize else request
        except DecodeError:
            want = f"want the message of {method}"
            raise errors.InvalidArgument(f"the request cannot be read, {want}") from None

    async def read_each(requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for request in requests:
            yield read(request)

    return read_each if is_stream else read


def _unknown_method(method: str) -> Any:
    async def call(requests: Any, context: Any) -> AsyncIterator[bytes]:
        raise errors.Unimplemented(f"no such method: {method}")
        yield b""  # makes it a stream

    return call


_REQUEST_ID = re.compile("[A-Za-z0-9._-]{1,128}", re.ASCII)
"""hydro_envoy.resources.request_id has the same rule: REQUEST_ID_CHARACTERS and MAX_REQUEST_ID."""


def request_id(metadata: Metadata) -> str:
    """The id that came with a call, as Envoy adds to each; a new one for a call without."""
    for key, value in metadata:
        if key == errors.REQUEST_ID and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return str(uuid.uuid4())


@contextlib.asynccontextmanager
async def handle_call(method: str, context: Any) -> AsyncIterator[None]:
    """Ends the call with the status of an error that is raised inside, and logs a line."""
    start = time.monotonic()
    error: errors.HydroError | None = None
    id = request_id(context.invocation_metadata() or ())
    logs.REQUEST_ID.set(id)  # a call has a task of its own
    try:
        yield
    except errors.HydroError as expected:
        error = expected
    # AbortError has been sent; to answer again would be an error of grpc.aio itself.
    except (asyncio.CancelledError, GeneratorExit, grpc.aio.AbortError):
        raise  # the call has ended already: there is nobody to answer
    except Exception:
        error = errors.new_internal()
        logger.exception("call failed", extra={"method": method, **error.metadata})
    code = errors.STATUS[type(error)][0] if error else grpc.StatusCode.OK
    duration = round((time.monotonic() - start) * 1e3, 3)
    level = logging.INFO if error else logging.DEBUG
    extra = {"method": method, "code": code.name, "duration_ms": duration}
    logger.log(level, "call", extra=extra | ({"error": error.message} if error else {}))
    if error:
        await _abort(context, error, id)


async def _abort(context: Any, error: errors.HydroError, id: str) -> None:
    """Ends a call with the error as google.rpc.Status; does not return."""
    status = errors.call_status(error, id)
    trailers = (("grpc-status-details-bin", status.SerializeToString()), (errors.REQUEST_ID, id))
    await context.abort(errors.STATUS[type(error)][0], status.message, trailers)


async def wait_forever() -> None:
    """Waits until cancelled."""
    await asyncio.get_running_loop().create_future()
