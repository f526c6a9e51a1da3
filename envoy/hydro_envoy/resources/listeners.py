"""The listeners: the gateway, the pipelines' internal one, and edges of services. Pure.

Two levels are needed: the chain of a route is chosen by the first match of the route, so the
gateway must have set `x-pipeline` before the request reaches the listener that picks the route.
With both in one connection manager Envoy would silently skip the stages.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import (
    HeaderMutation,
    HeaderMutationRemoveOnMatch,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    KeepaliveSettings,
    SocketOption,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.listener.v3 import (
    Filter,
    FilterChain,
    Listener,
    ListenerInternalListenerConfig,
)
from envoy_data_plane.envoy.config.route.v3 import (
    Route,
    RouteAction,
    RouteActionMaxStreamDuration,
    RouteConfiguration,
    RouteMatch,
    RouteMatchGrpcRouteMatchOptions,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.http.filter_chain.v3 import FilterChainConfig
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerPathWithEscapedSlashesAction,
    HttpConnectionManagerServerHeaderTransformation,
    HttpFilter,
    ScopedRds,
    ScopedRoutes,
    ScopedRoutesScopeKeyBuilder,
    ScopedRoutesScopeKeyBuilderFragmentBuilder,
    ScopedRoutesScopeKeyBuilderFragmentBuilderHeaderValueExtractor,
)
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    HeaderMutation as EarlyHeaderMutation,
)
from envoy_data_plane.envoy.type.matcher.v3 import (
    MetadataMatcher,
    MetadataMatcherPathSegment,
    RegexMatcher,
    StringMatcher,
    ValueMatcher,
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
    paths,
    request_id,
    telemetry,
    web_pages,
)
from hydro_envoy.resources.config_source import ads_source
from hydro_envoy.resources.retries import NOT_BEGUN, UNAVAILABLE, retry_policy
from hydro_envoy.resources.routes import CHAIN_FILTER, DONE, set_header
from hydro_envoy.snapshot import MANAGER_CLUSTER, Ref, Resource, ResourceType, make_resource

GATEWAY = "gateway"
SERVICE = "hydro.serving.v1.PredictionService"
HEALTH = "grpc.health.v1.Health"
UNARY_LIMIT = timedelta(seconds=60)
"""How long `Predict` may take when the client sets no deadline."""

EDGE_BUFFER_BYTES = 16 * 1024 * 1024
"""The greatest message of an edge that is not streamed."""

WINDOW_UPDATES = 10_000
"""For each frame of data that was sent. gRPC's clients send two for each message that they read,
and a frame of 16 KiB has thousands of small ones; Envoy's default of 10 cuts their connections."""

_TCP_USER_TIMEOUT = 18
"""Of Linux, which Envoy runs on; what builds its configuration need not."""
_NEVER = timedelta(0)
_GRPC = RouteMatchGrpcRouteMatchOptions()


def gateway_listener(
    wanted: mesh.Gateway, told: mesh.Telemetry, times: mesh.TimeLimits
) -> Resource:
    """Takes gRPC and JSON, reads the pipeline's name from the first message, leads to `pipes`."""
    limit = limits.retry_buffer_bytes(wanted.max_message_bytes)
    most = limits.body_bytes(wanted.max_message_bytes)
    manager = _edge_manager(
        GATEWAY,
        "pipeline",
        wanted.max_message_bytes,
        [
            filters.errors_filter(),
            *([web_pages.foreign_pages_filter()] if wanted.is_local else []),
            filters.requests_filter("gateway"),
            filters.transcoder_filter([SERVICE], wanted.descriptor_set, most),
            filters.pipeline_name_filter(),
            filters.no_trailers_filter(),
            filters.grpc_stats_filter(),
            filters.router_filter(),
        ],
        [
            *(
                _by_body(_pipeline_route(method, limit, duration), timed)
                for method, duration in (
                    ("Predict", _unary_duration()),
                    ("PredictStream", None),
                    ("Serve", None),
                )
                for timed in (False, True)
            ),
            *paths.wrong_method_routes([SERVICE], wanted.descriptor_set),
        ],
    )
    manager.tracing = telemetry.gateway_tracing(told)
    manager.access_log = access_logs.gateway_logs(told.access_log)
    built = _client_listener(GATEWAY, wanted.host, wanted.port, manager, times)
    refs = [Ref(ResourceType.CLUSTER, clusters.PIPES), *telemetry.collector_refs(told)]
    return make_resource(ResourceType.LISTENER, GATEWAY, bytes(built), refs)


def pipes_listener(told: mesh.Telemetry) -> Resource:
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
        stream_idle_timeout=_NEVER,
        http2_protocol_options=clusters.inner_http2(),
        scoped_routes=_scoped_routes(),
        local_reply_config=local_replies.pipes_replies(),
        request_id_extension=request_id.keep_ids_extension(),
        access_log=access_logs.pipes_logs(told.access_log),
        tracing=telemetry.pipes_tracing(told),
    )
    built = Listener(
        name=clusters.PIPES,
        internal_listener=ListenerInternalListenerConfig(),
        filter_chains=[_filter_chain(manager)],
        per_connection_buffer_limit_bytes=clusters.BUFFER_BYTES,
    )
    refs = [Ref(ResourceType.FILTER, access.CALLERS), *telemetry.collector_refs(told)]
    return make_resource(ResourceType.LISTENER, clusters.PIPES, bytes(built), refs)


