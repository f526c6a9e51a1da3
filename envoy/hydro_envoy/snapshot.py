"""What one Envoy is to have: frozen, versioned by content, free of dangling references."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from types import MappingProxyType
from typing import Literal, NamedTuple

from hydro_envoy.errors import DanglingReference, DuplicateName

MANAGER_CLUSTER = "manager"
"""The one cluster of the bootstrap: the control plane itself. No resource; may be referred to."""


SIDECAR_PREFIX = "sidecar/"
"""Names of sidecars' resources start with it; no service's or pipeline's name has a slash."""


class ResourceType(enum.IntEnum):
    """THE ORDER IS THE ORDER OF SENDING: clusters and endpoints before what routes to them.

    https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#eventual-consistency-considerations
    A scope is sent before its route configuration, because Envoy subscribes to the route
    configuration only when it has the scope (as to endpoints when it has the cluster, and to a
    filter when it has the listener).
    """

    CLUSTER = 0
    ENDPOINTS = 1
    LISTENER = 2
    FILTER = 3
    SCOPE = 4
    ROUTES = 5
    SECRET = 6

    @property
    def url(self) -> str:
        """The type URL."""
        return _URLS[self]

    @property
    def label(self) -> str:
        """The name for people."""
        return self.name.lower()


_URLS = {
    ResourceType.CLUSTER: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    ResourceType.ENDPOINTS: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    ResourceType.LISTENER: "type.googleapis.com/envoy.config.listener.v3.Listener",
    ResourceType.FILTER: "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
    ResourceType.SCOPE: "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration",
    ResourceType.ROUTES: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
    ResourceType.SECRET: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
}
_CHILDREN = (
    (ResourceType.CLUSTER, ResourceType.ENDPOINTS),
    (ResourceType.LISTENER, ResourceType.FILTER),
    (ResourceType.SCOPE, ResourceType.ROUTES),
)
"""Where a resource of the second type is of use only if one of the first names it."""

TYPE_BY_URL: Mapping[str, ResourceType] = MappingProxyType({u: t for t, u in _URLS.items()})


class Ref(NamedTuple):
    """Names a resource."""

    type: ResourceType
    name: str


@dataclass(frozen=True, slots=True)
class Resource:
    """One Envoy resource, serialised."""

    type: ResourceType
    name: str
    version: str
    """A hash of the body: equal content, equal version."""
    body: bytes
    """The serialised message, as it stands in a google.protobuf.Any."""
    references: tuple[Ref, ...] = ()
    """To an earlier type, or its own: must be there before this one. To a later one: Envoy asks
    for it by itself when it has this one."""

    @property
    def ref(self) -> Ref:
        return Ref(self.type, self.name)


def make_resource(
    type_: ResourceType, name: str, body: bytes, refs: Iterable[Ref] = ()
) -> Resource:
    """A resource with its version."""
    return Resource(type_, name, content_hash(body), body, tuple(refs))


def content_hash(content: bytes) -> str:
    """16 hexadecimal digits."""
    return sha256(content).hexdigest()[:16]


