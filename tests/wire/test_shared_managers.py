"""Two managers, one mesh, a real Consul between them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from consul_agent import Agent
from manager_mesh import CHAIN, PREDICT, PREDICT_2, PREPARE, key
from manager_pair import Manager, Pair
from patience import PATIENCE_S
from ports import free_ports
from whole_mesh import until, until_true

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import manager_service_pb2_grpc as pb_grpc
from hydro_envoy.address import Address
from hydro_services import errors, registration, rpc
from hydro_services.consul.agents import Agents, Answer, KvValue
from hydro_services.manager import process
from hydro_services.manager.cluster import coordination, records
from hydro_services.manager.domain import call_plan
from hydro_services.manager.domain.state import PendingPipeline
from hydro_services.manager.engine.reconciler import Reconciler

SHORT = CHAIN[:1]
KEY = "hydro/pipelines/match"


@pytest.fixture
async def pair(tmp_path: Path, agent: Agent) -> AsyncIterator[Pair]:
    started = Pair(tmp_path, agent)
    try:
        await started.start()
        yield started
    finally:
        await started.stop()


def serve(pair: Pair, name: str, *models: Any) -> list[bool]:
    return [manager.envoy.serves(name, *models) for manager in (pair.a, pair.b)]


async def delete(manager: Manager, name: str) -> None:
    await manager.manager.DeletePipeline(pb.DeletePipelineRequest(name=name))


async def has(manager: Manager, *names: str) -> bool:
    return await manager.names() == sorted(names)


async def test_what_one_manager_answers_is_so_at_both(pair: Pair) -> None:
    pair.b.envoy.gate.clear()
    creation = asyncio.create_task(pair.a.create())
    await until(lambda: pair.a.envoy.serves("match", PREDICT), PATIENCE_S, "a's Envoy has it")
    assert not creation.done(), "b's has not"
    pair.b.envoy.gate.set()
    await creation
    assert serve(pair, "match", PREPARE, PREDICT) == [True, True]
    assert await pair.b.names() == ["match"]
    assert pair.a.envoy.resources == pair.b.envoy.resources, "byte for byte, or failover costs"
    await delete(pair.b, "match")
    assert serve(pair, "match") == [False, False]
    assert await pair.a.names() == []
    assert pair.agent.value(KEY) is None


async def test_of_two_who_replace_the_same_state_one_wins(pair: Pair) -> None:
    etag = (await pair.a.create()).etag
    chains = (SHORT, (CHAIN[0], "serving-spark/predict:1"))
    changes = (pair.a.create(chain=chains[0], etag=etag), pair.b.create(chain=chains[1], etag=etag))
    outcomes = await asyncio.gather(*changes, return_exceptions=True)
    (lost,) = [each for each in outcomes if isinstance(each, errors.HydroError)]
    (won,) = [each for each in outcomes if not isinstance(each, BaseException)]
    assert isinstance(lost, errors.Aborted), lost
    assert "again" in lost.message
    for manager in (pair.a, pair.b):
        assert (await manager.pipelines())["match"].chain == won.chain


async def test_of_two_who_do_not_care_the_second_replaces_the_first(pair: Pair) -> None:
    await asyncio.gather(pair.a.create(chain=SHORT), pair.b.create(chain=CHAIN))
    (found,) = {tuple((await m.pipelines())["match"].chain) for m in (pair.a, pair.b)}
    assert found in (SHORT, CHAIN)
    assert serve(pair, "match", *(PREPARE, PREDICT)[: len(found)]) == [True, True]


async def test_what_any_envoy_or_runtime_refuses_is_kept_nowhere(pair: Pair) -> None:
    pair.b.envoy.refusals["pipeline/match"] = "no such filter"
    with pytest.raises(errors.EnvoyRefused, match="no such filter"):
        await pair.a.create()
    await until(lambda: pair.agent.value(KEY) is None, PATIENCE_S, "it is withdrawn")
    pair.b.envoy.refusals.clear()
    pair.spark.failures["predict"] = errors.ModelRefused("stage of an unknown class")
    with pytest.raises(errors.ModelRefused, match="unknown class"):
        await pair.b.create()
    await until(lambda: serve(pair, "match") == [False, False], PATIENCE_S, "nobody serves it")
    pair.spark.failures.clear()
    await pair.a.create()


async def test_what_a_dead_manager_began_is_cleared_away(pair: Pair) -> None:
    await pair.a.create()
    body = pair.agent.get(f"/v1/kv/{KEY}?raw")
    kept = records.from_json(json.dumps(body).encode())
    assert kept.pipeline
    pending = PendingPipeline(kept.pipeline.spec, kept.pipeline.stages, published=True)
    begun = records.Record(kept.pipeline, pending, owner="c gone")
    pair.agent.put(f"/v1/kv/{KEY}", records.to_json(begun))
    await until(lambda: "owner" not in pair.agent.value(KEY), PATIENCE_S, "it is ended")
    assert serve(pair, "match", PREDICT) == [True, True]


async def test_a_new_version_takes_over_at_both(pair: Pair) -> None:
    await pair.a.create()
    await pair.repository.publish(PREPARE, PREDICT_2)
    await until(
        lambda: serve(pair, "match", PREDICT_2) == [True, True], PATIENCE_S, "it takes over"
    )
    wanted = PREDICT_2.digest

    def digest() -> str:
        return str(pair.agent.value(KEY)["pipeline"]["stages"][1]["digest"])

    await until(lambda: digest() == wanted, PATIENCE_S, "it is kept")


async def test_no_model_is_unloaded_while_an_envoy_of_another_manager_may_use_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_plan, "LINGER_S", 0.0)
    await pair.a.create()

    def demand() -> str:
        return str(pair.agent.value("hydro/managers/a")["demand"])

    await until(demand, PATIENCE_S, "a's Envoy has all")
    before = demand()
    pair.b.envoy.gate.clear()
    deletion = asyncio.create_task(delete(pair.a, "match"))
    await until(lambda: demand() not in ("", before), PATIENCE_S, "a has no use for the models")
    pair.b.envoy.gate.set()
    await deletion
    await pair.world.seen("unloaded", "one", key(PREDICT))
    (unloaded, *_) = pair.world.order(("unloaded", "one", key(PREDICT)))
    assert pair.world.journal[:unloaded].count(("dropped", "match")) == 2


async def test_one_manager_goes_and_comes_back_with_everything(pair: Pair) -> None:
    await pair.a.create("one")
    await pair.a.end()
    await pair.b.create("two")
    await pair.a.begin()
    await until(lambda: pair.a.envoy.serves("two", PREDICT), PATIENCE_S, "its Envoy has both")
    assert await pair.a.names() == ["one", "two"]
    assert len(pair.a.envoy.ports("serving-spark")) == 1, "it publishes nothing before it knows"
    await pair.a.create("three")
    assert serve(pair, "three", PREDICT) == [True, True]


async def test_without_consul_all_serves_on_and_a_new_one_gets_back_what_it_lost(
    pair: Pair,
) -> None:
    await pair.a.create()
    ports = pair.a.envoy.ports("serving-spark")
    pair.agent.stop()
    with pytest.raises(errors.Unavailable, match=r"'other' cannot be changed.* does not answer"):
        await pair.a.create("other")
    assert serve(pair, "match", PREDICT) == [True, True]
    pair.agent.start()
    await until_true(partial(is_created, pair.b, "other"), PATIENCE_S, "changes are possible again")
    assert await pair.a.names() == ["match", "other"]
    assert serve(pair, "match", PREDICT) == [True, True]
    assert pair.agent.value(KEY)["pipeline"]["name"] == "match"
    assert pair.a.envoy.ports("serving-spark") == ports
    assert ("dropped", "match") not in pair.a.world.journal


@pytest.fixture
def forgotten(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Once set, who first reads a Consul without memory is told of it only when another has given
    back; what it read stands still, as on a slow machine."""
    values, forgotten, held = Agents.follow_values, asyncio.Event(), asyncio.Event()

    async def late(self: Agents, prefix: str) -> AsyncIterator[Answer[dict[str, KvValue]] | None]:
        async for answer in values(self, prefix):
            if (
                prefix == coordination.PIPELINES
                and answer
                and forgotten.is_set()
                and not held.is_set()
            ):
                held.set()
                answer = replace(answer, value={})  # the other may have been quicker than this test
                await until(
                    lambda: agent.value(coordination.MARK) is not None, PATIENCE_S, "it is there"
                )
            yield answer

    monkeypatch.setattr(Agents, "follow_values", late)
    return forgotten


