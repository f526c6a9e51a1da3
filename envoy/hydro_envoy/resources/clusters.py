"""Clusters and endpoints of backends. Pure; builds with envoy-data-plane, so import it late.

A cluster is immutable: its name has a hash of its configuration, so that a change makes a new
cluster. Envoy cuts the ext_proc streams of a cluster that changes or goes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypedDict

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
    ClusterLbPolicy,
    LoadBalancingPolicy,
    LoadBalancingPolicyPolicy,
    OutlierDetection,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    EnvoyInternalAddress,
    HealthCheck,
    HealthCheckGrpcHealthCheck,
    Http2ProtocolOptions,
    KeepaliveSettings,
    SocketAddress,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.load_balancing_policies.least_request.v3 import (
    LeastRequest,
    LeastRequestSelectionMethod,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any

from hydro_envoy.address import Address as HostPort
from hydro_envoy.mesh import CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES
from hydro_envoy.policy import MAX_STREAMS, LbPolicy, StagePolicy
from hydro_envoy.resources import tls
from hydro_envoy.resources.config_source import ads_source
from hydro_envoy.resources.names import backend_of
from hydro_envoy.snapshot import Ref, Resource, ResourceType, content_hash, make_resource

PIPES = "pipes"
"""The internal listener that serves every pipeline, and the cluster that leads to it."""

CHAINS, SHADOWS = "chains", "shadows"
"""Clusters that lead from a policy route to its pipeline's chains, in the same listener.

Connections of their own: on one that is shared, requests that wait at a policy route could fill the
window that the same requests need to go on; and shadows that hang must not hold up the others.
"""

LIMITED = "limited"
"""The internal listener behind circuit breakers."""

MAX_SHADOWS = 128
"""Copies under way at a time: what they hold stays under a connection's window."""

BUFFER_BYTES = 256 * 1024

HUNG_S = 2.5
"""A process that says nothing for so long gets no more requests. Half a second later connections
to it are closed, so that what it was given before is run again elsewhere."""

MOST_EJECTIONS = 3
"""A process that keeps failing is left out for at most so many times the first period."""


class LbFields(TypedDict, total=False):
    """Of Cluster, for how the next process is chosen."""

    lb_policy: ClusterLbPolicy
    load_balancing_policy: LoadBalancingPolicy


def backend_cluster(backend_name: str, policy: StagePolicy, *, has_sidecars: bool) -> Resource:
    """The cluster of a backend; its endpoints come by EDS under the same name."""
    service = backend_of(backend_name) if has_sidecars else None
    # The name has a hash of the cluster's own content: another content is another cluster, beside
    # the old one, whose streams then end by themselves.
    name = (
        f"{backend_name}-{content_hash(bytes(_backend_cluster(backend_name, policy, service)))[:8]}"
    )
    refs = [Ref(ResourceType.ENDPOINTS, name)]
    return make_resource(
        ResourceType.CLUSTER, name, bytes(_backend_cluster(name, policy, service)), refs
    )


def breaker_cluster(backend_name: str, behind: str, policy: StagePolicy) -> Resource:
    """The cluster that counts what a stage has under way, and leads on to the backend's.

    It leads there by an internal listener: of its own it has neither connections to processes nor
    health checks, of which Envoy would make as many as there are stages with a circuit breaker.
    """
    # All that makes it another cluster; what it leads to is in the name of that.
    limit = f"{behind} {policy.max_requests} {policy.breaker}"
    name = f"{backend_name}-{content_hash(limit.encode())[:8]}"
    built = _inner_cluster(name, LIMITED, policy.max_requests)
    return make_resource(
        ResourceType.CLUSTER, name, bytes(built), [Ref(ResourceType.CLUSTER, behind)]
    )


def backend_endpoints(cluster_name: str, found: tuple[HostPort, ...]) -> Resource:
    """Where the backend's processes listen; none is a valid state: UNAVAILABLE."""
    assignment = ClusterLoadAssignment(
        cluster_name=cluster_name,
        endpoints=[LocalityLbEndpoints(lb_endpoints=[_lb_endpoint(e) for e in sorted(found)])],
    )
    return make_resource(ResourceType.ENDPOINTS, cluster_name, bytes(assignment))


def inner_cluster(name: str) -> Resource:
    """A way to the internal listener of all pipelines: `PIPES`, `CHAINS` or `SHADOWS`."""
    built = _inner_cluster(name, PIPES, MAX_SHADOWS if name == SHADOWS else MAX_STREAMS)
    return make_resource(ResourceType.CLUSTER, name, bytes(built))


def _inner_cluster(name: str, listener: str, max_requests: int) -> Cluster:
    inner = Address(envoy_internal_address=EnvoyInternalAddress(server_listener_name=listener))
    lb_endpoint = LbEndpoint(endpoint=Endpoint(address=inner))
    return Cluster(
        name=name,
        type=ClusterDiscoveryType.STATIC,
        connect_timeout=timedelta(seconds=1),
        load_assignment=ClusterLoadAssignment(
            cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=[lb_endpoint])]
        ),
        per_connection_buffer_limit_bytes=BUFFER_BYTES,
        typed_extension_protocol_options=http2_upstream(keepalive=False),
        circuit_breakers=circuit_breakers(max_requests),
    )


