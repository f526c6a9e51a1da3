"""Asks the manager and the parts of a mesh how they are, again and again."""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Collection
from dataclasses import dataclass

import grpc.aio

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro_envoy.address import Address
from hydro_services import client, errors, rpc
from hydro_services.reachability import Tls
from hydro_services.top.samples import Scrape, parse_scrape
from hydro_services.top.view import MeshStatus, View, build_view

ASK_S = 2.0
"""How long a part may take to answer."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known now."""

    view: View | None
    """None: the manager has never answered."""
    away: str = ""
    """Why the manager does not answer; what it told before still stands."""


class Watch:
    """Looks at a mesh. Who is away is asked again the next time."""

    def __init__(self, channel: grpc.aio.Channel, admin_key: str) -> None:
        self._manager = client.ManagerClient(channel, admin_key)
        self._last: MeshStatus | None = None

    async def look(self) -> Moment:
        """What is known now, of the time since the last look.

        Raises:
            errors.HydroError: the manager answers, but not this; trying again does not help.
        """
        before, away = self._last, ""
        try:
            async with asyncio.timeout(ASK_S):
                status = await self._manager.get_status()
                pipelines = await self._manager.list_pipelines()
                services = await self._manager.list_services()
        except (errors.Unavailable, errors.NotInTime, TimeoutError) as error:
            away = str(error) or f"no answer within {ASK_S:g} s"
            if before is None:
                return Moment(None, away)
            status, pipelines, services = before.status, before.pipelines, before.services
        scrapes = await _scrape_all(status.targets)
        self._last = MeshStatus(status, pipelines, services, scrapes)
        return Moment(build_view(before, self._last), away)


def open_watch(
    manager: Address, admin_key: str = "", tls: Tls | None = None
) -> tuple[grpc.aio.Channel, Watch]:
    """A watch of the mesh whose manager is at an address, and the channel to close after it."""
    channel = rpc.open_channel(manager, tls=tls.credentials if tls else None)
    return channel, Watch(channel, admin_key)


async def _scrape_all(targets: Collection[pb.MetricsTarget]) -> dict[tuple[str, str], Scrape]:
    scrapes = await asyncio.gather(*(asyncio.to_thread(_scrape, t.address) for t in targets))
    keys = ((target.part, target.instance) for target in targets)
    return {key: scrape for key, scrape in zip(keys, scrapes, strict=True) if scrape}


def _scrape(address: str) -> Scrape | None:
    try:
        host, port = Address.parse(address)
    except ValueError:  # an Envoy may say what it likes
        return None
    connection = http.client.HTTPConnection(host, port, timeout=ASK_S)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return parse_scrape(text, time.monotonic()) if answer.status == 200 else None
