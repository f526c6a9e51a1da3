"""A mesh that two managers share by Consul, each part as a user starts it alone."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chains import OWN, copy_models
from patience import PATIENCE_S
from ports import free_ports
from whole_mesh import HOST, WholeMesh, environment, wait_until

START_S = 90.0
SERVICE = "serving-customscikit"


@dataclass
class Part:
    """`hydro PART …` in a process of its own, to be killed and started again."""

    name: str
    words: Sequence[str]
    folder: Path
    token_file: Path | None = None
    """None: in the folder."""
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "hydro_services.cli.main", *self.words]
        with (self.folder / f"{self.name}.log").open("a") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._variables())

    def _variables(self) -> dict[str, str]:
        return environment() | {"HYDRO_TOKEN_FILE": str(self.token_file or self.folder / "token")}

    @property
    def log(self) -> str:
        return (self.folder / f"{self.name}.log").read_text()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Ends it; its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(40)


@dataclass
class SharedMesh:
    """Two managers, two gateways on one port, a repository and a runtime service of two."""

    folder: Path
    registry: str
    parts: dict[str, Part] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Starts all parts, and waits until they serve."""
        code = copy_models(self.folder / "models", OWN)
        trusted = WholeMesh(self.folder, self.folder / "models")
        trusted.trusted.touch()
        trusted.trust(*code)
        gateway, manager, repository, *xds = (f"{HOST}:{port}" for port in free_ports(5))
        names = {"gateway": gateway, "manager": manager, "repository": repository}
        self.urls = {name: f"http://{address}" for name, address in names.items()}
        offered = ["--gateway", gateway, "--manager", manager, "--repository", repository]
        for name, address in zip(("manager-a", "manager-b"), xds, strict=True):
            self._add(name, "manager", "--xds", address, "--instance", name, *offered, data=True)
            self.urls[name] = f"http://{address}"
        for name in ("gateway-a", "gateway-b"):
            self._add(name, "gateway", "--id", name, data=True)
        self._add("repository", "repository", "--models", str(self.folder / "models"))
        for name in ("runtime-a", "runtime-b"):
            trust = ["--trusted", str(trusted.trusted), "--cache", str(self.folder / name)]
            self._add(name, "runtime", SERVICE, "--instance", name, *trust)
        for part in self.parts.values():
            part.start()
        wait_until(self.serves, START_S, f"the shared mesh serves, see {self.folder}")

    def _add(self, name: str, *words: str, data: bool = False) -> None:
        folder = ["--data", str(self.folder / name)] if data else []
        more = ["--registry", self.registry, "--log-level", "WARNING", *folder]
        self.parts[name] = Part(name, [*words, *more], self.folder)

    def serves(self) -> bool:
        """Each gateway has taken its listeners, and something answers behind them."""
        with contextlib.suppress(OSError):
            for name in ("gateway-a", "gateway-b"):
                if b"pipes" not in self.admin(name, "/listeners"):
                    return False
            get(f"{self.urls['repository']}/models")
            return True
        return False

    def admin(self, gateway: str, path: str) -> bytes:
        """What an Envoy says of itself."""
        address = (self.folder / gateway / "admin.address").read_text().strip()
        return get(f"http://{address}{path}")

    def connected(self, gateway: str) -> bool:
        """The Envoy has a manager."""
        stats = self.admin(gateway, "/stats?filter=control_plane")
        return b"control_plane.connected_state: 1" in stats

    def address(self, part: str) -> str:
        """host:port of the gateway, an API listener or a manager."""
        return self.urls[part].removeprefix("http://")

    def stop(self) -> None:
        for part in reversed(self.parts.values()):
            with contextlib.suppress(AssertionError):
                part.end(signal.SIGTERM)


@contextlib.contextmanager
def shared(folder: Path, registry: str) -> Iterator[SharedMesh]:
    """Started and serving; stopped at the end."""
    mesh = SharedMesh(folder, registry)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        mesh.start()
        yield mesh
    finally:
        mesh.stop()


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        found: bytes = answer.read()
        return found
