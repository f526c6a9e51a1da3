"""The Envoys of a mesh: their roles, and the names of what is made for each of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from hydro_envoy.snapshot import SIDECAR_PREFIX

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


METADATA = ("role", "tls", "metrics")
"""What an Envoy tells of itself beside its id: fields of `Node`, as metadata of its node."""


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
    def metadata(self) -> dict[str, str]:
        """As its bootstrap has it."""
        return {name: value for name in METADATA if (value := getattr(self, name))}

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
