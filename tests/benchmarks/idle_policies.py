"""What pipelines with a stage policy cost Envoy while nobody calls them.

python tests/benchmarks/idle_policies.py [PIPELINES]: CPU, memory and health checks of an Envoy with
so many idle pipelines of two stages, first without policies and then with a circuit breaker of the
first stage each.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))

from control_mesh import ControlMesh
from echo_runtime import EchoRuntime
from meshes import backend, pipeline

from hydro_envoy.mesh import Pipeline
from hydro_envoy.policy import StagePolicy

PERIOD_S = 10.0
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def checks(mesh: ControlMesh) -> int:
    assert mesh.envoy
    where = mesh.envoy.admin
    url = f"http://{where}/stats?filter=health_check.attempt"
    with urllib.request.urlopen(url) as answer:
        return sum(int(line.rpartition(b" ")[2]) for line in answer.read().splitlines())


def limited(name: str) -> Pipeline:
    found = pipeline(name, "a", "b")
    first, last = found.stages
    policy = StagePolicy(max_requests=5, breaker=f"{name}@/a")
    return replace(found, stages=(replace(first, policy=policy), last))


async def measure(mesh: ControlMesh, what: str) -> None:
    assert mesh.envoy
    await asyncio.sleep(3)  # connections are made
    pid, start = mesh.envoy.pid, time.monotonic()
    before = cpu_s(pid), await asyncio.to_thread(checks, mesh)
    await asyncio.sleep(PERIOD_S)
    after, passed = (cpu_s(pid), await asyncio.to_thread(checks, mesh)), time.monotonic() - start
    cpu, rate = ((b - a) / passed for a, b in zip(before, after, strict=True))
    print(f"{what}: {cpu:6.1%} CPU  {rss_mb(pid):6.0f} MB  {rate:7.0f} health checks a second")


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            EchoRuntime("A") as a,
            EchoRuntime("B") as b,
            ControlMesh(Path(folder)) as mesh,
        ):
            names = [f"p{i}" for i in range(count)]
            backends = (backend("a", a.endpoint), backend("b", b.endpoint))
            await mesh.use(
                backends=backends, pipelines=tuple(pipeline(name, "a", "b") for name in names)
            )
            await measure(mesh, f"{count} pipelines, no policy     ")
            await mesh.use(backends=backends, pipelines=tuple(map(limited, names)))
            await measure(mesh, f"{count} pipelines, each with one ")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
