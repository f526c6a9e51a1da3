"""Parts die by kill -9 while requests are under way."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from functools import partial

import pytest
from consul_agent import Cluster
from counted_load import Rates
from harness import CHAIN, HEALED_S, PIPELINE, SERVICE, Scene, now, until_true
from patience import PATIENCE_S
from shared_mesh import Part
from whole_mesh import until

pytestmark = pytest.mark.e2e


ELECTED_S = 10.0
"""Until changes are taken again: Consul's own election takes 3 to 6 s. Rows flow all the time."""
KILLS = 3
LARGE_S = 2.0
"""What a large request takes, about, so that kills hit it at any time."""
LARGE_HEALED_S = 30.0
"""Until each instance has answered a large request."""
EVERYWHERE = ("embedded", "consul", "sidecars")


@pytest.mark.topologies(*EVERYWHERE)
async def test_one_of_two_instances_of_a_runtime_is_killed(scene: Scene) -> None:
    async with scene.under_load("kill -9 of one of two runtimes") as disturbed:
        start = now()
        scene.mesh.kill_part(SERVICE)
        await disturbed.healed(start)
    assert disturbed.report.unary_failures() == {}


@pytest.mark.topologies(*EVERYWHERE)
@pytest.mark.parametrize("part", ["manager", "repository"])
async def test_a_part_that_carries_no_rows_is_killed(scene: Scene, part: str) -> None:
    async with scene.under_load(f"kill -9 of the {part}") as disturbed:
        start = now()
        pid = scene.mesh.kill_part(part)
        await disturbed.healed(start, part, pid)
    assert disturbed.report.failures() == {}


@pytest.mark.topologies("consul")
async def test_one_of_two_managers_is_killed(scene: Scene, second_manager: Part) -> None:
    async with scene.under_load("kill -9 of one of two managers") as disturbed:
        start = now()
        pid = scene.mesh.kill_part("manager")
        await until_true(partial(is_created, scene, "meanwhile"), "the other takes changes")
        await disturbed.healed(start, "manager", pid)
        assert (await scene.clients.delete("meanwhile")).status_code == 200
    assert disturbed.report.failures() == {}


@pytest.mark.topologies("consul")
@pytest.mark.parametrize("role", ["leader", "follower"])
async def test_one_of_three_consul_servers_is_killed(
    scene: Scene, consul: Cluster, role: str
) -> None:
    fault = f"kill -9 of one of three Consul servers, the {role}"
    async with scene.under_load(fault, ELECTED_S if role == "leader" else HEALED_S) as disturbed:
        leader = await asyncio.to_thread(lambda: consul.leader)
        server = next(s for s in consul.servers if (s is leader) == (role == "leader"))
        start = now()
        await asyncio.to_thread(server.stop)
        try:
            await until_true(partial(is_created, scene, "meanwhile"), "two servers take changes")
            await disturbed.healed(start)
        finally:
            server.start()
            await asyncio.to_thread(server.wait_until_ready)
        assert (await scene.clients.delete("meanwhile")).status_code == 200
    assert disturbed.report.failures() == {}


async def is_created(scene: Scene, name: str) -> bool:
    """Whether a change was taken; one under way when a manager dies may not be."""
    return (await scene.clients.create(name, *CHAIN)).status_code == 200


@pytest.mark.topologies("sidecars")
@pytest.mark.parametrize("of", [f"{SERVICE}-1", "manager", "repository"])
async def test_a_sidecar_is_killed(scene: Scene, of: str) -> None:
    async with scene.under_load(f"kill -9 of the sidecar of {of}") as disturbed:
        start = now()
        pid = scene.mesh.envoy(f"sidecar-{of}")
        os.kill(pid, signal.SIGKILL)
        await disturbed.healed(start, "envoy", pid)
    assert disturbed.report.unary_failures() == {}


async def test_the_only_envoy_is_killed(scene: Scene) -> None:
    """No other carries requests meanwhile; afterwards all is as before."""
    async with scene.under_load("kill -9 of the only Envoy") as disturbed:
        start = now()
        pid = scene.mesh.kill_part("envoy")
        await disturbed.healed(start, "envoy", pid)
        await disturbed.load.more(1)  # clients wait a little before they connect again
        failed = disturbed.load.failed
        await disturbed.load.more(10)
        assert disturbed.load.failed == failed
    assert all(tally.lost == 0 and not tally.wrong for tally in disturbed.report.tallies.values())


async def bearable_rate(scene: Scene, megabytes: int) -> float:
    """Of requests of this size: of two kinds at this rate a machine does twice as many."""
    await scene.whole()
    start = now()
    answer = await scene.clients.serve(PIPELINE, [{"text": " " * megabytes * 1_000_000}])
    assert answer.status_code == 200, answer.text
    return 1 / (4 * (now() - start))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("megabytes", [12, 30])
async def test_one_of_two_instances_is_killed_under_large_bodies(
    scene: Scene, megabytes: int
) -> None:
    """Up to the size limit no request fails, whenever in its answer the process dies."""
    rate = min(4 / megabytes, await bearable_rate(scene, megabytes))
    scene.rates = Rates(http=rate, grpc=rate, streams=0, request_bytes=megabytes * 1_000_000)
    fault = f"kill -9 of one of two runtimes, {KILLS} times, bodies of {megabytes} MB"
    async with scene.under_load(fault, LARGE_HEALED_S, answers=1) as disturbed:
        for _ in range(KILLS):
            await until(lambda: disturbed.load.under_way, PATIENCE_S, "a request is under way")
            await asyncio.sleep(random.uniform(0, LARGE_S))
            start = now()
            scene.mesh.kill_part(SERVICE)
            await disturbed.healed(start)
    assert disturbed.report.failures() == {}
