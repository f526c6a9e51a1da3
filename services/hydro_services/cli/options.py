"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path

from hydro_envoy.address import ANY_PORT, Address
from hydro_services.cli import values
from hydro_services.cli.command import Option
from hydro_services.default_addresses import GATEWAY, MANAGER, REPOSITORY, XDS

TOKEN = ".hydro/manager/token"


def address(name: str, default: Address, help: str, field: str = "") -> Option:
    """For an address, such as --manager."""
    return Option(f"--{name}", help, Address.parse, "HOST:PORT", str(default), field=field)


def port(name: str, default: int, help: str) -> Option:
    """For a port, such as --gateway-port."""
    return Option(f"--{name}-port", help, values.port_number, "PORT", str(default))


def folder(name: str, default: str, help: str) -> Option:
    """For a folder, such as --data."""
    return Option(f"--{name}", help, Path, "DIR", default)


def limit(name: str, default: str, help: str) -> Option:
    """For how long Envoy waits for clients."""
    text = f"how long clients are waited for: {help}"
    return Option(
        f"--{name}-limit", text, values.seconds, "SECONDS", default, field=f"{name}_limit_s"
    )


def key_file(name: str, help: str) -> Option:
    """For a key in a file, such as --admin-key-file; HYDRO_ADMIN_KEY is the key itself."""
    return Option(
        f"--{name}-file",
        help,
        values.key_in_file,
        "FILE",
        default="",
        field=name.replace("-", "_"),
        variable=f"HYDRO_{name.upper().replace('-', '_')}",
        parse_variable=values.key,
    )


def token_file(default: str | None = TOKEN) -> Option:
    """None: the default is in the data folder, where the manager makes it."""
    text = "the token that parts on one machine show each other, readable by its owner alone"
    shown = "" if default else "token in the manager's data folder"
    return Option("--token-file", text, Path, "FILE", default, shown_default=shown)


def registry(help: str = "Consul's agents, to register with instead of a manager") -> Option:
    text = f"{help}; CONSUL_HTTP_TOKEN in the environment is its token"
    return Option("--registry", text, values.registry, "consul://HOST:PORT,...")


def managers(help: str) -> tuple[Option, ...]:
    """For an Envoy: how it finds the managers."""
    text = f"{help}; several are separated by commas"
    return (
        Option("--xds", text, values.addresses, "HOST:PORT,...", str(XDS)),
        registry("Consul's agents, to find the managers with instead of --xds"),
    )


def log_level(default: str) -> Option:
    levels = ("DEBUG", "INFO", "WARNING", "ERROR")
    return Option(
        "--log-level", "the least severe messages that are logged", default=default, choices=levels
    )


TLS_CA = Option(
    "--tls-ca",
    "speak TLS with the mesh and trust these certificates (PEM), or with `system` those that this "
    "machine trusts",
    values.authorities,
    "FILE",
    shown_default="clear text",
)
ADMIN_KEY_OF_MESH = key_file("admin-key", "the mesh's admin key, where it has one")
MANAGER_CALL = (address("manager", MANAGER, "the manager"), ADMIN_KEY_OF_MESH, TLS_CA)
REPOSITORY_CALL = (address("repository", REPOSITORY, "the repository"), ADMIN_KEY_OF_MESH, TLS_CA)
GATEWAY_CALL = (
    address("gateway", GATEWAY, "the gateway"),
    key_file("api-key", "an API key or a token, for a pipeline that wants one"),
    TLS_CA,
)
"""How commands call a part of the mesh."""

