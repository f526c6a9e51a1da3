"""What sidecars let through to their processes, and how the manager reaches these. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from hydro_envoy import headers
from hydro_envoy import mesh as envoy
from hydro_envoy.address import Address
from hydro_envoy.nodes import GATEWAY, MANAGER
from hydro_envoy.xds.load_reports import SERVICE as LOADS
from hydro_envoy.xds.server import SERVICE as ADS
from hydro_services import errors
from hydro_services.manager.domain.state import REPOSITORY, Endpoint

Metadata: TypeAlias = tuple[tuple[str, str], ...]

_HEALTH = "/grpc.health.v1.Health/"
_REFLECTION = "/grpc.reflection."


def _control_route(prefix: str, *callers: str) -> envoy.IngressRoute:
    return envoy.IngressRoute(prefix, "control", callers)


_RUNTIME = (
    _control_route("/hydro.runtime.v1.RuntimeService/", MANAGER),
    envoy.IngressRoute("/", "traffic", (GATEWAY,)),
)
_REPOSITORY = (
    _control_route("/hydro.repository.v1.RepositoryService/"),
    _control_route(_HEALTH),
    _control_route(_REFLECTION, GATEWAY),
)
_MANAGER = (
    _control_route(f"/{ADS}/"),
    _control_route(f"/{LOADS}/", GATEWAY),
    _control_route("/hydro.manager.v1.RegistryService/"),
    _control_route("/hydro.manager.v1.ManagerService/", GATEWAY),
    _control_route(_HEALTH),
    _control_route(_REFLECTION, GATEWAY),
)


def endpoint_sidecar(endpoint: Endpoint, ingress: Address) -> envoy.Sidecar:
    """The sidecar of a runtime or a repository."""
    routes = _REPOSITORY if endpoint.service == REPOSITORY else _RUNTIME
    return envoy.Sidecar(
        endpoint.service,
        endpoint.instance,
        ingress=ingress,
        control=endpoint.address,
        traffic=endpoint.traffic,
        routes=routes,
    )


def manager_sidecar(instance: str, ingress: Address, listen: Address, token: str) -> envoy.Sidecar:
    """The manager's own, which shows the token for all whose certificates it has seen."""
    return envoy.Sidecar(
        MANAGER, instance, ingress, listen, listen, _MANAGER, is_manager=True, token=token
    )


def check_sidecar(endpoint: Endpoint, *, has_sidecars: bool) -> None:
    """Refuses a process that is not reached as the others of the mesh are.

    Raises:
        InvalidArgument: it has no sidecar in a mesh that has them, or the reverse.
    """
    if (endpoint.sidecar is not None) == has_sidecars:
        return
    who = f"{endpoint.service}/{endpoint.instance}"
    if has_sidecars:
        way_out = f"run `hydro sidecar {who}` beside it, and start it with --sidecar"
        raise errors.InvalidArgument(f"{who} has no sidecar, as all of this mesh have; {way_out}")
    way_out = "start the manager with --sidecar too, or this without"
    raise errors.InvalidArgument(f"{who} has a sidecar, the manager has none; {way_out}")


@dataclass(frozen=True, slots=True)
class ProcessRoute:
    """How the manager calls processes: directly, or by its own sidecar."""

    egress: Address | None = None
    """Of the manager's sidecar; None: directly."""
    token: str = field(default="", repr=False)
    """What processes of this machine want to see."""

    def address(self, endpoint: Endpoint) -> Address:
        """Where to connect to."""
        return self.egress or endpoint.address

    def metadata(self, endpoint: Endpoint) -> Metadata:
        """What a call needs to arrive."""
        if not self.egress:
            return ((headers.MESH_TOKEN, self.token),) if self.token else ()
        return (headers.SERVICE, endpoint.service), (headers.ADDRESS, str(endpoint.sidecar))
