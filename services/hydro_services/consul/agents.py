"""The agents of Consul that a part may ask: calls, and blocking queries without end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import aiohttp
from consul.exceptions import ACLPermissionDenied, BadRequest, ClientError, ConsulException

from hydro_envoy.address import bracketed
from hydro_services import errors
from hydro_services.consul.client import Client
from hydro_services.consul.registry import Registry

logger = logging.getLogger(__name__)

T = TypeVar("T")

CALL_S = 3.0
"""How long an agent may take for a call that does not wait."""
WAIT_S = 10
"""How long a blocking query waits; Consul adds up to a sixteenth."""
FIRST_DELAY_S = 0.1
MAX_DELAY_S = 2.0
MAX_VALUE_BYTES = 512 * 1024
"""Consul's limit for a value."""
_ANSWERS, _AWAY, _REFUSES = "answers again", "does not answer, retrying", "refuses a call"


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What a blocking query brought."""

    value: T
    index: int
    """Consul's; grows with each change of the value."""
    is_fresh: bool
    """The first of all, or the first after Consul did not answer or lost its memory."""


@dataclass(frozen=True, slots=True)
class KvValue:
    """A value of the KV store."""

    body: bytes
    index: int
    """Its ModifyIndex: of the change that brought it."""


class Agents:
    """Asks one agent; if it does not answer, the next."""

    def __init__(self, clients: Sequence[tuple[str, Any]]) -> None:
        """With clients by their address."""
        self._clients = list(clients)
        self._how = _ANSWERS

    @property
    def is_away(self) -> bool:
        """The last call got no answer from any agent."""
        return self._how == _AWAY

    async def ask(self, call: Callable[[Any], Awaitable[T]], timeout_s: float = CALL_S) -> T:
        """Makes a call of py-consul's client.

        A change may have been made although no agent has answered. An answer that the call cannot
        read counts as no answer: whatever Consul, or something in its place, says, no task ends.

        Raises:
            errors.Unavailable: no agent answers in a way that can be read, or there is no leader.
            errors.FailedPrecondition: Consul refuses the call; the message is Consul's own.
        """
        reasons: list[str] = []
        # A copy: whoever finds an agent silent moves it to the end while others are in this loop.
        for address, client in list(self._clients):
            try:
                async with asyncio.timeout(timeout_s):
                    answer = await call(client)
            except ACLPermissionDenied as error:
                way_out = "give a token that may, by CONSUL_HTTP_TOKEN"
                raise self._refusal(f"{error}; {way_out}") from error
            except (BadRequest, ClientError) as error:
                raise self._refusal(str(error)) from error
            except (aiohttp.ClientError, TimeoutError, ConsulException) as error:
                self._pass_over(client)
                reasons.append(f"{address} ({_error_text(error)})")
            # Of py-consul or of the reader, for whatever stands at that address: a proxy's page,
            # for example.
            except Exception as error:
                self._pass_over(client)
                what = f"what it answers is not understood: {type(error).__name__}: {error}"
                reasons.append(f"{address} ({what[:200]})")
            else:
                self._log_change(_ANSWERS)
                return answer
        way_out = "start it, or mend --registry"
        message = f"Consul does not answer at {', '.join(reasons)}; {way_out}"
        self._log_change(_AWAY, message)
        raise errors.Unavailable(message)

    def _pass_over(self, client: Any) -> None:
        """The next call asks another first."""
        if self._clients[0][1] is client:  # else somebody else has seen it
            self._clients.append(self._clients.pop(0))

    def _refusal(self, reason: str) -> errors.FailedPrecondition:
        self._log_change(_REFUSES, reason)
        return errors.FailedPrecondition(f"Consul refuses: {reason}")

    def _log_change(self, how: str, error: str = "") -> None:
        """Logs how Consul is, when that is another."""
        if how != self._how:
            logger.warning("Consul %s", how, extra={"error": error} if error else {})
        self._how = how

    async def follow(
        self, query: Callable[..., Awaitable[Any]], read: Callable[[Any], T]
    ) -> AsyncIterator[Answer[T] | None]:
        """What a blocking query brings, each time that it changes; without end.

        Args:
            query: a call that takes the client, `index` and `wait`, and answers with py-consul's
                pair of index and value.
            read: makes something of the value; what it raises counts as no answer.

        Yields:
            None once when Consul does not answer any more, or refuses; it is asked again and again.
        """

        async def query_once(client: Any) -> tuple[int, T]:
            # One that has lost its memory would wait for its old index to come again.
            since = None if away else index
            found, value = await query(client, index=since, wait=f"{WAIT_S}s")
            return int(found), read(value)

        # `away` at first, so that the first answer counts as fresh.
        index, delay, away, is_reported = 0, FIRST_DELAY_S, True, False
        while True:
            try:
                # Consul adds up to a sixteenth to the wait, so that not all queries end at once.
                found, value = await self.ask(query_once, WAIT_S * 17 / 16 + CALL_S)
            except errors.HydroError:
                if not is_reported:
                    yield None
                away, is_reported = True, True
                # Spread: all parts of a mesh lose the same Consul at the same time.
                await asyncio.sleep(delay * random.uniform(0.5, 1.5))
                delay = min(delay * 2, MAX_DELAY_S)
                continue
            before, index = index, found
            # An index that goes back is one of a Consul that has lost its memory.
            is_fresh = away or index < before
            delay, away, is_reported = FIRST_DELAY_S, False, False
            if is_fresh or index != before:
                yield Answer(value, index, is_fresh)

    def follow_values(self, prefix: str) -> AsyncIterator[Answer[dict[str, KvValue]] | None]:
        """All values under a prefix, by what follows it in their keys; see `follow`."""

        def query(client: Any, **options: Any) -> Awaitable[Any]:
            answer: Awaitable[Any] = client.kv.get(prefix, recurse=True, **options)
            return answer

        return self.follow(query, partial(_parse_values, prefix))

    async def read(self, prefix: str) -> Answer[dict[str, KvValue]]:
        """All values under a prefix as they are now.

        Raises:
            As `ask`.
        """

        async def read_all(client: Any) -> Answer[dict[str, KvValue]]:
            index, entries = await client.kv.get(prefix, recurse=True)
            return Answer(_parse_values(prefix, entries), int(index), is_fresh=True)

        return await self.ask(read_all)

    async def put(self, key: str, body: bytes, index: int | None = None) -> bool:
        """Writes a value; whether it was written.

        Args:
            key: without a slash at its start.
            body: at most 512 KiB.
            index: only if the present value's index is still this; 0: only if there is none.

        Raises:
            errors.InvalidArgument: the value is too large.
            As `ask`.
        """
        if len(body) > MAX_VALUE_BYTES:
            got = f"{key} has {len(body)} bytes"
            raise errors.InvalidArgument(f"{got}, Consul keeps at most {MAX_VALUE_BYTES} a value")
        return bool(await self.ask(lambda client: client.kv.put(key, body, cas=index)))

    async def delete(self, key: str, index: int | None = None) -> bool:
        """Deletes a value if its index is still this, or in any case; whether that was so."""
        return bool(await self.ask(lambda client: client.kv.delete(key, cas=index)))