def inner_http2() -> Http2ProtocolOptions:
    """Of a listener that takes from Envoys, this one too, what has passed a public listener."""
    return Http2ProtocolOptions(
        initial_stream_window_size=STREAM_WINDOW_BYTES,
        initial_connection_window_size=CONNECTION_WINDOW_BYTES,
        max_concurrent_streams=MAX_STREAMS,
    )


def http2_upstream(*, keepalive: bool) -> dict[str, Any]:
    """Options of a cluster that speaks HTTP/2 in clear text."""
    alive = KeepaliveSettings(
        # Longer than the health check takes: first no more requests, then the connections.
        interval=timedelta(seconds=1),
        timeout=timedelta(seconds=HUNG_S + 0.5),
    )
    http2 = Http2ProtocolOptions(
        initial_stream_window_size=STREAM_WINDOW_BYTES,
        initial_connection_window_size=CONNECTION_WINDOW_BYTES,
        connection_keepalive=alive if keepalive else None,
    )
    options = HttpProtocolOptions(
        explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(http2_protocol_options=http2)
    )
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": Any.pack(options)}


def _backend_cluster(name: str, policy: StagePolicy, service: str | None) -> Cluster:
    return Cluster(
        name=name,
        type=ClusterDiscoveryType.EDS,
        eds_cluster_config=ClusterEdsClusterConfig(eds_config=ads_source()),
        connect_timeout=timedelta(seconds=1),
        **_lb_policy(policy.lb_policy),
        per_connection_buffer_limit_bytes=BUFFER_BYTES,
        typed_extension_protocol_options=http2_upstream(keepalive=True),
        circuit_breakers=circuit_breakers(MAX_STREAMS),
        health_checks=[_health_check()],
        # A dead instance is worse than a clear UNAVAILABLE: never fall back on unhealthy ones.
        # By default threads hear of a process that was started again up to a second late.
        common_lb_config=ClusterCommonLbConfig(
            healthy_panic_threshold=Percent(value=0.0), update_merge_window=timedelta(0)
        ),
        outlier_detection=_outlier_detection(policy),
        # Else a process that was taken out keeps its traffic as long as it is healthy.
        ignore_health_on_host_removal=True,
        transport_socket=tls.tls_to_service(service) if service else None,
    )


def _lb_policy(name: LbPolicy) -> LbFields:
    """Fields of Cluster.

    Least request looks at all processes: of two at random, both may be the one that is slow.
    """
    if name != "least_request":
        return {"lb_policy": ClusterLbPolicy[name.upper()]}
    scan = LeastRequest(selection_method=LeastRequestSelectionMethod.FULL_SCAN)
    extension = TypedExtensionConfig(
        name="envoy.load_balancing_policies.least_request", typed_config=Any.pack(scan)
    )
    lb_policy = LoadBalancingPolicyPolicy(typed_extension_config=extension)
    return {"load_balancing_policy": LoadBalancingPolicy(policies=[lb_policy])}


def _health_check() -> HealthCheck:
    """Quick to take back a part that was restarted; patient with one that is only slow."""
    quick = timedelta(milliseconds=250)
    return HealthCheck(
        timeout=timedelta(seconds=HUNG_S),
        interval=quick,
        no_traffic_interval=quick,
        # One failed check is enough: it has waited for HUNG_S already.
        unhealthy_threshold=1,
        healthy_threshold=1,
        # Not the cluster's name: an @ in it is no authority to an Envoy.
        grpc_health_check=HealthCheckGrpcHealthCheck(authority="hydro"),
    )


def _outlier_detection(policy: StagePolicy) -> OutlierDetection:
    """By what a process answers alone: whether it can be reached is the health check's to say.

    A check that is well takes nobody back, else who fails would be left out for 250 ms at a time.
    Who fails on stays out longer each time, but never so long that a restart is held up.
    """
    out = timedelta(seconds=policy.base_ejection_time_s)
    return OutlierDetection(
        consecutive_5xx=policy.consecutive_gateway_failure,
        consecutive_gateway_failure=policy.consecutive_gateway_failure,
        enforcing_consecutive_gateway_failure=100,
        interval=timedelta(seconds=policy.interval_s),
        base_ejection_time=out,
        # Envoy lengthens the time by one period for each ejection, and shortens it while all is
        # well.
        max_ejection_time=out * MOST_EJECTIONS,
        max_ejection_percent=policy.max_ejection_percent,
        successful_active_health_check_uneject_host=False,
        split_external_local_origin_errors=True,
        enforcing_consecutive_local_origin_failure=0,
        enforcing_local_origin_success_rate=0,
    )


def circuit_breakers(max_requests: int) -> CircuitBreakers:
    """With the defaults raised that would stop long streams."""
    limits = CircuitBreakersThresholds(
        max_connections=MAX_STREAMS,
        max_pending_requests=MAX_STREAMS,
        max_requests=max_requests,
        # At a time: when a process dies, all that was under way on it is tried again at once.
        max_retries=1_000,
    )
    return CircuitBreakers(thresholds=[limits])


def _lb_endpoint(where: HostPort) -> LbEndpoint:
    return LbEndpoint(endpoint=Endpoint(address=socket_address(where.host, where.port)))


def socket_address(host: str, port: int) -> Address:
    """A TCP address."""
    return Address(socket_address=SocketAddress(address=host, port_value=port))
