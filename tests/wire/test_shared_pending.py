"""Two managers, one mesh: what is pending comes to serve, whichever of them is left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from consul_agent import Agent
from manager_mesh import CHAIN, PREDICT, PREDICT_2, PREPARE, key, reading
from manager_pair import Manager, Pair
from patience import PATIENCE_S
from whole_mesh import until, until_true

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import pipeline_pb2
from hydro_services import errors
from hydro_services.manager.cluster import changes, consul_executor
from hydro_services.manager.rollout import deployer

KEY = "hydro/pipelines/match"
PENDING, READY, FAILED = (
    pipeline_pb2.PIPELINE_STATE_PENDING,
    pipeline_pb2.PIPELINE_STATE_READY,
    pipeline_pb2.PIPELINE_STATE_FAILED,
)


@pytest.fixture
async def pair(tmp_path: Path, agent: Agent) -> AsyncIterator[Pair]:
    """`serving-spark` loads nothing yet."""
    started = Pair(tmp_path, agent)
    try:
        await started.start()
        started.spark.gate.clear()
        yield started
    finally:
        started.spark.gate.set()
        await started.stop()


def asked(manager: Manager, chain: tuple[str, ...] = CHAIN, timeout_s: float | None = None) -> Any:
    request = pb.CreatePipelineRequest(pipeline=pipeline_pb2.Pipeline(name="match", chain=chain))
    return manager.manager.CreatePipeline(request, timeout=timeout_s)


async def fails(call: Any) -> errors.HydroError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return errors.from_rpc(caught.value)


async def is_in(manager: Manager, state: int, words: str = "") -> bool:
    shown = (await manager.pipelines()).get("match")
    return shown is not None and shown.state == state and words in shown.error.message


async def reach(state: int, *managers: Manager, words: str = "") -> None:
    for manager in managers:
        await until_true(partial(is_in, manager, state, words), PATIENCE_S, f"{state} {words}")


async def leave(pair: Pair, manager: Manager, chain: tuple[str, ...] = CHAIN) -> None:
    """Asks for a pipeline, and leaves when both managers show that it is pending."""
    call = asked(manager, chain)
    await reach(PENDING, pair.a, pair.b)
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call


def both_serve(pair: Pair, *models: Any) -> bool:
    return all(manager.envoy.serves("match", *models) for manager in (pair.a, pair.b))


async def test_when_the_time_is_up_or_the_caller_leaves_it_comes_to_serve_at_both(
    pair: Pair,
) -> None:
    error = await fails(asked(pair.a, timeout_s=3.0))
    assert isinstance(error, errors.NotInTime)
    assert f"model {key(PREDICT)} is not loaded on serving-spark/one" in error.message
    assert "it stays PENDING" in error.message
    await reach(PENDING, pair.a, pair.b, words="is not loaded on serving-spark/one")
    pair.spark.gate.set()
    await reach(READY, pair.a, pair.b)
    assert both_serve(pair, PREPARE, PREDICT)
    assert "trial" not in pair.agent.value(KEY)


async def test_another_manager_goes_on_with_what_one_left(pair: Pair) -> None:
    await leave(pair, pair.a)
    await pair.a.end()
    pair.spark.gate.set()
    await reach(READY, pair.b)
    assert pair.b.envoy.serves("match", PREPARE, PREDICT)
    await pair.a.begin()
    await until(lambda: both_serve(pair, PREDICT), PATIENCE_S, "it comes back, and has it")


async def test_another_manager_goes_on_with_what_is_being_read(pair: Pair) -> None:
    pair.spark.gate.set()
    await pair.repository.publish(PREPARE, others=[reading("predict")])
    await pair.a.heard()
    await pair.b.heard()
    await leave(pair, pair.a)
    await reach(PENDING, pair.a, pair.b, words="is being read")
    await pair.a.end()
    await pair.repository.publish(PREPARE, PREDICT)
    await reach(READY, pair.b)


async def test_managers_that_were_all_away_go_on(pair: Pair) -> None:
    await leave(pair, pair.a)
    await pair.a.end()
    await pair.b.end()
    await pair.a.begin()
    await pair.b.begin()
    await reach(PENDING, pair.a, pair.b)
    pair.spark.gate.set()
    await reach(READY, pair.a, pair.b)


async def test_a_consul_without_memory_gets_back_what_is_pending(pair: Pair) -> None:
    await leave(pair, pair.b)
    pair.agent.stop()
    pair.agent.start()

    def is_given_back() -> bool:
        with contextlib.suppress(OSError):  # it may not answer yet
            return pair.agent.value(KEY) is not None
        return False

    await until(is_given_back, PATIENCE_S, "they give it back")
    pair.spark.gate.set()
    await reach(READY, pair.a, pair.b)
    assert both_serve(pair, PREPARE, PREDICT)


async def test_what_cannot_be_loaded_has_failed_at_both_until_a_version_is_right(
    pair: Pair,
) -> None:
    await leave(pair, pair.a)
    pair.spark.failures["predict"] = errors.ModelRefused("stage of an unknown class")
    pair.spark.gate.set()
    await reach(FAILED, pair.a, pair.b, words="stage of an unknown class")
    pair.spark.failures.clear()
    await pair.repository.publish(PREPARE, PREDICT_2)
    await reach(READY, pair.a, pair.b)
    assert both_serve(pair, PREDICT_2)


async def test_a_load_that_works_after_all_is_enough(pair: Pair) -> None:
    await leave(pair, pair.b)
    pair.spark.failures["predict"] = errors.ModelRefused("no space for the model")
    pair.spark.gate.set()
    await reach(FAILED, pair.a, pair.b, words="no space for the model")
    pair.spark.failures.clear()
    await reach(READY, pair.a, pair.b)


async def test_what_an_envoy_of_another_manager_refuses_has_failed_until_it_is_applied_again(
    pair: Pair,
) -> None:
    pair.b.envoy.refusals["pipeline/match"] = "no such filter"
    await leave(pair, pair.a)
    pair.spark.gate.set()
    await reach(FAILED, pair.a, pair.b, words="no such filter")
    pair.b.envoy.refusals.clear()
    assert (await asked(pair.b)).state == READY
    assert both_serve(pair, PREPARE, PREDICT)


async def test_what_an_envoy_refuses_is_given_to_it_again(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "REFUSED_S", 1.0)
    pair.b.envoy.refusals["pipeline/match"] = "cannot bind"
    await leave(pair, pair.a)
    pair.spark.gate.set()
    await reach(FAILED, pair.a, pair.b, words="cannot bind")
    pair.b.envoy.refusals.clear()
    await reach(READY, pair.a, pair.b)


async def test_what_serves_does_so_until_its_successor_is_ready(pair: Pair) -> None:
    await asked(pair.a, CHAIN[:1])
    call = asked(pair.a)

    async def is_shown() -> bool:
        shown = [(await manager.pipelines())["match"] for manager in (pair.a, pair.b)]
        return all(pipeline.pending.state == PENDING for pipeline in shown)

    await until_true(is_shown, PATIENCE_S, "both show what is to come")
    call.cancel()
    await pair.a.end()
    assert pair.b.envoy.serves("match", PREPARE)
    pair.spark.gate.set()
    await until(lambda: pair.b.envoy.serves("match", PREDICT), PATIENCE_S, "it takes over")

    async def is_done() -> bool:
        shown = (await pair.b.pipelines())["match"]
        return list(shown.chain) == list(CHAIN) and not shown.HasField("pending")

    await until_true(is_done, PATIENCE_S, "it is kept")
    assert ("dropped", "match") not in pair.world.journal


async def test_what_is_pending_is_deleted_or_replaced_by_either(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (deployer, consul_executor):
        monkeypatch.setattr(module, "TURN_S", 0.2)
    waiting = asked(pair.a)
    await reach(PENDING, pair.a, pair.b)
    await pair.b.manager.DeletePipeline(pb.DeletePipelineRequest(name="match"))
    error = await fails(waiting)
    assert isinstance(error, errors.Aborted)
    assert "was deleted by somebody else" in error.message
    assert await pair.a.names() == await pair.b.names() == []
    waiting = asked(pair.a)
    await reach(PENDING, pair.a, pair.b)
    assert list((await asked(pair.b, CHAIN[:1])).chain) == list(CHAIN[:1])
    error = await fails(waiting)
    assert isinstance(error, errors.Aborted)
    assert "was replaced by somebody else" in error.message
    assert both_serve(pair, PREPARE)


@pytest.mark.parametrize("is_good", [True, False])
async def test_all_who_want_the_same_wait_for_one_and_hear_the_same(
    pair: Pair, is_good: bool
) -> None:
    calls = [asyncio.ensure_future(asked(manager)) for manager in (pair.a, pair.b)]
    await reach(PENDING, pair.a, pair.b)
    assert not (await asyncio.wait(calls, timeout=1.0))[0]
    if not is_good:
        pair.spark.failures["predict"] = errors.ModelRefused("corrupt")
    pair.spark.gate.set()
    if is_good:
        assert [(await call).state for call in calls] == [READY, READY]
        return
    for call in calls:
        assert "corrupt" in (await fails(call)).message

    async def is_gone() -> bool:
        return await pair.a.names() == await pair.b.names() == []

    await until_true(is_gone, PATIENCE_S, "who waited has heard it")
