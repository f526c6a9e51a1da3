"""What listeners that face clients have in common: limits, protocols, headers removed. Pure."""

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
)
from envoy_data_plane.envoy.config.route.v3 import (
    Route,
    RouteConfiguration,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerPathWithEscapedSlashesAction,
    HttpFilter,
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
from hydro_envoy.policy import MAX_STREAMS
from hydro_envoy.resources import (
    clusters,
    local_replies,
    request_id,
)
from hydro_envoy.resources.routes import DONE

WINDOW_UPDATES = 10_000
"""For each frame of data that was sent. gRPC's clients send two for each message that they read,
and a frame of 16 KiB has thousands of small ones; Envoy's default of 10 cuts their connections."""


_TCP_USER_TIMEOUT = 18
"""Of Linux, which Envoy runs on; what builds its configuration need not."""
NEVER = timedelta(0)


def client_listener(
    name: str, host: str, port: int, manager: HttpConnectionManager, times: mesh.TimeLimits
) -> Listener:
    """With the time limits of clients, whom it faces."""
    manager.request_headers_timeout = timedelta(seconds=times.header_s)
    manager.stream_idle_timeout = timedelta(seconds=times.body_s)
    manager.stream_flush_timeout = timedelta(seconds=times.body_s)
    manager.common_http_protocol_options = HttpProtocolOptions(
        idle_timeout=timedelta(seconds=times.idle_s)
    )
    chain = filter_chain(manager)
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


def filter_chain(manager: HttpConnectionManager) -> FilterChain:
    return FilterChain(filters=[Filter(name="http", typed_config=Any.pack(manager))])


def client_connection_manager(
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
    route_config = RouteConfiguration(
        name=name,
        virtual_hosts=[host],
        response_headers_to_add=[request_id.ON_ANSWERS],
        response_headers_to_remove=[DONE, headers.ANSWER],
    )
    return HttpConnectionManager(
        stat_prefix=name,
        route_config=route_config,
        http_filters=list(http_filters),
        http_protocol_options=_client_http1(),
        http2_protocol_options=_client_http2(),
        early_header_mutation_extensions=[_strip_headers()],
        normalize_path=True,
        path_with_escaped_slashes_action=slashes,
        local_reply_config=local_replies.api_replies(behind, max_bytes),
        request_id_extension=request_id.keep_ids_extension(),
    )


def by_body(route: Route, timed: bool) -> Route:
    """For requests whose body has yet to come (`timed`), or has come as a whole; see body.lua."""
    come = MetadataMatcher(
        filter=headers.METADATA,
        path=[MetadataMatcherPathSegment(key=headers.BODY)],
        value=ValueMatcher(string_match=StringMatcher(exact=headers.WHOLE)),
    )
    if timed or route.match is None or route.route is None:
        return route
    match = replace(route.match, dynamic_metadata=[come])
    return replace(route, match=match, route=replace(route.route, idle_timeout=NEVER))


def _client_http1() -> Http1ProtocolOptions:
    every = StringMatcher(safe_regex=RegexMatcher(regex=".*"))
    return Http1ProtocolOptions(
        accept_http_10=True,
        default_host_for_http_10="localhost",
        # RFC 9110, 7.8: who does not speak what a client would rather speak goes on without.
        ignore_http_11_upgrade=[every],
    )


def _client_http2() -> Http2ProtocolOptions:
    return Http2ProtocolOptions(
        initial_stream_window_size=1024 * 1024,
        initial_connection_window_size=64 * 1024 * 1024,
        max_concurrent_streams=MAX_STREAMS,
        max_inbound_window_update_frames_per_data_frame_sent=WINDOW_UPDATES,
        # Frees the streams of clients that vanished.
        connection_keepalive=KeepaliveSettings(
            interval=timedelta(seconds=30), timeout=timedelta(seconds=10)
        ),
    )


def _strip_headers() -> TypedExtensionConfig:
    """Clients cannot set headers for stages, nor change Envoy's retries and timeouts."""
    matchers = [StringMatcher(exact=headers.SCOPE)]
    matchers += [StringMatcher(prefix=p, ignore_case=True) for p in (headers.PREFIX, "x-envoy-")]
    mutations = [
        HeaderMutation(remove_on_match=HeaderMutationRemoveOnMatch(key_matcher=m)) for m in matchers
    ]
    config = EarlyHeaderMutation(mutations=[*mutations, request_id.replace_unfit_id()])
    return TypedExtensionConfig(name="strip", typed_config=Any.pack(config))
