"""Circuit breakers of stages under the real Envoy."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import grpc
import pytest
from echo_runtime import EchoRuntime
from grpc import aio
from meshes import pipeline
from patience import PATIENCE_S
from policy_mesh import EXHAUSTED, OK, Policies, refused, until, until_seen, with_stage

from hydro.serving.v1.frame_pb2 import Frame
from hydro_envoy.policy import Policy, Retry, StagePolicy
from hydro_envoy.xds import draining

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("index", [0, 1], ids=["first", "last"])
async def test_a_circuit_breaker_bounds_what_a_stage_has_to_do(p: Policies, index: int) -> None:
    stage = (p.a, p.b)[index]
    wanted = replace(pipeline("p", "a", "b"), policy=Policy(retry=Retry(0)))
    stage.hold.clear()
    await p.use(wanted)
    calls = [asyncio.create_task(p.codes(1)) for _ in range(10)]
    await until_seen(10, stage)
    stage.hold.set()
    assert sum(await asyncio.gather(*calls), Counter()) == {OK: 10}, "without: all wait"
    await p.use(with_stage(wanted, index, StagePolicy(max_requests=3)))
    stage.hold.clear()
    calls = [asyncio.create_task(p.codes(1)) for _ in range(10)]
    pending = set(calls)
    async with asyncio.timeout(PATIENCE_S):
        while len(pending) > 4:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    stage.hold.set()
    codes = sum(await asyncio.gather(*calls), Counter())
    assert codes.total() == codes[EXHAUSTED] + codes[OK] == 10
    assert 3 <= codes[OK] <= 4, "Envoy's two workers may each let one in at the same moment"


async def test_a_circuit_breaker_of_one_pipeline_leaves_others_alone(p: Policies) -> None:
    async def answer_of_q(*breakers: str) -> grpc.StatusCode:
        """While `p` is full; both have the same limit."""
        wanted = [
            with_stage(
                replace(pipeline(name, "a", "b"), policy=Policy(retry=Retry(0))),
                1,
                StagePolicy(max_requests=3, breaker=breaker),
            )
            for name, breaker in zip("pq", breakers, strict=True)
        ]
        await p.use(*wanted)
        p.b.seen.clear()
        p.b.hold.clear()
        calls = [asyncio.create_task(p.codes(1)) for _ in range(3)]
        await until_seen(3, p.b)
        other = asyncio.create_task(p.codes(1, "q"))
        full = "stage b/m-b:1 of pipeline 'p' has 3 requests under way, the limit of its circuit"
        assert full in refused(await p.serve(), 429, 8), "over HTTP too"

        async def is_decided() -> bool:
            return other.done() or len(p.b.seen) > 3

        await until(is_decided)
        p.b.hold.set()
        assert sum(await asyncio.gather(*calls), Counter()) == {OK: 3}
        (found,) = await other
        return found

    assert await answer_of_q("", "") is EXHAUSTED, "without: one counts for both"
    assert await answer_of_q("p", "q") is OK


@pytest.mark.parametrize("index", [0, 1], ids=["first", "last"])
async def test_a_dead_process_behind_a_circuit_breaker_costs_no_request(
    p: Policies, index: int
) -> None:
    wanted = with_stage(pipeline("p", "a", "b"), index, StagePolicy(max_requests=50))
    letter = "AB"[index]
    async with EchoRuntime(letter) as dying:
        both = {letter.lower(): ((p.a, p.b)[index], dying)}
        await p.use(wanted, **both)
        assert await p.codes(10) == {OK: 10}
        assert dying.seen
        await dying.stop()
        assert await p.codes(40) == {OK: 40}


@pytest.mark.parametrize("index", [0, 1], ids=["first", "last"])
async def test_where_all_are_dead_the_answer_names_the_stage(p: Policies, index: int) -> None:
    wanted = with_stage(
        replace(pipeline("p", "a", "b"), policy=Policy(retry=Retry(0))),
        index,
        StagePolicy(max_requests=50),
    )
    async with EchoRuntime("X") as dying:
        await p.use(wanted, **{"ab"[index]: (dying,)})
        assert await p.codes(1) == {OK: 1}
        await dying.stop()
        name = ("a/m-a:1", "b/m-b:1")[index]
        assert f"stage {name} of pipeline 'p' is unavailable" in refused(await p.serve(), 503, 14)


async def test_a_new_policy_of_a_stage_cuts_no_stream(p: Policies) -> None:
    wanted = pipeline("p", "a", "b")
    await p.use(with_stage(wanted, 0, StagePolicy(max_requests=3)))
    call = p.mesh.stub.PredictStream(timeout=PATIENCE_S)
    for i in range(4):
        await call.write(Frame(pipeline="" if i else "p", id=str(i)))
        assert (await call.read()).id == f"{i}AB"
        await p.use(with_stage(wanted, 0, StagePolicy(max_requests=4 + i)))
        assert await p.predict() == "xAB"
    await call.done_writing()
    assert await call.read() is aio.EOF


async def test_what_a_policy_leaves_behind_goes_when_its_last_stream_ends(
    p: Policies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "UNUSED_S", 0.5)
    monkeypatch.setattr(draining, "CHECK_AGAIN_S", 0.2)
    wanted = pipeline("p", "a", "b")

    def draining_clusters() -> frozenset[str]:
        return p.mesh.hub.draining_clusters()

    async def is_empty() -> bool:
        return not draining_clusters()

    await p.use(with_stage(wanted, 0, StagePolicy(max_requests=3)))
    call = p.mesh.stub.PredictStream(timeout=PATIENCE_S)
    await call.write(Frame(pipeline="p", id="0"))
    assert (await call.read()).id == "0AB"
    await p.use(with_stage(wanted, 0, StagePolicy(max_requests=4)))
    (used,) = draining_clusters()
    for most in range(5, 8):  # what nothing uses goes meanwhile, what the stream uses stays
        await p.use(with_stage(wanted, 0, StagePolicy(max_requests=most)))

    async def is_only_one_draining() -> bool:
        return draining_clusters() == {used}

    await until(is_only_one_draining)
    await asyncio.sleep(1.0)
    assert draining_clusters() == {used}
    await call.write(Frame(id="1"))
    assert (await call.read()).id == "1AB"
    await call.done_writing()
    assert await call.read() is aio.EOF
    await until(is_empty)
    assert await p.predict() == "xAB"
