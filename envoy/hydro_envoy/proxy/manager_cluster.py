"""The bootstrap's cluster of managers, and the files that it is read from. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydro_envoy.address import Address
from hydro_envoy.nodes import IDENTITY, MANAGER, TRUST_DOMAIN
from hydro_envoy.snapshot import MANAGER_CLUSTER

EXTENSIONS = "type.googleapis.com/envoy.extensions"
_TLS_VERSIONS = ("tls_minimum_protocol_version", "tls_maximum_protocol_version")


@dataclass(frozen=True, slots=True)
class IdentityFiles:
    """Files by which an Envoy and the manager's sidecar know each other."""

    secret: Path
    """A Secret `identity` as JSON, see `secret_json`; read anew when it is replaced."""
    ca: Path
    """The authority's certificate, PEM."""


def managers_json(found: Iterable[Address]) -> str:
    """The content of the file with the managers: a discovery response of Envoy's, as JSON.

    Envoy sees that the file has changed when another is renamed to it.
    """
    assignment = {"@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"}
    return json.dumps({"resources": [assignment | load_assignment(sorted(found))]}, indent=1)


def load_assignment(where: Iterable[Address], cluster: str = MANAGER_CLUSTER) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": socket_address(each)}} for each in where]
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": endpoints}]}


_FAILOVER = {
    "health_checks": [
        {
            # Two failures of 2 s each, half a second apart: away from a hung manager within 5 s.
            "interval": "0.5s",
            "no_traffic_interval": "0.5s",
            "timeout": "2s",
            "unhealthy_threshold": 2,
            "healthy_threshold": 1,
            "grpc_health_check": {},
        }
    ],
    "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
}
"""Where there are several managers: what begins goes to those that are well."""


def manager_cluster(
    addresses: Sequence[Address], file: Path | None, identity: IdentityFiles | None
) -> dict[str, Any]:
    """The managers are at given addresses, or where a file says; see `managers_json`."""
    # Health checks do not end the stream to a manager that hangs: only this does.
    http2 = {"connection_keepalive": {"interval": "3s", "timeout": "3s"}}
    options = {
        "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": http2},
    }
    where: dict[str, Any] = {
        "type": "STRICT_DNS",
        "load_assignment": load_assignment(addresses),
    }
    if file:
        source = {"path_config_source": {"path": str(file)}, "resource_api_version": "V3"}
        where = {"type": "EDS", "eds_cluster_config": {"eds_config": source}}
    secured = {"transport_socket": _manager_tls(identity)} if identity else {}
    return secured | {
        "name": MANAGER_CLUSTER,
        "connect_timeout": "1s",
        **where,
        **(_FAILOVER if file or len(addresses) > 1 else {}),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
        },
    }


def _manager_tls(identity: IdentityFiles) -> dict[str, Any]:
    path = {
        "path": str(identity.secret),
        "watched_directory": {"path": str(identity.secret.parent)},
    }
    manager = {"prefix": f"{TRUST_DOMAIN}{MANAGER}/"}
    common = {
        "tls_params": dict.fromkeys(_TLS_VERSIONS, "TLSv1_3"),
        "alpn_protocols": ["h2"],
        "tls_certificate_sds_secret_configs": [
            {"name": IDENTITY, "sds_config": {"path_config_source": path}}
        ],
        "validation_context": {
            "trusted_ca": {"filename": str(identity.ca)},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": manager}],
        },
    }
    context = f"{EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext"
    config = {"@type": context, "common_tls_context": common, "max_session_keys": 0}
    return {"name": "tls", "typed_config": config}


def secret_json(certificate: bytes, key: bytes, name: str = IDENTITY) -> str:
    """The content of `IdentityFiles.secret`, or of `Bootstrap.tls`."""
    held = {
        "certificate_chain": {"inline_string": certificate.decode()},
        "private_key": {"inline_string": key.decode()},
    }
    kind = f"{EXTENSIONS}.transport_sockets.tls.v3.Secret"
    return json.dumps({"resources": [{"@type": kind, "name": name, "tls_certificate": held}]})


def socket_address(where: Address) -> dict[str, Any]:
    return {"socket_address": {"address": where.host, "port_value": where.port}}
