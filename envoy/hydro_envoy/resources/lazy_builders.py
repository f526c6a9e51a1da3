"""Lazy wrappers: each imports its builder module, which takes a second, on first use."""

from __future__ import annotations

from hydro_envoy.address import Address
from hydro_envoy.mesh import (
    ApiListener,
    Chain,
    Gateway,
    Pending,
    Pipeline,
    Sidecar,
    Telemetry,
    TimeLimits,
    Tracing,
    Upstream,
)
from hydro_envoy.nodes import processes_name
from hydro_envoy.policy import ApiKey, StagePolicy
from hydro_envoy.snapshot import Resource


def backend_cluster(backend: str, policy: StagePolicy, *, has_sidecars: bool) -> Resource:
    from hydro_envoy.resources import clusters

    return clusters.backend_cluster(backend, policy, has_sidecars=has_sidecars)


def breaker_cluster(backend: str, behind: str, policy: StagePolicy) -> Resource:
    from hydro_envoy.resources import clusters

    return clusters.breaker_cluster(backend, behind, policy)


def breaker_listener() -> Resource:
    from hydro_envoy.resources import internal_listeners

    return internal_listeners.breaker_listener()


def backend_endpoints(cluster: str, found: tuple[Address, ...]) -> Resource:
    from hydro_envoy.resources import clusters

    return clusters.backend_endpoints(cluster, found)


def inner_cluster(name: str) -> Resource:
    from hydro_envoy.resources import clusters

    return clusters.inner_cluster(name)


def collector_cluster(wanted: Tracing) -> Resource:
    from hydro_envoy.resources import tracing

    return tracing.collector_cluster(wanted)


def pipes_listener(settings: Telemetry) -> Resource:
    from hydro_envoy.resources import internal_listeners

    return internal_listeners.pipes_listener(settings)


def callers_filter(api_keys: tuple[ApiKey, ...]) -> Resource:
    from hydro_envoy.resources import access

    return access.callers_filter(api_keys)


def gateway_listener(wanted: Gateway, settings: Telemetry, times: TimeLimits) -> Resource:
    from hydro_envoy.resources import listeners

    return listeners.gateway_listener(wanted, settings, times)


def api_listener(wanted: ApiListener, cluster: str, access_log: str, times: TimeLimits) -> Resource:
    from hydro_envoy.resources import listeners

    return listeners.api_listener(wanted, cluster, access_log, times)


def pipeline_scope(name: str, clusters: tuple[Upstream, ...]) -> Resource:
    from hydro_envoy.resources import routes

    return routes.pipeline_scope(name, clusters)


def chain_routes(chain: Chain, clusters: tuple[Upstream, ...], token: str) -> Resource:
    from hydro_envoy.resources import routes

    return routes.chain_routes(chain, clusters, token)


def policy_routes(pipeline: Pipeline, max_message_bytes: int) -> Resource:
    from hydro_envoy.resources import policy_route

    return policy_route.policy_routes(pipeline, max_message_bytes)


def pending_routes(waiting: Pending) -> Resource:
    from hydro_envoy.resources import routes

    return routes.pending_routes(waiting)


def ingress_listener(wanted: Sidecar, settings: Telemetry) -> Resource:
    from hydro_envoy.resources import sidecars

    return sidecars.ingress_listener(wanted, settings)


def port_cluster(name: str) -> Resource:
    from hydro_envoy.resources import sidecars

    return sidecars.port_cluster(name)


def processes_cluster(service: str) -> Resource:
    from hydro_envoy.resources import sidecars

    return sidecars.processes_cluster(service)


def manager_egress_routes(services: tuple[str, ...]) -> Resource:
    from hydro_envoy.resources import sidecars

    return sidecars.manager_egress_routes({name: processes_name(name) for name in services})


def egress_routes(cluster_by_prefix: tuple[tuple[str, str], ...]) -> Resource:
    from hydro_envoy.resources import sidecars

    return sidecars.egress_routes(cluster_by_prefix)
