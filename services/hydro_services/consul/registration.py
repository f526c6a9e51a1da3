"""Keeps an endpoint registered with an agent of Consul for as long as its process serves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro_services import errors
from hydro_services.consul.agents import Agents, connect_agents
from hydro_services.consul.registry import Registry
from hydro_services.consul.services import service_definition, service_id

logger = logging.getLogger(__name__)

PERIOD_S = 1.0
"""How often to see that the agent has not forgotten the endpoint."""
RETRY_S = 0.3
LEAVE_S = 0.5
"""Until Consul has told the managers that the endpoint is gone, and they Envoy; none tells us."""


@contextlib.asynccontextmanager
async def keep_registered(registry: Registry, endpoint: pb.Endpoint) -> AsyncIterator[None]:
    """Registers the endpoint, and again when the agent has forgotten it or is another.

    An agent that does not answer is asked again and again; the context neither waits for it nor
    fails because of it. At the end the endpoint is deregistered wherever it was registered.

    Args:
        registry: whose agents to register with.
        endpoint: what this process offers.
    """
    async with connect_agents(registry) as agents:
        keeper = _Registrar(agents, endpoint)
        task = asyncio.create_task(keeper.run())
        try:
            yield
        finally:
            # First no more registrations: one under way could come in after the deregistration.
            task.cancel()
            await asyncio.wait([task])
            await keeper.leave()


class _Registrar:
    def __init__(self, agents: Agents, endpoint: pb.Endpoint) -> None:
        self._agents = agents
        self._endpoint = endpoint
        self._definition = service_definition(endpoint)
        self._clients: dict[int, Any] = {}
        """Of the agents that have the endpoint."""

    async def run(self) -> None:
        while True:
            pause = PERIOD_S
            try:
                await self._agents.ask(self._register)
            except errors.Unavailable:
                pause = RETRY_S
            except errors.FailedPrecondition as error:
                extra = {"service": self._endpoint.service, "error": error.message}
                logger.error("not registered, retrying", extra=extra)
                pause = PERIOD_S * 10
            await asyncio.sleep(pause)

    async def _register(self, client: Any) -> None:
        if await self._is_known(client):
            return
        # Noted before the call: it may register the endpoint although its answer is lost.
        self._clients[id(client)] = client
        await client.agent.service.register(**self._definition, replace_existing_checks=True)
        extra = {"service": self._endpoint.service, "instance": self._endpoint.instance}
        logger.info("registered", extra=extra)

    async def _is_known(self, client: Any) -> bool:
        """The agent has this endpoint, of this incarnation of the process."""
        id = service_id(self._endpoint)
        services = await client.agent.services(filter_expr=f'ID == "{id}"')
        return bool(services) and services[id]["Meta"] == self._definition["meta"]

    async def leave(self) -> None:
        """Deregisters the endpoint at all agents at once; one that is away forgets it by itself."""
        left = await asyncio.gather(*map(self._leave, self._clients.values()))
        if any(left):
            await asyncio.sleep(LEAVE_S)

    async def _leave(self, client: Any) -> bool:
        agent = Agents([("its agent", client)])
        id = service_id(self._endpoint)
        with contextlib.suppress(errors.HydroError):
            return bool(await agent.ask(lambda c: c.agent.service.deregister(id), 1.0))
        return False
