"""Pipelines that are replaced, planned and deleted; and managers that are killed."""

from __future__ import annotations

import sys
from pathlib import Path

import grpc
import grpc.aio
import pytest
from manager_mesh import (
    CHAIN,
    PREDICT,
    PREPARE,
    Envoy,
    Mesh,
    key,
    manager_process,
)

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import pipeline_pb2
from hydro_envoy.snapshot import ResourceType
from hydro_services import errors


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
