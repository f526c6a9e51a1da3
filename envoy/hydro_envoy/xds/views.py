"""Which of the mesh's resources an Envoy gets. Pure.

The gateway gets all that is nobody's sidecar's. A sidecar gets the listener of its process and the
routes by which its process reaches others, with all that these refer to.
"""

from __future__ import annotations

from collections.abc import Iterable

from hydro_envoy.nodes import SIDECAR, Node, ingress_name
from hydro_envoy.resources.downstream_tls import with_tls
from hydro_envoy.snapshot import SIDECAR_PREFIX, Ref, Resource, ResourceType, Snapshot

ABSENT = frozenset([ResourceType.FILTER, ResourceType.SCOPE])
"""What sidecars never ask for."""


def snapshot_for(snapshot: Snapshot, node: Node) -> Snapshot:
    """The part of a snapshot that is for a node; the same objects."""
    if node.role == SIDECAR:
        listener = Ref(ResourceType.LISTENER, ingress_name(node.id))
        refs = snapshot.closure([listener, Ref(ResourceType.ROUTES, node.egress)])
        return Snapshot.from_resources(each for ref in refs if (each := snapshot.get(ref)))
    if any(_is_sidecars(name) for table in snapshot.resources.values() for name in table):
        snapshot = Snapshot.from_resources(_without_sidecars(snapshot))
    # Secrets are a gateway's own, by the name in its node: the snapshot that all share has none.
    return _with_tls(snapshot, node.tls) if node.tls else snapshot


def _with_tls(snapshot: Snapshot, secret: str) -> Snapshot:
    listeners = snapshot.resources.get(ResourceType.LISTENER, {}).values()
    return (
        Snapshot()
        # `plus` keeps what is there first: so the listeners with TLS stand in for those without.
        .plus(with_tls(each, secret) for each in listeners)
        .plus(each for table in snapshot.resources.values() for each in table.values())
    )


def _without_sidecars(snapshot: Snapshot) -> Iterable[Resource]:
    for table in snapshot.resources.values():
        yield from (each for name, each in table.items() if not _is_sidecars(name))


def _is_sidecars(name: str) -> bool:
    return name.startswith(SIDECAR_PREFIX)
