"""The manager's one gRPC server: its own services, and those that Envoys ask."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING

import grpc.aio

from hydro.manager.v1 import certificate_service_pb2_grpc as certificate_grpc
from hydro.manager.v1 import manager_service_pb2_grpc as manager_grpc
from hydro.manager.v1 import registry_service_pb2_grpc as registry_grpc
from hydro_envoy.address import Address
from hydro_envoy.xds import load_reports
from hydro_envoy.xds import server as ads
from hydro_envoy.xds.hub import Hub
from hydro_services import rpc
from hydro_services.manager.api import peers
from hydro_services.manager.api.servicer import ManagerServicer, RegistryServicer
from hydro_services.security import admin, credential, keys

if TYPE_CHECKING:
    from hydro_services.manager.api.certificates import Certificates

MANAGER = "hydro.manager.v1.ManagerService"
REGISTRY = "hydro.manager.v1.RegistryService"
CERTIFICATES = "hydro.manager.v1.CertificateService"
GRACE_S = 1.0
"""For calls under way at the end; watches never end by themselves."""


@contextlib.asynccontextmanager
async def serve_api(
    listen: Address,
    manager: ManagerServicer,
    registry: RegistryServicer,
    hub: Hub,
    certificates: Certificates | None,
    *,
    own: str,
    token: str,
    admin_key: str,
) -> AsyncIterator[rpc.RunningServer]:
    """Serves until the context ends.

    Args:
        listen: where.
        manager: the service for users.
        registry: the service for the processes of the mesh.
        hub: has what Envoys get.
        certificates: signs for those who join, in a mesh with sidecars.
        own: `<service>/<instance>` of this manager, whose sidecar shows no certificate.
        token: what Envoys and processes of this machine have to show.
        admin_key: what calls of the manager's service have to show; empty for nothing.

    Raises:
        errors.Unavailable: the address cannot be bound.
        errors.InvalidArgument: its name is not known.
    """

    def register(server: grpc.aio.Server) -> None:
        manager_grpc.add_ManagerServiceServicer_to_server(manager, server)
        registry_grpc.add_RegistryServiceServicer_to_server(registry, server)
        if certificates:
            certificate_grpc.add_CertificateServiceServicer_to_server(certificates, server)
            ads.add_ads(server, hub, partial(peers.admits_node, own), token)
        else:
            ads.add_ads(server, hub, token=token)

    serving = rpc.serve(
        listen,
        register,
        (MANAGER, REGISTRY, *((CERTIFICATES,) if certificates else ())),
        options=ads.KEEPALIVE,
        unwrapped=frozenset([ads.SERVICE, load_reports.SERVICE]),
        check=_call_checker(admin_key, token),
        grace_s=GRACE_S,
    )
    async with serving as served:
        try:
            yield served
        finally:
            # Before the server drains: streams of Envoys never end by themselves.
            hub.close()


def _call_checker(admin_key: str, token: str) -> rpc.Check:
    """The manager's own port is not behind an Envoy that would look at the key."""
    key_sha256 = keys.hash_key(admin_key)

    def check(method: str, metadata: rpc.Metadata) -> None:
        if not method.startswith(f"/{MANAGER}/"):
            credential.check_token(metadata, token)
        elif admin_key:
            admin.check_call(metadata, key_sha256)

    return check
