"""A collector that speaks OpenTelemetry's protocol and keeps what it gets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service_pb
from opentelemetry.proto.trace.v1 import trace_pb2

from hydro_envoy.address import ANY_PORT, Address
from hydro_services import rpc

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_SCOPE_SPANS = 2
"""The number of the field; two libraries bring these messages, and name it differently."""


class Collector:
    """Checks spans as a real one does, and keeps them with the name of their service.

    The messages are OpenTelemetry's own. They come with xds-protos, whose age shows in one name.
    """

    def __init__(self) -> None:
        self.spans: list[tuple[str, trace_pb2.Span]] = []

    async def export(
        self, request: service_pb.ExportTraceServiceRequest, context: Any
    ) -> service_pb.ExportTraceServiceResponse:
        for each in request.resource_spans:
            named = {a.key: a.value.string_value for a in each.resource.attributes}
            for scope in getattr(each, each.DESCRIPTOR.fields_by_number[_SCOPE_SPANS].name):
                for span in scope.spans:
                    assert len(span.trace_id) == 16
                    assert len(span.span_id) == 8
                    assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
                    self.spans.append((named["service.name"], span))
        return service_pb.ExportTraceServiceResponse()

    def register(self, server: grpc.aio.Server) -> None:
        handler: Any = grpc.unary_unary_rpc_method_handler(
            self.export,
            service_pb.ExportTraceServiceRequest.FromString,
            service_pb.ExportTraceServiceResponse.SerializeToString,
        )
        handlers = grpc.method_handlers_generic_handler(SERVICE, {"Export": handler})
        server.add_generic_rpc_handlers((handlers,))


@contextlib.asynccontextmanager
async def collector() -> AsyncIterator[tuple[Collector, Address]]:
    """With its address."""
    found = Collector()
    async with rpc.serve(ANY_PORT, found.register, ()) as served:
        yield found, served.address
