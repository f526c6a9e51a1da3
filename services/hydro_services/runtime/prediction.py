"""The end of chains: hydro.serving.v1.PredictionService, called by Envoy's router.

All methods are one: messages in, messages out, by the metadata of the stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from hydro_envoy import headers
from hydro_services import http2
from hydro_services.codecs.grpc_messages import prefix_message
from hydro_services.runtime.host import Host
from hydro_services.runtime.observe import CallObserver
from hydro_services.runtime.offload import CodecThread
from hydro_services.runtime.processor import answer_frames, parse_call
from hydro_services.runtime.stage_stream import StageStream
from hydro_services.runtime.wire_formats import table
from hydro_services.runtime.wire_formats.http_body import PIECE_BYTES
from hydro_services.tracing import Exporter


class Prediction:
    """Answers the last stage of chains."""

    def __init__(
        self, host: Host, max_bytes: int, codecs: CodecThread, exporter: Exporter | None
    ) -> None:
        self.host = host
        self.max_bytes = max_bytes
        self.codecs = codecs
        self.exporter = exporter

    async def predict(self, call: http2.Call) -> None:
        """One call's way through the stage that the metadata names."""
        stage_call = parse_call(call.metadata, call.metadata[":path"])
        # An HTTP client sees no gRPC status at the end; Envoy does where it holds the answer.
        has_bodies = table.has_bodies(stage_call.method)
        call.errors_reset = has_bodies and headers.ANSWER not in call.metadata
        batcher = self.host.get(stage_call.model)
        stream = StageStream(stage_call, batcher.evaluator.signature, self.max_bytes)
        ended = False
        with CallObserver(batcher.counts, call.metadata, self.exporter) as observed:
            while not ended:
                data, start = await call.read(), perf_counter()
                # Now, not after the answers: more may come while these are evaluated.
                ended = call.ended
                decodable = stream.feed(data, ended=ended)
                async for part, is_last in self.codecs.read_portions(
                    decodable, is_rerun=stream.is_rerun
                ):
                    messages = await answer_frames(
                        stream, batcher, self.codecs, part, decodable.size
                    )
                    observed.count_answered(part, start)
                    messages += stream.close() if ended and is_last else []
                    await write_messages(call, messages)


async def write_messages(call: http2.Call, messages: Sequence[bytes]) -> None:
    """Sends messages: small ones in one write, large ones without a copy of all of them."""
    if sum(map(len, messages)) <= PIECE_BYTES:
        await call.write(b"".join(map(prefix_message, messages)))
        return
    for message in messages:
        await call.write(prefix_message(message))