@dataclass(frozen=True)
class Snapshot:
    """All resources, by type and name, sorted."""

    resources: Mapping[ResourceType, Mapping[str, Resource]] = field(
        default_factory=lambda: MappingProxyType({t: {} for t in ResourceType})
    )

    @classmethod
    def from_resources(cls, resources: Iterable[Resource]) -> Snapshot:
        """Sorts resources into a snapshot.

        Raises:
            DuplicateName: two of one type have one name.
        """
        tables: dict[ResourceType, dict[str, Resource]] = {t: {} for t in ResourceType}
        for each in sorted(resources, key=lambda r: (r.type, r.name)):
            if each.name in tables[each.type]:
                raise DuplicateName(each.type.label, each.name)
            tables[each.type][each.name] = each
        return cls(MappingProxyType(tables))

    def get(self, ref: Ref) -> Resource | None:
        return self.resources[ref.type].get(ref.name)

    @cached_property
    def versions(self) -> Mapping[ResourceType, str]:
        """A version for all resources of a type together, as state-of-the-world xDS needs."""
        return {
            # With a separator that no name can have: "a" of version "bc" must not look like "ab" of
            # "c".
            type_: content_hash("".join(f"{n}\0{r.version}\0" for n, r in table.items()).encode())
            for type_, table in self.resources.items()
        }

    def plus(self, others: Iterable[Resource]) -> Snapshot:
        """With others added, where there is none of that name."""
        tables = {t: dict(table) for t, table in self.resources.items()}
        for each in others:
            tables[each.type].setdefault(each.name, each)
        return Snapshot(MappingProxyType(tables))

    def check(self) -> None:
        """Refuses what Envoy could not use: every reference has its resource, and the reverse.

        Raises:
            DanglingReference: something is missing, or endpoints or routes that nothing names.
        """
        named = self._names_by_types()
        for (source, target), names in named.items():
            if not names <= self.resources[target].keys():
                raise DanglingReference(source.label, target.label, names, self.resources[target])
        for source, target in _CHILDREN:
            present = set(self.resources[target])
            if target is ResourceType.ROUTES:  # those of sidecars are named by their bootstraps
                present = {name for name in present if not name.startswith(SIDECAR_PREFIX)}
            # Both ways: Envoy asks for what is named and would wait for it, and what nobody names
            # would be sent to an Envoy that never asked.
            if named[source, target] != present:
                raise DanglingReference(source.label, target.label, named[source, target], present)

    def _names_by_types(self) -> dict[tuple[ResourceType, ResourceType], set[str]]:
        """The names that resources of the first type refer to in the second."""
        named: dict[tuple[ResourceType, ResourceType], set[str]] = {c: set() for c in _CHILDREN}
        for source, table in self.resources.items():
            for ref in {ref for each in table.values() for ref in each.references}:
                named.setdefault((source, ref.type), set()).add(ref.name)
        return named

    def closure(self, refs: Collection[Ref]) -> set[Ref]:
        """The given references and all that they refer to, directly or not."""
        found: set[Ref] = set()
        todo = list(refs)
        while todo:
            ref = todo.pop()
            if ref in found:
                continue
            found.add(ref)
            present = self.get(ref)
            todo.extend(present.references if present else ())
        return found


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """A difference between two snapshots in one resource."""

    type: ResourceType
    name: str
    before: Resource | None
    after: Resource | None

    @property
    def action(self) -> Literal["add", "change", "remove"]:
        if self.before is None:
            return "add"
        return "change" if self.after else "remove"


def diff(old: Snapshot, new: Snapshot) -> tuple[ResourceChange, ...]:
    """Whose content differs, by type in order of sending and by name; empty: equal content."""
    return tuple(
        ResourceChange(type_, name, before.get(name), after.get(name))
        for type_ in ResourceType
        for before, after in [(old.resources[type_], new.resources[type_])]
        for name in sorted(_changed_names(before, after))
    )


def _changed_names(before: Mapping[str, Resource], after: Mapping[str, Resource]) -> set[str]:
    changed = {n for n, r in after.items() if not (b := before.get(n)) or b.version != r.version}
    return changed | (before.keys() - after.keys())


def find_draining(old: Snapshot, new: Snapshot) -> set[Ref]:
    """What is to be kept for a while: clusters, and scopes that routes led to."""
    gone = _removed_refs(old, new, ResourceType.CLUSTER)
    if scopes := _removed_refs(old, new, ResourceType.SCOPE):
        routes = old.resources[ResourceType.ROUTES].values()
        gone |= scopes.intersection(ref for each in routes for ref in each.references)
    return gone


def _removed_refs(old: Snapshot, new: Snapshot, type_: ResourceType) -> set[Ref]:
    return {Ref(type_, name) for name in old.resources[type_].keys() - new.resources[type_].keys()}
