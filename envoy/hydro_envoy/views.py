"""Which of the mesh's resources an Envoy gets. Pure.

The gateway gets all that is nobody's sidecar's. A sidecar gets the listener of its process and the
routes by which its process reaches others, with all that these refer to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hydro_envoy.snapshot import SIDECAR_PREFIX, Ref, Resource, ResourceType, Snapshot

GATEWAY, SIDECAR = "gateway", "sidecar"
"""The roles of Envoys."""

EGRESS, MANAGER_EGRESS = f"{SIDECAR_PREFIX}egress", f"{SIDECAR_PREFIX}manager-egress"
"""Routes by which processes reach the others, and by which managers reach single processes."""

TRUST_DOMAIN = "spiffe://hydro/"
IDENTITY, MESH_CA, SERVER = "identity", "mesh-ca", "server"
"""Names of secrets: an Envoy's certificate with its key, the authority that it trusts, and what a
gateway shows to clients."""

JOIN_NAME = "manager.hydro"
"""The name, in TLS, of the manager for who has no certificate yet."""

MANAGER = "manager"
"""The managers' service."""

ABSENT = frozenset([ResourceType.FILTER, ResourceType.SCOPE])
"""What sidecars never ask for."""


@dataclass(frozen=True, slots=True)
class Node:
    """An Envoy, as its bootstrap names it."""

    id: str
    cluster: str = ""
    role: str = ""
    tls: str = ""
    """Of a gateway that speaks TLS with clients: the file with its certificate."""
    metrics: str = ""
    """host:port of its /metrics."""

    @property
    def view(self) -> str:
        """Nodes for which this is equal get equal resources."""
        return self.id if self.role == SIDECAR else f"{GATEWAY} {self.tls}"

    @property
    def identity(self) -> str:
        """`<service>/<instance>`: what its certificate has to be of."""
        return self.id if self.role == SIDECAR else f"{GATEWAY}/{self.id}"

    @property
    def egress(self) -> str:
        """The name of a sidecar's routes."""
        return MANAGER_EGRESS if self.id.startswith(f"{MANAGER}/") else EGRESS


def ingress_name(node_id: str) -> str:
    """Of a sidecar's listener."""
    return f"{SIDECAR_PREFIX}{node_id}"


def port_name(node_id: str, port: str) -> str:
    """The cluster that leads to a port of a sidecar's process."""
    return f"{SIDECAR_PREFIX}{node_id}/{port}"


def processes_name(service: str) -> str:
    """The cluster by which managers reach single processes of a service."""
    return f"{SIDECAR_PREFIX}calls/{service}"


def view(snapshot: Snapshot, node: Node) -> Snapshot:
    """The part of a snapshot that is for a node; the same objects."""
    if node.role == SIDECAR:
        listener = Ref(ResourceType.LISTENER, ingress_name(node.id))
        found = snapshot.closure([listener, Ref(ResourceType.ROUTES, node.egress)])
        return Snapshot.of(each for ref in found if (each := snapshot.get(ref)))
    if any(_is_sidecars(name) for table in snapshot.resources.values() for name in table):
        snapshot = Snapshot.of(_gateways(snapshot))
    return _with_tls(snapshot, node.tls) if node.tls else snapshot


def _with_tls(snapshot: Snapshot, secret: str) -> Snapshot:
    from hydro_envoy.serving_tls import secured

    listeners = snapshot.resources.get(ResourceType.LISTENER, {}).values()
    return (
        Snapshot()
        .plus(secured(each, secret) for each in listeners)
        .plus(each for table in snapshot.resources.values() for each in table.values())
    )


def _gateways(snapshot: Snapshot) -> Iterable[Resource]:
    for table in snapshot.resources.values():
        yield from (each for name, each in table.items() if not _is_sidecars(name))


def _is_sidecars(name: str) -> bool:
    return name.startswith(SIDECAR_PREFIX)
