"""Who calls, as a sidecar read it from the caller's certificate. Pure."""

from __future__ import annotations

import re
from typing import Any

from hydro_envoy.nodes import TRUST_DOMAIN, Node
from hydro_envoy.xds.server import PEER

_URI = re.compile(rf"(?:^|;)URI={re.escape(TRUST_DOMAIN)}([^;,]+)")


def caller_identity(header: str) -> str:
    """The `<service>/<instance>` in a header x-forwarded-client-cert; empty: there is none."""
    match = _URI.search(header)
    return match[1] if match else ""


def peer_identity(context: Any) -> str:
    """The `<service>/<instance>` that the caller's certificate has; empty: it showed none."""
    return caller_identity(str(dict(context.invocation_metadata() or ()).get(PEER, "")))


def admits_node(own: str, node: Node, header: str) -> bool:
    """Whether an Envoy may get what is for a node: see `hydro_envoy.xds.server.Admit`.

    The one that comes without a certificate, on loopback, is this manager's own sidecar.
    """
    return node.identity == (caller_identity(header) or own)
