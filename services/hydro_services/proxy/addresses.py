"""Addresses as options have them, for Envoy."""

from __future__ import annotations

from hydro_envoy.mesh import Endpoint
from hydro_services.address import Address
from hydro_services.errors import InvalidArgument
from hydro_services.free_ports import free_ports
from hydro_services.rpc import resolve_address


def endpoints(addresses: str) -> list[Endpoint]:
    """Of host:port, and more after commas."""
    return [endpoint(each) for each in addresses.split(",")]


def endpoint(address: str) -> Endpoint:
    """Of host:port.

    Raises:
        InvalidArgument: it is malformed.
    """
    try:
        return Endpoint(*Address.parse(address))
    except ValueError as error:
        raise InvalidArgument(f"address: {error}") from error


def listener(address: str) -> Endpoint:
    """Of host:port, where Envoy is to listen: it takes no names."""
    return Endpoint(*resolve_address(address))


def claimed(name: str, address: str) -> Endpoint:
    """As `listener`, with a port, which others are told before Envoy has bound it."""
    wanted = listener(address)
    return Endpoint(wanted.host, free_ports(wanted.host, {name: wanted.port})[name])
