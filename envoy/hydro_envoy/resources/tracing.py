"""Envoy's tracing configuration: providers and collectors. Pure.

Both connection managers take part: with one alone, the stages would learn of no trace. A stage's
process finds its parent span in the metadata of its call, as `x-b3-*` and `traceparent`.
"""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType
from envoy_data_plane.envoy.config.core.v3 import GrpcService, GrpcServiceEnvoyGrpc
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.trace.v3 import (
    OpenTelemetryConfig,
    TracingHttp,
    ZipkinConfig,
    ZipkinConfigCollectorEndpointVersion,
    ZipkinConfigTraceContextOption,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManagerTracing,
)
from envoy_data_plane.envoy.type.metadata.v3 import (
    MetadataKey,
    MetadataKeyPathSegment,
    MetadataKind,
    MetadataKindRoute,
)
from envoy_data_plane.envoy.type.tracing.v3 import CustomTag, CustomTagHeader, CustomTagMetadata
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any

from hydro_envoy import headers, mesh
from hydro_envoy.resources import clusters
from hydro_envoy.snapshot import Ref, Resource, ResourceType, content_hash, make_resource

SERVICE = "hydro"
"""What OpenTelemetry calls the Envoys of the mesh; Zipkin takes the cluster of their nodes."""

_TAG = "pipeline"
SPANS_PATH = "/api/v2/spans"


def collector_cluster(wanted: mesh.Tracing) -> Resource:
    """The cluster to which spans go."""
    name = _collector_name(wanted)
    address = clusters.socket_address(wanted.collector.host, wanted.collector.port)
    lb_endpoint = LbEndpoint(endpoint=Endpoint(address=address))
    grpc = wanted.provider == "otlp"
    built = Cluster(
        name=name,
        type=ClusterDiscoveryType.STRICT_DNS,
        connect_timeout=timedelta(seconds=1),
        load_assignment=ClusterLoadAssignment(
            cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=[lb_endpoint])]
        ),
        typed_extension_protocol_options=clusters.http2_upstream(keepalive=True) if grpc else {},
    )
    return make_resource(ResourceType.CLUSTER, name, bytes(built))


def collector_refs(settings: mesh.Telemetry) -> list[Ref]:
    """What a connection manager with `tracing` needs."""
    return (
        [Ref(ResourceType.CLUSTER, _collector_name(settings.tracing))] if settings.tracing else []
    )


def gateway_tracing(settings: mesh.Telemetry) -> HttpConnectionManagerTracing | None:
    """Spans of the listener that clients reach."""
    tag_source = CustomTagHeader(name=headers.SCOPE)
    return _manager_tracing(settings, "gateway", CustomTag(tag=_TAG, request_header=tag_source))


def pipes_tracing(settings: mesh.Telemetry) -> HttpConnectionManagerTracing | None:
    """Spans of the listener with the chains."""
    path = [MetadataKeyPathSegment(key=headers.ROUTE_PIPELINE)]
    tag_source = CustomTagMetadata(
        kind=MetadataKind(route=MetadataKindRoute()),
        metadata_key=MetadataKey(key=headers.METADATA, path=path),
    )
    return _manager_tracing(
        settings, f"pipeline %REQ({headers.SCOPE})%", CustomTag(tag=_TAG, metadata=tag_source)
    )


def sidecar_tracing(settings: mesh.Telemetry) -> HttpConnectionManagerTracing | None:
    """Spans of what comes in to a process; health checks and the like begin no trace."""
    tag_source = CustomTagHeader(name=headers.PIPELINE)
    pipeline = CustomTag(tag=_TAG, request_header=tag_source)
    return _manager_tracing(settings, f"sidecar %REQ({headers.STAGE})%", pipeline, percent=0.0)


def _manager_tracing(
    settings: mesh.Telemetry, operation: str, pipeline: CustomTag, percent: float | None = None
) -> HttpConnectionManagerTracing | None:
    """Spans of a connection manager and of its calls to what is behind it."""
    if not settings.tracing:
        return None
    return HttpConnectionManagerTracing(
        provider=_provider(settings.tracing),
        operation=operation,
        random_sampling=Percent(value=settings.tracing.percent if percent is None else percent),
        spawn_upstream_span=True,
        custom_tags=[pipeline],
        max_path_tag_length=256,
    )


def _provider(wanted: mesh.Tracing) -> TracingHttp:
    name = _collector_name(wanted)
    if wanted.provider == "otlp":
        service = GrpcService(
            envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name=name), timeout=timedelta(seconds=1)
        )
        config = Any.pack(OpenTelemetryConfig(grpc_service=service, service_name=SERVICE))
        return TracingHttp(name="envoy.tracers.opentelemetry", typed_config=config)
    config = Any.pack(
        ZipkinConfig(
            collector_cluster=name,
            collector_endpoint=SPANS_PATH,
            collector_endpoint_version=ZipkinConfigCollectorEndpointVersion.HTTP_JSON,
            collector_hostname=str(wanted.collector),
            trace_id_128bit=True,
            shared_span_context=False,  # each side of a call has a span of its own
            trace_context_option=ZipkinConfigTraceContextOption.USE_B3_WITH_W3C_PROPAGATION,
        )
    )
    return TracingHttp(name="envoy.tracers.zipkin", typed_config=config)


def _collector_name(wanted: mesh.Tracing) -> str:
    return f"{wanted.provider}-{content_hash(str(wanted.collector).encode())[:8]}"
