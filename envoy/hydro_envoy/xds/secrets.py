"""What an Envoy of a mesh with TLS is given to show and to trust, as resources. Pure.

Secrets are an Envoy's own: they are in no snapshot that others get, and are never written down.
"""

from __future__ import annotations

from typing import Protocol

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2

from hydro_envoy.nodes import IDENTITY, MESH_CA, Node
from hydro_envoy.snapshot import Resource, ResourceType, make_resource


class Issuer(Protocol):
    """Makes the secrets of Envoys."""

    @property
    def period_s(self) -> float:
        """After which an Envoy is to get new ones."""

    def issue(self, node: Node) -> tuple[Resource, ...]:
        """New ones."""


def identity_secret(certificate: bytes, key: bytes) -> Resource:
    """A certificate and its key, both PEM."""
    held = common_pb2.TlsCertificate(
        certificate_chain=base_pb2.DataSource(inline_bytes=certificate),
        private_key=base_pb2.DataSource(inline_bytes=key),
    )
    return _secret_resource(secret_pb2.Secret(name=IDENTITY, tls_certificate=held))


def mesh_ca_secret(certificate: bytes) -> Resource:
    """The authority's certificate, PEM."""
    trusted = common_pb2.CertificateValidationContext(
        trusted_ca=base_pb2.DataSource(inline_bytes=certificate)
    )
    return _secret_resource(secret_pb2.Secret(name=MESH_CA, validation_context=trusted))


def _secret_resource(secret: secret_pb2.Secret) -> Resource:
    return make_resource(
        ResourceType.SECRET, secret.name, secret.SerializeToString(deterministic=True)
    )
