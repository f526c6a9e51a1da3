"""A fake Envoy without I/O, that holds the server to the rules.

It fails the test at once when the server breaks a rule of
https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol, or sends a route before its
cluster, or takes a cluster from under a route. It subscribes as Envoy does: to everything, but to
endpoints, filters and routes by the clusters, listeners and scopes it has. It refuses bodies with
`bad`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hydro_envoy.snapshot import Ref, Resource, ResourceType, Snapshot, make_resource
from hydro_envoy.xds.messages import Request, Response

BY_NAME = {
    ResourceType.ENDPOINTS: ResourceType.CLUSTER,
    ResourceType.FILTER: ResourceType.LISTENER,
    ResourceType.ROUTES: ResourceType.SCOPE,
}
"""The types asked for by name, and the type whose resources bring the names."""


class EnvoyClient:
    """What an Envoy has, and which requests it sends."""

    def __init__(self, *, incremental: bool = True) -> None:
        self.incremental = incremental
        self.held: dict[ResourceType, dict[str, Resource]] = {t: {} for t in ResourceType}
        self.received: list[Response] = []
        self.started: set[ResourceType] = set()
        self._nonces: dict[ResourceType, str] = {}
        self._asked: dict[ResourceType, set[str]] = {t: set() for t in BY_NAME}

    def start(self, type_: ResourceType) -> list[Request]:
        """The first request for a type; for types asked for by name only when there are names."""
        self.started.add(type_)
        versions = {n: r.version for n, r in self.held[type_].items()} if self.incremental else {}
        if type_ not in BY_NAME:
            return [Request(type_, initial_versions=versions)]
        return self._ask(type_, versions)

    def reconnect(self) -> None:
        """The stream broke: what is held stays, the protocol starts anew."""
        self.started.clear()
        self._nonces.clear()
        self._asked = {t: set() for t in BY_NAME}

    def answer(self, response: Response) -> list[Request]:
        """Accepts or refuses; then asks for what the change made it want."""
        self._check(response)
        self.received.append(response)
        self._nonces[response.type] = response.nonce
        bad = [r.name for r in response.resources if b"bad" in r.body]
        if bad:
            return [self._answer(response, f"refused: {', '.join(bad)}")]
        self._take(response)
        children = [child for child, parent in BY_NAME.items() if parent is response.type]
        asked = [request for child in children for request in self._ask(child)]
        return [self._answer(response, None), *asked]

    def _answer(self, response: Response, error: str | None) -> Request:
        names = tuple(sorted(self._asked.get(response.type, ())))
        request = Request(response.type, nonce=response.nonce, error=error)
        return request if self.incremental else replace(request, names=names)

    def _ask(self, type_: ResourceType, versions: dict[str, str] | None = None) -> list[Request]:
        parents = self.held[BY_NAME[type_]].values()
        wanted = {ref.name for each in parents for ref in each.references if ref.type is type_}
        new, old = wanted - self._asked[type_], self._asked[type_] - wanted
        if type_ not in self.started or not (new or old):
            return []
        self._asked[type_] = wanted
        for name in old:
            self.held[type_].pop(name, None)
        if not self.incremental:
            nonce = self._nonces.get(type_, "")
            return [Request(type_, nonce=nonce, names=tuple(sorted(wanted)))]
        return [
            Request(
                type_,
                subscribe=tuple(sorted(new)),
                unsubscribe=tuple(sorted(old)),
                initial_versions=versions or {},
            )
        ]

    def _take(self, response: Response) -> None:
        held = self.held[response.type]
        if not self.incremental and response.type not in BY_NAME:
            held.clear()
        for each in response.resources:
            if response.type not in BY_NAME or each.name in self._asked[response.type]:
                held[each.name] = each
        for name in response.removed:
            held.pop(name, None)
        self._check_references()

    def _check(self, response: Response) -> None:
        last = self.received[-1].nonce if self.received else "0"
        assert response.type in self.started, "not asked for"
        assert int(response.nonce) > int(last), "nonces must rise"
        assert response.version or self.incremental, "a response has a version"
        assert all(r.type is response.type for r in response.resources), "type URLs must agree"
        assert all(r.version and r.body for r in response.resources), "empty resource"
        names = [r.name for r in response.resources]
        assert names == sorted(set(names)), "sorted, once each"
        assert not set(names) & set(response.removed), "sent and removed"

    def _check_references(self) -> None:
        """Nothing that is held refers to an earlier type's resource that is not."""
        for table in self.held.values():
            for each in table.values():
                for ref in each.references:
                    if ref.type < each.type:
                        assert ref.name in self.held[ref.type], f"{each.ref} without {ref}"


def assert_holds(client: EnvoyClient, snapshot: Snapshot) -> None:
    """The client has the snapshot and nothing else."""
    for type_ in ResourceType:
        want = {n: r.version for n, r in snapshot.resources[type_].items()}
        assert {n: r.version for n, r in client.held[type_].items()} == want, type_.label


def snapshot_of(pipelines: Mapping[str, tuple[str, ...]], **bodies: str) -> Snapshot:
    """A snapshot of pipelines by name, each with the clusters it needs; made without Envoy's types.

    `bodies` says what is in a resource, `<type>_<name>`; else it is the name.
    """
    clusters = sorted({c for needed in pipelines.values() for c in needed})
    found: list[Resource] = [_made(ResourceType.LISTENER, "pipes", bodies)]
    for cluster in clusters:
        child = Ref(ResourceType.ENDPOINTS, cluster)
        found.append(_made(ResourceType.CLUSTER, cluster, bodies, [child]))
        found.append(_made(ResourceType.ENDPOINTS, cluster, bodies))
    for name, needed in pipelines.items():
        refs = _upstreams(needed)
        routes = Ref(ResourceType.ROUTES, f"r-{name}")
        found.append(_made(ResourceType.SCOPE, name, bodies, [*refs, routes]))
        found.append(_made(ResourceType.ROUTES, routes.name, bodies, refs))
    return Snapshot.from_resources(found)


def _upstreams(clusters: Sequence[str]) -> list[Ref]:
    types = (ResourceType.CLUSTER, ResourceType.ENDPOINTS)
    return [Ref(type_, name) for type_ in types for name in sorted(set(clusters))]


def _made(
    type_: ResourceType, name: str, bodies: dict[str, str], refs: Iterable[Ref] = ()
) -> Resource:
    refs = list(refs)
    key = f"{type_.label}_{name}".replace("-", "_")
    content = f"{bodies.get(key, name)} {refs}"
    return make_resource(type_, name, content.encode(), refs)
