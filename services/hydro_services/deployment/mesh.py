"""The running mesh, as a deployment calls it: one call after the other, from code without tasks.

Between calls Ctrl-C is Python's own, so that it ends whatever a model does while it is read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson

from hydro.manager.v1 import pipeline_pb2 as pb
from hydro_services import client, errors
from hydro_services.deployment.repository_folder import RepositoryFolder
from hydro_services.deployment.request import Addresses, ApplyPipeline
from hydro_services.up import home

T = TypeVar("T")


class RunningMesh:
    """Made by `connect`."""

    def __init__(self, runner: asyncio.Runner, addresses: Addresses) -> None:
        self._runner = runner
        self._addresses = addresses
        self._channels = contextlib.AsyncExitStack()
        self.manager: client.ManagerClient
        self.repository: client.RepositoryClient
        self.gateway: client.GatewayClient

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Its result; Ctrl-C cancels it, and raises KeyboardInterrupt here."""
        return self._runner.run(coroutine)

    async def open(self) -> None:
        at = self._addresses
        manager = await self._open("manager", at.manager)
        self.manager = client.ManagerClient(manager, at.admin_key)
        repository = await self._open("repository", at.repository)
        self.repository = client.RepositoryClient(repository, at.admin_key)
        self.gateway = client.GatewayClient(await self._open("gateway", at.gateway), at.api_key)

    async def _open(self, part: str, address: Any) -> Any:
        context = client.connect_channel(part, address, self._addresses.tls)
        return await self._channels.enter_async_context(context)

    async def close(self) -> None:
        await self._channels.aclose()

    def find_home(self, models: Path | None, trusted: Path | None) -> tuple[RepositoryFolder, Path]:
        """Where models are written, and the list of trusted digests; None: not known yet.

        Raises:
            errors.FailedPrecondition: as `up.home.read`, or all models of the mesh are in stores.
        """
        if models is None or trusted is None:
            found = home.read(self.call(self.manager.get_status()).home)
            models, trusted = models or found.models, trusted or found.trusted
        if models is None:
            message = (
                "the mesh has models in stores alone; start it with a folder of models as well"
            )
            raise errors.FailedPrecondition(message)
        return RepositoryFolder(models), trusted

    def find_pipeline(self, name: str) -> pb.Pipeline | None:
        """The pipeline, if there is one."""
        with contextlib.suppress(errors.NotFound):
            return self.call(self.manager.get_pipeline(name))
        return None

    def pipelines(self) -> Sequence[pb.Pipeline]:
        return self.call(self.manager.list_pipelines())

    def services(self) -> list[str]:
        """The names of services that have a process."""
        services = self.call(self.manager.list_services())
        return [service.name for service in services if service.endpoints]

    def apply(self, wanted: pb.Pipeline, apply: ApplyPipeline, timeout_s: float) -> pb.Pipeline:
        return self.call(apply(self.manager, wanted, timeout_s))

    def delete_pipeline(self, name: str) -> None:
        with contextlib.suppress(errors.NotFound):
            self.call(self.manager.delete_pipeline(name))

    def wait_until_read(self, name: str, version: str, digest: str, timeout_s: float) -> None:
        """Waits until the repository offers the model.

        Raises:
            ModelRefused: it does not.
            NotInTime: it has not read it by then.
        """
        self.call(self._wait_until_read(name, version, digest, timeout_s))

    async def _wait_until_read(
        self, name: str, version: str, digest: str, timeout_s: float
    ) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                async for models in self.repository.watch_models():
                    for model in models:
                        if (model.model, model.version) != (name, version) or model.reading:
                            continue
                        if model.HasField("error"):
                            raise errors.from_status(model.error)
                        if model.digest == digest:
                            return
        except TimeoutError:
            message = f"the repository has not read {name}:{version} after {timeout_s:g} s"
            way_out = "is its folder of models the one that was written to?"
            raise errors.NotInTime(f"{message}; {way_out}", model=name) from None

    def predict(self, name: str, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """The answers to rows."""
        return self.call(self._predict(name, orjson.dumps(rows)))

    async def _predict(self, name: str, body: bytes) -> list[dict[str, Any]]:
        async def pieces() -> AsyncIterator[bytes]:
            yield body

        answers = [piece async for piece in self.gateway.serve(name, pieces(), "application/json")]
        parsed: list[dict[str, Any]] = orjson.loads(b"".join(answers))
        return parsed


@contextlib.contextmanager
def connect(addresses: Addresses) -> Iterator[RunningMesh]:
    """The mesh at these addresses.

    Raises:
        errors.Unreachable: there is none.
    """
    with asyncio.Runner() as runner:
        mesh = RunningMesh(runner, addresses)
        try:
            runner.run(mesh.open())
            yield mesh
        finally:
            runner.run(mesh.close())
