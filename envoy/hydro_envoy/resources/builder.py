"""A mesh as Envoy's resources. Pure but for the cache; cost follows what changed.

What builds is imported when the first resource is to be built: it takes a second, and a warm
cache needs none of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import partial
from pathlib import Path

from hydro_envoy.errors import DanglingReference, DuplicateName
from hydro_envoy.mesh import (
    Backend,
    Chain,
    Gateway,
    Mesh,
    Pipeline,
    Stage,
    Telemetry,
    TimeLimits,
    Upstream,
)
from hydro_envoy.nodes import ingress_name, port_name
from hydro_envoy.policy import StagePolicy
from hydro_envoy.resources import lazy_builders
from hydro_envoy.resources.cache import ResourceCache
from hydro_envoy.resources.names import cluster_roles
from hydro_envoy.snapshot import MANAGER_CLUSTER, Ref, Resource, ResourceType, Snapshot


def pipeline_ref(name: str) -> Ref:
    """The resource that stands for a pipeline: its scope, which refers to all it needs."""
    return Ref(ResourceType.SCOPE, name)


def listener_ref(name: str) -> Ref:
    """The resource of that name: the gateway, an API listener or an inner one."""
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
            DanglingReference: a stage or an API listener names a backend that is not in the mesh.
        """
        snapshot = Snapshot.from_resources(self._resources(mesh))
        snapshot.check()
        self._cache.turn()
        return snapshot

    def close(self) -> None:
        """Closes the cache on disk."""
        self._cache.close()

    def _resources(self, mesh: Mesh) -> Iterator[Resource]:
        get = self._cache.get
        for name in ("pipes", "chains", "shadows"):
            yield get(("inner cluster", name), partial(lazy_builders.inner_cluster, name))
        yield get(("callers", mesh.api_keys), partial(lazy_builders.callers_filter, mesh.api_keys))
        times = mesh.time_limits
        yield from self._listeners(mesh.gateway, mesh.telemetry, times)
        clusters: dict[tuple[str, StagePolicy], Upstream] = {}
        for role, policy, backend in _cluster_policies(mesh):
            secured = bool(mesh.sidecars)
            build = partial(lazy_builders.backend_cluster, role, policy, has_sidecars=secured)
            cluster = get(("cluster", role, policy, secured), build)
            clusters[role, policy] = Upstream(cluster.name)
            yield cluster
            yield self._endpoints(cluster.name, backend)
        for role, policy in _breaker_policies(mesh):
            behind = clusters[role, policy.without_breaker].cluster
            breaker = get(
                ("breaker", role, behind, policy),
                partial(lazy_builders.breaker_cluster, role, behind, policy),
            )
            clusters[role, policy] = Upstream(breaker.name, behind)
            yield breaker
        for listener in mesh.api_listeners:
            to = clusters.get((listener.backend, StagePolicy()))
            upstream = to.cluster if to else MANAGER_CLUSTER
            file = mesh.telemetry.access_log
            yield get(
                ("api listener", listener, upstream, file, times),
                partial(lazy_builders.api_listener, listener, upstream, file, times),
            )
        for pipeline in mesh.pipelines:
            for chain in pipeline.chains:
                yield from self._chain(chain, _chain_upstreams(chain.stages, clusters), mesh.token)
            if pipeline.has_policy_route:
                yield from self._policy_routes(pipeline, mesh.gateway.max_message_bytes)
        for waiting in mesh.pending:
            yield get(
                ("scope", waiting.name, ()), partial(lazy_builders.pipeline_scope, waiting.name, ())
            )
            yield get(("pending", waiting), partial(lazy_builders.pending_routes, waiting))
        if mesh.sidecars:
            yield from self._sidecars(mesh, clusters)

    def _listeners(
        self, gateway: Gateway, settings: Telemetry, times: TimeLimits
    ) -> Iterator[Resource]:
        get = self._cache.get
        if settings.tracing:
            yield get(
                ("collector", settings.tracing),
                partial(lazy_builders.collector_cluster, settings.tracing),
            )
        yield get(("pipes listener", settings), partial(lazy_builders.pipes_listener, settings))
        yield get(("limited listener",), lazy_builders.breaker_listener)
        yield get(
            ("gateway", gateway, settings, times),
            partial(lazy_builders.gateway_listener, gateway, settings, times),
        )

    def _endpoints(self, cluster: str, backend: Backend) -> Resource:
        addresses = tuple(sorted(set(backend.endpoints)))
        return self._cache.get(
            ("endpoints", cluster, addresses),
            partial(lazy_builders.backend_endpoints, cluster, addresses),
        )

    def _chain(
        self, chain: Chain, clusters: tuple[Upstream, ...], token: str
    ) -> Iterator[Resource]:
        get, name = self._cache.get, chain.scope
        yield get(("scope", name, clusters), partial(lazy_builders.pipeline_scope, name, clusters))
        yield get(
            ("routes", chain, clusters, token),
            partial(lazy_builders.chain_routes, chain, clusters, token),
        )

    def _sidecars(
        self, mesh: Mesh, clusters: Mapping[tuple[str, StagePolicy], Upstream]
    ) -> Iterator[Resource]:
        get, settings = self._cache.get, mesh.telemetry
        for each in mesh.sidecars:
            yield get(
                ("ingress", each, settings, each.token),
                partial(lazy_builders.ingress_listener, each, settings),
            )
            for port in sorted({route.to for route in each.routes}):
                name = port_name(each.node_id, port)
                yield get(("port", name), partial(lazy_builders.port_cluster, name))
                where = (each.control if port == "control" else each.traffic,)
                yield get(
                    ("endpoints", name, where),
                    partial(lazy_builders.backend_endpoints, name, where),
                )
        for backend in mesh.backends:
            yield get(
                ("processes", backend.name), partial(lazy_builders.processes_cluster, backend.name)
            )
        names = tuple(sorted(backend.name for backend in mesh.backends))
        yield get(("manager egress", names), partial(lazy_builders.manager_egress_routes, names))
        apis = tuple(
            (f"/{service}/", clusters[listener.backend, StagePolicy()].cluster)
            for listener in mesh.api_listeners
            if listener.backend != MANAGER_CLUSTER
            for service in listener.services
        )
        yield get(("egress", apis), partial(lazy_builders.egress_routes, apis))

    def _policy_routes(self, pipeline: Pipeline, max_bytes: int) -> Iterator[Resource]:
        get, name = self._cache.get, pipeline.name
        yield get(("scope", name, ()), partial(lazy_builders.pipeline_scope, name, ()))
        yield get(
            ("policy_routes", pipeline, max_bytes),
            partial(lazy_builders.policy_routes, pipeline, max_bytes),
        )


