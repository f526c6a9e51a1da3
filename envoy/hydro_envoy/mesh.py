"""What Envoy is to do, in the mesh's own terms: the one input of the control plane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from hydro_envoy.address import Address
from hydro_envoy.headers import scope_name
from hydro_envoy.policy import ApiKey, Policy, StagePolicy

MAIN, SHADOW = "main", "shadow"
"""Variants that no user names: the pipeline's own chain, and the one that gets copies."""
MAX_MESSAGE_BYTES = 32 << 20
"""The default limit of a message or a body."""
STREAM_WINDOW_BYTES = 64 * 1024
CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024
"""The connection's must be far above the stream's, or stalled streams block the others."""


class Upstream(NamedTuple):
    """Clusters by which a stage is reached."""

    cluster: str
    behind: str = ""
    """Where `cluster` only counts what is under way, the one that has the processes."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A service that takes traffic: a runtime service, or the repository."""

    name: str
    endpoints: tuple[Address, ...]
    """Those that are ready, sorted."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One model of a chain, on the backend that hosts it."""

    backend: str
    model: str
    """The key under which the runtime has loaded it: `<model>:<version>@<digest>`."""
    name: str
    """As the user wrote it: `<service>/<model>[:<version>]`; named in errors."""
    policy: StagePolicy = field(default_factory=StagePolicy)


@dataclass(frozen=True, slots=True)
class Variant:
    """Another chain for some requests of a pipeline."""

    name: str
    stages: tuple[Stage, ...]
    weight: int = 0
    """Percent; what all variants leave is the pipeline's own chain's."""
    headers: tuple[tuple[str, str], ...] = ()
    """Requests with all of these, sorted, take it whatever its weight."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """A chain that gets copies of requests; its answers are dropped."""

    stages: tuple[Stage, ...]
    percent: int = 100


@dataclass(frozen=True, slots=True)
class Traffic:
    """How requests are divided between chains."""

    variants: tuple[Variant, ...] = ()
    shadow: Shadow | None = None
    sticky_header: str = ""
    """Requests with the same value of it take the same chain."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Stages behind a scope of their own."""

    pipeline: str
    stages: tuple[Stage, ...]
    variant: str = ""
    """Empty: the pipeline has no policy route, requests come straight from the gateway."""
    retried: bool = True
    """Envoy retries calls of stages that never reached a process."""

    @property
    def scope(self) -> str:
        """The name of its scope."""
        return scope_name(self.pipeline, self.variant)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A chain of stages behind one name; the last is the route's upstream."""

    name: str
    stages: tuple[Stage, ...]
    policy: Policy = field(default_factory=Policy)
    traffic: Traffic = Traffic()

    @property
    def has_policy_route(self) -> bool:
        """A route with policies stands before its chains."""
        return self.policy != Policy() or self.traffic != Traffic()

    @property
    def chains(self) -> tuple[Chain, ...]:
        """All chains of it, the pipeline's own first."""
        if not self.has_policy_route:
            return (Chain(self.name, self.stages),)
        shadow = self.traffic.shadow
        named = [(MAIN, self.stages), *((v.name, v.stages) for v in self.traffic.variants)]
        named += [(SHADOW, shadow.stages)] if shadow else []
        retried = self.policy.retry.num_retries > 0
        return tuple(Chain(self.name, stages, variant, retried) for variant, stages in named)


@dataclass(frozen=True, slots=True, order=True)
class Pending:
    """A pipeline that does not serve yet: its callers are asked to come back."""

    name: str
    has_failed: bool = False
    """It will not serve before something is changed."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long Envoy waits for clients, at all ports; in seconds."""

    header_s: float = 10.0
    """For the handshake of TLS, and for a request's header from its first byte."""
    body_s: float = 30.0
    """For the next piece of a request's body, and for a client to read the next of its answer."""
    idle_s: float = 300.0
    """For a request, on a connection that has none under way."""


@dataclass(frozen=True, slots=True)
class ApiListener:
    """A port at which Envoy offers a backend's gRPC services, transcoded from HTTP/JSON."""

    name: str
    host: str
    port: int
    backend: str
    services: tuple[str, ...]
    """Full names of the gRPC services."""
    descriptor_set: bytes
    """A serialised google.protobuf.FileDescriptorSet with them and all they import."""
    admin_key_sha256: str = ""
    """Of the key that all calls but those of grpc.health.v1 need; empty: none."""
    is_local: bool = False
    """For programs of this machine alone: web pages are kept away."""
    token: str = field(default="", repr=False)
    """What the backend wants to see; empty: nothing."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The port at which pipelines are reached, by gRPC and HTTP/JSON."""

    host: str
    port: int
    descriptor_set: bytes
    """As in `ApiListener`, with hydro.serving.v1.PredictionService."""
    max_message_bytes: int
    is_local: bool = False
    """As in `ApiListener`."""


@dataclass(frozen=True, slots=True, order=True)
class IngressRoute:
    """Which calls from outside a sidecar passes on, and to which port of its process."""

    prefix: str
    """Of the path."""
    to: Literal["control", "traffic"]
    callers: tuple[str, ...] = ()
    """The services that may make them; (): all of the mesh."""


@dataclass(frozen=True, slots=True, order=True)
class Sidecar:
    """The Envoy beside one process: what comes from other machines comes to it."""

    service: str
    instance: str
    ingress: Address
    """Where it listens for the others."""
    control: Address
    """The process's own ports, on loopback."""
    traffic: Address
    routes: tuple[IngressRoute, ...]
    """The first that fits counts; calls that none fits are refused."""
    is_manager: bool = False
    """Who is not of the mesh yet may ask it for a certificate."""
    token: str = field(default="", repr=False)
    """What the process wants to see of all calls, as not to take any from others of its machine."""

    @property
    def node_id(self) -> str:
        """The Envoy's id."""
        return f"{self.service}/{self.instance}"


@dataclass(frozen=True, slots=True)
class Tracing:
    """Where Envoy sends the spans of requests."""

    provider: Literal["zipkin", "otlp"]
    """Zipkin's API v2 over HTTP, or OpenTelemetry's protocol over gRPC."""
    collector: Address
    """The host may be a name."""
    percent: float = 100.0
    """Of the requests whose client has not decided itself whether they are traced."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What Envoy reports about requests."""

    tracing: Tracing | None = None
    access_log: str = ""
    """The file of JSON lines, on Envoy's machine; empty: none."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """All that Envoy is to do. Equal meshes give equal resources, byte for byte."""

    gateway: Gateway
    telemetry: Telemetry = Telemetry()
    time_limits: TimeLimits = TimeLimits()
    api_listeners: tuple[ApiListener, ...] = ()
    backends: tuple[Backend, ...] = ()
    pipelines: tuple[Pipeline, ...] = ()
    api_keys: tuple[ApiKey, ...] = ()
    """Sorted."""
    token: str = field(default="", repr=False)
    """What processes want to see with rows; empty: nothing."""
    sidecars: tuple[Sidecar, ...] = ()
    """One a process, the manager's own among them; (): one Envoy plays all roles."""
    pending: tuple[Pending, ...] = ()
    """Sorted; of none of these is there a pipeline."""
