"""A whole mesh, started once for all tests that leave it as they find it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from chains import create_chains, started
from clients import Clients, connect
from control_mesh import ControlMesh
from echo_runtime import EchoRuntime
from meshes import backend, pipeline
from policy_mesh import Policies
from whole_mesh import ROOT, WholeMesh, wait_until
from zipkin import START_S, Traced, Zipkin, zipkin


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeMesh]:
    """Not to be disturbed."""
    running = started(tmp_path_factory.mktemp("whole"))
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def zipkin_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zipkin]:
    """A Zipkin that starts while others do; wait for `runs`."""
    with zipkin(tmp_path_factory.mktemp("zipkin")) as found:
        yield found


@pytest.fixture(scope="session")
def traced(tmp_path_factory: pytest.TempPathFactory, zipkin_server: Zipkin) -> Iterator[Traced]:
    """A mesh of one runtime that tells all it can; its spans go to a Zipkin."""
    folder = tmp_path_factory.mktemp("traced")
    log = folder / "access.log"
    words = (f"--zipkin={zipkin_server.address}", f"--access-log={log}")
    running = started(folder, *words, "--runtime=serving-customscikit")
    try:
        wait_until(zipkin_server.runs, START_S, "zipkin runs")
        yield Traced(running, zipkin_server, log)
    finally:
        running.stop()


@pytest.fixture
async def clients(mesh: WholeMesh) -> AsyncIterator[Clients]:
    """Of the mesh that is shared, with all of `chains.CHAINS`."""
    async with connect(mesh) as connected:
        await create_chains(connected)
        yield connected


@pytest.fixture(scope="session")
def rows() -> list[dict[str, str]]:
    """Two pairs of listings: no match, and a match."""
    found: list[dict[str, str]] = json.loads((ROOT / "examples" / "rows.json").read_text())
    return found


@pytest.fixture
async def p(tmp_path: Path) -> AsyncIterator[Policies]:
    async with AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(ControlMesh(tmp_path))
        a = await stack.enter_async_context(EchoRuntime("A"))
        b = await stack.enter_async_context(EchoRuntime("B"))
        yield Policies(mesh, a, b)


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[ControlMesh]:
    async with ControlMesh(tmp_path) as started:
        yield started


@pytest.fixture
async def runtime_a() -> AsyncIterator[EchoRuntime]:
    async with EchoRuntime("A") as runtime:
        yield runtime


@pytest.fixture
async def runtime_b() -> AsyncIterator[EchoRuntime]:
    async with EchoRuntime("B") as runtime:
        yield runtime


@pytest.fixture
async def two(control: ControlMesh, runtime_a: EchoRuntime, runtime_b: EchoRuntime) -> ControlMesh:
    """Pipelines of one stage (`a`), two (`ab`) and three (`aba`)."""
    await control.use(
        backends=(backend("a", runtime_a.endpoint), backend("b", runtime_b.endpoint)),
        pipelines=(pipeline("a", "a"), pipeline("ab", "a", "b"), pipeline("aba", "a", "b", "a")),
    )
    return control
