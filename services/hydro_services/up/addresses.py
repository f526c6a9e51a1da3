"""Addresses as options have them, for Envoy."""

from __future__ import annotations

from hydro_envoy.mesh import Endpoint
from hydro_services.up import claim


def endpoints(addresses: str) -> list[Endpoint]:
    """Of host:port, and more after commas."""
    return [endpoint(each) for each in addresses.split(",")]


def endpoint(address: str) -> Endpoint:
    """Of host:port."""
    host, _, port = address.rpartition(":")
    return Endpoint(host.strip("[]"), int(port))


def claimed(name: str, address: str) -> Endpoint:
    """Of host:port, with a port, which others are told before Envoy has bound it."""
    wanted = endpoint(address)
    return Endpoint(wanted.host, claim.ports(wanted.host, {name: wanted.port})[name])
