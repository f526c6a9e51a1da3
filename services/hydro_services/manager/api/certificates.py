"""The mesh's certificates, as the manager gives them: to who joins, and to Envoys by SDS."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from hydro.manager.v1 import certificate_service_pb2 as pb
from hydro.manager.v1 import certificate_service_pb2_grpc as pb_grpc
from hydro_envoy.nodes import Node
from hydro_envoy.snapshot import Resource
from hydro_envoy.xds import secrets
from hydro_services import errors
from hydro_services.manager.api.peers import peer_identity
from hydro_services.security.certificates import Authority, Identity, read_csr


class Certificates(pb_grpc.CertificateServiceServicer):
    """Signs for who has an invitation or a certificate that is still good; issues Envoys' secrets.

    Envoys get new ones at half the validity of the old: see `hydro_envoy.xds.secrets.Issuer`.
    """

    def __init__(self, authority: Authority, validity: timedelta) -> None:
        self._authority = authority
        self._validity = validity

    @classmethod
    def of(cls, folder: Path, validity: timedelta) -> Certificates:
        """With the authority in a folder; see `Authority.open`."""
        return cls(Authority.open(folder), validity)

    async def SignCertificate(
        self, request: pb.SignCertificateRequest, context: Any
    ) -> pb.SignCertificateResponse:
        identity = Identity.parse(f"{request.service}/{request.instance}")
        key = read_csr(request.csr)
        if request.invitation:
            self._authority.check(request.invitation, identity)
        elif peer_identity(context) != str(identity):
            shown = peer_identity(context) or "none"
            message = f"the certificate shown is of {shown}, want {identity} or an invitation"
            raise errors.PermissionDenied(message)
        signed = self._authority.sign(identity, key, self._validity)
        return pb.SignCertificateResponse(certificate=signed)

    @property
    def period_s(self) -> float:
        return self._validity.total_seconds() / 2

    def issue(self, node: Node) -> tuple[Resource, ...]:
        """New secrets of an Envoy."""
        held = self._authority.issue(Identity.parse(node.identity), self._validity)
        trusted = secrets.mesh_ca_secret(self._authority.certificate)
        return secrets.identity_secret(held.certificate, held.key), trusted
