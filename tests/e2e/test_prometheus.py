"""A real Prometheus scrapes the mesh; the dashboard and the alerts ask for what there is."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from chains import CHAINS
from clients import Clients, connect, frame, refused
from patience import PATIENCE_S
from ports import free_ports
from scrape import targets, targets_file
from whole_mesh import HOST, ROOT, wait_until
from zipkin import Traced

pytestmark = pytest.mark.e2e

DEPLOY = ROOT / "deploy"
NAMES = re.compile(r"\b(?:hydro|envoy|process)_\w+|\bup\b")
WINDOW = "1m"


@dataclass(frozen=True)
class Prometheus:
    """Asks a server for what it has got."""

    address: str

    def get(self, path: str, **query: str) -> Any:
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{query}: {error.read().decode()}") from None

    def ask(self, expression: str) -> list[Any]:
        found: list[Any] = self.get("query", query=expression)["result"]
        return found

    def runs(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@pytest.fixture(scope="module")
def programs() -> Path:
    """The folder with prometheus and promtool."""
    command = [ROOT / "scripts" / "prometheus"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def prometheus(
    traced: Traced, programs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """One that scrapes the mesh as the example configuration says, but more often."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    for before, after in (
        (".hydro/manager/targets.json", str(targets_file(traced.mesh))),
        ("alerts.yml", str(DEPLOY / "prometheus" / "alerts.yml")),
        (": 10s", ": 1s"),
    ):
        assert before in config
        config = config.replace(before, after)
    (folder / "prometheus.yml").write_text(config)
    (port,) = free_ports(1)
    words = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [programs / "prometheus", *words, f"--web.listen-address={HOST}:{port}"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        found = Prometheus(f"{HOST}:{port}")
        wait_until(found.runs, PATIENCE_S, "prometheus runs")
        yield found
    finally:
        process.kill()
        process.wait()


@pytest.fixture
async def clients(traced: Traced) -> AsyncIterator[Clients]:
    async with connect(traced.mesh) as connected:
        yield connected


def dashboard() -> dict[str, str]:
    """The queries of the dashboard, by panel and letter."""
    found = json.loads((DEPLOY / "grafana" / "hydro.json").read_text())
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in found["panels"]
        for target in panel.get("targets", ())
    }


async def test_all_parts_are_scraped_and_every_panel_has_something_to_show(
    traced: Traced, prometheus: Prometheus, clients: Clients
) -> None:
    assert (await clients.create("d-two", *CHAINS["two"])).status_code == 200

    async def traffic() -> None:
        await clients.answers("d-two", [{"text": "a"}, {"text": "raise no"}])
        await clients.serve("d-two", b"no JSON")

    await traffic()
    gone = await refused(clients.predictions.Predict(frame("d-two", "pause"), timeout=0.6))
    assert gone.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    ups = {instance: 1.0 for instance in targets(traced.mesh)}
    queries = {
        name: query.replace("$__rate_interval", WINDOW).replace("$pipeline", "d-two")
        for name, query in dashboard().items()
    }
    empty: list[str] = []

    def are_full() -> bool:
        empty[:] = [name for name, query in queries.items() if not prometheus.ask(query)]
        return not empty

    def are_up() -> dict[str, float]:
        return {r["metric"]["instance"]: float(r["value"][1]) for r in prometheus.ask("up")}

    await asyncio.to_thread(wait_until, lambda: are_up() == ups, PATIENCE_S, "all parts are up")
    await traffic()
    try:
        await asyncio.to_thread(wait_until, are_full, PATIENCE_S, "all panels have something")
    except AssertionError:
        raise AssertionError(f"panels without anything: {empty}") from None
    requests = 'sum by (hydro_code) (envoy_hydro_requests{hydro_pipeline="d-two"})'
    found = {r["metric"]["hydro_code"]: r["value"][1] for r in prometheus.ask(requests)}
    assert found == {"200": "2", "400": "2"}


def test_alerts_ask_for_what_there_is(
    traced: Traced, prometheus: Prometheus, programs: Path
) -> None:
    rules = DEPLOY / "prometheus" / "alerts.yml"
    subprocess.run([programs / "promtool", "check", "rules", rules], check=True)
    expressions = {
        rule["name"]: rule["query"]
        for group in prometheus.get("rules")["groups"]
        for rule in group["rules"]
    }
    assert len(expressions) > 5
    there = set(prometheus.get("label/__name__/values"))
    for name, expression in {**expressions, **dashboard()}.items():
        wanted = set(NAMES.findall(re.sub(r"\{[^}]*\}|by \([^)]*\)|on \([^)]*\)", "", expression)))
        assert wanted, name
        assert wanted <= there, name
    pending = {each["labels"]["alertname"] for each in prometheus.get("alerts")["alerts"]}
    assert pending <= {"HydroRequestsFail", "HydroRequestsSlow"}, "the mesh itself is well"
