"""Which process of a stage gets a request under the real Envoy: outliers and load balancing."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from echo_runtime import EchoRuntime
from meshes import pipeline
from policy_mesh import OK, UNAVAILABLE, Policies, until, until_seen, with_stage

from hydro_envoy.policy import Policy, Retry, StagePolicy

pytestmark = pytest.mark.e2e


async def test_outlier_detection_leaves_out_a_process_that_fails(p: Policies) -> None:
    wanted = replace(pipeline("p", "a", "b"), policy=Policy(retry=Retry(0)))
    never = StagePolicy(lb_policy="round_robin", max_ejection_percent=0)
    soon = replace(
        never, consecutive_gateway_failure=2, base_ejection_time_s=60.0, max_ejection_percent=50
    )
    async with EchoRuntime("B") as ill:
        ill.broken = 1000
        await p.use(with_stage(wanted, 1, never), b=(p.b, ill))
        await p.codes(20)
        assert (await p.codes(10))[UNAVAILABLE] == 5, "without: half of all fail for ever"
        await p.use(with_stage(wanted, 1, soon), b=(p.b, ill))
        await p.codes(10)
        asked = len(ill.seen)
        await p.checked(ill, 24)  # by six clusters
        assert await p.codes(10) == {OK: 10}, "its health checks are well"
        assert len(ill.seen) == asked


async def test_outlier_detection_takes_back_who_is_well_again(p: Policies) -> None:
    wanted = replace(pipeline("p", "a", "b"), policy=Policy(retry=Retry(0)))
    soon = StagePolicy(consecutive_gateway_failure=2, base_ejection_time_s=0.2, interval_s=0.1)
    async with EchoRuntime("C") as ill:
        ill.broken = 4
        await p.use(with_stage(wanted, 1, soon), b=(p.b, ill))

        async def both_serve() -> bool:
            answers = await asyncio.gather(*(p.codes(1) for _ in range(10)))
            return len(ill.seen) > 4 and sum(answers, Counter()) == {OK: 10}

        await until(both_serve)


async def test_outlier_detection_never_leaves_out_the_only_process(p: Policies) -> None:
    wanted = replace(pipeline("p", "a", "b"), policy=Policy(retry=Retry(0)))
    soon = StagePolicy(consecutive_gateway_failure=1, base_ejection_time_s=60.0)
    await p.use(with_stage(wanted, 1, soon))
    p.b.broken = 5
    assert await p.codes(10) == {UNAVAILABLE: 5, OK: 5}


async def test_load_goes_where_the_policy_says(p: Policies) -> None:
    async with EchoRuntime("C") as other:
        await p.use(pipeline("p", "b"), b=(p.b, other))
        p.b.hold.clear()
        there = len(p.b.seen) + len(other.seen) + 8
        slow = [asyncio.create_task(p.predict()) for _ in range(8)]
        await until_seen(there, p.b, other)
        before = len(p.b.seen)
        answers = [asyncio.create_task(p.predict()) for _ in range(20)]
        await asyncio.wait(answers, timeout=1.0)
        busy = len(p.b.seen) - before
        p.b.hold.set()
        await asyncio.gather(*slow, *answers)
        assert busy <= 12, "least request: the busy one gets few"
        turns = with_stage(pipeline("p", "b"), 0, StagePolicy(lb_policy="round_robin"))
        await p.use(turns, b=(p.b, other))
        counts = Counter([await p.predict() for _ in range(20)])
        assert counts == {"xB": 10, "xC": 10}
