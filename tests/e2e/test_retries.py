"""Timeouts and retries of pipelines under the real Envoy."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import grpc
import pytest
from echo_runtime import EchoRuntime
from grpc import aio
from meshes import MAX_MESSAGE_BYTES, pipeline
from patience import PATIENCE_S
from policy_mesh import DEADLINE, OK, UNAVAILABLE, Policies, refused, until

from hydro.serving.v1.frame_pb2 import Frame
from hydro_envoy.policy import Policy, Retry, StagePolicy

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("stage", ["middle", "last"])
async def test_a_timeout_ends_what_hangs(p: Policies, stage: str) -> None:
    chain = ("a", "b") if stage == "last" else ("b", "a")
    p.b.hold.clear()
    await p.chain(*chain)
    with pytest.raises(aio.AioRpcError, match="DEADLINE_EXCEEDED"):
        await p.mesh.stub.Predict(Frame(pipeline="p"), timeout=1.5)
    await p.chain(*chain, timeout_s=0.3)
    error = await p.error()
    assert (error.code(), error.details()) == (
        DEADLINE,
        "pipeline 'p' did not answer within its time limit",
    )
    assert "within its time limit" in refused(await p.serve(), 504, 4)
    p.b.hold.set()

    async def is_answered() -> bool:  # within 0.3 s, which a slow machine may need for itself
        return await p.codes(1) == {OK: 1}

    await until(is_answered)


async def test_a_timeout_leaves_streams_alone(p: Policies) -> None:
    await p.chain("a", "b", timeout_s=0.3)
    call = p.mesh.stub.PredictStream(timeout=PATIENCE_S)
    await call.write(Frame(pipeline="p", id="1"))
    assert (await call.read()).id == "1AB"
    await asyncio.sleep(0.6)  # longer than the limit
    await call.write(Frame(id="2"))
    assert (await call.read()).id == "2AB"
    call.cancel()


async def test_retries_hide_a_stage_that_fails_for_a_moment(p: Policies) -> None:
    await p.chain("a", "b", retry=Retry(0))
    p.b.broken = 2
    assert await p.codes(4) == {UNAVAILABLE: 2, OK: 2}
    await p.chain("a", "b", retry=Retry(3))
    p.b.broken = 2
    assert await p.codes(4) == {OK: 4}
    p.b.broken = 3
    assert (await p.serve()).status == 200


async def test_retries_end_when_they_are_used_up(p: Policies) -> None:
    await p.chain("a", "b", retry=Retry(3))
    p.b.broken = 1000
    assert (await p.error()).code() is UNAVAILABLE
    assert 1000 - p.b.broken == 4, "the gateway adds none of its own"


async def test_without_retries_a_dead_stage_is_unavailable_at_once(p: Policies) -> None:
    await p.chain("a", "b", retry=Retry(0))
    await p.b.stop()
    error = await p.error()
    assert error.code() is UNAVAILABLE
    assert "stage b/m-b:1 of pipeline 'p' is unavailable" in str(error.details())


async def test_what_was_refused_is_not_sent_again(p: Policies) -> None:
    await p.chain("a", "b", retry=Retry(3))
    assert (await p.error("fail")).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(p.a.seen) == 1


async def test_what_is_too_much_to_keep_is_not_sent_again(p: Policies) -> None:
    await p.chain("a", "b", retry=Retry(3))
    body = b"x" * (MAX_MESSAGE_BYTES + 2_000_000)
    assert (await p.serve(body)).status == 200
    p.b.broken = 1
    assert refused(await p.serve(body), 503, 14) == "B is ill"
    p.b.broken = 1
    assert (await p.serve(body[: MAX_MESSAGE_BYTES // 2])).status == 200


async def test_nothing_is_sent_again_after_the_first_answer(p: Policies) -> None:
    await p.chain("a", "b", retry=Retry(3))
    call = p.mesh.stub.PredictStream(timeout=PATIENCE_S)
    await call.write(Frame(pipeline="p", id="1"))
    assert (await call.read()).id == "1AB"
    await p.b.stop()
    with pytest.raises(aio.AioRpcError):
        await call.read()
    assert len(p.a.seen) == 1


async def test_a_try_that_hangs_is_made_again_elsewhere(p: Policies) -> None:
    p.b.hold.clear()
    async with EchoRuntime("B") as well:
        wanted = replace(pipeline("p", "a", "b"), policy=Policy(timeout_s=1.0))
        turns = StagePolicy(lb_policy="round_robin")
        stages = (wanted.stages[0], replace(wanted.stages[1], policy=turns))
        wanted = replace(wanted, stages=stages)
        await p.use(wanted, b=(p.b, well))
        assert (await p.codes(4))[DEADLINE] == 2, "without: whoever meets it fails"
        retry = Retry(3, per_try_timeout_s=0.3)
        await p.use(replace(wanted, policy=Policy(timeout_s=5.0, retry=retry)), b=(p.b, well))
        assert await p.codes(4) == {OK: 4}