async def test_a_manager_drops_nothing_that_another_gives_back_to_consul(
    forgotten: asyncio.Event, pair: Pair
) -> None:
    await pair.a.create()
    pair.agent.stop()
    forgotten.set()
    pair.agent.start()
    await until_true(partial(is_created, pair.b, "other"), PATIENCE_S, "changes are possible again")
    assert await pair.a.names() == ["match", "other"]
    assert ("dropped", "match") not in pair.a.world.journal


async def is_created(manager: Manager, name: str) -> bool:
    try:
        await manager.create(name)
    except (errors.Unavailable, errors.InvalidArgument):
        return False
    return True


async def test_a_mesh_of_a_newer_version_is_left_alone(pair: Pair) -> None:
    await pair.a.create()
    await pair.a.end()
    pair.agent.put(f"/v1/kv/{coordination.MARK}", b'{"form": 2}')
    with pytest.raises(errors.NewerVersion, match="form 2, want 1"):
        await asyncio.wait_for(process.run(pair.a.config), PATIENCE_S)
    assert pair.b.envoy.serves("match", PREDICT), "who began before goes on"
    await pair.b.end()
    pair.agent.put(f"/v1/kv/{coordination.MARK}", b"{}")
    running = asyncio.create_task(process.run(pair.a.config))
    await asyncio.sleep(0)
    pair.agent.put(f"/v1/kv/{KEY}", b'{"form": 2}')
    with pytest.raises(errors.NewerVersion, match="form 2, want 1"):
        await asyncio.wait_for(running, PATIENCE_S)


