"""Consul itself: what is registered, watched and kept there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import pytest
from consul_agent import Agent
from patience import PATIENCE_S
from whole_mesh import until

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro_envoy.address import ANY_PORT, Address
from hydro_services import errors, incarnation, registration, rpc
from hydro_services.consul import services
from hydro_services.consul.agents import Agents, Answer, connect_agents, wait_until_ready
from hydro_services.consul.registry import Registry


@pytest.fixture
async def agents(agent: Agent) -> AsyncIterator[Agents]:
    async with connect_agents(Registry.parse(agent.registry)) as connected:
        yield connected


@contextlib.asynccontextmanager
async def served(name: str = "first") -> AsyncIterator[pb.Endpoint]:
    """A server with health, as every part has one, by the name of its incarnation."""
    async with rpc.serve(ANY_PORT, lambda _: None, (), grace_s=0.0) as server:
        await server.answer_for(name)
        yield pb.Endpoint(
            service="serving-scikit",
            instance="one",
            address=str(server.address),
            formats=["skops"],
            incarnation=name,
        )


async def test_a_part_is_registered_with_a_check_and_taken_out_at_its_end(agent: Agent) -> None:
    async with served() as endpoint:
        async with registration.keep_registered(Registry.parse(agent.registry), endpoint):
            await until(lambda: agent.passing("serving-scikit"), PATIENCE_S, "it is registered")
            (found,) = agent.passing("serving-scikit")
            assert (found["ID"], found["Tags"]) == ("serving-scikit:one", ["hydro"])
            assert found["Meta"]["incarnation"] == "first"
            await until(partial(is_asked, agent), PATIENCE_S, "Consul asks for its health")
        await until(lambda: not agent.passing("serving-scikit"), PATIENCE_S, "it is taken out")


def is_asked(agent: Agent) -> bool:
    return "gRPC check" in str(agent.get("/v1/agent/checks"))


async def test_an_agent_that_forgot_a_part_is_told_again(agent: Agent) -> None:
    async with (
        served() as endpoint,
        registration.keep_registered(Registry.parse(agent.registry), endpoint),
    ):
        await until(lambda: agent.passing("serving-scikit"), PATIENCE_S, "it is registered")
        agent.stop()
        agent.start()
        await asyncio.to_thread(agent.wait_until_ready)
        await until(lambda: agent.passing("serving-scikit"), PATIENCE_S, "it is registered again")


async def test_a_part_whose_agent_is_gone_registers_with_the_next(agent: Agent) -> None:
    absent = Registry.parse(f"consul://127.0.0.1:1,{agent.address}")
    async with served() as endpoint, registration.keep_registered(absent, endpoint):
        await until(lambda: agent.passing("serving-scikit"), PATIENCE_S, "it is registered")


@pytest.mark.parametrize("is_earlier_first", [True, False])
async def test_of_the_lives_of_a_part_the_last_counts_whatever_consul_forgot(
    agent: Agent, agents: Agents, *, is_earlier_first: bool
) -> None:
    told: list[str] = []

    async def tell(found: Mapping[str, services.Instance], _: bool) -> None:
        told.extend(each.endpoint.incarnation for each in found.values())

    async with served(incarnation.new(2 * 10**9)) as later:
        earlier = pb.Endpoint()
        earlier.CopyFrom(later)
        earlier.incarnation = incarnation.new(10**9)
        agent.stop()
        agent.start()
        await asyncio.to_thread(agent.wait_until_ready)
        if is_earlier_first:
            await asyncio.to_thread(register_at_another, agent, earlier)
        async with registration.keep_registered(Registry.parse(agent.registry), later):
            await until(lambda: has_incarnation(agent, later), PATIENCE_S, "it is registered")
            if not is_earlier_first:
                await asyncio.to_thread(register_at_another, agent, earlier)
            assert has_incarnation(agent, earlier)
            following = asyncio.create_task(services.watch_instances(agents, tell))
            await until(lambda: bool(told), PATIENCE_S, "it is told")
            following.cancel()
    assert set(told) == {later.incarnation}


@pytest.mark.parametrize("set_back_s", [-3600, 3600])
async def test_of_the_incarnations_of_a_part_the_living_counts_whatever_the_clock_says(
    agent: Agent, agents: Agents, set_back_s: int
) -> None:
    """A dead one at the address of the living is with an agent that was away."""
    told: list[str] = []

    async def tell(found: Mapping[str, services.Instance], _: bool) -> None:
        told[:] = [each.endpoint.incarnation for each in found.values() if each.passing]

    async with rpc.serve(ANY_PORT, lambda _: None, (), grace_s=0.0) as server:
        dead = pb.Endpoint(
            service="serving-scikit", instance="one", address=str(server.address), formats=["skops"]
        )
        living = pb.Endpoint()
        living.CopyFrom(dead)
        dead.incarnation = incarnation.new(time.time_ns() + set_back_s * 10**9)
        living.incarnation = incarnation.new()
        await server.answer_for(living.incarnation)
        following = asyncio.create_task(services.watch_instances(agents, tell))
        async with registration.keep_registered(Registry.parse(agent.registry), living):
            await until(lambda: told == [living.incarnation], PATIENCE_S, "it is registered")
            definition = services.service_definition(dead) | {"service_id": "of another agent"}
            await agents.ask(lambda client: client.agent.service.register(**definition))
            await until(lambda: is_critical(agent, dead), PATIENCE_S, "the dead one is found out")
            await until(lambda: told == [living.incarnation], PATIENCE_S, "the living counts")
        following.cancel()


def is_critical(agent: Agent, process: pb.Endpoint) -> bool:
    """Consul has looked, and has not found the process."""
    entries = agent.get(f"/v1/health/service/{process.service}")
    return any(
        check["Status"] == "critical"
        for entry in entries
        if entry["Service"]["Meta"]["incarnation"] == process.incarnation
        for check in entry["Checks"]
    )


def has_incarnation(agent: Agent, process: pb.Endpoint) -> bool:
    found = [each["Meta"]["incarnation"] for each in agent.passing(process.service)]
    return process.incarnation in found


def register_at_another(agent: Agent, process: pb.Endpoint) -> None:
    """As an agent does that has been away, for what is registered with it."""
    known = services.service_definition(process)
    service = {
        "ID": known["service_id"],
        "Service": known["name"],
        "Address": known["address"],
        "Port": known["port"],
        "Tags": known["tags"],
        "Meta": known["meta"],
    }
    node = {"Node": "another", "Address": "127.0.0.1", "SkipNodeUpdate": False, "Service": service}
    agent.put("/v1/catalog/register", json.dumps(node).encode())


async def test_values_are_told_when_they_change_and_again_after_an_absence(
    agent: Agent, agents: Agents
) -> None:
    told: asyncio.Queue[Answer[Any] | None] = asyncio.Queue()

    async def follow() -> None:
        async for answer in agents.follow_values("x/"):
            told.put_nowait(answer)

    async def next_with(*names: str) -> Answer[Any]:
        async with asyncio.timeout(PATIENCE_S):
            while (answer := await told.get()) is None or set(answer.value) != set(names):
                pass
            return answer

    following = asyncio.create_task(follow())
    assert (await next_with()).is_fresh
    await agents.put("x/a", b"1")
    changed = await next_with("a")
    assert (changed.value["a"].body, changed.is_fresh) == (b"1", False)
    agent.stop()
    async with asyncio.timeout(PATIENCE_S):
        while await told.get() is not None:
            pass
    agent.start()
    assert (await next_with()).is_fresh, "it lost its memory: its index went back"
    await agents.put("x/b", b"2")
    assert not (await next_with("b")).is_fresh
    following.cancel()


async def test_a_value_is_written_only_where_nobody_was_faster(agents: Agents) -> None:
    assert await agents.put("x", b"1", 0)
    assert not await agents.put("x", b"2", 0), "it is there"
    _, value = await agents.ask(lambda client: client.kv.get("x"))
    assert await agents.put("x", b"3", value["ModifyIndex"])
    assert not await agents.delete("x", value["ModifyIndex"]), "it has changed"
    with pytest.raises(errors.InvalidArgument, match="at most 524288"):
        await agents.put("x", bytes(600_000))


async def test_a_consul_that_is_not_there_is_told_with_its_address_and_the_way_out() -> None:
    async with connect_agents(Registry.parse("consul://127.0.0.1:1")) as agents:
        with pytest.raises(errors.Unavailable, match=r"127\.0\.0\.1:1 .*refused.*--registry"):
            await wait_until_ready(agents, 0.2)


async def test_a_token_is_sent_and_never_told(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "s3cret")
    seen: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 17\r\n\r\nPermission denied")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect_agents(Registry((Address("127.0.0.1", port),))) as agents:
            with pytest.raises(errors.FailedPrecondition, match="CONSUL_HTTP_TOKEN") as caught:
                await agents.ask(lambda client: client.agent.services())
    assert "x-consul-token: s3cret" in seen[0]
    assert "s3cret" not in caught.value.message
