"""The wall clock jumps while requests are under way, and stays there for longer than a lease.

All Python of the mesh has the clock of `clock/sitecustomize.py`, which tells what that covers.
Certificates, which are valid by the clock, are in tests/unit/services/test_wallclock.py.
"""

from __future__ import annotations

import json
import time
from datetime import datetime

import pytest
from clocks import set_clock
from harness import CHAIN, SERVICE, Scene, now

pytestmark = pytest.mark.e2e

HOUR_S = 3600


async def test_the_clock_jumps_forward_and_back(scene: Scene) -> None:
    try:
        async with scene.under_load("the clock jumps by +5 h, then by -12 h") as disturbed:
            for hours, part in ((5, "manager"), (-7, SERVICE)):
                set_clock(scene.mesh.folder.parent, hours * HOUR_S)
                created = await scene.clients.create("meanwhile", *CHAIN)
                assert created.status_code == 200, created.text
                await disturbed.load.more(20)
                await scene.whole()
                assert disturbed.load.failed == 0, "the jump itself breaks nothing, nor any stream"
                start, pid = now(), scene.mesh.kill_part(part)
                await disturbed.healed(start, part, pid)
                assert (await scene.clients.delete("meanwhile")).status_code == 200
                assert hours in offsets_h(scene), "nothing was written with that clock"
    finally:
        set_clock(scene.mesh.folder.parent, 0)
    assert disturbed.report.unary_failures() == {}


def offsets_h(scene: Scene) -> set[int]:
    """By how many hours the clock was off for the lines of the mesh's log."""
    lines = [line for line in scene.mesh.log.splitlines() if line.startswith("{")]
    written = [datetime.fromisoformat(json.loads(line)["time"]).timestamp() for line in lines]
    return {round((at - time.time()) / HOUR_S) for at in written}
