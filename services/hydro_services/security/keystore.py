"""Where API keys are stored: a file or Consul's KV store, as the place says.

In Consul each key has an entry of its own, `hydro/keys/<id>`, so that changes need no lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from hydro_services.consul.registry import Registry, is_consul, needs_consul
from hydro_services.errors import InvalidArgument
from hydro_services.security import keyfile, keys
from hydro_services.security.keys import Key

if TYPE_CHECKING:
    from hydro_services.consul.agents import Agents

logger = logging.getLogger(__name__)

PREFIX = "hydro/keys/"
KeyChange: TypeAlias = Callable[[tuple[Key, ...]], tuple[Key, ...]]


async def read_keys(place: str) -> tuple[Key, ...]:
    """All keys.

    Args:
        place: a file, or `consul://…`.

    Raises:
        NotFound, InvalidArgument: see `keyfile.read_keys`.
        Unavailable: Consul does not answer.
        FailedPrecondition: Consul refuses.
    """
    if not is_consul(place):
        return await asyncio.to_thread(keyfile.read_keys, Path(place))
    async with _connect_consul(place) as agents:
        return await _read_consul(agents)


async def change_keys(place: str, to: KeyChange) -> None:
    """Replaces the keys.

    Raises:
        As `read`, but a file that is not there yet has no keys; and what `to` raises.
    """
    if not is_consul(place):
        await asyncio.to_thread(keyfile.change_keys, Path(place), to)
        return
    async with _connect_consul(place) as agents:
        before = await _read_consul(agents)
        after = to(before)
        # New ones first: whose key is replaced is let in at any time.
        for key in set(after) - set(before):
            await agents.put(PREFIX + key.id, json.dumps(keys.to_record(key)).encode(), 0)
        for key in set(before) - set(after):
            await agents.delete(PREFIX + key.id)


async def watch_keys(place: str) -> AsyncGenerator[tuple[Key, ...]]:
    """The keys, and then again whenever there are others. See `keyfile.watch_keys`.

    Waits while Consul does not answer; the last keys stay until it does.
    """
    if not is_consul(place):
        async for present in keyfile.watch_keys(Path(place)):
            yield present
    async with _connect_consul(place) as agents:
        last: tuple[Key, ...] | None = None
        async for answer in agents.follow_values(PREFIX):
            if answer is None:
                continue
            present = _parse_values({id: value.body for id, value in answer.value.items()})
            if present != last:
                last = present
                yield present


@contextlib.asynccontextmanager
async def _connect_consul(place: str) -> AsyncGenerator[Agents]:
    needs_consul()
    from hydro_services.consul.agents import connect_agents

    async with connect_agents(Registry.parse(place)) as agents:
        yield agents


async def _read_consul(agents: Agents) -> tuple[Key, ...]:
    answer = await agents.read(PREFIX)
    return _parse_values({id: value.body for id, value in answer.value.items()})


def _parse_values(bodies: Mapping[str, bytes]) -> tuple[Key, ...]:
    """The keys that can be read; an entry that cannot is logged and lets nobody in."""
    readable: list[Key] = []
    for id, body in sorted(bodies.items()):
        try:
            readable += keys.load_keys(f'{{"keys": [{body.decode()}]}}', f"{PREFIX}{id}")
        except (InvalidArgument, UnicodeDecodeError) as error:
            logger.error("API key left out", extra={"key_id": id, "error": str(error)})
    return tuple(readable)
