"""Creating a pipeline: what has to hold before the answer, and what the error tells."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest
from manager_mesh import (
    CHAIN,
    GREEDY,
    PREDICT,
    PREDICT_2,
    PREPARE,
    Mesh,
    key,
    reading,
    refused,
)
from patience import PATIENCE_S

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import pipeline_pb2
from hydro_envoy.snapshot import ResourceType
from hydro_services import errors
from hydro_services.manager.domain import references
from hydro_services.manager.engine.store import Statement, Store


async def test_creation_answers_when_models_are_loaded_and_envoy_has_the_route(mesh: Mesh) -> None:
    mesh.spark.gate.clear()
    creation = asyncio.create_task(mesh.create())
    await mesh.world.seen("loaded", "one", key(PREPARE))
    assert not mesh.envoy.serves("match", PREPARE)
    mesh.envoy.gate.clear()
    mesh.spark.gate.set()
    await mesh.world.seen("loaded", "one", key(PREDICT))
    assert not creation.done()
    mesh.envoy.gate.set()
    created = await creation
    assert mesh.envoy.serves("match", PREPARE, PREDICT)
    assert created.state == pipeline_pb2.PIPELINE_STATE_READY
    assert [stage.digest for stage in created.stages] == [PREPARE.digest, PREDICT.digest]
    assert created == (await mesh.pipelines())["match"]


async def test_stages_are_parsed_once_a_request_whatever_follows_from_it(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    parse_stage = references.parse_stage

    def counted(text: str, number: int) -> references.StageReference:
        parsed.append(text)
        return parse_stage(text, number)

    monkeypatch.setattr(references, "parse_stage", counted)
    traffic = pipeline_pb2.Traffic(
        variants=[pipeline_pb2.Variant(name="next", weight=10, chain=("serving-spark/predict:1",))],
        shadow=pipeline_pb2.Shadow(chain=CHAIN[1:]),
    )
    wanted = pipeline_pb2.Pipeline(name="match", chain=CHAIN, traffic=traffic)
    stages = [*CHAIN, "serving-spark/predict:1", CHAIN[1]]
    # It waits for a model, is stored, resolved again, loaded, published and stored again.
    await mesh.repository.publish(PREPARE, others=[reading("predict")])
    await mesh.heard()
    parsed.clear()
    request = pb.CreatePipelineRequest(pipeline=wanted)
    creation = asyncio.ensure_future(mesh.manager.CreatePipeline(request))
    await mesh.shown(lambda _: True)
    await mesh.repository.publish(PREPARE, PREDICT)
    await creation
    assert parsed == stages
    # A newer model takes over, and all are listed.
    await mesh.repository.publish(PREPARE, PREDICT_2)
    await mesh.world.seen("loaded", "one", key(PREDICT_2))
    assert (await mesh.pipelines()).keys() == {"match"}
    assert parsed == stages
    await mesh.manager.PlanPipeline(pb.PlanPipelineRequest(pipeline=wanted))
    assert parsed == stages * 2


async def test_model_that_cannot_be_loaded_is_named_and_the_pipeline_is_not_kept(
    mesh: Mesh,
) -> None:
    mesh.spark.failures["predict"] = errors.ModelRefused("stage of an unknown class")
    with pytest.raises(errors.ModelRefused, match=r"model predict:1@.* an unknown class"):
        await mesh.create()
    assert not await mesh.pipelines()
    mesh.spark.failures.clear()
    await mesh.create()


async def test_columns_that_do_not_cover_the_next_stage_are_named_beside_those_wanted(
    mesh: Mesh,
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await mesh.create(chain=("serving-scikit/prepare", "serving-spark/greedy"))
    assert "wants {features: float64[3], price: int64}" in caught.value.message
    assert "there are {Title1: string, features: float64[3]}" in caught.value.message


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        pytest.param("nowhere/predict", "services are serving-scikit, serving-spark", id="service"),
        pytest.param("serving-spark/x", "models are greedy, predict, prepare", id="model"),
        pytest.param("serving-spark/predict:7", "versions are 1", id="version"),
        pytest.param("serving-scikit/predict", "use serving-spark", id="format"),
        pytest.param("predict", "want '<service>/<model>'", id="syntax"),
    ],
)
async def test_stage_that_means_nothing_is_refused_with_what_there_is(
    mesh: Mesh, chain: str, message: str
) -> None:
    with pytest.raises(errors.InvalidArgument, match=message):
        await mesh.create(chain=(chain,))


def is_ready(pipeline: pipeline_pb2.Pipeline) -> bool:
    return pipeline.state == pipeline_pb2.PIPELINE_STATE_READY and not pipeline.HasField("error")


async def test_creation_waits_for_a_model_that_is_being_read(mesh: Mesh) -> None:
    await mesh.repository.publish(PREPARE, others=[reading("predict")])
    await mesh.heard()
    creation = asyncio.create_task(mesh.create())
    await asyncio.sleep(0)
    assert not creation.done()
    await mesh.repository.publish(PREPARE, PREDICT)
    assert (await creation).state == pipeline_pb2.PIPELINE_STATE_READY


async def test_creation_tells_why_a_model_is_refused_or_is_not_read_in_time(mesh: Mesh) -> None:
    await mesh.repository.publish(PREPARE, others=[refused("predict", "model.skops: is cut")])
    await mesh.heard()
    for chain in (CHAIN, ("serving-spark/predict:1",)):
        with pytest.raises(errors.ModelRefused, match=r"predict.*: model.skops: is cut"):
            await mesh.create(chain=chain)
    await mesh.repository.publish(PREPARE, GREEDY, others=[reading("predict")])
    request = pb.CreatePipelineRequest(pipeline=pipeline_pb2.Pipeline(name="m", chain=CHAIN))

    async def is_told() -> bool:  # the manager may not have heard of it yet
        try:
            await mesh.manager.CreatePipeline(request, timeout=2)
        except grpc.aio.AioRpcError as error:
            return "'predict' version '1' is being read" in str(error.details())
        return False

    async with asyncio.timeout(PATIENCE_S):
        while not await is_told():
            pass


async def test_a_version_that_is_being_read_keeps_none_from_the_one_before(mesh: Mesh) -> None:
    others = [reading("predict", "2"), refused("prepare", "broken", "2")]
    await mesh.repository.publish(PREPARE, PREDICT, others=others)
    assert (await mesh.create()).state == pipeline_pb2.PIPELINE_STATE_READY


async def test_what_has_not_been_heard_of_is_unavailable(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path)
    mesh.config = replace(mesh.config, patience_s=0.1)
    async with mesh.stack:
        await mesh.start()
        with pytest.raises(errors.Unavailable, match="no repository has told"):
            await mesh.create()
        await mesh.join(mesh.scikit, mesh.spark)
        with pytest.raises(errors.Unavailable, match="no repository has told"):
            await mesh.create()


async def test_a_caller_may_wait_longer_than_others(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path)
    mesh.config = replace(mesh.config, limit_s=0.1)
    async with mesh.stack:
        await mesh.start()
        await mesh.connect()
        await mesh.join(mesh.repository, mesh.scikit, mesh.spark)
        mesh.spark.gate.clear()
        with pytest.raises(errors.NotInTime):
            await mesh.create()
        request = pb.CreatePipelineRequest(
            pipeline=pipeline_pb2.Pipeline(name="match", chain=CHAIN)
        )
        asked = mesh.manager.CreatePipeline(request, timeout=PATIENCE_S)
        waiting = asyncio.ensure_future(asked)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.5)
        mesh.spark.gate.set()
        assert (await waiting).state == pipeline_pb2.PIPELINE_STATE_READY


async def test_creation_waits_for_services_that_are_still_to_register(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path)
    mesh.config = replace(mesh.config, patience_s=30.0)
    async with mesh.stack:
        await mesh.start()
        creation = asyncio.create_task(mesh.create())
        await mesh.connect()
        await mesh.join(mesh.repository, mesh.scikit, mesh.spark)
        assert (await creation).state == pipeline_pb2.PIPELINE_STATE_READY


async def test_without_an_envoy_creation_fails_in_time_and_says_so(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path)
    mesh.config = replace(mesh.config, limit_s=1.0)
    async with mesh.stack:
        await mesh.start()
        await mesh.join(mesh.repository, mesh.scikit, mesh.spark)
        with pytest.raises(errors.NotInTime, match=r"no gateway connected; it stays PENDING"):
            await mesh.create()
        shown = (await mesh.pipelines())["match"]
        assert shown.state == pipeline_pb2.PIPELINE_STATE_PENDING
        assert "no gateway connected" in shown.error.message
        await mesh.connect()
        await mesh.shown(is_ready)
        assert mesh.envoy.serves("match", PREPARE, PREDICT)


async def test_load_that_takes_too_long_is_named(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path)
    mesh.config = replace(mesh.config, limit_s=0.5)
    async with mesh.stack:
        await mesh.start()
        await mesh.connect()
        await mesh.join(mesh.repository, mesh.scikit, mesh.spark)
        mesh.spark.gate.clear()
        with pytest.raises(errors.NotInTime, match=r"predict:1@.* is not loaded on serving-spark"):
            await mesh.create()
        mesh.spark.gate.set()


async def test_runtime_that_does_not_answer_at_first_is_tried_again(mesh: Mesh) -> None:
    mesh.spark.failures["predict"] = errors.Unavailable("no repository")
    creation = asyncio.create_task(mesh.create())
    await mesh.world.seen("asked", "one", key(PREDICT))
    mesh.spark.failures.clear()
    assert (await creation).state == pipeline_pb2.PIPELINE_STATE_READY


async def test_envoys_own_words_are_told_and_the_pipeline_is_not_kept(mesh: Mesh) -> None:
    mesh.envoy.refusals["match"] = "no such filter"
    with pytest.raises(errors.EnvoyRefused, match="no such filter"):
        await mesh.create()
    assert not await mesh.pipelines()


async def test_gateway_that_cannot_listen_is_told(bare: Mesh) -> None:
    bare.envoy.refusals["gateway"] = "cannot bind '127.0.0.1:8083'"
    await bare.connect()
    await bare.join(bare.scikit, bare.spark, bare.repository)
    with pytest.raises(errors.EnvoyRefused, match="cannot bind"):
        await bare.create()


async def test_pipeline_that_cannot_be_stored_is_not_kept(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: Store, statements: list[Statement]) -> None:
        raise errors.Unavailable("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "save", fail)
        with pytest.raises(errors.Unavailable, match="disk full"):
            await mesh.create()
    assert not await mesh.pipelines()
    await mesh.world.until(lambda: not mesh.envoy.has(ResourceType.SCOPE, "match"))
    await mesh.create()


async def test_creations_of_one_name_happen_one_after_the_other(mesh: Mesh) -> None:
    chains: list[tuple[str, ...]] = [CHAIN, ("serving-spark/predict",)] * 2
    created = await asyncio.gather(*(mesh.create(chain=chain) for chain in chains))
    assert [tuple(pipeline.chain) for pipeline in created] == chains
    assert (await mesh.pipelines())["match"] in created
