"""Addresses at which Envoy is to listen."""

from __future__ import annotations

from hydro_envoy.address import Address
from hydro_services.free_ports import free_ports
from hydro_services.rpc import resolve_address


def claim_listener(name: str, address: Address) -> Address:
    """With a port, which others learn before Envoy has bound it, and without a name.

    Raises:
        InvalidArgument: the host's name is not known.
        Unavailable: the port is taken.
    """
    wanted = resolve_address(address)
    return wanted._replace(port=free_ports(wanted.host, {name: wanted.port})[name])
