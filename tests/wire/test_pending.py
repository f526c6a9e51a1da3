"""Pipelines that take long to be ready: whoever leaves, they come to serve by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from envoy.config.route.v3 import route_pb2
from manager_mesh import (
    CHAIN,
    GREEDY,
    PREDICT,
    PREDICT_2,
    PREPARE,
    Envoy,
    Mesh,
    key,
    manager_process,
    reading,
    refused,
)

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import pipeline_pb2
from hydro_envoy.snapshot import ResourceType
from hydro_services import errors
from hydro_services.manager.engine import runtime_client
from hydro_services.manager.rollout import deployer, executor

PENDING, READY, FAILED = (
    pipeline_pb2.PIPELINE_STATE_PENDING,
    pipeline_pb2.PIPELINE_STATE_READY,
    pipeline_pb2.PIPELINE_STATE_FAILED,
)
SHORT = CHAIN[1:]


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    """A manager with an Envoy, two runtimes and a repository; `serving-spark` loads nothing yet."""
    started = Mesh(tmp_path)
    async with started.stack:
        await started.start()
        await started.connect()
        await started.join(started.scikit, started.spark, started.repository)
        started.spark.gate.clear()
        yield started


def asked(mesh: Mesh, chain: tuple[str, ...] = CHAIN, timeout_s: float | None = None) -> Any:
    wanted = pipeline_pb2.Pipeline(name="match", chain=chain)
    return mesh.manager.CreatePipeline(pb.CreatePipelineRequest(pipeline=wanted), timeout=timeout_s)


async def fails(call: Any) -> errors.HydroError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return errors.from_rpc(caught.value)


async def left(mesh: Mesh, chain: tuple[str, ...] = CHAIN) -> pipeline_pb2.Pipeline:
    """A pipeline that is pending, and that nobody waits for any more."""
    call = asked(mesh, chain)
    shown = await mesh.shown(lambda pipeline: pending(pipeline) is not None)
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    return pipeline_pb2.Pipeline.FromString(shown.SerializeToString())


def pending(pipeline: pipeline_pb2.Pipeline) -> pipeline_pb2.Pipeline | None:
    if pipeline.HasField("pending"):
        return pipeline.pending
    return None if pipeline.state == READY else pipeline


def is_ready(pipeline: pipeline_pb2.Pipeline) -> bool:
    return pipeline.state == READY and not pipeline.HasField("error")


def has_failed(pipeline: pipeline_pb2.Pipeline) -> bool:
    return pipeline.state == FAILED


def facts(pipeline: pipeline_pb2.Pipeline) -> dict[str, str]:
    return dict(errors.from_status(pipeline.error).metadata)


async def get(mesh: Mesh) -> pipeline_pb2.Pipeline:
    return await mesh.manager.GetPipeline(pb.GetPipelineRequest(name="match"))


async def test_when_the_time_is_up_it_stays_pending_and_comes_to_serve(mesh: Mesh) -> None:
    error = await fails(asked(mesh, timeout_s=1.5))
    assert isinstance(error, errors.NotInTime)
    stage = (
        f"stage 'serving-spark/predict': model {key(PREDICT)} is not loaded on serving-spark/one"
    )
    assert stage in error.message
    assert "it stays PENDING and becomes ready by itself" in error.message
    assert "`hydro pipelines get match` or GET /api/v1/pipelines/match" in error.message
    shown = await get(mesh)
    assert (shown.state, list(shown.chain)) == (PENDING, list(CHAIN))
    assert shown.error.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert f"{stage} yet, process 1 of 1 (it is being loaded)" in shown.error.message
    wanted = {"awaits": "load", "stage": "serving-spark/predict", "model": "predict"}
    assert facts(shown) == wanted | {"loaded": "0", "processes": "1"}
    assert wanted.items() <= error.metadata.items()
    assert await mesh.pipelines() == {"match": shown}
    mesh.spark.gate.set()
    ready = await mesh.shown(is_ready)
    assert mesh.envoy.serves("match", PREPARE, PREDICT)
    assert (ready.etag, [stage.digest for stage in ready.stages]) == (
        shown.etag,
        [PREPARE.digest, PREDICT.digest],
    )


async def test_when_the_caller_leaves_it_comes_to_serve(mesh: Mesh) -> None:
    await left(mesh)
    mesh.spark.gate.set()
    await mesh.shown(is_ready)
    assert mesh.envoy.serves("match", PREPARE, PREDICT)


async def test_a_model_that_is_being_read_is_waited_for_when_nobody_waits(mesh: Mesh) -> None:
    mesh.spark.gate.set()
    await mesh.repository.publish(PREPARE, others=[reading("predict")])
    await mesh.heard()
    shown = await left(mesh)
    assert shown.state == PENDING
    assert "stage 'serving-spark/predict': model 'predict' version '1' is being read" in (
        shown.error.message
    )
    assert facts(shown)["awaits"] == "read"
    assert not shown.stages
    await mesh.repository.publish(PREPARE, PREDICT)
    await mesh.shown(is_ready)


async def test_a_stage_that_will_never_be_is_refused_though_another_is_being_read(
    mesh: Mesh,
) -> None:
    await mesh.repository.publish(PREPARE, others=[reading("predict")])
    await mesh.heard()
    error = await fails(asked(mesh, ("serving-spark/predict", "serving-scikit/nothing")))
    assert isinstance(error, errors.InvalidArgument)
    assert "there is no model 'nothing'" in error.message
    assert not await mesh.pipelines()


async def test_what_the_repository_refuses_has_failed_until_a_version_is_right(mesh: Mesh) -> None:
    mesh.spark.gate.set()
    await mesh.repository.publish(PREPARE, others=[reading("predict")])
    await mesh.heard()
    await left(mesh)
    await mesh.repository.publish(PREPARE, others=[refused("predict", "model.json: is cut")])
    shown = await mesh.shown(has_failed)
    assert "model.json: is cut" in shown.error.message
    assert errors.from_status(shown.error).metadata["stage"] == "serving-spark/predict"
    await mesh.repository.publish(PREPARE, PREDICT)
    await mesh.shown(is_ready)


async def test_what_cannot_be_loaded_has_failed_until_a_version_is_right(mesh: Mesh) -> None:
    await left(mesh)
    mesh.spark.failures["predict"] = errors.ModelRefused("stage of an unknown class")
    mesh.spark.gate.set()
    shown = await mesh.shown(has_failed)
    assert "cannot be loaded on serving-spark/one: stage of an unknown class" in shown.error.message
    assert not mesh.envoy.serves("match", PREDICT)
    mesh.spark.failures.clear()
    await mesh.repository.publish(PREPARE, PREDICT_2)
    await mesh.shown(is_ready)
    assert mesh.envoy.serves("match", PREDICT_2)


async def test_what_an_envoy_refuses_has_failed_until_it_is_applied_again(mesh: Mesh) -> None:
    await left(mesh)
    mesh.envoy.refusals["pipeline/match"] = "no such filter"
    mesh.spark.gate.set()
    shown = await mesh.shown(has_failed)
    assert "no such filter" in shown.error.message
    mesh.envoy.refusals.clear()
    assert (await asked(mesh)).state == READY
    assert mesh.envoy.serves("match", PREPARE, PREDICT)


async def test_what_an_envoy_refuses_is_given_to_it_again(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "REFUSED_S", 0.5)
    await left(mesh)
    mesh.envoy.refusals["pipeline/match"] = "cannot bind"
    mesh.spark.gate.set()
    await mesh.shown(has_failed)
    mesh.envoy.refusals.clear()
    await mesh.shown(is_ready)


async def test_a_load_that_takes_longer_than_a_call_may_is_joined_again(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_client, "LOAD_S", 0.3)
    await left(mesh)
    text = "is not loaded on serving-spark/one yet, process 1 of 1 (it is being loaded for more"
    await mesh.shown(lambda p: p.state == PENDING and text in p.error.message)
    mesh.spark.gate.set()
    await mesh.shown(is_ready)


async def test_a_killed_manager_goes_on_with_what_is_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    mesh = Mesh(tmp_path)
    mesh.spark.gate.clear()
    async with mesh.stack:
        async with manager_process(tmp_path / "data") as address:
            await mesh.reach(address)
            await mesh.connect()
            await mesh.join(mesh.scikit, mesh.spark, mesh.repository)
            call = asked(mesh)
            before = await mesh.shown(lambda p: p.state == PENDING)
        assert isinstance(await fails(call), errors.Unavailable)
        async with manager_process(tmp_path / "data") as address:
            await mesh.reach(address)
            shown = await get(mesh)
            assert (shown.state, shown.etag) == (PENDING, before.etag)
            second = Envoy(mesh.world)
            async with second.connected(address, mesh.token):
                await mesh.shown(lambda p: p.state == PENDING and len(p.stages) == 2)
                mesh.spark.gate.set()
                await mesh.shown(is_ready)
                assert second.serves("match", PREPARE, PREDICT)


async def test_what_serves_does_so_until_its_successor_is_ready(mesh: Mesh) -> None:
    first = await asked(mesh, CHAIN[:1])
    shown = await left(mesh)
    assert (shown.state, list(shown.chain), shown.etag) == (READY, list(CHAIN[:1]), first.etag)
    assert (shown.pending.state, list(shown.pending.chain)) == (PENDING, list(CHAIN))
    assert shown.error.message == shown.pending.error.message
    assert mesh.envoy.serves("match", PREPARE)
    assert not mesh.envoy.serves("match", PREDICT)
    wanted = pipeline_pb2.Pipeline(name="match", chain=SHORT, etag=first.etag)
    request = pb.CreatePipelineRequest(pipeline=wanted)
    error = await fails(mesh.manager.CreatePipeline(request))
    assert isinstance(error, errors.Aborted)
    assert shown.pending.etag in error.message, "what was asked for last is another"
    mesh.spark.gate.set()
    ready = await mesh.shown(is_ready)
    assert (list(ready.chain), ready.HasField("pending")) == (list(CHAIN), False)
    dropped = ("dropped", "match")
    assert dropped not in mesh.world.journal


async def test_a_successor_that_fails_leaves_what_serves_and_says_why(mesh: Mesh) -> None:
    await asked(mesh, CHAIN[:1])
    await left(mesh)
    mesh.spark.failures["predict"] = errors.ModelRefused("corrupt")
    mesh.spark.gate.set()
    shown = await mesh.shown(lambda p: p.pending.state == FAILED)
    assert shown.state == READY
    assert "corrupt" in shown.pending.error.message
    assert mesh.envoy.serves("match", PREPARE)
    await mesh.manager.DeletePipeline(pb.DeletePipelineRequest(name="match"))
    assert not await mesh.pipelines()
    assert not mesh.envoy.has(ResourceType.SCOPE, "match")


async def test_what_is_pending_can_be_deleted(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployer, "TURN_S", 0.1)
    waiting = asked(mesh)
    await mesh.shown(lambda p: p.state == PENDING)
    await mesh.manager.DeletePipeline(pb.DeletePipelineRequest(name="match"))
    error = await fails(waiting)
    assert isinstance(error, errors.Aborted)
    assert "was deleted by somebody else" in error.message
    assert not await mesh.pipelines()
    assert not mesh.envoy.has(ResourceType.SCOPE, "match")
    mesh.spark.gate.set()
    await mesh.world.seen("loaded", "one", key(PREDICT))
    assert not await mesh.pipelines(), "it does not come back"


async def test_what_is_pending_can_be_replaced_and_who_waited_hears_that(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployer, "TURN_S", 0.1)
    waiting = asked(mesh)
    await mesh.shown(lambda p: p.state == PENDING)
    second = await asked(mesh, CHAIN[:1])
    assert (second.state, list(second.chain)) == (READY, list(CHAIN[:1]))
    error = await fails(waiting)
    assert isinstance(error, errors.Aborted)
    assert "was replaced by somebody else" in error.message
    mesh.spark.gate.set()
    await mesh.world.seen("loaded", "one", key(PREDICT))
    assert list((await get(mesh)).chain) == list(CHAIN[:1])


@pytest.mark.parametrize("is_good", [True, False])
async def test_all_who_want_the_same_wait_for_one_and_hear_the_same(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, is_good: bool
) -> None:
    monkeypatch.setattr(deployer, "TURN_S", 0.1)
    calls = [asked(mesh), asked(mesh)]
    await mesh.world.seen("asked", "one", key(PREDICT))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(calls[1])), 0.5)
    if not is_good:
        mesh.spark.failures["predict"] = errors.ModelRefused("corrupt")
    mesh.spark.gate.set()
    if is_good:
        assert [(await call).state for call in calls] == [READY, READY]
        return
    for call in calls:
        assert "corrupt" in (await fails(call)).message
    assert not await mesh.pipelines(), "who waited has heard it"


async def test_what_is_pending_is_told_to_envoy_until_it_serves(mesh: Mesh) -> None:
    await left(mesh)
    await mesh.world.until(lambda: mesh.envoy.has(ResourceType.ROUTES, "pipeline/match"))
    assert "its models are being read or loaded" in answer(mesh)
    mesh.spark.failures["predict"] = errors.ModelRefused("corrupt")
    mesh.spark.gate.set()
    await mesh.world.until(lambda: "it could not be made ready" in answer(mesh))
    mesh.spark.failures.clear()
    await mesh.world.until(lambda: mesh.envoy.serves("match", PREDICT))
    assert not answer(mesh)


def answer(mesh: Mesh) -> str:
    """What Envoy answers itself to requests for the pipeline."""
    body = mesh.envoy.resources[ResourceType.ROUTES.url]["pipeline/match"]
    (host,) = route_pb2.RouteConfiguration.FromString(body).virtual_hosts
    return str(host.routes[0].direct_response.body.inline_string)


async def test_a_watch_tells_of_one_pipeline_alone(mesh: Mesh) -> None:
    await asked(mesh, CHAIN[:1])
    request = pb.WatchPipelinesRequest(name="other")
    watch: Any = mesh.manager.WatchPipelines(request)
    assert not (await watch.read()).pipelines
    wanted = pipeline_pb2.Pipeline(name="other", chain=CHAIN[:1])
    await mesh.manager.CreatePipeline(pb.CreatePipelineRequest(pipeline=wanted))
    told = (await watch.read()).pipelines
    while not told or told[0].state != READY:  # it may have been pending for a moment
        told = (await watch.read()).pipelines
    assert [pipeline.name for pipeline in told] == ["other"]
    watch.cancel()


async def test_a_slow_pipeline_holds_up_no_other(mesh: Mesh) -> None:
    await left(mesh)
    wanted = pipeline_pb2.Pipeline(name="other", chain=CHAIN[:1])
    created = await mesh.manager.CreatePipeline(pb.CreatePipelineRequest(pipeline=wanted))
    assert created.state == READY
    assert (await get(mesh)).state == PENDING


async def test_a_second_process_that_loads_long_is_named(mesh: Mesh) -> None:
    mesh.spark.gate.set()
    await mesh.repository.publish(PREPARE, PREDICT, GREEDY)
    spare = type(mesh.spark)(mesh.world, "serving-spark", "spark", "two")
    spare.gate.clear()
    await mesh.join(spare)
    shown = await left(mesh)
    wanted = f"model {key(PREDICT)} is not loaded on serving-spark/two yet, process 2 of 2"
    shown = await mesh.shown(lambda p: wanted in p.error.message and facts(p)["loaded"] == "1")
    assert facts(shown)["processes"] == "2"
    spare.gate.set()
    await mesh.shown(is_ready)


async def test_without_a_deadline_the_managers_own_time_holds(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path)
    mesh.config = replace(mesh.config, limit_s=0.5)
    async with mesh.stack:
        await mesh.start()
        await mesh.connect()
        await mesh.join(mesh.scikit, mesh.spark, mesh.repository)
        mesh.spark.gate.clear()
        error = await fails(asked(mesh))
        assert "does not serve after 0.5 s" in error.message
        mesh.spark.gate.set()
        await mesh.shown(is_ready)
