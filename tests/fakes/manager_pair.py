"""Two managers that share a mesh by a real Consul, each with an Envoy, all in this process."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

from consul_agent import Agent
from manager_mesh import Mesh, Repository, Runtime
from patience import PATIENCE_S
from whole_mesh import until_true

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro_envoy.address import ANY_PORT
from hydro_services import registration, rpc
from hydro_services.consul.registry import Registry
from hydro_services.security import credential


class Manager(Mesh):
    """A manager by name, and the Envoy that is connected to it."""

    def __init__(self, folder: Path, name: str, registry: Registry) -> None:
        super().__init__(folder / name)
        self.envoy.id = f"gateway-{name}"
        self.config = replace(
            self.config,
            registry=registry,
            instance=name,
            limit_s=PATIENCE_S,
            token_file=folder / credential.TOKEN_FILE,
        )

    async def begin(self) -> None:
        """Starts, again too, with an Envoy that knows nothing."""
        self.envoy.resources = {url: {} for url in self.envoy.resources}
        await self.start()
        await self.connect()

    async def end(self) -> None:
        await self.stack.aclose()

    async def knows_all(self) -> bool:
        services = (await self.manager.ListServices(pb.ListServicesRequest())).services
        return sum(len(service.endpoints) for service in services) == 3

    async def names(self) -> list[str]:
        return sorted(await self.pipelines())


class Pair:
    """The managers `a` and `b`, and the parts that both find in Consul."""

    def __init__(self, folder: Path, agent: Agent) -> None:
        self.agent = agent
        self.registry = Registry.parse(agent.registry)
        self.a, self.b = (Manager(folder, name, self.registry) for name in "ab")
        self.world = self.b.envoy.world = self.a.world
        self.spark, self.repository = self.a.spark, self.a.repository
        self._parts: list[contextlib.AsyncExitStack] = []

    async def start(self) -> None:
        parts = (self.repository, self.a.scikit, self.spark)
        await asyncio.gather(self.a.begin(), self.b.begin(), *(self._join(each) for each in parts))
        for manager in (self.a, self.b):
            await until_true(manager.knows_all, PATIENCE_S, "it knows all parts")

    async def _join(self, part: Runtime | Repository) -> None:
        self._parts.append(stack := contextlib.AsyncExitStack())
        serving = rpc.serve(ANY_PORT, part.register, (), grace_s=0.0)
        served = await stack.enter_async_context(serving)
        await served.answer_for(part.endpoint.incarnation)
        part.endpoint.address = str(served.address)
        await stack.enter_async_context(registration.keep_registered(self.registry, part.endpoint))

    async def stop(self) -> None:
        parts = (part.aclose() for part in self._parts)
        await asyncio.gather(self.a.end(), self.b.end(), *parts)
