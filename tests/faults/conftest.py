"""Meshes to be disturbed, started once a topology; the table of all scenes at the end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from chains import started
from clients import connect
from clocks import variables
from consul_agent import Cluster, cluster
from consul_agent import running as serving
from harness import CHAIN, MODELS, PIPELINE, REPORT, SERVICE, Report, Scene, table
from ports import free_ports
from shared_mesh import START_S, Part
from whole_mesh import HOST, WholeMesh, wait_until

_REPORTS = pytest.StashKey[list[Report]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_REPORTS] = []
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.unlink(missing_ok=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if reports := terminalreporter.config.stash[_REPORTS]:
        terminalreporter.section(f"faults (also in {REPORT})")
        terminalreporter.write_line(table(reports))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Those of the marker, else where parts find each other by a manager and by Consul."""
    if "topology" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("topologies")
        chosen = marker.args if marker else ("embedded", "consul")
        metafunc.parametrize("topology", chosen, scope="session")


@pytest.fixture(scope="session")
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three servers."""
    servers = cluster(tmp_path_factory.mktemp("consul"))
    with serving(servers):
        yield servers


@pytest.fixture(scope="session")
def mesh(
    topology: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WholeMesh]:
    """Two instances of one runtime service, with a small disk as cache."""
    words = {"sidecars": ["--sidecars"]}.get(topology, [])
    if topology == "consul":
        words = ["--registry", request.getfixturevalue("consul").registry]
    folder = tmp_path_factory.mktemp(topology)
    with small_disk(folder / "mesh" / "data" / "cache"):
        mesh = started(
            folder, f"--runtime={SERVICE}=2", *words, models=[MODELS], variables=variables(folder)
        )
        try:
            yield mesh
        finally:
            mesh.stop()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Of 1 MiB; only root can."""
    folder.mkdir(parents=True)
    if os.geteuid():
        yield
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "hydro", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
async def scene(
    topology: str, mesh: WholeMesh, request: pytest.FixtureRequest
) -> AsyncIterator[Scene]:
    """The mesh whole, with its pipeline."""
    async with connect(mesh) as clients:
        found = Scene(topology, mesh, clients, request.config.stash[_REPORTS])
        response = await clients.create(PIPELINE, *CHAIN)
        assert response.status_code == 200, response.text
        yield found


@pytest.fixture
def second_manager(mesh: WholeMesh, consul: Cluster, tmp_path: Path) -> Iterator[Part]:
    """Of the mesh at Consul; serves."""
    xds = f"{HOST}:{free_ports(1)[0]}"
    words = ["manager", "--xds", xds, "--instance", "second", "--data", str(tmp_path / "second")]
    for name in ("gateway", "manager", "repository"):
        words += [f"--{name}", mesh.address(name)]
    token = mesh.folder / "data" / "manager" / "token"
    part = Part("second", [*words, "--registry", consul.registry], tmp_path, token)
    part.start()
    try:
        wait_until(lambda: "manager serves" in part.log, START_S, "the second manager serves")
        yield part
    finally:
        part.end(signal.SIGTERM)
