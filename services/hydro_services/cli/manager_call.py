"""How commands call the manager."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from hydro_envoy.address import Address
from hydro_services import client
from hydro_services.reachability import Tls

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ManagerOptions:
    """Where the manager is, and with what to call it."""

    manager: Address
    json: bool
    admin_key: str = field(default="", repr=False, kw_only=True)
    tls_ca: Tls | None = field(default=None, kw_only=True)
    """None: in clear text."""


def call_manager(
    options: ManagerOptions, action: Callable[[client.ManagerClient], Awaitable[T]]
) -> T:
    """The answer of the action, which gets a connection of its own."""

    async def call() -> T:
        async with client.connect_channel("manager", options.manager, options.tls_ca) as channel:
            return await action(client.ManagerClient(channel, options.admin_key))

    return asyncio.run(call())