async def test_a_manager_that_starts_without_consul_has_what_it_had(pair: Pair) -> None:
    await pair.a.create()
    await pair.a.end()
    pair.agent.stop()
    await pair.a.begin()
    await until(lambda: pair.a.envoy.serves("match", PREDICT), PATIENCE_S, "it serves")
    assert len(pair.a.envoy.ports("serving-spark")) == 1


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Until it is set, no reconciler that starts takes anything into its state."""
    run, held = Reconciler.run, asyncio.Event()

    async def late(self: Reconciler) -> None:
        await held.wait()
        await run(self)

    monkeypatch.setattr(Reconciler, "run", late)
    held.set()
    return held


async def test_a_manager_that_has_just_started_denies_nothing_that_others_have_created(
    held: asyncio.Event, pair: Pair
) -> None:
    await pair.a.end()
    await pair.b.create()
    held.clear()
    (port,) = free_ports(1)
    pair.a.config = replace(pair.a.config, listen=Address("127.0.0.1", port))
    starting = asyncio.create_task(pair.a.begin())
    async with rpc.open_channel(pair.a.config.listen) as channel:
        await channel.channel_ready()
        early = pb_grpc.ManagerServiceStub(channel)
        get, remove = pb.GetPipelineRequest(name="match"), pb.DeletePipelineRequest(name="match")
        got = asyncio.ensure_future(early.GetPipeline(get))
        listed = asyncio.ensure_future(early.ListPipelines(pb.ListPipelinesRequest()))
        deleted = asyncio.ensure_future(early.DeletePipeline(remove))
        answered, _ = await asyncio.wait([got, listed, deleted], timeout=0.5)
        assert not answered, "it cannot know yet"
        held.set()
        assert (await got).name == "match"
        assert [each.name for each in (await listed).pipelines] == ["match"]
        await deleted
        await starting
    assert await pair.b.names() == []


async def test_whether_a_pipeline_is_there_is_not_told_while_consul_is_away(pair: Pair) -> None:
    await pair.a.create()
    pair.agent.stop()
    get, remove = pb.GetPipelineRequest(name="other"), pb.DeletePipelineRequest(name="other")
    unavailable, not_found = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND
    assert await denial(pair.a.manager.DeletePipeline(remove)) == unavailable
    assert await denial(pair.a.manager.GetPipeline(get)) == unavailable
    await pair.a.manager.GetPipeline(pb.GetPipelineRequest(name="match"))
    pair.agent.start()

    async def is_denied() -> bool:
        return await denial(pair.a.manager.DeletePipeline(remove)) == not_found

    await until_true(is_denied, PATIENCE_S, "Consul tells again")
    assert await denial(pair.a.manager.GetPipeline(get)) == not_found


async def denial(call: Awaitable[Any]) -> grpc.StatusCode:
    """Of a call that has to fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def test_an_endpoint_whose_check_fails_takes_no_traffic(pair: Pair) -> None:
    checked = f"/v1/agent/service/maintenance/{pair.spark.endpoint.service}:one?enable=true"
    await until(lambda: pair.b.envoy.ports("serving-spark"), PATIENCE_S, "it takes traffic")
    pair.agent.put(checked)
    for manager in (pair.a, pair.b):
        gone = partial(has_no_port, manager)
        await until(gone, PATIENCE_S, "it takes no traffic")


def has_no_port(manager: Manager) -> bool:
    return not manager.envoy.ports("serving-spark")


async def test_an_envoy_of_another_manager_that_is_silent_holds_up_nobody_and_is_named(
    pair: Pair,
) -> None:
    pair.b.envoy.gate.clear()
    assert list((await pair.a.create()).lagging) == ["gateway-b"]
    assert serve(pair, "match") == [True, False]

    async def is_named() -> bool:
        return list((await pair.b.pipelines())["match"].lagging) == ["gateway-b"]

    await until_true(is_named, PATIENCE_S, "its own manager names it, too")
    pair.b.envoy.gate.set()

    async def is_known() -> bool:
        return not any([(await m.pipelines())["match"].lagging for m in (pair.a, pair.b)])

    await until_true(is_known, PATIENCE_S, "it has caught up")
    assert serve(pair, "match") == [True, True]


async def test_a_frozen_manager_holds_up_a_change_until_consul_finds_that_it_is(
    pair: Pair,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:  # connects, and never answers
        address = f"127.0.0.1:{frozen.getsockname()[1]}"
        me = pb.Endpoint(service="manager", instance="c", incarnation="one", address=address)
        async with registration.keep_registered(pair.registry, me):
            await until(lambda: len(pair.agent.passing("manager")) == 3, PATIENCE_S, "it is there")
            assert (await pair.a.create()).name == "match"
            assert serve(pair, "match") == [True, True]
