"""Finds the managers in Consul for an Envoy, which reads where they are from a file."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from hydro_envoy.address import Address
from hydro_envoy.nodes import MANAGER
from hydro_envoy.proxy.manager_cluster import managers_json
from hydro_services.consul import agents, services
from hydro_services.consul.registry import Registry
from hydro_services.consul.services import Instance


@contextlib.asynccontextmanager
async def keep_managers_file(registry: Registry, folder: Path) -> AsyncIterator[Path]:
    """Keeps a file with the managers, as `hydro_envoy.proxy.bootstrap.managers` writes it.

    For as long as Consul does not answer, or knows none, it has what it had: of the last time too.

    Args:
        registry: Consul's agents.
        folder: for the file; made if need be.
    """
    file = _File(folder)
    async with agents.connect_agents(registry) as connected:
        watch = asyncio.create_task(services.watch_instances(connected, file.take))
        try:
            yield file.path
        finally:
            watch.cancel()
            await asyncio.wait([watch])


class _File:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder.absolute() / "managers.json"
        if not self.path.exists():
            self._write(managers_json([]))

    async def take(self, known: Mapping[str, Instance], is_fresh: bool) -> None:
        # Envoy itself leaves one that is ill: of one that is not named any more it would wait for
        # its streams to end.
        here = (each.endpoint for each in known.values())
        at = [each.sidecar_address or each.address for each in here if each.service == MANAGER]
        endpoints = []
        for address in at:
            with contextlib.suppress(ValueError):  # nobody of ours registers so
                endpoints.append(Address.parse(address))
        if endpoints:
            self._write(managers_json(endpoints))

    def _write(self, content: str) -> None:
        if not self.path.exists() or content != self.path.read_text():
            # Renamed: Envoy watches for moves, and must never read half of a file.
            new = self.path.with_suffix(".new")
            new.write_text(content)
            new.replace(self.path)