ROWS = Option(
    "FILE",
    "rows: a JSON array, or one JSON object a line; - or nothing for standard input",
    default="-",
    field="file",
    nargs="?",
)
PORTS = (
    port("manager", MANAGER.port, "the manager's HTTP and gRPC"),
    port("gateway", GATEWAY.port, "predictions"),
    port("repository", REPOSITORY.port, "the repository's HTTP and gRPC"),
    port("xds", XDS.port, "where Envoy and all parts reach the manager's process"),
)
"""Where a whole mesh listens."""
MODELS = Option(
    "--models",
    "the folder of models, or a store's URL, such as s3://BUCKET/PREFIX; several are separated by "
    "commas, or given one by one",
    values.roots,
    "PLACE,...",
    "models",
    is_repeatable=True,
    is_joined=True,
)
STORE_BYTES = Option(
    "--store-bytes",
    "how much disk the copies of models from a store may take, for each store",
    values.byte_count,
    "BYTES",
    str(20 << 30),
)
TRUSTED = Option(
    "--trusted",
    "digests of models that may run code of their own; see hydro models trust",
    Path,
    "FILE",
)
SIDECAR = Option(
    "--sidecar",
    "where its sidecar takes what comes from other machines, for a part that has one; see hydro "
    "sidecar",
    Address.parse,
    "HOST:PORT",
)
JOIN = Option("--join", "an invitation to a mesh with sidecars; see hydro invite", Path, "FILE")
LISTEN = address("listen", ANY_PORT, "where its gRPC listens; port 0: any free one")
METRICS = address(
    "metrics",
    ANY_PORT,
    "where Prometheus gets /metrics; port 0: any free one, which the manager knows",
)
REGISTRATION = (
    address("xds", XDS, "the manager to register with; with --sidecar: its egress", "manager"),
    token_file(),
    registry(),
)
CACHE_BYTES = Option(
    "--cache-bytes",
    "how much disk the models in a cache may take together; those that are loaded stay, whatever "
    "they take",
    values.byte_count,
    "BYTES",
    str(2 << 30),
)
SPANS = tuple(
    Option(
        f"--{name}",
        f"{server} that takes spans",
        Address.parse,
        "HOST:PORT",
        shown_default="none",
    )
    for name, server in (
        ("zipkin", "the Zipkin server"),
        ("otlp", "the OpenTelemetry collector (OTLP over gRPC)"),
    )
)
CERTIFICATE_TTL = Option(
    "--certificate-ttl",
    "with sidecars: how long certificates hold; they are renewed after half of it",
    values.seconds,
    "SECONDS",
    "3600",
    field="certificate_ttl_s",
)
TLS = (
    Option("--tls-cert", "the certificate for clients, with its chain (PEM)", Path, "FILE"),
    Option(
        "--tls-key",
        "its key (PEM); both are read again when they change",
        Path,
        "FILE",
    ),
)
ENVOY = (
    *SPANS,
    Option(
        "--trace-percent",
        "how many of the requests are traced, where the client has not decided",
        values.percentage,
        "PERCENT",
        "100",
    ),
    limit("header", "10", "for the TLS handshake, and for the header of a request"),
    limit("body", "30", "for the next piece of a body, or to read the next piece of an answer"),
    limit("idle", "300", "for a request on a connection without one"),
    Option(
        "--access-log",
        "where Envoy writes a JSON line for each request; - for its standard output",
        values.log_file,
        "FILE",
        default="",
        shown_default="none",
    ),
)
"""What the manager tells its Envoys."""
ACCESS = (
    Option(
        "--keys",
        "API keys, in a file that is watched or in Consul (consul://HOST:PORT); see hydro keys "
        "create",
        metavar="FILE",
        default="",
        shown_default="none",
    ),
    Option(
        "--access",
        "who may call pipelines that do not say so themselves: anyone, or who has an API key",
        default="anyone",
        choices=("anyone", "keys"),
    ),
    key_file(
        "admin-key",
        "the key that calls of the manager's and the repository's API then need; see hydro keys "
        "admin",
    ),
)
"""Who may call pipelines, and who may change the mesh."""
OF_MANAGER = (CERTIFICATE_TTL, *ENVOY, *ACCESS, token_file(None), registry())
"""Of `hydro manager`, and of `hydro up`, which passes them on: fields of the manager's `Config`.
One more is added here and there alone."""
OF_RUNTIME = (TRUSTED, CACHE_BYTES, *SPANS)
"""The same of `hydro runtime` and of the runtime's `Config`."""
