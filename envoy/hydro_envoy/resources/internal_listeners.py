"""The listeners within Envoy: the pipelines', and the one behind circuit breakers. Pure."""

from __future__ import annotations

from envoy_data_plane.envoy.config.listener.v3 import (
    Listener,
    ListenerInternalListenerConfig,
)
from envoy_data_plane.envoy.config.route.v3 import (
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.http.filter_chain.v3 import FilterChainConfig
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerServerHeaderTransformation,
    HttpFilter,
    ScopedRds,
    ScopedRoutes,
    ScopedRoutesScopeKeyBuilder,
    ScopedRoutesScopeKeyBuilderFragmentBuilder,
    ScopedRoutesScopeKeyBuilderFragmentBuilderHeaderValueExtractor,
)
from envoy_data_plane.google.protobuf import Any

from hydro_envoy import headers, mesh
from hydro_envoy.resources import (
    access,
    access_logs,
    clusters,
    filters,
    limits,
    local_replies,
    request_id,
    request_metrics,
    tracing,
)
from hydro_envoy.resources.client_listener import NEVER, filter_chain
from hydro_envoy.resources.config_source import ads_source
from hydro_envoy.resources.routes import CHAIN_FILTER
from hydro_envoy.snapshot import Ref, Resource, ResourceType, make_resource


def pipes_listener(settings: mesh.Telemetry) -> Resource:
    """The internal listener; its routes, one set a pipeline, come by SRDS and RDS."""
    manager = HttpConnectionManager(
        stat_prefix=clusters.PIPES,
        http_filters=[
            *access.caller_filters(),
            *limits.rate_limit_filters(),
            filters.whole_answer_filter(),
            HttpFilter(name=CHAIN_FILTER, typed_config=Any.pack(FilterChainConfig())),
            filters.router_filter(),
        ],
        stream_idle_timeout=NEVER,
        http2_protocol_options=clusters.inner_http2(),
        scoped_routes=_scoped_routes(),
        local_reply_config=local_replies.pipes_replies(),
        request_id_extension=request_id.keep_ids_extension(),
        access_log=[
            *request_metrics.pipes_metrics(),
            *access_logs.pipes_logs(settings.access_log),
        ],
        tracing=tracing.pipes_tracing(settings),
    )
    built = Listener(
        name=clusters.PIPES,
        internal_listener=ListenerInternalListenerConfig(),
        filter_chains=[filter_chain(manager)],
        per_connection_buffer_limit_bytes=clusters.BUFFER_BYTES,
    )
    refs = [Ref(ResourceType.FILTER, access.CALLERS), *tracing.collector_refs(settings)]
    return make_resource(ResourceType.LISTENER, clusters.PIPES, bytes(built), refs)


def breaker_listener() -> Resource:
    """The internal listener between circuit breakers and the clusters of backends.

    Those share health checks and connections, however many pipelines have a breaker of their own.
    Nothing is tried again here: what called does so, and would have to keep what was sent.
    """
    route = Route(
        name=clusters.LIMITED,
        match=RouteMatch(prefix="/"),
        route=RouteAction(cluster_header=headers.CLUSTER_BEHIND, timeout=NEVER),
        request_headers_to_remove=[headers.CLUSTER_BEHIND],
    )
    host = VirtualHost(name=clusters.LIMITED, domains=["*"], routes=[route])
    manager = HttpConnectionManager(
        stat_prefix=clusters.LIMITED,
        route_config=RouteConfiguration(name=clusters.LIMITED, virtual_hosts=[host]),
        http_filters=[filters.router_filter()],
        stream_idle_timeout=NEVER,
        http2_protocol_options=clusters.inner_http2(),
        server_header_transformation=HttpConnectionManagerServerHeaderTransformation.PASS_THROUGH,
        generate_request_id=False,
        preserve_external_request_id=True,
        local_reply_config=local_replies.limited_replies(),
    )
    built = Listener(
        name=clusters.LIMITED,
        internal_listener=ListenerInternalListenerConfig(),
        filter_chains=[filter_chain(manager)],
        per_connection_buffer_limit_bytes=clusters.BUFFER_BYTES,
    )
    return make_resource(ResourceType.LISTENER, clusters.LIMITED, bytes(built))


def _scoped_routes() -> ScopedRoutes:
    extractor = ScopedRoutesScopeKeyBuilderFragmentBuilderHeaderValueExtractor(
        name=headers.SCOPE, index=0
    )
    fragment = ScopedRoutesScopeKeyBuilderFragmentBuilder(header_value_extractor=extractor)
    return ScopedRoutes(
        name="pipelines",
        scope_key_builder=ScopedRoutesScopeKeyBuilder(fragments=[fragment]),
        rds_config_source=ads_source(),
        scoped_rds=ScopedRds(scoped_rds_config_source=ads_source()),
    )
