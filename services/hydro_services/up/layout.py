"""Which parts make the mesh, and with what configuration. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydro_envoy.address import ANY_PORT, Address
from hydro_runtimes import model_formats
from hydro_runtimes.model_formats import Format
from hydro_services.consul.registry import Registry
from hydro_services.errors import InvalidArgument
from hydro_services.repository.roots import Root
from hydro_services.security import credential
from hydro_services.up import home
from hydro_services.up.process import Program


@dataclass(frozen=True, slots=True)
class RuntimeService:
    """A runtime service that `hydro up` knows to start."""

    name: str
    formats: tuple[Format, ...]
    """Of the models that it serves; the libraries of one of them have to be installed."""


def known_services() -> tuple[RuntimeService, ...]:
    """One for each service that the formats of models name."""
    return tuple(
        RuntimeService(name, served) for name, served in model_formats.by_service().items()
    )


def preloaded_modules() -> tuple[str, ...]:
    """Imported once for all Python parts, where they are installed."""
    ours = ("registration", "repository.process", "runtime.process")
    early = (format for format in model_formats.FORMATS if format.is_preloaded)
    theirs = sorted({module for format in early for module in format.modules})
    return ("grpc.aio", *(f"hydro_services.{name}" for name in ours), *theirs)


MANAGER, REPOSITORY = "manager/manager", "repository/repository"
"""Names of parts that there is one of, as processes of services."""

INSIDE = "127.0.0.1"
"""Where the parts talk to each other: only what Envoy offers is for others to see."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `hydro up`."""

    models: tuple[Root, ...]
    trusted: Path | None
    data: Path
    host: str
    """Where Envoy offers gateway, manager and repository."""
    manager_port: int
    gateway_port: int
    repository_port: int
    xds_port: int
    runtimes: tuple[tuple[str, int], ...]
    """Runtime services and how many of each; () for one of each that can run here."""
    sidecars: bool = False
    """An Envoy in front of every part, instead of one for all."""
    tls_cert: Path | None = None
    """With its key: clients are spoken to by TLS, at all ports."""
    tls_key: Path | None = None
    registry: Registry | None = None
    """Consul; None: the manager keeps the registry."""
    log_level: str = "WARNING"
    json: bool = False
    store_bytes: int = 20 << 30
    """What the copies of each store of models may take."""
    keys: str = ""
    """Where API keys are: a file, or `consul://…`."""
    access: str = "anyone"
    """Who may call pipelines that do not say it: "anyone", or who has one of the "keys"."""
    admin_key: str = field(default="", repr=False)
    token_file: Path | None = None
    """Has the token that the parts show each other; None: `token` in the manager's data."""
    manager: Mapping[str, Any] = field(default_factory=dict)
    """What is passed on to the manager, by the fields of its `Config`."""
    runtime: Mapping[str, Any] = field(default_factory=dict)
    """What is passed on to the runtimes, by the fields of their `Config`."""

    @property
    def models_folder(self) -> Path | None:
        """The first of the folders of models, where new ones go; None: all roots are stores."""
        return next((root.folder for root in self.models if not root.scheme), None)

    @property
    def token(self) -> Path:
        """The file with the token, made if need be."""
        return self.token_file or self.data / "manager" / credential.TOKEN_FILE

    @property
    def trusted_file(self) -> Path:
        """The digests of models that may run code."""
        return self.trusted or home.trusted_file(self.data)

    @property
    def xds(self) -> Address:
        """Where the manager's process listens."""
        return Address(INSIDE, self.xds_port)

    def at(self, part: str) -> Address:
        """Where Envoy offers gateway, manager or repository."""
        return Address(self.host, self.ports[part])

    @property
    def targets(self) -> Path:
        """The manager's list of what serves /metrics where."""
        return self.data / "manager" / "targets.json"

    @property
    def ports(self) -> dict[str, int]:
        """By the name of their option."""
        return {
            "manager": self.manager_port,
            "gateway": self.gateway_port,
            "repository": self.repository_port,
            "xds": self.xds_port,
        }


@dataclass(frozen=True, slots=True)
class ProcessSidecar:
    """The sidecar of a process."""

    process: str
    """`<service>/<instance>`."""
    ingress: Address
    """Where the other parts reach it."""
    egress: Address
    """Where the process reaches them."""
    xds: Address
    """Where its Envoy reaches the manager."""

    @property
    def name(self) -> str:
        """Of the part."""
        return f"sidecar-{self.process.partition('/')[2]}"


