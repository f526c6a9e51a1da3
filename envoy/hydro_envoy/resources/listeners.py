"""The listeners that clients connect to: the gateway and the API listeners. Pure.

Two levels are needed: the chain of a route is chosen by the first match of the route, so the
gateway must have set `x-pipeline` before the request reaches the listener that picks the route.
With both in one connection manager Envoy would silently skip the stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from envoy_data_plane.envoy.config.route.v3 import (
    Route,
    RouteAction,
    RouteActionMaxStreamDuration,
    RouteMatch,
    RouteMatchGrpcRouteMatchOptions,
)

from hydro_envoy import headers, mesh
from hydro_envoy.resources import (
    access,
    access_logs,
    clusters,
    filters,
    limits,
    paths,
    request_metrics,
    tracing,
    web_pages,
)
from hydro_envoy.resources.client_listener import (
    NEVER,
    by_body,
    client_connection_manager,
    client_listener,
)
from hydro_envoy.resources.retries import NOT_BEGUN, UNAVAILABLE, retry_policy
from hydro_envoy.resources.routes import set_header
from hydro_envoy.snapshot import MANAGER_CLUSTER, Ref, Resource, ResourceType, make_resource

GATEWAY = "gateway"
SERVICE = "hydro.serving.v1.PredictionService"
HEALTH = "grpc.health.v1.Health"
UNARY_LIMIT = timedelta(seconds=60)
"""How long `Predict` may take when the client sets no deadline."""


API_BUFFER_BYTES = 16 * 1024 * 1024
"""The greatest message of an API that is not streamed."""


_GRPC = RouteMatchGrpcRouteMatchOptions()


def gateway_listener(
    wanted: mesh.Gateway, settings: mesh.Telemetry, times: mesh.TimeLimits
) -> Resource:
    """Takes gRPC and JSON, reads the pipeline's name from the first message, leads to `pipes`."""
    limit = limits.retry_buffer_bytes(wanted.max_message_bytes)
    most = limits.body_bytes(wanted.max_message_bytes)
    manager = client_connection_manager(
        GATEWAY,
        "pipeline",
        wanted.max_message_bytes,
        [
            # First in the list is nearest to the client: it sees what all others answer, and gives
            # it the one form. Last is the router.
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
                by_body(_pipeline_route(method, limit, duration), timed)
                for method, duration in (
                    ("Predict", _unary_duration()),
                    ("PredictStream", None),
                    ("Serve", None),
                )
                # Twice each: before the body has come whole with a limit on its time, afterwards
                # without.
                for timed in (False, True)
            ),
            *paths.wrong_method_routes([SERVICE], wanted.descriptor_set),
        ],
    )
    manager.tracing = tracing.gateway_tracing(settings)
    manager.access_log = [
        *request_metrics.gateway_metrics(),
        *access_logs.gateway_logs(settings.access_log),
    ]
    built = client_listener(GATEWAY, wanted.host, wanted.port, manager, times)
    refs = [Ref(ResourceType.CLUSTER, clusters.PIPES), *tracing.collector_refs(settings)]
    return make_resource(ResourceType.LISTENER, GATEWAY, bytes(built), refs)


def api_listener(
    wanted: mesh.ApiListener, cluster: str, access_log: str, times: mesh.TimeLimits
) -> Resource:
    """A service's port: its gRPC services, and the HTTP paths that their annotations give."""
    key = wanted.admin_key_sha256
    manager = client_connection_manager(
        wanted.name,
        wanted.name,
        API_BUFFER_BYTES,
        [
            filters.errors_filter(),
            *([web_pages.foreign_pages_filter()] if wanted.is_local else []),
            filters.requests_filter("api_listener"),
            *(access.admin_filters(key) if key else ()),
            filters.transcoder_filter(wanted.services, wanted.descriptor_set, API_BUFFER_BYTES),
            filters.router_filter(),
        ],
        [
            *(
                by_body(_service_route(prefix, cluster, wanted), timed)
                for prefix in _service_prefixes(wanted.services)
                for timed in (False, True)
            ),
            *paths.wrong_method_routes(wanted.services, wanted.descriptor_set),
        ],
    )
    manager.access_log = access_logs.api_logs(wanted.name, access_log)
    built = client_listener(wanted.name, wanted.host, wanted.port, manager, times)
    static = cluster == MANAGER_CLUSTER
    types = () if static else (ResourceType.CLUSTER, ResourceType.ENDPOINTS)
    refs = [Ref(type_, cluster) for type_ in types]
    return make_resource(ResourceType.LISTENER, wanted.name, bytes(built), refs)


def _pipeline_route(
    method: str, limit: int, duration: RouteActionMaxStreamDuration | None
) -> Route:
    action = RouteAction(
        cluster=clusters.PIPES,
        timeout=NEVER,
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


def _service_route(prefix: str, cluster: str, wanted: mesh.ApiListener) -> Route:
    # Only what was not begun is tried again: an API's call may not be one to be made twice.
    action = RouteAction(
        cluster=cluster,
        timeout=NEVER,
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