def _cluster_policies(mesh: Mesh) -> Iterator[tuple[str, StagePolicy, Backend]]:
    """One for each role of a backend, and for each policy that its stages have in that role.

    Policies that differ only in their circuit breaker share a cluster: see `_breaker_policies`.
    """
    with_api = {listener.backend for listener in mesh.api_listeners}
    stages = [s for p in mesh.pipelines for chain in p.chains for s in chain.stages]
    present = {backend.name for backend in mesh.backends}
    _check_backends("pipeline", {s.backend for s in stages}, present)
    _check_backends("API listener", with_api - {MANAGER_CLUSTER}, present)
    wanted: defaultdict[str, set[StagePolicy]] = defaultdict(set)
    for role, policy in _policies_by_role(mesh):
        wanted[role].add(policy.without_breaker)
    seen: set[str] = set()
    for backend in mesh.backends:
        if backend.name in seen:
            raise DuplicateName("backend", backend.name)
        seen.add(backend.name)
        for role in (backend.name,) if backend.name in with_api else cluster_roles(backend.name):
            for policy in sorted({StagePolicy(), *wanted[role]}):
                yield role, policy, backend


def _policies_by_role(mesh: Mesh) -> Iterator[tuple[str, StagePolicy]]:
    """The roles of backends in chains, with the policies of their stages."""
    for stages in (chain.stages for p in mesh.pipelines for chain in p.chains):
        yield from ((cluster_roles(stage.backend)[0], stage.policy) for stage in stages[:-1])
        yield cluster_roles(stages[-1].backend)[1], stages[-1].policy


def _breaker_policies(mesh: Mesh) -> list[tuple[str, StagePolicy]]:
    """One for each role and policy with a limit of its own."""
    return sorted({each for each in _policies_by_role(mesh) if each[1].is_limited})


def _chain_upstreams(
    stages: Sequence[Stage], clusters: Mapping[tuple[str, StagePolicy], Upstream]
) -> tuple[Upstream, ...]:
    """How each stage is reached."""
    middle = [clusters[cluster_roles(s.backend)[0], s.policy] for s in stages[:-1]]
    return (*middle, clusters[cluster_roles(stages[-1].backend)[1], stages[-1].policy])


def _check_backends(source: str, named: Set[str], present: Set[str]) -> None:
    if not named <= present:
        raise DanglingReference(source, "backend", named, present)