def _parse_values(prefix: str, found: Sequence[Any] | None) -> dict[str, KvValue]:
    return {
        each["Key"].removeprefix(prefix): KvValue(each["Value"] or b"", int(each["ModifyIndex"]))
        for each in found or ()
    }


def _error_text(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.strerror:
        return os.strerror(error.os_error.errno or 0).lower()
    return str(error)[:200] or "no answer in time"


async def wait_until_ready(agents: Agents, limit_s: float) -> None:
    """Waits until Consul answers, with a leader.

    Raises:
        errors.Unavailable: not by then.
        errors.FailedPrecondition: Consul refuses.
    """
    end = asyncio.get_running_loop().time() + limit_s
    while True:
        try:
            await agents.ask(lambda client: client.catalog.nodes(consistency="consistent"))
            return
        except errors.Unavailable:
            if asyncio.get_running_loop().time() > end:
                raise
            await asyncio.sleep(FIRST_DELAY_S)


@contextlib.asynccontextmanager
async def connect_agents(registry: Registry) -> AsyncIterator[Agents]:
    """Clients of the agents; connects with the first call."""
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for agent in registry.agents:
            client = await stack.enter_async_context(Client(bracketed(agent.host), agent.port))
            clients.append((str(agent), client))
        yield Agents(clients)
