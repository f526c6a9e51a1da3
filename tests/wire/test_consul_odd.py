"""What answers in Consul's place may say anything: it is asked again, and no task ends of it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import PATIENCE_S

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro_envoy.address import Address
from hydro_services.consul import agents, services
from hydro_services.consul.registry import Registry
from hydro_services.consul.services import Instance, service_definition

ENDPOINT = pb.Endpoint(
    service="serving-scikit", instance="one", address="10.0.0.7:1", incarnation="a"
)
CHECKS = [{"Status": "passing"}]


def good(path: str) -> Any:
    """What Consul would say."""
    if path.startswith("/v1/kv/"):
        return [{"Key": "x/a", "Value": base64.b64encode(b"1").decode(), "ModifyIndex": 7}]
    if path.startswith("/v1/catalog/services"):
        return {"serving-scikit": ["hydro"], "other": []}
    told = service_definition(ENDPOINT)
    names = {"name": "Service", "address": "Address", "port": "Port", "meta": "Meta"}
    service = {theirs: told[ours] for ours, theirs in names.items()}
    return [{"Node": {"Address": "10.0.0.1"}, "Service": service, "Checks": CHECKS}]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("%%%"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Key", "Value", "ModifyIndex", "Service", "Node", "Checks", "Meta", "Port", "a"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
bodies = anything.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20)
indexes = st.sampled_from([b"5", b"-1", b"", b"x", b"5.5", b"9" * 30])
odd_answers = st.tuples(st.sampled_from([200, 200, 200, 404, 429, 500, 599]), indexes, bodies)


@asynccontextmanager
async def consul(odd: list[tuple[int, bytes, bytes]]) -> AsyncIterator[Registry]:
    """Says what is odd, answer by answer, and then what is good."""
    left = iter(odd)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split(b" ")[1].decode()
            await asyncio.sleep(0)
            status, index, body = next(left, (200, b"9", json.dumps(good(path)).encode()))
            fields = b"X-Consul-Index: %b\r\ncontent-length: %d" % (index, len(body))
            writer.write(b"HTTP/1.1 %d X\r\n%b\r\n\r\n%b" % (status, fields, body))
            await writer.drain()

    async def until_gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(until_gone, "127.0.0.1", 0) as server:
        yield Registry((Address("127.0.0.1", server.sockets[0].getsockname()[1]),))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "FIRST_DELAY_S", 0.0)


fuzzed = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@fuzzed
@given(st.lists(odd_answers, max_size=4))
def test_values_come_whatever_was_said_before(odd: list[tuple[int, bytes, bytes]]) -> None:
    async def follow() -> None:
        async with (
            asyncio.timeout(PATIENCE_S),
            consul(odd) as at,
            agents.connect_agents(at) as asked,
        ):
            async for answer in asked.follow_values("x/"):
                if answer and answer.value.get("a") == agents.KvValue(b"1", 7):
                    return

    asyncio.run(follow())


@fuzzed
@given(st.lists(odd_answers, max_size=4))
def test_endpoints_come_whatever_was_said_before(odd: list[tuple[int, bytes, bytes]]) -> None:
    async def follow() -> None:
        found = asyncio.Event()

        async def tell(known: Mapping[str, Instance], is_fresh: bool) -> None:
            if [each.endpoint for each in known.values()] == [ENDPOINT]:
                found.set()

        async with (
            asyncio.timeout(PATIENCE_S),
            consul(odd) as at,
            agents.connect_agents(at) as asked,
        ):
            watching = asyncio.create_task(services.watch_instances(asked, tell))
            await asyncio.wait(
                [watching, asyncio.create_task(found.wait())], return_when=asyncio.FIRST_COMPLETED
            )
            assert found.is_set(), watching
            watching.cancel()

    asyncio.run(follow())
