"""Where the parts of a mesh are unless options say otherwise: on this machine alone."""

from hydro_envoy.address import Address

MANAGER = Address("127.0.0.1", 8080)
"""The manager's API, offered by Envoy."""
GATEWAY = Address("127.0.0.1", 8083)
"""Pipelines, offered by Envoy."""
REPOSITORY = Address("127.0.0.1", 8087)
"""The repository's API, offered by Envoy."""
XDS = Address("127.0.0.1", 8082)
"""The manager's process, for Envoys and all parts."""
EGRESS = Address("127.0.0.1", 8073)
"""Where a sidecar takes the calls of its process to others."""
