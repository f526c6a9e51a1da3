"""Instances that are there and do not answer, or do so late."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest
from harness import SERVICE, Scene, now

from hydro_services.up.watchdog import HUNG_S, LATE_S

pytestmark = pytest.mark.e2e

REPLACED_S = HUNG_S + 2 * LATE_S
"""Until it is noticed, at most one look later, and full service after a start."""
SLOW_S = 0.5
"""What every evaluation of a slow instance takes longer."""


@pytest.mark.topologies("embedded", "consul", "sidecars")
async def test_one_of_two_instances_of_a_runtime_hangs(scene: Scene) -> None:
    async with scene.under_load("SIGSTOP of one of two runtimes") as disturbed:
        pid = scene.mesh.pids(SERVICE)[0]
        start = now()
        os.kill(pid, signal.SIGSTOP)
        try:
            await disturbed.flows(start, healthy=1)
        finally:
            with contextlib.suppress(ProcessLookupError):  # of a slow machine, killed meanwhile
                os.kill(pid, signal.SIGCONT)
        await disturbed.healed(now())
    assert disturbed.report.unary_failures() == {}


@pytest.mark.topologies("embedded")
async def test_parts_that_hang_are_started_again(scene: Scene) -> None:
    async with scene.under_load(
        "SIGSTOP of one of two runtimes and the manager", REPLACED_S
    ) as disturbed:
        start = now()
        stopped = {part: scene.mesh.pids(part)[0] for part in (SERVICE, "manager")}
        for pid in stopped.values():
            os.kill(pid, signal.SIGSTOP)
        for part, pid in stopped.items():
            await disturbed.healed(start, part, pid)
    assert disturbed.report.unary_failures() == {}


async def test_requests_go_around_an_instance_that_is_slow(scene: Scene) -> None:
    async with scene.under_load("one of two runtimes is slow") as disturbed:
        slow = scene.mesh.pids(SERVICE)[0]
        told = scene.mesh.folder / f"slow-{slow}"
        told.write_text(str(SLOW_S))
        try:
            disturbed.load.counts.clear()
            await disturbed.load.more(40)
            counts = dict(disturbed.load.counts)
        finally:
            told.unlink()
        await disturbed.healed(now())
    assert disturbed.report.failures() == {}
    share = counts.get(slow, 0) / sum(counts.values())
    assert share < 0.2, counts
