"""TLS between Envoys, both sides with certificates of the mesh, and who may call what. Pure.

Certificates and keys come by SDS, see `secrets`. An identity is `spiffe://hydro/<service>/<instance>`
in the certificate's one URI; gateways are instances of the service `gateway`.
"""

from __future__ import annotations

from collections.abc import Sequence

from envoy_data_plane.envoy.config.core.v3 import TransportSocket
from envoy_data_plane.envoy.config.rbac.v3 import (
    Permission,
    Policy,
    Principal,
    PrincipalAuthenticated,
    Rbac,
)
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import Rbac as RbacFilter
from envoy_data_plane.envoy.extensions.filters.http.rbac.v3 import RbacPerRoute
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    CommonTlsContextCombinedCertificateValidationContext,
    DownstreamTlsContext,
    SdsSecretConfig,
    SubjectAltNameMatcher,
    SubjectAltNameMatcherSanType,
    TlsParameters,
    TlsParametersTlsProtocol,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any

from hydro_envoy.nodes import IDENTITY, MESH_CA, TRUST_DOMAIN
from hydro_envoy.resources.config_source import ads_source

CALLERS = "callers"
"""The filter that refuses all calls, but where a route says who may make them."""


def tls_to_service(service: str) -> TransportSocket:
    """Shows our identity, and takes no other's than the service's."""
    context = UpstreamTlsContext(
        common_tls_context=_mesh_tls_context(f"{TRUST_DOMAIN}{service}/"),
        max_session_keys=0,  # who resumes a session shows no certificate again
    )
    return TransportSocket(name="tls", typed_config=Any.pack(context))


def tls_from_mesh(*, required: bool = True) -> TransportSocket:
    """Shows our identity; takes those of the mesh alone, or also who shows none."""
    context = DownstreamTlsContext(
        # A name that is wanted makes Envoy demand a certificate, whatever the next line says.
        common_tls_context=_mesh_tls_context(TRUST_DOMAIN if required else ""),
        require_client_certificate=required,
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
    )
    return TransportSocket(name="tls", typed_config=Any.pack(context))


def callers_filter() -> HttpFilter:
    """Refuses what no route allows."""
    return HttpFilter(name=CALLERS, typed_config=Any.pack(RbacFilter(rules=Rbac())))


def may_call(services: Sequence[str]) -> dict[str, Any]:
    """For a route: who may make its calls; (): all of the mesh."""
    prefixes = [f"{TRUST_DOMAIN}{service}/" for service in services] or [TRUST_DOMAIN]
    principals = [
        Principal(authenticated=PrincipalAuthenticated(principal_name=StringMatcher(prefix=prefix)))
        for prefix in prefixes
    ]
    allowed = Policy(permissions=[Permission(any=True)], principals=principals)
    rules = RbacFilter(rules=Rbac(policies={"allowed": allowed}))
    return {CALLERS: Any.pack(RbacPerRoute(rbac=rules))}


def _mesh_tls_context(prefix: str) -> CommonTlsContext:
    peer = SubjectAltNameMatcher(
        san_type=SubjectAltNameMatcherSanType.URI, matcher=StringMatcher(prefix=prefix)
    )
    names = [peer] if prefix else []
    latest = TlsParametersTlsProtocol.TLSv1_3
    return CommonTlsContext(
        tls_params=TlsParameters(
            tls_minimum_protocol_version=latest, tls_maximum_protocol_version=latest
        ),
        alpn_protocols=["h2"],
        tls_certificate_sds_secret_configs=[_sds_secret(IDENTITY)],
        combined_validation_context=CommonTlsContextCombinedCertificateValidationContext(
            default_validation_context=CertificateValidationContext(
                match_typed_subject_alt_names=names
            ),
            validation_context_sds_secret_config=_sds_secret(MESH_CA),
        ),
    )


def _sds_secret(name: str) -> SdsSecretConfig:
    return SdsSecretConfig(name=name, sds_config=ads_source())
