"""A mesh on three machines, with their own addresses, a cluster of Consul, and cables to pull.

One has a manager, the gateway and the repository, the others a runtime each, and one of these
another manager; each has a server of Consul, and a sidecar before every part. What the client
counts, it counts without retries.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import pytest
from chains import OWN, copy_models
from consul_agent import Agent
from hosts import Capture, Host, Network, need_namespaces
from patience import PATIENCE_S
from whole_mesh import environment, until, until_true, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SERVICE = "serving-customscikit"
CHAIN = [f"{SERVICE}/moody", f"{SERVICE}/length"]
PORTS = {"http": 8500, "server": 8300, "serf_lan": 8301}
XDS, INGRESS, EGRESS, ADMIN = 8082, 8084, 8074, 9901
KEY = "an-admin-key-for-tests-that-is-long-enough"
RATE = 20.0
LIMIT_S = 20.0
"""After which a request counts as lost."""
BACK_S = 5.0
CHANGED_S = 40.0
"""From a cut until a change is in force, with an election of Consul's that it may bring."""
MARK = "no-one-may-read-this-on-the-wire"


@dataclass
class Mesh:
    """What runs where."""

    network: Network
    agents: list[Agent]
    folder: Path
    models: Path

    @property
    def main(self) -> Host:
        return self.network.hosts[0]

    def begin(self) -> None:
        for agent in self.agents:
            agent.start(self.agents)
        with self.main.entered():
            self.agents[0].wait_until_ready()
        code = copy_models(self.models, OWN)
        for folder in code:
            self._hydro("models", "trust", str(folder), "--file", str(self.folder / "trusted.txt"))
        self.start_manager(self.main, "one")
        self.start_manager(self.network.hosts[2], "two")
        self._beside(self.main, "repository", "repository", "--models", str(self.models))
        for host in self.network.hosts[1:]:
            words = ("--trusted", str(self.folder / "trusted.txt"), SERVICE)
            self._beside(host, "runtime", SERVICE, *words)
        join = self._invite("gateway")
        told = ("--xds", self.xds, "--join", str(join), "--admin", f"127.0.0.1:{ADMIN}")
        self.main.start("gateway", "gateway", *told, more={})

    @property
    def ca(self) -> Path:
        """What the managers share: the first makes it."""
        return self.folder / "ca"

    @property
    def xds(self) -> str:
        """The managers' addresses."""
        return ",".join(f"{self.network.hosts[number].address}:{XDS}" for number in (0, 2))

    def start_manager(self, host: Host, name: str) -> None:
        at, beside = host.address, ("--xds", "127.0.0.1:8072", "--egress", "127.0.0.1:8073")
        registry = self.agents[self.network.hosts.index(host)].registry
        own = ("--sidecar", f"{at}:{XDS}", "--ca", str(self.ca), "--data", "data")
        words = (*own, "--instance", name, "--registry", registry)
        host.start("manager", "manager", *beside, *words, more={"HYDRO_ADMIN_KEY": KEY})
        token = {"HYDRO_TOKEN_FILE": str(host.folder / "manager" / "data" / "token")}
        host.start("manager-sidecar", "sidecar", f"manager/{name}", *beside, more=token)
        wait_until((self.ca / "ca.pem").exists, PATIENCE_S, "the manager is up")

    def _beside(self, host: Host, part: str, service: str, *words: str) -> None:
        """A process and its sidecar."""
        join, egress = self._invite(service), ("--egress", f"127.0.0.1:{EGRESS}")
        sidecar = ("sidecar", f"{service}/{host.name}", *egress, "--xds", self.xds)
        host.start(f"{part}-sidecar", *sidecar, "--join", str(join), more={})
        registry = self.agents[self.network.hosts.index(host)].registry
        own = ("--sidecar", f"{host.address}:{INGRESS}", "--xds", f"127.0.0.1:{EGRESS}")
        named = ("--instance", host.name, "--registry", registry)
        host.start(part, part, *own, *named, *words, more={})

    def _invite(self, service: str) -> Path:
        out = self.folder / f"{service}.json"
        self._hydro("invite", service, "--ca", str(self.ca), "--out", str(out))
        return out

    def _hydro(self, *words: str) -> None:
        command = [sys.executable, "-m", "hydro_services.cli.main", *words]
        subprocess.run(command, env=environment(), check=True, capture_output=True)

    def served(self, host: Host) -> int:
        """How many requests the gateway has sent to a host; health checks do not count."""
        connection = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("GET", "/clusters")
            text = connection.getresponse().read().decode()
        found = re.findall(rf"^{SERVICE}.*::{host.address}:{INGRESS}::rq_total::(\d+)", text, re.M)
        return sum(map(int, found))

    def is_passing(self, host: Host) -> bool:
        """Consul has the host's runtime as well."""
        with contextlib.suppress(OSError):
            found = self.agents[0].get(f"/v1/health/service/{SERVICE}?passing=1")
            return host.name in {each["Service"]["Meta"]["instance"] for each in found}
        return False

    def managers(self) -> int:
        """How many are well, as Consul knows it."""
        with contextlib.suppress(OSError):
            return len(self.agents[0].get("/v1/health/service/manager?passing=1"))
        return 0

    def create(self) -> None:
        """The pipeline, as soon as all parts are there."""
        wait_until(
            lambda: all(map(self.is_passing, self.network.hosts[1:])), PATIENCE_S, "runtimes"
        )
        wait_until(lambda: self.is_created("two"), PATIENCE_S, "the pipeline is created")

    def is_created(self, name: str, chain: Sequence[str] = CHAIN) -> bool:
        """Creates a pipeline, or not."""
        body = {"name": name, "transportType": "http", "chain": list(chain)}
        headers = {"authorization": f"Bearer {KEY}"}
        url = "http://127.0.0.1:8080/api/v1/pipelines"
        with contextlib.suppress(httpx.TransportError):
            return (
                httpx.post(url, json=body, headers=headers, timeout=PATIENCE_S).status_code == 200
            )
        return False


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    need_namespaces()
    folder = tmp_path_factory.mktemp("hosts")
    with Network(folder, ["a", "b", "c"]) as network, contextlib.ExitStack() as stack:
        agents = [
            Agent(folder / h.name / "consul", h.name, h.address, h.within, ports=PORTS)
            for h in network.hosts
        ]
        for agent in agents:
            stack.callback(agent.stop)
        mesh = Mesh(network, agents, folder, folder / "models")
        mesh.begin()
        with mesh.main.entered():
            mesh.create()
            yield mesh
        for host in network.hosts:
            host.stop()


