"""How a registry is named: `consul://host:port[,host:port…]`. Pure; knows no client of Consul."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from hydro_envoy.address import Address
from hydro_services.errors import FailedPrecondition, InvalidArgument

SCHEME = "consul://"
PORT = 8500


@dataclass(frozen=True, slots=True)
class Registry:
    """Consul as the registry of the mesh."""

    agents: tuple[Address, ...]
    """In the order in which to ask them; one at least."""

    def __str__(self) -> str:
        """`consul://…`; what `parse` takes."""
        return SCHEME + ",".join(map(str, self.agents))

    @classmethod
    def parse(cls, text: str) -> Registry:
        """Parses `consul://host[:port],…`, with the usual port where there is none.

        Raises:
            InvalidArgument: it is malformed.
        """
        if not is_consul(text):
            raise _malformed_error(text)
        return cls(tuple(_parse_agent(each, text) for each in text.removeprefix(SCHEME).split(",")))


def is_consul(place: str) -> bool:
    """Whether this names Consul, and not a file."""
    return place.startswith(SCHEME)


def needs_consul() -> None:
    """Makes sure that Consul can be spoken to.

    Raises:
        FailedPrecondition: its library is not installed.
    """
    missing = [name for name in ("consul", "aiohttp") if not importlib.util.find_spec(name)]
    if missing:
        way_out = "pip install 'hydro-serving[consul]'"
        raise FailedPrecondition(f"Consul needs {', '.join(missing)}, not installed; {way_out}")


def _parse_agent(text: str, registry: str) -> Address:
    try:
        agent = Address.parse(text.removesuffix("/"), PORT)
    except ValueError:
        raise _malformed_error(registry) from None
    if not agent.port:
        raise _malformed_error(registry)
    return agent


def _malformed_error(registry: str) -> InvalidArgument:
    want = "want 'consul://<host>:<port>', more agents after commas"
    return InvalidArgument(f"registry is {registry[:80]!r}, {want}")