def plan_sidecars(
    options: Options, processes: Sequence[str], free: Callable[[Sequence[str]], Mapping[str, int]]
) -> dict[str, ProcessSidecar]:
    """The sidecars of processes, the manager's first, by process; none without --sidecars.

    Args:
        options: say where the manager is to be reached.
        processes: the others.
        free: gives a free port for each name.
    """
    if not options.sidecars:
        return {}
    names = [f"{side} {each}" for each in (MANAGER, *processes) for side in ("ingress", "egress")]
    ports = free(names)
    at = {name: Address(INSIDE, port) for name, port in ports.items()}
    # The port of the name "ingress" is the manager's own: others come to its sidecar at --xds-port.
    own = ProcessSidecar(MANAGER, options.xds, at[f"egress {MANAGER}"], at[f"ingress {MANAGER}"])
    others = [
        ProcessSidecar(p, at[f"ingress {p}"], at[f"egress {p}"], options.xds) for p in processes
    ]
    return {each.process: each for each in (own, *others)}


def choose_runtimes(
    chosen: Sequence[tuple[str, int]], is_installed: Callable[[str], bool]
) -> tuple[list[tuple[RuntimeService, int]], list[str]]:
    """The runtime services to start and how many of each; and notes on those left out.

    Args:
        chosen: names and numbers; () for one of each service whose libraries are installed.
        is_installed: whether a module can be imported.

    Raises:
        InvalidArgument: a service is not known, or is asked for without its libraries.
    """
    wanted = [(_known_service(name), count) for name, count in chosen]
    known = known_services()
    lacking = {s.name: note for s in known if (note := _missing_libraries(s, is_installed))}
    for service, _ in wanted:
        if service.name in lacking:
            raise InvalidArgument(lacking[service.name])
    if wanted:
        return wanted, []
    return [(s, 1) for s in known if s.name not in lacking], list(lacking.values())


def _known_service(name: str) -> RuntimeService:
    known = known_services()
    for service in known:
        if service.name == name:
            return service
    names = ", ".join(service.name for service in known)
    raise InvalidArgument(f"unknown runtime service {name!r}, want one of {names}")


def _missing_libraries(service: RuntimeService, is_installed: Callable[[str], bool]) -> str:
    missing = {
        ", ".join(sorted(name for name in format.libraries if not is_installed(name))): format
        for format in service.formats
    }
    if "" in missing:
        return ""
    way_out = " or ".join(format.way_out for format in missing.values())
    return f"{service.name} needs {' or '.join(missing)}, which is not installed; {way_out}"


def manager_program(options: Options, beside: ProcessSidecar | None) -> Program:
    """The manager, on a path of its own: nobody shares its imports."""
    config = {
        **options.manager,
        "data": options.data / "manager",
        "listen": beside.xds if beside else options.xds,
        "gateway": options.at("gateway"),
        "manager_api": options.at("manager"),
        "repository_api": options.at("repository"),
        "keys": options.keys,
        "access": options.access,
        "admin_key": options.admin_key,
        "token_file": options.token,
        "home": home.url(options.data),
        "sidecar": beside and beside.ingress,
        "egress": beside and beside.egress,
        "instance": MANAGER.partition("/")[2] if beside else "",
        "registry": options.registry,
    }
    module = "hydro_services.manager.process"
    return Program("manager", module, config, fork=False, level=options.log_level)


def repository_program(options: Options, beside: ProcessSidecar | None) -> Program:
    config = {
        "models": options.models,
        "store_bytes": options.store_bytes,
        "data": options.data / "repository",
        "instance": "repository",
        "listen": ANY_PORT,
        "manager": beside.egress if beside else options.xds,
        "token_file": options.token,
        "sidecar": beside and beside.ingress,
        "registry": options.registry,
    }
    return Program(
        "repository", "hydro_services.repository.process", config, level=options.log_level
    )


def runtime_program(options: Options, process: str, beside: ProcessSidecar | None) -> Program:
    """One process of a runtime service."""
    service, _, instance = process.partition("/")
    config = {
        **options.runtime,
        "service": service,
        "instance": instance,
        "listen": ANY_PORT,
        "manager": beside.egress if beside else options.xds,
        "token_file": options.token,
        "sidecar": beside and beside.ingress,
        "registry": options.registry,
        "cache": options.data / "cache",
        "trusted": options.trusted_file,
    }
    module = "hydro_services.runtime.process"
    return Program(instance, module, config, level=options.log_level, is_guarded=True)
