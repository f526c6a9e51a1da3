"""Variants of pipelines in the manager."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import grpc
import grpc.aio
import pytest
from manager_mesh import (
    CHAIN,
    PREDICT,
    PREPARE,
    Mesh,
    key,
)

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import pipeline_pb2
from hydro_envoy.snapshot import ResourceType


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
