"""The resources of sidecars: what comes in to a process, and how it reaches others. Pure.

Other machines' calls come to the *ingress*, a listener of the sidecar, which passes each path on to
the port of its process that takes it. What the process calls goes to the *egress*, a listener on
loopback that stands in the bootstrap and gets its routes by RDS: to the manager, to what has an
API listener, and, for the manager itself, to any single process. Such a call has two headers:

- `x-hydro-service`: the service of the process
- `x-hydro-address`: ip:port of its sidecar's ingress
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
    ClusterLbPolicy,
    ClusterOriginalDstLbConfig,
)
from envoy_data_plane.envoy.config.core.v3 import Http2ProtocolOptions, KeepaliveSettings
from envoy_data_plane.envoy.config.listener.v3 import (
    Filter,
    FilterChain,
    FilterChainMatch,
    Listener,
    ListenerFilter,
)
from envoy_data_plane.envoy.config.route.v3 import (
    HeaderMatcher,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.listener.tls_inspector.v3 import TlsInspector
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerForwardClientCertDetails,
    HttpConnectionManagerSetCurrentClientCertDetails,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any

from hydro_envoy import headers, mesh
from hydro_envoy.mesh import IngressRoute, Sidecar
from hydro_envoy.nodes import (
    EGRESS,
    JOIN_NAME,
    MANAGER_EGRESS,
    ingress_name,
    port_name,
    processes_name,
)
from hydro_envoy.policy import MAX_STREAMS
from hydro_envoy.resources import clusters, filters, tls, tracing
from hydro_envoy.resources.config_source import ads_source
from hydro_envoy.resources.routes import set_header
from hydro_envoy.snapshot import (
    MANAGER_CLUSTER,
    Ref,
    Resource,
    ResourceType,
    make_resource,
)

JOINING = "/hydro.manager.v1.CertificateService/"

_NEVER = timedelta(0)


def ingress_listener(wanted: Sidecar, settings: mesh.Telemetry) -> Resource:
    """The listener for the other machines."""
    chains = [_filter_chain(wanted, wanted.routes, settings)]
    if wanted.is_manager:
        chains.append(
            _filter_chain(wanted, [IngressRoute(JOINING, "control")], settings, joining=True)
        )
    built = Listener(
        name=ingress_name(wanted.node_id),
        address=clusters.socket_address(wanted.ingress.host, wanted.ingress.port),
        listener_filters=[_tls_inspector()] if wanted.is_manager else [],
        filter_chains=chains,
        per_connection_buffer_limit_bytes=clusters.BUFFER_BYTES,
    )
    refs = [
        Ref(type_, port_name(wanted.node_id, to))
        for type_ in (ResourceType.CLUSTER, ResourceType.ENDPOINTS)
        for to in sorted({route.to for route in wanted.routes})
    ]
    refs += tracing.collector_refs(settings)
    return make_resource(ResourceType.LISTENER, built.name, bytes(built), refs)


def _filter_chain(
    wanted: Sidecar,
    routes: Sequence[IngressRoute],
    settings: mesh.Telemetry,
    *,
    joining: bool = False,
) -> FilterChain:
    """For those of the mesh; or for who joins it, has no certificate, and asks by that name."""
    ingress_routes = [_ingress_route(wanted, route, joining=joining) for route in routes]
    manager = HttpConnectionManager(
        stat_prefix="joining" if joining else "ingress",
        route_config=RouteConfiguration(
            name="ingress", virtual_hosts=[_virtual_host(ingress_routes)]
        ),
        http_filters=[*([] if joining else [tls.callers_filter()]), filters.router_filter()],
        stream_idle_timeout=_NEVER,
        # What a caller says of itself is thrown away; what its certificate says is passed on.
        forward_client_cert_details=HttpConnectionManagerForwardClientCertDetails.SANITIZE_SET,
        set_current_client_cert_details=HttpConnectionManagerSetCurrentClientCertDetails(uri=True),
        http2_protocol_options=_ingress_http2(),
        tracing=tracing.sidecar_tracing(settings),
    )
    return FilterChain(
        filter_chain_match=FilterChainMatch(server_names=[JOIN_NAME]) if joining else None,
        filters=[Filter(name="http", typed_config=Any.pack(manager))],
        transport_socket=tls.tls_from_mesh(required=not joining),
        name="joining" if joining else "mesh",
    )


def _ingress_http2() -> Http2ProtocolOptions:
    """A caller that is frozen, or cut off, is gone as soon as it is where there are no sidecars."""
    return replace(
        clusters.inner_http2(),
        connection_keepalive=KeepaliveSettings(
            interval=timedelta(seconds=2), timeout=timedelta(seconds=5)
        ),
    )


def _tls_inspector() -> ListenerFilter:
    return ListenerFilter(name="tls_inspector", typed_config=Any.pack(TlsInspector()))


def port_cluster(name: str) -> Resource:
    """The cluster that leads to a port of the sidecar's own process.

    No health check: those of whoever calls pass through to the process. Only the sidecar can see
    that the process is hung: it answers the PINGs of callers itself.
    """
    built = Cluster(
        name=name,
        type=ClusterDiscoveryType.EDS,
        eds_cluster_config=ClusterEdsClusterConfig(eds_config=ads_source()),
        connect_timeout=timedelta(seconds=1),
        per_connection_buffer_limit_bytes=clusters.BUFFER_BYTES,
        typed_extension_protocol_options=clusters.http2_upstream(keepalive=True),
        circuit_breakers=clusters.circuit_breakers(MAX_STREAMS),
    )
    refs = [Ref(ResourceType.ENDPOINTS, name)]
    return make_resource(ResourceType.CLUSTER, name, bytes(built), refs)


def egress_routes(cluster_by_prefix: Sequence[tuple[str, str]]) -> Resource:
    """To backends by the prefix of the path, each with its cluster; all else to the manager."""
    routes = [
        Route(match=RouteMatch(prefix=prefix), route=_to_cluster(cluster))
        for prefix, cluster in cluster_by_prefix
    ]
    routes.append(Route(match=RouteMatch(prefix="/"), route=_to_cluster(MANAGER_CLUSTER)))
    return _route_resource(EGRESS, routes, sorted({cluster for _, cluster in cluster_by_prefix}))


def manager_egress_routes(services: Mapping[str, str]) -> Resource:
    """To single processes, by the services' clusters: see the module."""
    routes = [
        Route(
            match=RouteMatch(prefix="/", headers=[_for_service(service)]),
            route=_to_cluster(cluster),
        )
        for service, cluster in sorted(services.items())
    ]
    return _route_resource(MANAGER_EGRESS, routes, sorted(services.values()), endpoints=False)


