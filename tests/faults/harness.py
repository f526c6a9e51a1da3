"""Scenes: load on a mesh, a fault in the middle of it, and what became of it all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from clients import Clients
from counted_load import Load, Rates, Tally
from patience import PATIENCE_S
from whole_mesh import ROOT, WholeMesh

SERVICE = "serving-customscikit"
PIPELINE = "counted"
CHAIN = (f"{SERVICE}/here", f"{SERVICE}/there")
MODELS = Path(__file__).parent / "models"
REPORT = Path(os.environ.get("HYDRO_FAULTS_REPORT", ROOT / ".reports" / "faults.jsonl"))
HEALED_S = 5.0
"""From the fault to full service."""
QUICK_S = 1.0
"""No message waits longer where all is well."""
POLL_S = 0.2
"""Not often: to look costs what the load needs."""


@dataclass
class Report:
    """What one scene showed."""

    topology: str
    fault: str
    tallies: Mapping[str, Tally]
    healed_s: float = 0.0
    slowdown: float = 1.0
    """How much longer things take here than with a CPU of their own."""

    def line(self) -> dict[str, Any]:
        """As JSON."""
        kinds = {
            kind: {
                "sent": tally.sent,
                "right": tally.right,
                "wrong": len(tally.wrong),
                "errors": dict(tally.errors),
                "lost": tally.lost,
                "p50_ms": tally.ms(0.5),
                "p99_ms": tally.ms(0.99),
                "max_ms": tally.ms(1.0),
                "examples": tally.examples,
            }
            for kind, tally in self.tallies.items()
        }
        return {
            "topology": self.topology,
            "fault": self.fault,
            "healed_s": round(self.healed_s, 2),
            "slowdown": round(self.slowdown, 2),
            **kinds,
        }

    def write(self) -> None:
        with REPORT.open("a") as file:
            file.write(json.dumps(self.line()) + "\n")

    def failures(self) -> dict[str, Any]:
        """Everything that was not answered rightly."""
        return {
            kind: {"errors": tally.examples, "wrong": tally.wrong[:3], "lost": tally.lost}
            for kind, tally in self.tallies.items()
            if tally.right != tally.sent
        }

    def unary_failures(self) -> dict[str, Any]:
        """The same, of what is no stream."""
        return {kind: found for kind, found in self.failures().items() if kind != "stream"}


@dataclass
class Scene:
    """A mesh to be disturbed, and what was seen."""

    topology: str
    mesh: WholeMesh
    clients: Clients
    reports: list[Report]
    instances: int = 2
    rates: Rates = field(default_factory=Rates)

    @contextlib.asynccontextmanager
    async def under_load(
        self, fault: str, within_s: float = HEALED_S, answers: int = 20
    ) -> AsyncIterator[DisturbedMesh]:
        """Waits for full service, runs load around the context's fault, then reports.

        Recovery must take at most `within_s`. `answers` of each kind come before and after.
        """
        await self.whole()
        load = Load(self.clients, PIPELINE, self.rates)
        report = Report(self.topology, fault, load.tallies)
        ran, waited = cpu()
        try:
            async with load.running():
                await asyncio.sleep(0)
                await load.more(answers)
                yield DisturbedMesh(self, load, report)
                await load.more(answers)
        finally:
            ran, waited = cpu()[0] - ran, cpu()[1] - waited
            report.slowdown = 1 + waited / ran
            self.reports.append(report)
            report.write()
        assert report.healed_s <= within_s * report.slowdown

    async def whole(self) -> None:
        await until_true(self.is_whole, "full service")

    async def is_whole(self) -> bool:
        """All instances are ready, all pipelines serve."""
        try:
            ready, states = await self.ready(), await self.states()
        except httpx.TransportError:
            return False
        return len(ready) == self.instances + 1 and states == {"PIPELINE_STATE_READY"}

    async def ready(self) -> dict[str, str]:
        """The incarnation of each ready endpoint."""
        response = await self.clients.http.get(f"{self.mesh.urls['manager']}/api/v1/services")
        services = response.json().get("services", []) if response.status_code == 200 else []
        return {
            e["instance"]: e["incarnation"] for s in services for e in s["endpoints"] if e["ready"]
        }

    async def healthy(self) -> dict[str, int]:
        """How many instances Envoy counts on, by cluster of the runtime service."""
        address = (self.mesh.folder / "data" / "gateway" / "admin.address").read_text().strip()
        response = await self.clients.http.get(f"http://{address}/clusters?format=json")
        clusters = response.json()["cluster_statuses"]
        return {
            each["name"]: sum(_is_healthy(host) for host in each.get("host_statuses", []))
            for each in clusters
            if each["name"].startswith(SERVICE)
        }

    async def states(self) -> set[str]:
        response = await self.clients.http.get(f"{self.mesh.urls['manager']}/api/v1/pipelines")
        if response.status_code != 200:
            return set()
        return {pipeline["state"] for pipeline in response.json()["pipelines"]}


@dataclass
class DisturbedMesh:
    """A mesh that is under load while a fault is tried on it."""

    scene: Scene
    load: Load
    report: Report

    async def healed(self, since: float, part: str = "", pid: int = 0) -> None:
        """Waits until all is well and each process has answered since then; notes how long.

        With a part given, also until it runs as another process than it did.
        """

        async def is_healed() -> bool:
            mesh = self.scene.mesh
            answered = [p for p in mesh.pids(SERVICE) if self.load.seen.get(p, 0.0) > since]
            back = not part or ((pids := mesh.pids(part)) and pid not in pids)
            return (
                bool(back) and len(answered) == self.scene.instances and await self.scene.is_whole()
            )

        await until_true(is_healed, f"full service after: {self.report.fault}")
        self.report.healed_s = max(self.report.healed_s, now() - since)

    async def flows(self, since: float, healthy: int) -> None:
        """Waits until Envoy counts on so many instances, and nothing waits for the others."""

        async def is_out() -> bool:
            found = await self.scene.healthy()
            return (
                bool(found) and set(found.values()) == {healthy} and self.load.waits_s() < QUICK_S
            )

        await until_true(is_out, f"requests flow after: {self.report.fault}")
        self.report.healed_s = max(self.report.healed_s, now() - since)


def cpu() -> tuple[int, int]:
    """For how long this thread has run, and waited for a CPU; in ns. See proc(5), schedstat."""
    ran, waited, _ = Path("/proc/thread-self/schedstat").read_text().split()
    return int(ran), int(waited)


def _is_healthy(host: dict[str, Any]) -> bool:
    return not any(
        told is True for name, told in host["health_status"].items() if name != "eds_health_status"
    )


def now() -> float:
    return asyncio.get_running_loop().time()


async def until_true(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Waits for what has to be asked for."""
    end = now() + PATIENCE_S
    while not await condition():
        assert now() < end, f"not within {PATIENCE_S:g} s: {what}"
        await asyncio.sleep(POLL_S)


NAMES = 3
"""Columns of the table that are text."""


def table(reports: list[Report]) -> str:
    """For people."""
    heads = [
        "topology",
        "fault",
        "kind",
        "sent",
        "right",
        "error",
        "lost",
        "p99_ms",
        "max_ms",
        "healed_s",
    ]
    rows = [heads]
    for report in reports:
        for kind, tally in report.tallies.items():
            failed = tally.errors.total() + len(tally.wrong)
            counts = (tally.sent, tally.right, failed, tally.lost)
            latencies = (tally.ms(0.99), tally.ms(1.0))
            told = (report.topology, report.fault, kind, *counts, *latencies)
            rows.append([*map(str, told), f"{report.healed_s:.1f}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at < NAMES else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
