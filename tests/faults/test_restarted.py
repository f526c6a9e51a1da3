"""Parts that are restarted in order, and parts that die again and again."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest
from harness import SERVICE, Scene, now
from whole_mesh import WholeMesh

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

ESTABLISHED, LISTEN = "01", "0A"
"""States of connections in /proc/net/tcp: include/net/tcp_states.h of Linux."""


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
            samples.append(usage(scene.mesh))
    assert disturbed.report.unary_failures() == {}
    grown = {
        f"{part}: {name}": growth
        for part in samples[-1]
        for name, limit in growth_of(part).items()
        if (growth := grows([getattr(each[part], name) for each in samples[WARM:]])) > limit
    }
    assert grown == {}


def growth_of(part: str) -> dict[str, float]:
    """What is limited: a part that was killed has begun anew, and is only not to be there twice."""
    is_new = part in {name[:15] for name in KILLED}
    return {"processes": GROWTH["processes"]} if is_new else GROWTH


class Usage(NamedTuple):
    """What the processes of a part have, together."""

    processes: int
    threads: int
    descriptors: int
    memory_kb: int


def usage(mesh: WholeMesh) -> dict[str, Usage]:
    """Of each part."""
    parts: dict[str, list[int]] = {}
    for pid, name in mesh.processes().items():
        parts.setdefault("up" if pid == mesh.pid else name, []).append(pid)
    return {part: _usage([Path(f"/proc/{pid}") for pid in pids]) for part, pids in parts.items()}


def _usage(folders: Sequence[Path]) -> Usage:
    status = [dict(_fields(folder / "status")) for folder in folders]
    return Usage(
        processes=len(folders),
        threads=sum(int(each["Threads"]) for each in status),
        descriptors=sum(_descriptors(folder) for folder in folders),
        memory_kb=sum(int(each["VmRSS"].split()[0]) for each in status),
    )


def _descriptors(folder: Path) -> int:
    """What a process has open. A connection counts for who opened it: a slow machine has more
    requests of the test's clients under way at once, whose connections the gateway only accepted.
    """
    lines = [line.split() for line in (folder / "net" / "tcp").read_text().splitlines()[1:]]
    sockets = [(local.rpartition(":")[2], state, words[5]) for _, local, _, state, *words in lines]
    ports = {port for port, state, _ in sockets if state == LISTEN}
    accepted = {inode for port, state, inode in sockets if state == ESTABLISHED and port in ports}
    links = []
    for link in (folder / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(os.readlink(link))
    return sum(link.removeprefix("socket:[").removesuffix("]") not in accepted for link in links)


def _fields(file: Path) -> list[tuple[str, str]]:
    lines = (line.partition(":") for line in file.read_text().splitlines())
    return [(name, text.strip()) for name, _, text in lines]


def grows(samples: Sequence[float]) -> float:
    """From the first to the last, along the median slope."""
    slopes = [(b - a) / (j - i) for (i, a), (j, b) in combinations(enumerate(samples), 2)]
    return statistics.median(slopes) * (len(samples) - 1)