def processes_cluster(service: str) -> Resource:
    """A cluster by which managers reach single processes, at the address that the header has."""
    built = Cluster(
        name=processes_name(service),
        type=ClusterDiscoveryType.ORIGINAL_DST,
        lb_policy=ClusterLbPolicy.CLUSTER_PROVIDED,
        original_dst_lb_config=ClusterOriginalDstLbConfig(
            use_http_header=True, http_header_name=headers.ADDRESS
        ),
        connect_timeout=timedelta(seconds=1),
        per_connection_buffer_limit_bytes=clusters.BUFFER_BYTES,
        typed_extension_protocol_options=clusters.http2_upstream(keepalive=True),
        circuit_breakers=clusters.circuit_breakers(MAX_STREAMS),
        transport_socket=tls.tls_to_service(service),
    )
    return make_resource(ResourceType.CLUSTER, built.name, bytes(built))


def _ingress_route(wanted: Sidecar, route: IngressRoute, *, joining: bool) -> Route:
    return Route(
        match=RouteMatch(prefix=route.prefix),
        route=_to_cluster(port_name(wanted.node_id, route.to)),
        request_headers_to_add=[set_header(headers.MESH_TOKEN, wanted.token)]
        if wanted.token
        else [],
        typed_per_filter_config={} if joining else tls.may_call(route.callers),
    )


def _to_cluster(cluster: str) -> RouteAction:
    return RouteAction(cluster=cluster, timeout=_NEVER)


def _for_service(service: str) -> HeaderMatcher:
    return HeaderMatcher(name=headers.SERVICE, string_match=StringMatcher(exact=service))


def _virtual_host(routes: Sequence[Route]) -> VirtualHost:
    return VirtualHost(name="all", domains=["*"], routes=list(routes))


def _route_resource(
    name: str, routes: Sequence[Route], upstreams: Sequence[str], *, endpoints: bool = True
) -> Resource:
    built = RouteConfiguration(name=name, virtual_hosts=[_virtual_host(routes)])
    types = (ResourceType.CLUSTER, ResourceType.ENDPOINTS)[: 2 if endpoints else 1]
    refs = [Ref(type_, cluster) for type_ in types for cluster in upstreams]
    return make_resource(ResourceType.ROUTES, name, bytes(built), refs)
