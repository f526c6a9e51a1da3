"""The mesh's endpoints as services of Consul: how they are written there, and the watch of all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro_envoy.address import Address
from hydro_services import incarnation
from hydro_services.consul.agents import Agents

logger = logging.getLogger(__name__)

TAG = "hydro"
"""Of every service of the mesh: others that Consul knows are not ours."""
CHECK_INTERVAL = "1s"
CHECK_TIMEOUT = "3s"
FORGET = "1m"
"""When Consul drops a service that stays critical; the least that it takes."""
_ELSEWHERE = {"service", "instance", "traffic_address", "ready"}
"""Fields of an endpoint that Consul's service has by itself, or that are not the part's to say."""


def service_id(endpoint: pb.Endpoint) -> str:
    """What names the endpoint at an agent."""
    return f"{endpoint.service}:{endpoint.instance}"


def service_definition(endpoint: pb.Endpoint) -> dict[str, Any]:
    """The arguments of py-consul's `agent.service.register`.

    The address and the check are those of the rows; all else is metadata.
    """
    traffic = endpoint.traffic_address or endpoint.address
    host, port = Address.parse(traffic)
    return {
        "name": endpoint.service,
        "service_id": service_id(endpoint),
        "address": host,
        "port": port,
        "tags": [TAG],
        "meta": {"instance": endpoint.instance} | _metadata(endpoint),
        # It registers when it serves: "passing" at once, and need not wait for the first look.
        # It asks for this incarnation: another one at the same address is not what is registered,
        # whatever the clock says of which of them is the later.
        "check": {
            "grpc": f"{traffic}/{endpoint.incarnation}",
            "interval": CHECK_INTERVAL,
            "timeout": CHECK_TIMEOUT,
            "status": "passing",
            "DeregisterCriticalServiceAfter": FORGET,
        },
    }


def _metadata(endpoint: pb.Endpoint) -> dict[str, str]:
    return {
        field.name: value if isinstance(value, str) else ",".join(value)
        for field, value in endpoint.ListFields()
        if field.name not in _ELSEWHERE
    }


@dataclass(frozen=True, slots=True)
class Instance:
    """An endpoint as Consul knows it."""

    endpoint: pb.Endpoint
    passing: bool
    """All checks of the service and of its machine pass."""
    index: int = 0
    """Of the change by which Consul has it: it orders incarnations that do not tell their start."""


def parse_instances(entries: list[Any]) -> dict[str, Instance]:
    """What a health query brought, by the endpoints' ids.

    An endpoint that has changed its agent is there twice: what passes counts, then the incarnation
    that started last. An agent that was away still has what it had, and that passes until its first
    check, which the next incarnation at the same address does not answer. When Consul got which of
    them tells nothing: where it has lost its memory, agents register all that they have again.
    """
    # In ascending order of rank: of two with one id the later one in the mapping stays.
    known = (each for entry in entries if (each := _parse_entry(entry)))
    ordered = sorted(known, key=_rank)
    return {service_id(each.endpoint): each for each in ordered}


def _rank(instance: Instance) -> tuple[bool, int, int]:
    """Of two with one id the higher counts."""
    started_ms = incarnation.started_ms(instance.endpoint.incarnation)
    return instance.passing, started_ms, instance.index


def _parse_entry(entry: Any) -> Instance | None:
    """None: it has our tag, but somebody else has registered it."""
    try:
        return _build_instance(entry)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        logger.debug("service left out", extra={"entry": str(entry)[:200], "error": repr(error)})
        return None


def _build_instance(entry: Mapping[str, Any]) -> Instance:
    service = entry["Service"]
    host, port = service["Address"] or entry["Node"]["Address"], service["Port"]
    where = str(Address(host, int(port)))
    meta = service["Meta"] or {}
    endpoint = pb.Endpoint(service=service["Service"], instance=meta.get("instance", ""))
    for name in {field.name for field in pb.Endpoint.DESCRIPTOR.fields} - _ELSEWHERE:
        if value := meta.get(name):
            _set_field(endpoint, name, value)
    if endpoint.address != where:
        endpoint.traffic_address = where
    passing = all(check["Status"] == "passing" for check in entry["Checks"])
    return Instance(endpoint, passing, int(service.get("ModifyIndex", 0)))


def _set_field(endpoint: pb.Endpoint, name: str, value: str) -> None:
    if isinstance(getattr(endpoint, name), str):
        setattr(endpoint, name, value)
    else:
        getattr(endpoint, name).extend(value.split(","))


async def watch_instances(
    agents: Agents, on_change: Callable[[Mapping[str, Instance], bool], Awaitable[None]]
) -> None:
    """Watches all endpoints of the mesh, until cancelled.

    Args:
        agents: to ask.
        on_change: called with all of them by id after each change, once all services are known; and
            whether Consul has just answered again, so that it may not have all of them yet.
    """
    await _Watch(agents, on_change).run()


class _Watch:
    """A blocking query for the names of the services, and one for each of them."""

    def __init__(
        self, agents: Agents, on_change: Callable[[Mapping[str, Instance], bool], Awaitable[None]]
    ) -> None:
        self._agents = agents
        self._on_change = on_change
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._seen: dict[str, dict[str, Instance]] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            async for answer in self._agents.follow(_query_services, _our_names):
                if answer is None:
                    continue
                names = answer.value
                for name in names - self._tasks.keys():
                    # A query for each service: Consul has none for all endpoints of a tag.
                    self._tasks[name] = group.create_task(self._follow_service(name))
                # Consul names a service for as long as it has any endpoint, healthy or not: one
                # without a name has none left.
                for name in self._tasks.keys() - names:
                    self._tasks.pop(name).cancel()
                    self._seen.pop(name, None)
                await self._report_all(answer.is_fresh)

    async def _follow_service(self, name: str) -> None:
        def query(client: Any, **options: Any) -> Awaitable[Any]:
            answer: Awaitable[Any] = client.health.service(name, tag=TAG, **options)
            return answer

        async for answer in self._agents.follow(query, parse_instances):
            if answer is not None:
                # The first answer of a new service is no sign that Consul has been away.
                is_new = name not in self._seen
                self._seen[name] = answer.value
                await self._report_all(answer.is_fresh and not is_new)

    async def _report_all(self, is_fresh: bool) -> None:
        # Not before each service has answered once: the endpoints of the others would seem gone.
        if self._seen.keys() == self._tasks.keys():
            await self._on_change(
                {k: v for each in self._seen.values() for k, v in each.items()}, is_fresh
            )


def _our_names(tags_by_name: Mapping[str, list[str]]) -> set[str]:
    return {name for name, tags in tags_by_name.items() if TAG in tags}


def _query_services(client: Any, **options: Any) -> Awaitable[Any]:
    answer: Awaitable[Any] = client.catalog.services(**options)
    return answer