def breaker_listener() -> Resource:
    """The internal listener between circuit breakers and the clusters of backends.

    Those share health checks and connections, however many pipelines have a breaker of their own.
    Nothing is tried again here: what called does so, and would have to keep what was sent.
    """
    route = Route(
        name=clusters.LIMITED,
        match=RouteMatch(prefix="/"),
        route=RouteAction(cluster_header=headers.CLUSTER_BEHIND, timeout=_NEVER),
        request_headers_to_remove=[headers.CLUSTER_BEHIND],
    )
    host = VirtualHost(name=clusters.LIMITED, domains=["*"], routes=[route])
    manager = HttpConnectionManager(
        stat_prefix=clusters.LIMITED,
        route_config=RouteConfiguration(name=clusters.LIMITED, virtual_hosts=[host]),
        http_filters=[filters.router_filter()],
        stream_idle_timeout=_NEVER,
        http2_protocol_options=clusters.inner_http2(),
        server_header_transformation=HttpConnectionManagerServerHeaderTransformation.PASS_THROUGH,
        generate_request_id=False,
        preserve_external_request_id=True,
        local_reply_config=local_replies.limited_replies(),
    )
    built = Listener(
        name=clusters.LIMITED,
        internal_listener=ListenerInternalListenerConfig(),
        filter_chains=[_filter_chain(manager)],
        per_connection_buffer_limit_bytes=clusters.BUFFER_BYTES,
    )
    return make_resource(ResourceType.LISTENER, clusters.LIMITED, bytes(built))


def edge_listener(
    wanted: mesh.Edge, cluster: str, access_log: str, times: mesh.TimeLimits
) -> Resource:
    """A service's port: its gRPC services, and the HTTP paths that their annotations give."""
    key = wanted.admin_key_sha256
    manager = _edge_manager(
        wanted.name,
        wanted.name,
        EDGE_BUFFER_BYTES,
        [
            filters.errors_filter(),
            *([web_pages.foreign_pages_filter()] if wanted.is_local else []),
            filters.requests_filter("edge"),
            *(access.admin_filters(key) if key else ()),
            filters.transcoder_filter(wanted.services, wanted.descriptor_set, EDGE_BUFFER_BYTES),
            filters.router_filter(),
        ],
        [
            *(
                _by_body(_service_route(prefix, cluster, wanted), timed)
                for prefix in _service_prefixes(wanted.services)
                for timed in (False, True)
            ),
            *paths.wrong_method_routes(wanted.services, wanted.descriptor_set),
        ],
    )
    manager.access_log = access_logs.edge_logs(wanted.name, access_log)
    built = _client_listener(wanted.name, wanted.host, wanted.port, manager, times)
    static = cluster == MANAGER_CLUSTER
    types = () if static else (ResourceType.CLUSTER, ResourceType.ENDPOINTS)
    refs = [Ref(type_, cluster) for type_ in types]
    return make_resource(ResourceType.LISTENER, wanted.name, bytes(built), refs)


def _client_listener(
    name: str, host: str, port: int, manager: HttpConnectionManager, times: mesh.TimeLimits
) -> Listener:
    """With the time limits of clients, whom it faces."""
    manager.request_headers_timeout = timedelta(seconds=times.header_s)
    manager.stream_idle_timeout = timedelta(seconds=times.body_s)
    manager.stream_flush_timeout = timedelta(seconds=times.body_s)
    manager.common_http_protocol_options = HttpProtocolOptions(
        idle_timeout=timedelta(seconds=times.idle_s)
    )
    chain = _filter_chain(manager)
    chain.transport_socket_connect_timeout = timedelta(seconds=times.header_s)
    return Listener(
        name=name,
        address=clusters.socket_address(host, port),
        filter_chains=[chain],
        socket_options=[_tcp_user_timeout(times.body_s)],
        per_connection_buffer_limit_bytes=1024 * 1024,
    )


def _tcp_user_timeout(limit_s: float) -> SocketOption:
    """Ends a connection whose client has read nothing of what is there for it for so long.

    Of HTTP/1.1 Envoy has no such limit where the answer has yet to end. See tcp(7).
    """
    return SocketOption(
        description="TCP_USER_TIMEOUT",
        level=socket.IPPROTO_TCP,
        name=_TCP_USER_TIMEOUT,
        int_value=round(limit_s * 1000),
    )


def _filter_chain(manager: HttpConnectionManager) -> FilterChain:
    return FilterChain(filters=[Filter(name="http", typed_config=Any.pack(manager))])


