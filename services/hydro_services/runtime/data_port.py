"""The data port of a runtime: stages of chains, and the health that Envoy asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from hydro_services import errors, http2
from hydro_services.codecs.grpc_messages import MessageCutter, prefix_message
from hydro_services.runtime.host import Host
from hydro_services.runtime.offload import CodecThread
from hydro_services.runtime.prediction import Prediction
from hydro_services.runtime.processor import PROCESS, Processor
from hydro_services.runtime.wire_formats import table
from hydro_services.security import credential
from hydro_services.tracing import Exporter

CHECK = "/grpc.health.v1.Health/Check"
MAX_CHECK_BYTES = 4096
_STATES = {
    state: prefix_message(health_pb2.HealthCheckResponse(status=number).SerializeToString())
    for state, number in ((True, 1), (False, 2))
}


class Health:
    """What the process answers to health checks."""

    def __init__(self) -> None:
        self.serving = True
        self.incarnation = ""
        """Of the process: the service that those ask for who want no other incarnation."""

    def stop(self) -> None:
        """From now on it wants no new calls."""
        self.serving = False


def build_handlers(
    host: Host,
    max_bytes: int,
    health: Health,
    exporter: Exporter | None = None,
    token_file: Path | None = None,
) -> Mapping[str, http2.Handler]:
    """What the data port answers, by path.

    Args:
        host: has the models.
        max_bytes: of a message or a body.
        health: told to everybody.
        exporter: takes spans, where they are wanted.
        token_file: has the token that stands for what Envoys show; None: everybody is answered.
    """

    async def check(call: http2.Call) -> None:
        asked, cutter = bytearray(), MessageCutter(MAX_CHECK_BYTES)
        while not call.ended:
            asked += b"".join(cutter.feed(await call.read()))
        cutter.end()
        _check_asked(bytes(asked), health)
        await call.write(_STATES[health.serving])

    codecs = CodecThread()
    prediction = Prediction(host, max_bytes, codecs, exporter).predict
    processor = Processor(host, max_bytes, codecs, exporter)
    stages: Mapping[str, http2.Handler] = {
        PROCESS: processor.process,
        **dict.fromkeys(table.known_methods(), prediction),
    }
    if token_file:
        stages = _guard_stages(stages, credential.TrafficChecker(token_file))
    return {CHECK: check, **stages}


def _check_asked(message: bytes, health: Health) -> None:
    """Raises errors.HydroError if a health check is of something else than this process."""
    try:
        service = health_pb2.HealthCheckRequest.FromString(message).service
    except DecodeError as error:
        raise errors.InvalidArgument(f"a health check that cannot be read: {error}") from error
    if service not in ("", health.incarnation):
        raise errors.NotFound(f"there is no {service!r} here; want no service, or the incarnation")


def _guard_stages(
    stages: Mapping[str, http2.Handler], checker: credential.TrafficChecker
) -> dict[str, http2.Handler]:
    """Stages that Envoys alone may call: they know whom a pipeline lets in."""

    def guarded(handler: http2.Handler) -> http2.Handler:
        async def answer(call: http2.Call) -> None:
            checker.check(call.metadata)
            await handler(call)

        return answer

    return {path: guarded(handler) for path, handler in stages.items()}