@dataclass
class Load:
    """Requests at a fixed rate, each sent once."""

    sent: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Load:
        self._client = httpx.AsyncClient(timeout=LIMIT_S)
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._task
        await self._client.aclose()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while not self._stop.is_set():
                self.sent += 1
                tasks.create_task(self._ask())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), 1 / RATE)

    async def _ask(self) -> None:
        try:
            url = "http://127.0.0.1:8083/api/v1/serve/two"
            answer = await self._client.post(url, json=[{"text": MARK}])
        except httpx.TransportError as error:
            self.answers["lost" if isinstance(error, httpx.TimeoutException) else "error"] += 1
        else:
            is_right = answer.status_code == 200 and "length" in answer.json()[0]
            self.answers["right" if is_right else answer.text[:200]] += 1

    async def more(self, count: int) -> None:
        wanted = self.answers["right"] + count
        await until(
            lambda: self.answers["right"] >= wanted, PATIENCE_S, f"{count} more right answers"
        )


async def test_a_host_that_is_cut_off_costs_no_request_and_serves_again(mesh: Mesh) -> None:
    _, b, c = mesh.network.hosts
    clock = asyncio.get_running_loop().time
    async with Load() as load:
        await load.more(40)
        before = mesh.served(b), mesh.served(c)
        assert all(before), "both serve"
        mesh.network.cut(b)
        # Nothing is refused there, all is lost: until Consul knows it, b is one of the instances.
        start = clock()
        await created(mesh, "meanwhile")
        changed_s = clock() - start
        await load.more(100)
        assert mesh.served(c) > before[1]
        await until(lambda: not mesh.is_passing(b), PATIENCE_S, "Consul knows that b is gone")
        mesh.network.heal(b)
        await until(lambda: mesh.is_passing(b), 120, "Consul knows that b is back")
        start, seen = clock(), mesh.served(b)
        await until(lambda: mesh.served(b) > seen, PATIENCE_S, "b serves again")
        back_s = clock() - start
        # So long Consul may believe b, which took the others for dead.
        await load.more(60)
    told = f"{dict(load.answers)}, changed {changed_s:.1f} s after the cut"
    print(f"\nhosts: sent {load.sent}, {told}, b serves again {back_s:.1f} s after it is known")
    assert load.answers == {"right": load.sent}
    assert back_s < BACK_S
    assert changed_s < CHANGED_S


async def created(mesh: Mesh, name: str, chain: Sequence[str] = CHAIN) -> None:
    """As soon as it can be."""
    creating = partial(asyncio.to_thread, mesh.is_created, name, chain)
    await until_true(creating, PATIENCE_S, f"{name} is created")


async def test_nobody_on_the_wire_reads_rows(mesh: Mesh) -> None:
    with Capture("eth0") as wire, Capture("lo") as inside:
        async with Load() as load:
            await load.more(40)
            await asyncio.to_thread(wire.wait_for, INGRESS, 40)
    assert MARK.encode() in inside.content, "the capture works"
    assert MARK.encode() not in wire.content
    assert b"PRI * HTTP/2.0" not in wire.content
    assert json.dumps(MARK).encode() not in wire.content


async def test_a_manager_of_another_host_takes_over(mesh: Mesh) -> None:
    assert await asyncio.to_thread(mesh.managers) == 2
    async with Load() as load:
        await load.more(20)
        mesh.main.kill("manager", "manager-sidecar")
        await load.more(20)
        await created(mesh, "three")
        await load.more(20)
    assert load.answers == {"right": load.sent}


async def test_who_is_cut_off_from_a_manager_or_from_the_repository_goes_on_without_and_with_it(
    mesh: Mesh,
) -> None:
    """What is sent is lost, and nothing ends: Envoy's stream to the manager of another host, and
    that one's watch of the repository."""
    _, _, c = mesh.network.hosts
    clock = asyncio.get_running_loop().time
    async with Load() as load:
        mesh.start_manager(mesh.main, "one")
        await until(lambda: mesh.managers() == 2, PATIENCE_S, "the first manager is back")
        await load.more(20)
        mesh.network.cut(c)
        start = clock()
        await created(mesh, "four")
        changed_s = clock() - start
        shutil.copytree(mesh.models / "scikit" / "length", mesh.models / "scikit" / "late")
        await created(mesh, "five", [f"{SERVICE}/late"])
        await load.more(20)
        mesh.network.heal(c)
        await until(lambda: mesh.managers() == 2, PATIENCE_S, "Consul knows that c is back")
        mesh.main.kill("manager", "manager-sidecar")
        await created(mesh, "six", [f"{SERVICE}/late"])
        await load.more(20)
    print(f"\nhosts: sent {load.sent}, {dict(load.answers)}, changed {changed_s:.1f} s after")
    assert load.answers == {"right": load.sent}
    assert changed_s < CHANGED_S