def _edge_manager(
    name: str,
    behind: str,
    max_bytes: int,
    http_filters: Sequence[HttpFilter],
    routes: Sequence[Route],
) -> HttpConnectionManager:
    slashes = HttpConnectionManagerPathWithEscapedSlashesAction.REJECT_REQUEST
    host = VirtualHost(
        name=name, domains=["*"], routes=list(routes), include_request_attempt_count=True
    )
    found = RouteConfiguration(
        name=name,
        virtual_hosts=[host],
        response_headers_to_add=[request_id.ON_ANSWERS],
        response_headers_to_remove=[DONE, headers.ANSWER],
    )
    return HttpConnectionManager(
        stat_prefix=name,
        route_config=found,
        http_filters=list(http_filters),
        http_protocol_options=_edge_http1(),
        http2_protocol_options=_edge_http2(),
        early_header_mutation_extensions=[_strip_headers()],
        normalize_path=True,
        path_with_escaped_slashes_action=slashes,
        local_reply_config=local_replies.edge_replies(behind, max_bytes),
        request_id_extension=request_id.keep_ids_extension(),
    )


def _by_body(route: Route, timed: bool) -> Route:
    """For requests whose body has yet to come (`timed`), or has come as a whole; see body.lua."""
    come = MetadataMatcher(
        filter=headers.METADATA,
        path=[MetadataMatcherPathSegment(key=headers.BODY)],
        value=ValueMatcher(string_match=StringMatcher(exact=headers.WHOLE)),
    )
    if timed or route.match is None or route.route is None:
        return route
    match = replace(route.match, dynamic_metadata=[come])
    return replace(route, match=match, route=replace(route.route, idle_timeout=_NEVER))


def _edge_http1() -> Http1ProtocolOptions:
    every = StringMatcher(safe_regex=RegexMatcher(regex=".*"))
    return Http1ProtocolOptions(
        accept_http_10=True,
        default_host_for_http_10="localhost",
        # RFC 9110, 7.8: who does not speak what a client would rather speak goes on without.
        ignore_http_11_upgrade=[every],
    )


def _edge_http2() -> Http2ProtocolOptions:
    return Http2ProtocolOptions(
        initial_stream_window_size=1024 * 1024,
        initial_connection_window_size=64 * 1024 * 1024,
        max_concurrent_streams=mesh.MAX_STREAMS,
        max_inbound_window_update_frames_per_data_frame_sent=WINDOW_UPDATES,
        # Frees the streams of clients that vanished.
        connection_keepalive=KeepaliveSettings(
            interval=timedelta(seconds=30), timeout=timedelta(seconds=10)
        ),
    )


def _strip_headers() -> TypedExtensionConfig:
    """Clients have no say in what stages are told, nor in Envoy's retries and timeouts."""
    matchers = [StringMatcher(exact=headers.SCOPE)]
    matchers += [StringMatcher(prefix=p, ignore_case=True) for p in (headers.PREFIX, "x-envoy-")]
    mutations = [
        HeaderMutation(remove_on_match=HeaderMutationRemoveOnMatch(key_matcher=m)) for m in matchers
    ]
    config = EarlyHeaderMutation(mutations=[*mutations, request_id.replace_unfit_id()])
    return TypedExtensionConfig(name="strip", typed_config=Any.pack(config))


def _pipeline_route(
    method: str, limit: int, duration: RouteActionMaxStreamDuration | None
) -> Route:
    action = RouteAction(
        cluster=clusters.PIPES,
        timeout=_NEVER,
        max_stream_duration=duration,
        retry_policy=retry_policy(UNAVAILABLE),
    )
    return Route(
        name=method,
        match=RouteMatch(path=f"/{SERVICE}/{method}", grpc=_GRPC),
        route=action,
        # Of what is held until the pipeline is named, and of what a retry keeps.
        request_body_buffer_limit=limit,
    )


def _unary_duration() -> RouteActionMaxStreamDuration:
    return RouteActionMaxStreamDuration(
        max_stream_duration=UNARY_LIMIT, grpc_timeout_header_max=timedelta(0)
    )


def _service_prefixes(services: Sequence[str]) -> list[str]:
    reflection = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
    return [f"/{name}/" for name in (*sorted(services), HEALTH, *reflection)]


def _service_route(prefix: str, cluster: str, wanted: mesh.Edge) -> Route:
    # Only what was not begun is tried again: an API's call may not be one to be made twice.
    action = RouteAction(
        cluster=cluster,
        timeout=_NEVER,
        retry_policy=retry_policy(NOT_BEGUN),
    )
    is_open = bool(wanted.admin_key_sha256) and prefix == f"/{HEALTH}/"
    return Route(
        name=prefix,
        match=RouteMatch(prefix=prefix, grpc=_GRPC),
        route=action,
        # The manager looks at the key again, because its own port has no Envoy before it.
        request_headers_to_remove=[] if cluster == MANAGER_CLUSTER else ["authorization"],
        request_headers_to_add=[set_header(headers.MESH_TOKEN, wanted.token)]
        if wanted.token
        else [],
        typed_per_filter_config=access.disable_admin_filters() if is_open else {},
    )


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
