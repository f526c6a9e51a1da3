"""Real Consul agents for tests: one, or a cluster of servers, and ways to disturb them."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ports import free_ports
from whole_mesh import HOST, environment, wait_until

START_S = 90.0
CALL_S = 20.0
"""One without a leader answers after some seconds; one that is cut off never."""


@dataclass
class Agent:
    """A server of Consul with a folder and ports of its own, which outlive its process."""

    folder: Path
    node: str = "consul-1"
    host: str = HOST
    within: Sequence[str] = ()
    """The words before the command, such as those that enter a network namespace."""
    dev: bool = False
    """Keeps nothing on disk: a restart forgets all."""
    ports: dict[str, int] = field(default_factory=dict)
    _servers: Sequence[Agent] = ()
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        names = ("http", "server", "serf_lan")
        self.ports = self.ports or dict(zip(names, free_ports(3), strict=True))

    @property
    def address(self) -> str:
        """host:port of its HTTP API."""
        return f"{self.host}:{self.ports['http']}"

    @property
    def registry(self) -> str:
        """As `--registry` takes it."""
        return f"consul://{self.address}"

    def start(self, servers: Sequence[Agent] = ()) -> None:
        """Starts the process; `servers` are all of its cluster, itself among them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._servers = servers or self._servers or (self,)
        config = self.folder / "consul.json"
        config.write_text(json.dumps(self._config()))
        words = [*self.within, program(), "agent", "-config-file", str(config)]
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                words + ["-dev"] * self.dev, stdout=log, stderr=log, env=environment()
            )

    def _config(self) -> dict[str, Any]:
        config = {
            "node_name": self.node,
            "bind_addr": self.host,
            "client_addr": self.host,
            "ports": {**self.ports, "serf_wan": -1, "dns": -1, "grpc": -1},
            "performance": {"raft_multiplier": 1},
            "disable_update_check": True,
            "log_level": "warn",
        }
        if self.dev:
            return config
        others = [f"{s.host}:{s.ports['serf_lan']}" for s in self._servers if s is not self]
        return config | {
            "server": True,
            "bootstrap_expect": len(self._servers),
            "data_dir": str(self.folder / "data"),
            "retry_join": others,
            "retry_interval": "500ms",
            "leave_on_terminate": False,
            "skip_leave_on_interrupt": True,
        }

    def wait_until_ready(self) -> None:
        """Its cluster has a leader that takes writes and reads through it."""
        wait_until(self._is_ready, START_S, f"{self.node} is ready, see {self.folder / 'log'}")

    def _is_ready(self) -> bool:
        assert self.runs, (self.folder / "log").read_text()
        with contextlib.suppress(OSError):
            nodes = {each["Node"] for each in self.get("/v1/catalog/nodes")}
            return self.node in nodes and bool(self.get("/v1/status/leader"))
        return False

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """SIGKILL, SIGSTOP, SIGCONT and the like."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends the process; the folder stays, for `start`."""
        if self._process is None:
            return
        if self.runs:
            self.send(number)
        self._process.wait(20)

    def get(self, path: str) -> Any:
        """The answer to a GET of its HTTP API; raises OSError."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=CALL_S) as answer:
            return json.load(answer)

    def put(self, path: str, body: bytes = b"", method: str = "PUT") -> Any:
        """The answer to a change by its HTTP API; raises OSError."""
        request = urllib.request.Request(f"http://{self.address}{path}", body, method=method)
        with urllib.request.urlopen(request, timeout=CALL_S) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def value(self, key: str) -> Any:
        """The JSON of a key; None: there is no such key."""
        try:
            return self.get(f"/v1/kv/{key}?raw")
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise

    def passing(self, service: str) -> list[dict[str, Any]]:
        """The healthy instances of a service, as Consul describes them."""
        found = self.get(f"/v1/health/service/{service}?passing=1")
        return [each["Service"] for each in found]


@dataclass
class Cluster:
    """Servers of Consul that elect a leader; two of three are enough."""

    servers: Sequence[Agent]

    @property
    def registry(self) -> str:
        """As `--registry` takes it: all of them, one after the other."""
        return "consul://" + ",".join(server.address for server in self.servers)

    def start(self) -> None:
        for server in self.servers:
            server.start(self.servers)
        for server in self.servers:
            server.wait_until_ready()

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    @property
    def leader(self) -> Agent:
        """The server that leads; raises OSError where the first that runs does not answer."""
        asked = next(server for server in self.servers if server.runs)
        where = asked.get("/v1/status/leader")
        return next(s for s in self.servers if f"{s.host}:{s.ports['server']}" == where)


def cluster(folder: Path, count: int = 3) -> Cluster:
    """A cluster on this machine, not started."""
    names = [f"consul-{number}" for number in range(1, count + 1)]
    ports = iter(free_ports(3 * count))
    kinds = ("http", "server", "serf_lan")
    return Cluster(
        [Agent(folder / name, name, ports={kind: next(ports) for kind in kinds}) for name in names]
    )


@contextlib.contextmanager
def running(what: Agent | Cluster) -> Iterator[None]:
    """Started and ready; killed at the end."""
    try:
        what.start()
        if isinstance(what, Agent):
            what.wait_until_ready()
        yield
    finally:
        what.stop()


def program() -> str:
    """Consul's; where there is none the test is skipped, and so fails in CI."""
    found = shutil.which("consul", path=environment()["PATH"])
    if not found:
        pytest.skip("no consul on PATH; run scripts/consul")
    return found
