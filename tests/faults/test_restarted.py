"""Parts that are restarted in order, and parts that die again and again."""

from __future__ import annotations

import os
import signal
import statistics
from collections.abc import Sequence
from itertools import combinations

import pytest
from harness import SERVICE, Scene, now
from patience import PATIENCE_S
from usage import Usage, usage
from whole_mesh import until

pytestmark = pytest.mark.e2e

DRAINED_S = 12.0
"""A part that is asked to end waits 5 s for streams under way."""
KILLED = (SERVICE, "repository")
ROUNDS = 15
"""Of two faults: what dies again and again is started again 2 s later, and these wait together."""
APART_S = 8.0
"""Each is back within 5 s; a model is tried again up to 3 s after the repository is."""
WARM = 3
"""Rounds after which caches are full and allocators have what they need."""
GROWTH = {"processes": 0.0, "threads": 0.5, "descriptors": 1.0, "memory_kb": 4096.0}
"""What a part may have more at the end, by the median of the slopes between all samples."""


async def test_every_part_is_restarted_one_after_the_other(scene: Scene) -> None:
    async with scene.under_load("restart of every part but Envoy", DRAINED_S) as disturbed:
        for part, count in (("manager", 1), ("repository", 1), (SERVICE, 2)):
            for pid in scene.mesh.pids(part)[:count]:
                start = now()
                os.kill(pid, signal.SIGTERM)
                await disturbed.healed(start, part, pid)
    assert disturbed.report.unary_failures() == {}


@pytest.mark.timeout(300)
async def test_nothing_grows_over_thirty_faults(scene: Scene) -> None:
    samples: list[dict[str, Usage]] = []
    fault = f"kill -9 of a runtime and the repository, {ROUNDS} times"
    async with scene.under_load(fault, APART_S) as disturbed:
        for _ in range(ROUNDS):
            start = now()
            killed = {part: scene.mesh.kill_part(part) for part in KILLED}
            for part, pid in killed.items():
                await disturbed.healed(start, part, pid)
            samples.append(await usage_of_connected(scene, samples))
    assert disturbed.report.unary_failures() == {}
    grown = {
        f"{part}: {name}": growth
        for part in samples[-1]
        for name, limit in growth_of(part).items()
        if (growth := grows([getattr(each[part], name) for each in samples[WARM:]])) > limit
    }
    assert grown == {}, {part: changed_kinds(samples, part) for part in samples[-1]}


async def usage_of_connected(scene: Scene, before: Sequence[dict[str, Usage]]) -> dict[str, Usage]:
    """What parts use, once each is connected to those that it was connected to: after a sample in
    which one has yet to connect again, the next ones would look like growth."""
    whole = before[0].items() if before else ()
    sample: dict[str, Usage] = {}

    def is_connected() -> bool:
        nonlocal sample
        sample = usage(scene.mesh)
        return all(part in sample and each.peers <= sample[part].peers for part, each in whole)

    await until(is_connected, PATIENCE_S, "all parts are connected as they were")
    return sample


def changed_kinds(samples: Sequence[dict[str, Usage]], part: str) -> dict[str, list[int]]:
    """How many descriptors a part had in each sample, of the kinds whose number changed."""
    counts = [each[part].kinds for each in samples]
    table = {kind: [each[kind] for each in counts] for kind in sorted(set().union(*counts))}
    return {kind: row for kind, row in table.items() if len(set(row)) > 1}


def growth_of(part: str) -> dict[str, float]:
    """What is limited: a part that was killed has begun anew, and is only not to be there twice."""
    is_new = part in {name[:15] for name in KILLED}
    return {"processes": GROWTH["processes"]} if is_new else GROWTH


def grows(samples: Sequence[float]) -> float:
    """From the first to the last, along the median slope."""
    slopes = [(b - a) / (j - i) for (i, a), (j, b) in combinations(enumerate(samples), 2)]
    return statistics.median(slopes) * (len(samples) - 1)
