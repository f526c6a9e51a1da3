"""Ports that others are told of before a process has bound them."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator, Mapping

from hydro_envoy.address import Address
from hydro_services.errors import Unavailable

BELOW_EPHEMERAL = range(10_000, 20_000)
"""Ports that no system gives to connections or to who asks for any port."""


def free_ports(host: str, wanted: Mapping[str, int]) -> dict[str, int]:
    """The ports by their names once all are seen to be free; 0 becomes a free one.

    Args:
        host: an IP address.
        wanted: by name.

    Raises:
        Unavailable: one is taken, or the host is not of this machine.
    """
    with contextlib.ExitStack() as held:
        return {name: _claim_port(held, host, name, port) for name, port in wanted.items()}


def _claim_port(held: contextlib.ExitStack, host: str, name: str, port: int) -> int:
    """The port, or a free one that the system gives to nobody else until it is bound again."""
    if port:
        held.enter_context(_bind_port(host, name, port))
        return port
    for free in random.sample(BELOW_EPHEMERAL, 100):
        with contextlib.suppress(Unavailable):
            held.enter_context(_bind_port(host, name, free))
            return free
    raise Unavailable(f"no free port on {host}; give one with --{name}-port")


@contextlib.contextmanager
def _bind_port(host: str, name: str, port: int) -> Iterator[None]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            way_out = f"stop what listens there, or give another port with --{name}-port"
            reason = (error.strerror or str(error)).lower()
            raise Unavailable(
                f"cannot listen on {Address(host, port)}: {reason}; {way_out}"
            ) from None
        yield
