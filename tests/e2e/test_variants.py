"""Variants of a pipeline under the real Envoy: shares, headers, users that stay on one."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import grpc
import pytest
from grpc import aio
from patience import PATIENCE_S
from policy_mesh import OK, Policies, canary

from hydro.serving.v1.frame_pb2 import Frame
from hydro_envoy.policy import RateLimit, Retry
from hydro_envoy.snapshot import Ref, ResourceType

pytestmark = pytest.mark.e2e


async def test_a_canary_gets_its_share(p: Policies) -> None:
    await p.chain("a")
    assert {await p.predict() for _ in range(20)} == {"xA"}
    await p.chain("a", traffic=canary(30))
    counts = Counter([await p.predict() for _ in range(300)])
    assert 50 < counts["xB"] < 130
    assert counts["xA"] + counts["xB"] == 300
    await p.chain("a", traffic=canary(100))
    assert {await p.predict() for _ in range(20)} == {"xB"}
    answer = await p.serve()
    assert (answer.body, answer.headers["x-hydro-variant"]) == (b"xB", "canary")


async def test_changing_a_weight_changes_one_resource_and_no_stream(p: Policies) -> None:
    await p.chain("a", traffic=canary(0))
    call = p.mesh.stub.PredictStream(timeout=PATIENCE_S)
    await call.write(Frame(pipeline="p", id="1"))
    assert (await call.read()).id == "1A"
    before = p.mesh.hub.snapshot
    await p.chain("a", traffic=canary(100))
    after = p.mesh.hub.snapshot
    changed = [
        Ref(t, n)
        for t in ResourceType
        for n in {*before.resources[t], *after.resources[t]}
        if before.get(Ref(t, n)) != after.get(Ref(t, n))
    ]
    assert changed == [Ref(ResourceType.ROUTES, "pipeline/p")]
    assert await p.predict() == "xB"
    await call.write(Frame(id="2"))
    assert (await call.read()).id == "2A"
    await p.chain("a")
    await call.write(Frame(id="3"))
    assert (await call.read()).id == "3A", "nor does taking the canary away"
    await call.done_writing()
    assert await call.read() is aio.EOF


async def test_turning_policies_on_and_off_fails_no_request(p: Policies) -> None:
    await p.chain("a")
    done, codes = asyncio.Event(), Counter[grpc.StatusCode]()

    async def load() -> None:
        while not done.is_set():
            codes.update(await p.codes(1))

    loads = [asyncio.create_task(load()) for _ in range(4)]
    for i in range(10):
        await p.chain("a", traffic=canary(10 + i), retry=Retry(0))
        await p.chain("a", "b")
        await p.chain("a")
    done.set()
    await asyncio.gather(*loads)
    assert codes.keys() == {OK}


async def test_a_header_chooses_a_variant(p: Policies) -> None:
    await p.chain("a", traffic=canary(0, headers=(("x-team", "risk"),)))
    assert await p.predict() == "xA"
    assert await p.predict(**{"x-team": "risk"}) == "xB"
    assert await p.predict(**{"x-team": "sales"}) == "xA"
    assert (await p.serve(headers={"X-Team": "risk"})).body == b"xB"


async def test_a_sticky_header_keeps_a_user_on_one_variant(p: Policies) -> None:
    async def variants() -> list[int]:
        users = [str(i) for i in range(20)]
        return [len({await p.predict(**{"x-user": u}) for _ in range(10)}) for u in users]

    await p.chain("a", traffic=canary(50))
    assert max(await variants()) == 2, "without: users see both"
    await p.chain("a", traffic=replace(canary(50), sticky_header="x-user"))
    assert await variants() == [1] * 20
    users = {await p.predict(**{"x-user": str(i)}) for i in range(40)}
    assert users == {"xA", "xB"}


async def test_the_chain_of_a_variant_is_no_pipeline(p: Policies) -> None:
    await p.chain("a", traffic=canary(50), rate_limit=RateLimit(1, 3600.0))
    for name in ("p@main", "p@canary"):
        forged = (("x-hydro-pipeline", "p"),)
        with pytest.raises(aio.AioRpcError, match=f"no such pipeline: {name}") as raised:
            await p.mesh.stub.Predict(Frame(pipeline=name), timeout=PATIENCE_S, metadata=forged)
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_pipeline_with_policies_that_is_deleted_leaves_nothing(p: Policies) -> None:
    await p.chain("a", traffic=canary(50), rate_limit=RateLimit(9))
    await p.mesh.use(pipelines=())
    await p.mesh.hub.wait_applied(timeout_s=PATIENCE_S)
    assert (await p.error()).code() is grpc.StatusCode.NOT_FOUND
