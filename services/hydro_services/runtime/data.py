"""The data port of a runtime: stages of chains, and the health that Envoy asks for."""

from __future__ import annotations

from collections.abc import Mapping

from grpc_health.v1 import health_pb2

from hydro_services import http2
from hydro_services.codecs.frames import framed
from hydro_services.runtime.host import Host
from hydro_services.runtime.offload import Codecs
from hydro_services.runtime.prediction import PREDICT, Prediction
from hydro_services.runtime.processor import PROCESS, Processor
from hydro_services.tracing import Exporter

CHECK = "/grpc.health.v1.Health/Check"
_STATES = {
    state: framed(health_pb2.HealthCheckResponse(status=number).SerializeToString())
    for state, number in ((True, 1), (False, 2))
}


class Health:
    """What the process answers when it is asked how it is."""

    def __init__(self) -> None:
        self.serving = True

    def stop(self) -> None:
        """From now on it wants no new calls."""
        self.serving = False


def handlers(
    host: Host, max_bytes: int, health: Health, exporter: Exporter | None = None
) -> Mapping[str, http2.Handler]:
    """What the data port answers, by path; the exporter takes spans, where they are wanted."""

    async def check(call: http2.Call) -> None:
        while not call.ended:
            await call.read()
        await call.write(_STATES[health.serving])

    codecs = Codecs()
    prediction = Prediction(host, max_bytes, codecs, exporter).predict
    processor = Processor(host, max_bytes, codecs, exporter)
    stages = {PROCESS: processor.process, **dict.fromkeys(PREDICT, prediction)}
    return {CHECK: check, **stages}
