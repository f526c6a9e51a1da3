"""Where API keys are kept: a file, or Consul's KV store, by how the place is written.

In Consul each key is a value of its own, `hydro/keys/<id>`, so that changes need no lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from hydro_services.consul.address import is_consul, needs_consul
from hydro_services.errors import InvalidArgument
from hydro_services.security import keyfile, keys
from hydro_services.security.keys import Key

if TYPE_CHECKING:
    from hydro_services.consul.agents import Agents

logger = logging.getLogger(__name__)

PREFIX = "hydro/keys/"
Change: TypeAlias = Callable[[tuple[Key, ...]], tuple[Key, ...]]


async def read(place: str) -> tuple[Key, ...]:
    """All keys.

    Args:
        place: a file, or `consul://…`.

    Raises:
        NotFound, InvalidArgument: see `keyfile.read`.
        Unavailable: Consul does not answer.
        FailedPrecondition: Consul refuses.
    """
    if not is_consul(place):
        return await asyncio.to_thread(keyfile.read, Path(place))
    async with _connected(place) as agents:
        return await _present(agents)


async def change(place: str, to: Change) -> None:
    """Replaces the keys by others.

    Raises:
        As `read`, but a file that is not there yet has no keys; and what `to` raises.
    """
    if not is_consul(place):
        await asyncio.to_thread(keyfile.change, Path(place), to)
        return
    async with _connected(place) as agents:
        before = await _present(agents)
        after = to(before)
        for key in set(after) - set(before):
            await agents.put(PREFIX + key.id, json.dumps(keys.record(key)).encode(), 0)
        for key in set(before) - set(after):
            await agents.delete(PREFIX + key.id)


async def changes(place: str) -> AsyncGenerator[tuple[Key, ...]]:
    """The keys, and then again whenever there are others. See `keyfile.changes`.

    Waits for a Consul that does not answer; while it is away the last keys stay.
    """
    if not is_consul(place):
        async for found in keyfile.changes(Path(place)):
            yield found
    async with _connected(place) as agents:
        last: tuple[Key, ...] | None = None
        async for answer in agents.values(PREFIX):
            if answer is None:
                continue
            found = _keys({id: value.body for id, value in answer.value.items()})
            if found != last:
                last = found
                yield found


@contextlib.asynccontextmanager
async def _connected(place: str) -> AsyncGenerator[Agents]:
    needs_consul()
    from hydro_services.consul.agents import connect

    async with connect(place) as agents:
        yield agents


async def _present(agents: Agents) -> tuple[Key, ...]:
    found = await agents.read(PREFIX)
    return _keys({id: value.body for id, value in found.value.items()})


def _keys(bodies: Mapping[str, bytes]) -> tuple[Key, ...]:
    """Those that can be read; another is nobody's."""
    found: list[Key] = []
    for id, body in sorted(bodies.items()):
        try:
            found += keys.load(f'{{"keys": [{body.decode()}]}}', f"{PREFIX}{id}")
        except (InvalidArgument, UnicodeDecodeError) as error:
            logger.error("API key left out", extra={"id": id, "error": str(error)})
    return tuple(found)
