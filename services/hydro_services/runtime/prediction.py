"""The end of chains: hydro.serving.v1.PredictionService, called by Envoy's router.

All three methods are one: messages in, messages out, as the metadata of the stage tells.
"""

from __future__ import annotations

from time import perf_counter

from hydro_services import http2
from hydro_services.codecs.frames import framed
from hydro_services.runtime.host import Host
from hydro_services.runtime.observe import Observed
from hydro_services.runtime.processor import answered, called, portions
from hydro_services.runtime.session import Session
from hydro_services.tracing import Exporter

SERVICE = "hydro.serving.v1.PredictionService"
PREDICT = tuple(f"/{SERVICE}/{method}" for method in ("Predict", "PredictStream", "Serve"))


class Prediction:
    """Answers the last stage of chains."""

    def __init__(self, host: Host, max_bytes: int, exporter: Exporter | None) -> None:
        self.host = host
        self.max_bytes = max_bytes
        self.exporter = exporter

    async def predict(self, call: http2.Call) -> None:
        """One call's way through the stage that the metadata names."""
        told = called(call.metadata, call.metadata[":path"])
        batcher = self.host.get(told.model)
        session = Session(told, batcher.evaluator.signature, self.max_bytes)
        ended = False
        with Observed(batcher.counts, call.metadata, self.exporter) as observed:
            while not ended:
                data, start = await call.read(), perf_counter()
                work = session.feed(data)
                ended = call.ended
                work += session.end() if ended else []
                parts = portions(work)
                for part in parts:
                    messages = await answered(session, batcher, part)
                    observed.turn(part, start)
                    messages += session.close() if ended and part is parts[-1] else []
                    await call.write(b"".join(map(framed, messages)))
