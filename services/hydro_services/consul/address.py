"""How a registry is named: `consul://host:port[,host:port…]`. Pure; knows no client of Consul."""

from __future__ import annotations

import importlib.util

from hydro_services.address import Address, bracketed, parse_host
from hydro_services.errors import FailedPrecondition, InvalidArgument

SCHEME = "consul://"
PORT = 8500


def is_consul(registry: str) -> bool:
    """Whether this names Consul, not a manager."""
    return registry.startswith(SCHEME)


def needs_consul() -> None:
    """Makes sure that Consul can be spoken to.

    Raises:
        FailedPrecondition: its library is not installed.
    """
    missing = [name for name in ("consul", "aiohttp") if not importlib.util.find_spec(name)]
    if missing:
        way_out = "pip install 'hydro-serving[consul]'"
        raise FailedPrecondition(f"Consul needs {', '.join(missing)}, not installed; {way_out}")


def addresses(registry: str) -> list[tuple[str, int]]:
    """The agents' hosts, as in URLs, and ports, in the order in which to ask them.

    Raises:
        InvalidArgument: it is malformed.
    """
    if not is_consul(registry):
        raise _malformed(registry)
    return [_address(each, registry) for each in registry.removeprefix(SCHEME).split(",")]


def _address(text: str, registry: str) -> tuple[str, int]:
    wanted = text.removesuffix("/")
    try:
        found = Address.parse(wanted) if ":" in wanted.rpartition("]")[2] else None
        host, port = found or Address(parse_host(wanted), PORT)
    except ValueError:
        raise _malformed(registry) from None
    if not port:
        raise _malformed(registry)
    return bracketed(host), port


def _malformed(registry: str) -> InvalidArgument:
    want = "want 'consul://<host>:<port>', more agents after commas"
    return InvalidArgument(f"registry is {registry[:80]!r}, {want}")
