"""A mesh as Envoy's resources. Pure but for the cache; cost follows what changed.

What builds is imported when the first resource is to be built: it takes a second, and a warm
cache needs none of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import partial
from pathlib import Path

from hydro_envoy.address import Address
from hydro_envoy.errors import DanglingReference, DuplicateName
from hydro_envoy.mesh import (
    ApiKey,
    Backend,
    Chain,
    Edge,
    Gateway,
    Mesh,
    Pending,
    Pipeline,
    Sidecar,
    Stage,
    StagePolicy,
    Telemetry,
    TimeLimits,
    Tracing,
    Upstream,
)
from hydro_envoy.nodes import ingress_name, port_name, processes_name
from hydro_envoy.resources.cache import ResourceCache
from hydro_envoy.resources.names import cluster_roles
from hydro_envoy.snapshot import MANAGER_CLUSTER, Ref, Resource, ResourceType, Snapshot


def pipeline_ref(name: str) -> Ref:
    """The resource that stands for a pipeline: its scope, which refers to all it needs."""
    return Ref(ResourceType.SCOPE, name)


def edge_ref(name: str) -> Ref:
    """The resource that stands for an edge: its listener."""
    return Ref(ResourceType.LISTENER, name)


def ingress_ref(node_id: str) -> Ref:
    """The resource by which others reach the process of a sidecar: its listener."""
    return Ref(ResourceType.LISTENER, ingress_name(node_id))


class Builder:
    """Builds snapshots and remembers the pieces. Not for use by two threads at a time."""

    def __init__(self, cache_dir: Path | None = None) -> None:
        """`cache_dir` keeps what was built over restarts; it is made if need be."""
        self._cache = ResourceCache(cache_dir)

    def build(self, mesh: Mesh) -> Snapshot:
        """All resources of a mesh, checked.

        Equal meshes give equal snapshots, byte for byte, whatever the order of their parts.

        Raises:
            DuplicateName: two backends, pipelines or listeners of one name.
            DanglingReference: a stage or an edge names a backend that is not in the mesh.
        """
        snapshot = Snapshot.of(self._resources(mesh))
        snapshot.check()
        self._cache.turn()
        return snapshot

    def close(self) -> None:
        """Closes the cache on disk."""
        self._cache.close()

    def _resources(self, mesh: Mesh) -> Iterator[Resource]:
        get = self._cache.get
        for name in ("pipes", "chains", "shadows"):
            yield get(("inner cluster", name), partial(_inner_cluster, name))
        yield get(("callers", mesh.api_keys), partial(_callers, mesh.api_keys))
        times = mesh.time_limits
        yield from self._listeners(mesh.gateway, mesh.telemetry, times)
        clusters: dict[tuple[str, StagePolicy], Upstream] = {}
        for role, policy, backend in _clusters(mesh):
            secured = bool(mesh.sidecars)
            build = partial(_cluster, role, policy, has_sidecars=secured)
            cluster = get(("cluster", role, policy, secured), build)
            clusters[role, policy] = Upstream(cluster.name)
            yield cluster
            yield self._endpoints(cluster.name, backend)
        for role, policy in _breakers(mesh):
            behind = clusters[role, policy.unlimited].cluster
            found = get(("breaker", role, behind, policy), partial(_breaker, role, behind, policy))
            clusters[role, policy] = Upstream(found.name, behind)
            yield found
        for edge in mesh.edges:
            to = clusters.get((edge.backend, StagePolicy()))
            upstream = to.cluster if to else MANAGER_CLUSTER
            file = mesh.telemetry.access_log
            yield get(
                ("edge", edge, upstream, file, times), partial(_edge, edge, upstream, file, times)
            )
        for pipeline in mesh.pipelines:
            for chain in pipeline.chains:
                yield from self._chain(chain, _upstreams(chain.stages, clusters), mesh.token)
            if pipeline.has_front:
                yield from self._front(pipeline, mesh.gateway.max_message_bytes)
        for waiting in mesh.pending:
            yield get(("scope", waiting.name, ()), partial(_scope, waiting.name, ()))
            yield get(("pending", waiting), partial(_pending, waiting))
        if mesh.sidecars:
            yield from self._sidecars(mesh, clusters)

    def _listeners(
        self, gateway: Gateway, told: Telemetry, times: TimeLimits
    ) -> Iterator[Resource]:
        get = self._cache.get
        if told.tracing:
            yield get(("collector", told.tracing), partial(_collector, told.tracing))
        yield get(("pipes listener", told), partial(_pipes, told))
        yield get(("limited listener",), _limited)
        yield get(("gateway", gateway, told, times), partial(_gateway, gateway, told, times))

    def _endpoints(self, cluster: str, backend: Backend) -> Resource:
        found = tuple(sorted(set(backend.endpoints)))
        return self._cache.get(("endpoints", cluster, found), partial(_endpoints, cluster, found))

    def _chain(
        self, chain: Chain, clusters: tuple[Upstream, ...], token: str
    ) -> Iterator[Resource]:
        get, name = self._cache.get, chain.scope
        yield get(("scope", name, clusters), partial(_scope, name, clusters))
        yield get(("routes", chain, clusters, token), partial(_routes, chain, clusters, token))

    def _sidecars(
        self, mesh: Mesh, clusters: Mapping[tuple[str, StagePolicy], Upstream]
    ) -> Iterator[Resource]:
        get, told = self._cache.get, mesh.telemetry
        for each in mesh.sidecars:
            yield get(("ingress", each, told, each.token), partial(_ingress, each, told))
            for port in sorted({route.to for route in each.routes}):
                name = port_name(each.node_id, port)
                yield get(("port", name), partial(_port, name))
                where = (each.control if port == "control" else each.traffic,)
                yield get(("endpoints", name, where), partial(_endpoints, name, where))
        for backend in mesh.backends:
            yield get(("processes", backend.name), partial(_processes, backend.name))
        names = tuple(sorted(backend.name for backend in mesh.backends))
        yield get(("manager egress", names), partial(_manager_egress, names))
        edges = tuple(
            (f"/{service}/", clusters[edge.backend, StagePolicy()].cluster)
            for edge in mesh.edges
            if edge.backend != MANAGER_CLUSTER
            for service in edge.services
        )
        yield get(("egress", edges), partial(_egress, edges))

    def _front(self, pipeline: Pipeline, max_bytes: int) -> Iterator[Resource]:
        get, name = self._cache.get, pipeline.name
        yield get(("scope", name, ()), partial(_scope, name, ()))
        yield get(("front", pipeline, max_bytes), partial(_front, pipeline, max_bytes))


def _clusters(mesh: Mesh) -> Iterator[tuple[str, StagePolicy, Backend]]:
    """One for each role of a backend, and for each policy that its stages have in that role.

    What only limits the requests of a stage makes no other: see `_breakers`.
    """
    edges = {edge.backend for edge in mesh.edges}
    stages = [s for p in mesh.pipelines for chain in p.chains for s in chain.stages]
    present = {backend.name for backend in mesh.backends}
    _check("pipeline", {s.backend for s in stages}, present)
    _check("edge", edges - {MANAGER_CLUSTER}, present)
    wanted: defaultdict[str, set[StagePolicy]] = defaultdict(set)
    for role, policy in _used(mesh):
        wanted[role].add(policy.unlimited)
    seen: set[str] = set()
    for backend in mesh.backends:
        if backend.name in seen:
            raise DuplicateName("backend", backend.name)
        seen.add(backend.name)
        for role in (backend.name,) if backend.name in edges else cluster_roles(backend.name):
            for policy in sorted({StagePolicy(), *wanted[role]}):
                yield role, policy, backend


def _used(mesh: Mesh) -> Iterator[tuple[str, StagePolicy]]:
    """The roles of backends in chains, with the policies of their stages."""
    for stages in (chain.stages for p in mesh.pipelines for chain in p.chains):
        yield from ((cluster_roles(stage.backend)[0], stage.policy) for stage in stages[:-1])
        yield cluster_roles(stages[-1].backend)[1], stages[-1].policy


def _breakers(mesh: Mesh) -> list[tuple[str, StagePolicy]]:
    """One for each role and policy with a limit of its own."""
    return sorted({each for each in _used(mesh) if each[1].is_limited})


def _upstreams(
    stages: Sequence[Stage], clusters: Mapping[tuple[str, StagePolicy], Upstream]
) -> tuple[Upstream, ...]:
    """How each stage is reached."""
    middle = [clusters[cluster_roles(s.backend)[0], s.policy] for s in stages[:-1]]
    return (*middle, clusters[cluster_roles(stages[-1].backend)[1], stages[-1].policy])


def _check(source: str, named: Set[str], present: Set[str]) -> None:
    if not named <= present:
        raise DanglingReference(source, "backend", named, present)


# What follows imports what builds, a second's work, only when it is called.


def _cluster(backend: str, policy: StagePolicy, *, has_sidecars: bool) -> Resource:
    from hydro_envoy.resources import clusters

    return clusters.backend_cluster(backend, policy, has_sidecars=has_sidecars)


def _breaker(backend: str, behind: str, policy: StagePolicy) -> Resource:
    from hydro_envoy.resources import clusters

    return clusters.breaker_cluster(backend, behind, policy)


def _limited() -> Resource:
    from hydro_envoy.resources import listeners

    return listeners.breaker_listener()


def _endpoints(cluster: str, found: tuple[Address, ...]) -> Resource:
    from hydro_envoy.resources import clusters

    return clusters.backend_endpoints(cluster, found)


def _inner_cluster(name: str) -> Resource:
    from hydro_envoy.resources import clusters

    return clusters.inner_cluster(name)


def _collector(tracing: Tracing) -> Resource:
    from hydro_envoy.resources import telemetry

    return telemetry.collector_cluster(tracing)


def _pipes(told: Telemetry) -> Resource:
    from hydro_envoy.resources import listeners

    return listeners.pipes_listener(told)


def _callers(api_keys: tuple[ApiKey, ...]) -> Resource:
    from hydro_envoy.resources import access

    return access.callers_filter(api_keys)


def _gateway(wanted: Gateway, told: Telemetry, times: TimeLimits) -> Resource:
    from hydro_envoy.resources import listeners

    return listeners.gateway_listener(wanted, told, times)


def _edge(wanted: Edge, cluster: str, access_log: str, times: TimeLimits) -> Resource:
    from hydro_envoy.resources import listeners

    return listeners.edge_listener(wanted, cluster, access_log, times)


def _scope(name: str, clusters: tuple[Upstream, ...]) -> Resource:
    from hydro_envoy.resources import routes

    return routes.pipeline_scope(name, clusters)


def _routes(chain: Chain, clusters: tuple[Upstream, ...], token: str) -> Resource:
    from hydro_envoy.resources import routes

    return routes.chain_routes(chain, clusters, token)


def _front(pipeline: Pipeline, max_message_bytes: int) -> Resource:
    from hydro_envoy.resources import policy_route

    return policy_route.policy_routes(pipeline, max_message_bytes)


def _pending(waiting: Pending) -> Resource:
    from hydro_envoy.resources import routes

    return routes.pending_routes(waiting)


def _ingress(wanted: Sidecar, told: Telemetry) -> Resource:
    from hydro_envoy.resources import sidecars

    return sidecars.ingress_listener(wanted, told)


def _port(name: str) -> Resource:
    from hydro_envoy.resources import sidecars

    return sidecars.port_cluster(name)


def _processes(service: str) -> Resource:
    from hydro_envoy.resources import sidecars

    return sidecars.processes_cluster(service)


def _manager_egress(services: tuple[str, ...]) -> Resource:
    from hydro_envoy.resources import sidecars

    return sidecars.manager_egress_routes({name: processes_name(name) for name in services})


def _egress(edges: tuple[tuple[str, str], ...]) -> Resource:
    from hydro_envoy.resources import sidecars

    return sidecars.egress_routes(edges)
