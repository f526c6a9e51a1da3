"""Spans as OpenTelemetry's collectors take them: OTLP over gRPC.

Source: https://opentelemetry.io/docs/specs/otlp/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import grpc.aio

from hydro.otlp.v1 import trace_pb2 as pb
from hydro_envoy.address import Address
from hydro_services import rpc
from hydro_services.tracing.span import Span

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SEND_S = 5.0
_Export: TypeAlias = (
    "grpc.aio.UnaryUnaryMultiCallable[pb.ExportTraceServiceRequest, pb.ExportTraceServiceResponse]"
)


class OtlpCollector:
    """A collector at an address."""

    def __init__(self, collector: Address, service: str) -> None:
        """`service` is the name of this process's service."""
        self._channel = rpc.open_channel(collector)
        self._resource = pb.Resource(attributes=_attributes({"service.name": service}))
        self._export: grpc.aio.UnaryUnaryMultiCallable[
            pb.ExportTraceServiceRequest, pb.ExportTraceServiceResponse
        ] = self._channel.unary_unary(
            EXPORT,
            request_serializer=pb.ExportTraceServiceRequest.SerializeToString,
            response_deserializer=pb.ExportTraceServiceResponse.FromString,
        )

    async def send(self, spans: Sequence[Span]) -> int:
        """Sends spans; returns how many of them were refused.

        Raises:
            grpc.aio.AioRpcError: the collector does not take them.
        """
        scope = pb.ScopeSpans(spans=[encode_span(span) for span in spans])
        ours = pb.ResourceSpans(resource=self._resource, scope_spans=[scope])
        request = pb.ExportTraceServiceRequest(resource_spans=[ours])
        response = await self._export(request, timeout=SEND_S)
        return int(response.partial_success.rejected_spans)

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()


def encode_span(span: Span) -> pb.Span:
    """A span as a message."""
    return pb.Span(
        trace_id=bytes.fromhex(span.parent.trace),
        span_id=bytes.fromhex(span.id),
        parent_span_id=bytes.fromhex(span.parent.span),
        name=span.name,
        kind=pb.SPAN_KIND_SERVER,
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.start_ns + span.duration_ns,
        attributes=_attributes(span.tags),
        status=pb.Status(code=pb.STATUS_CODE_ERROR, message=span.error) if span.error else None,
    )


def _attributes(tags: Mapping[str, str]) -> list[pb.KeyValue]:
    return [
        pb.KeyValue(key=key, value=pb.AnyValue(string_value=value)) for key, value in tags.items()
    ]
