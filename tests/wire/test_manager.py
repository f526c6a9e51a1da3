"""The manager between a client, runtimes, a repository and Envoys: all real gRPC, all in here."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest
from manager_mesh import (
    CHAIN,
    FEATURES,
    GREEDY,
    LABEL,
    PREDICT,
    PREDICT_2,
    PREPARE,
    TITLE,
    Envoy,
    Mesh,
    Runtime,
    key,
    manager_process,
    model,
    reading,
    refused,
)

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import pipeline_pb2
from hydro.manager.v1 import registry_service_pb2 as registry_pb
from hydro_envoy.snapshot import ResourceType
from hydro_services import errors
from hydro_services.manager.domain import plan, references
from hydro_services.manager.engine.store import Statement, Store


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Mesh]:
    """A manager alone."""
    mesh = Mesh(tmp_path)
    async with mesh.stack:
        await mesh.start()
        yield mesh


@pytest.fixture
async def mesh(bare: Mesh) -> Mesh:
    """A manager with an Envoy, two runtimes and a repository."""
    await bare.connect()
    await bare.join(bare.scikit, bare.spark, bare.repository)
    return bare


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

    async with asyncio.timeout(60):
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
        asked = mesh.manager.CreatePipeline(request, timeout=60)
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


async def test_failed_replacement_leaves_the_old_chain_serving(mesh: Mesh) -> None:
    before = await mesh.create()
    mesh.scikit.failures["prepare"] = errors.ModelRefused("no")
    mesh.spark.failures["greedy"] = errors.ModelRefused("no")
    with pytest.raises(errors.ModelRefused):
        await mesh.create(chain=("serving-spark/greedy",))
    assert (await mesh.pipelines())["match"] == before
    assert mesh.envoy.serves("match", PREPARE, PREDICT)


async def test_replacement_serves_when_it_is_answered(mesh: Mesh) -> None:
    await mesh.create()
    await mesh.create(chain=("serving-spark/predict",))
    assert mesh.envoy.serves("match", PREDICT)
    assert not mesh.envoy.serves("match", PREPARE)


async def test_deleted_pipeline_is_gone_from_envoy_when_it_is_answered(mesh: Mesh) -> None:
    await mesh.create()
    await mesh.manager.DeletePipeline(pb.DeletePipelineRequest(name="match"))
    assert not mesh.envoy.has(ResourceType.SCOPE, "match")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.manager.DeletePipeline(pb.DeletePipelineRequest(name="match"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError, match="there is no pipeline 'match'"):
        await mesh.manager.GetPipeline(pb.GetPipelineRequest(name="match"))


async def test_replacement_of_another_than_was_read_is_refused(mesh: Mesh) -> None:
    first = await mesh.create()
    second = await mesh.create(chain=("serving-spark/predict",), etag=first.etag)
    with pytest.raises(errors.Aborted, match=second.etag):
        await mesh.create(etag=first.etag)


async def test_update_takes_the_name_of_the_url(mesh: Mesh) -> None:
    wanted = pipeline_pb2.Pipeline(chain=["serving-spark/predict"], transport_type="grpc")
    updated = await mesh.manager.UpdatePipeline(
        pb.UpdatePipelineRequest(name="other", pipeline=wanted)
    )
    assert (updated.name, updated.transport_type) == ("other", "grpc")
    wanted.name = "third"
    with pytest.raises(grpc.aio.AioRpcError, match="want 'other' as in the URL"):
        await mesh.manager.UpdatePipeline(pb.UpdatePipelineRequest(name="other", pipeline=wanted))


async def test_plan_tells_what_would_change_and_changes_nothing(mesh: Mesh) -> None:
    await mesh.create()
    wanted = pipeline_pb2.Pipeline(name="other", chain=CHAIN)
    response = await mesh.manager.PlanPipeline(pb.PlanPipelineRequest(pipeline=wanted))
    found = [(change.action, change.name, change.before) for change in response.changes]
    assert found == [("add", "other", ""), ("add", "pipeline/other", "")]
    assert key(PREDICT) in response.changes[1].after
    assert list(await mesh.pipelines()) == ["match"]
    wanted.name = "match"
    assert not (await mesh.manager.PlanPipeline(pb.PlanPipelineRequest(pipeline=wanted))).changes


async def test_endpoint_whose_lease_ends_gets_no_traffic(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path)
    async with mesh.stack:
        mesh.config = replace(mesh.config, lease_s=0.5)
        await mesh.start()
        await mesh.connect()
        await mesh.join(mesh.spark)
        while not mesh.envoy.ports("serving-spark"):
            await mesh.register(mesh.spark.endpoint)
        await mesh.world.until(lambda: not mesh.envoy.ports("serving-spark"))


async def test_restarted_process_replaces_its_address_at_once(mesh: Mesh) -> None:
    await mesh.world.until(lambda: bool(mesh.envoy.ports("serving-spark")))
    old = mesh.envoy.ports("serving-spark")
    again = Runtime(mesh.world, "serving-spark", "spark")
    again.endpoint.incarnation = "second"
    await mesh.join(again)
    port = int(again.endpoint.address.rpartition(":")[2])
    await mesh.world.until(lambda: mesh.envoy.ports("serving-spark") == {port})
    assert port not in old


async def test_late_goodbye_of_a_replaced_process_is_ignored(mesh: Mesh) -> None:
    again = Runtime(mesh.world, "serving-spark", "spark")
    again.endpoint.incarnation = "second"
    await mesh.join(again)
    request = registry_pb.DeregisterEndpointRequest(
        service="serving-spark", instance="one", incarnation="first"
    )
    await mesh.registry.DeregisterEndpoint(request, metadata=mesh.token)
    assert mesh.envoy.ports("serving-spark")
    request.incarnation = "second"
    await mesh.registry.DeregisterEndpoint(request, metadata=mesh.token)
    assert not mesh.envoy.ports("serving-spark")


async def test_new_endpoint_has_the_models_before_it_gets_traffic(mesh: Mesh) -> None:
    await mesh.create()
    second = Runtime(mesh.world, "serving-spark", "spark", "two")
    second.gate.clear()
    await mesh.join(second)
    await mesh.world.seen("asked", "two", key(PREDICT))
    assert len(mesh.envoy.ports("serving-spark")) == 1
    response = await mesh.manager.ListServices(pb.ListServicesRequest())
    found = {service.name: [e.ready for e in service.endpoints] for service in response.services}
    assert found == {"repository": [True], "serving-scikit": [True], "serving-spark": [True, False]}
    second.gate.set()
    await mesh.world.until(lambda: len(mesh.envoy.ports("serving-spark")) == 2)


async def test_changed_model_is_loaded_then_routed_to_and_the_old_one_unloaded_last(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "LINGER_S", 0.1)
    await mesh.create()
    await mesh.repository.publish(PREPARE, PREDICT_2)
    await mesh.world.seen("unloaded", "one", key(PREDICT))
    assert mesh.envoy.serves("match", PREPARE, PREDICT_2)
    journal = mesh.world.journal
    routes = [i for i, entry in enumerate(journal) if entry[:2] == ("took", "pipeline/match")]
    loaded, unloaded = mesh.world.order(
        ("loaded", "one", key(PREDICT_2)), ("unloaded", "one", key(PREDICT))
    )
    assert routes[-2] < loaded < routes[-1] < unloaded
    assert (await mesh.pipelines())["match"].stages[1].digest == PREDICT_2.digest


async def test_changed_model_that_cannot_be_loaded_leaves_the_last_good_one(mesh: Mesh) -> None:
    await mesh.create()
    mesh.spark.failures["predict"] = errors.ModelRefused("corrupt")
    await mesh.repository.publish(PREPARE, PREDICT_2)
    shown = await mesh.shown(lambda pipeline: "corrupt" in pipeline.error.message)
    assert shown.state == pipeline_pb2.PIPELINE_STATE_READY
    assert mesh.envoy.serves("match", PREDICT)


async def test_a_version_that_no_longer_fits_is_not_swapped_in_until_one_fits(
    tmp_path: Path,
) -> None:
    odd = model("predict", "spark", [FEATURES, LABEL], [TITLE], "odd")
    mesh = Mesh(tmp_path)
    async with mesh.stack:
        await mesh.start()
        await mesh.connect()
        await mesh.join(mesh.scikit, mesh.spark, mesh.repository)
        await mesh.create(chain=("serving-spark/predict",))
        await mesh.repository.publish(PREPARE, odd)
        shown = await mesh.shown(lambda pipeline: "does not take over" in pipeline.error.message)
        assert shown.state == pipeline_pb2.PIPELINE_STATE_READY
        assert "{label: string}, which clients need not send" in shown.error.message
        assert mesh.envoy.serves("match", PREDICT)
    again = Mesh(tmp_path)
    again.repository.models = [odd]
    async with again.stack:
        await again.start()
        await again.connect()
        await again.join(again.spark, again.repository)
        await again.shown(lambda pipeline: "does not take over" in pipeline.error.message)
        assert again.envoy.serves("match", PREDICT)
        await again.repository.publish(PREDICT_2)
        await again.world.until(lambda: again.envoy.serves("match", PREDICT_2))
        wanted = PREDICT_2.digest
        shown = await again.shown(lambda pipeline: pipeline.stages[0].digest == wanted)
        assert not shown.error.message
        await again.repository.publish(odd)
        await again.shown(lambda pipeline: "does not take over" in pipeline.error.message)
        await again.create(chain=("serving-spark/predict",))
        assert again.envoy.serves("match", odd), "who applies it again wants it"


async def test_model_that_vanishes_serves_on_and_is_told(mesh: Mesh) -> None:
    await mesh.create()
    await mesh.repository.publish(PREPARE)
    shown = await mesh.shown(lambda pipeline: "no model 'predict'" in pipeline.error.message)
    assert shown.state == pipeline_pb2.PIPELINE_STATE_READY
    assert mesh.envoy.serves("match", PREDICT)


async def test_malformed_endpoint_is_refused(mesh: Mesh) -> None:
    for address in ("", "nowhere", "localhost:1", "0.0.0.0:5", "127.0.0.1:99999"):
        with pytest.raises(grpc.aio.AioRpcError, match="want the '<IP address>:<port>'"):
            await mesh.register(
                pb.Endpoint(
                    service="s", instance="i", address=address, formats=["f"], incarnation="1"
                )
            )


async def test_killed_manager_comes_back_with_the_same_mesh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    mesh = Mesh(tmp_path)
    async with mesh.stack:
        async with manager_process(tmp_path / "data") as address:
            await mesh.reach(address)
            await mesh.connect()
            await mesh.join(mesh.scikit, mesh.spark, mesh.repository)
            created = await mesh.create()
        second = Envoy(mesh.world)
        async with manager_process(tmp_path / "data") as address:
            await mesh.reach(address)
            assert await mesh.pipelines() == {"match": created}
            async with second.connected(address, mesh.token):
                await mesh.world.until(lambda: second.resources == mesh.envoy.resources)


# ---- policies and variants


def canary(weight: int, *chain: str) -> pipeline_pb2.Pipeline:
    variant = pipeline_pb2.Variant(name="canary", chain=chain or CHAIN[1:], weight=weight)
    traffic = pipeline_pb2.Traffic(variants=[variant])
    return pipeline_pb2.Pipeline(name="match", chain=CHAIN[1:], traffic=traffic)


async def test_models_of_a_variant_are_loaded_before_it_gets_traffic(mesh: Mesh) -> None:
    await mesh.create(chain=CHAIN[1:])
    mesh.scikit.gate.clear()
    request = pb.CreatePipelineRequest(pipeline=canary(10, *CHAIN))
    creation = asyncio.create_task(_created(mesh, request))
    await mesh.world.seen("asked", "one", key(PREPARE))
    assert not mesh.envoy.has(ResourceType.SCOPE, "match@canary")
    mesh.scikit.gate.set()
    created = await creation
    assert [s.digest for s in created.traffic.variants[0].stages] == [
        PREPARE.digest,
        PREDICT.digest,
    ]
    assert mesh.envoy.serves("match@canary", PREPARE, PREDICT)
    took = [entry[1] for entry in mesh.world.journal if entry[0] == "took"]
    last = {name: len(took) - 1 - took[::-1].index(name) for name in set(took)}
    assert last["pipeline/match"] > last["pipeline/match@canary"], "the front goes last"


async def _created(mesh: Mesh, request: pb.CreatePipelineRequest) -> pipeline_pb2.Pipeline:
    return await mesh.manager.CreatePipeline(request)


async def test_variant_that_does_not_fit_is_named_and_what_serves_stays(mesh: Mesh) -> None:
    await mesh.create(chain=CHAIN[1:])
    with pytest.raises(grpc.aio.AioRpcError, match="variant 'canary': stage 'serving-spark/no'"):
        await mesh.manager.CreatePipeline(
            pb.CreatePipelineRequest(pipeline=canary(10, "serving-spark/no"))
        )
    assert not (await mesh.pipelines())["match"].traffic.variants


async def test_plan_of_a_new_weight_is_one_route_with_both_weights(mesh: Mesh) -> None:
    await mesh.manager.CreatePipeline(pb.CreatePipelineRequest(pipeline=canary(10)))
    request = pb.PlanPipelineRequest(pipeline=canary(50))
    (change,) = (await mesh.manager.PlanPipeline(request)).changes
    assert (change.action, change.name) == ("change", "pipeline/match")
    assert ('"weight": 10' in change.before, '"weight": 50' in change.before) == (True, False)
    assert ('"weight": 10' in change.after, '"weight": 50' in change.after) == (False, True)


async def test_policies_and_variants_survive_the_manager(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path)
    wanted = canary(10)
    wanted.policy.rate_limit.requests = 5
    async with mesh.stack:
        await mesh.start()
        await mesh.connect()
        await mesh.join(mesh.scikit, mesh.spark, mesh.repository)
        before = await mesh.manager.CreatePipeline(pb.CreatePipelineRequest(pipeline=wanted))
    mesh.stack = contextlib.AsyncExitStack()
    async with mesh.stack:
        await mesh.start()
        after = (await mesh.pipelines())["match"]
    assert (after.policy, after.traffic, after.etag) == (before.policy, before.traffic, before.etag)
    assert after.traffic.variants[0].stages
