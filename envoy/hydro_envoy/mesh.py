"""What Envoy is to do, in the mesh's own terms: the one input of the control plane."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeAlias

from hydro_envoy.address import Address
from hydro_envoy.headers import scope_name

MAIN, SHADOW = "main", "shadow"
"""Variants that no user names: the pipeline's own chain, and the one that gets copies."""

MAX_STREAMS = 100_000
"""For all limits whose default of 1,024 would hang or refuse long streams."""

MAX_MESSAGE_BYTES = 32 << 20
"""The default limit of a message or a body."""

STREAM_WINDOW_BYTES = 64 * 1024
CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024
"""The connection's must be far above the stream's, or stalled streams block the others."""

NUM_RETRIES = 22
"""Rides over a part that restarts in about 1.5 s; one that stays dead fails in about 2.5 s."""

LbPolicy: TypeAlias = Literal["least_request", "random", "round_robin"]


@dataclass(frozen=True, slots=True, order=True)
class StagePolicy:
    """How Envoy deals with the processes of a stage; the names are those of Envoy's Cluster."""

    lb_policy: LbPolicy = "least_request"
    max_requests: int = MAX_STREAMS
    """Requests and streams under way at a time."""
    consecutive_gateway_failure: int = 3
    interval_s: float = 1.0
    base_ejection_time_s: float = 1.0
    max_ejection_percent: int = 50
    breaker: str = ""
    """Stages for which it differs do not count each other's requests."""

    @property
    def is_limited(self) -> bool:
        """It has a circuit breaker."""
        return self.max_requests != MAX_STREAMS

    @property
    def without_breaker(self) -> StagePolicy:
        """The policy without its circuit breaker: it is the same for many stages."""
        return replace(self, max_requests=MAX_STREAMS, breaker="")


class Upstream(NamedTuple):
    """Clusters by which a stage is reached."""

    cluster: str
    behind: str = ""
    """Where `cluster` only counts what is under way, the one that has the processes."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket of `requests`, that fills evenly in `per_s`."""

    requests: int
    per_s: float = 1.0

    @property
    def wait_s(self) -> float:
        """Until an empty bucket has a token again."""
        return self.per_s / self.requests


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a chain that failed before its first answer is run again."""

    num_retries: int = NUM_RETRIES
    per_try_timeout_s: float | None = None
    """Of `Predict` and `Serve`."""


@dataclass(frozen=True, slots=True, order=True)
class ApiKey:
    """A key that a caller has; known by its hash alone."""

    sha256: str
    """Of the key, hexadecimal."""
    caller: str
    """Who has it: a name of letters, digits and `-_.`; may have more than one."""
    pipelines: tuple[str, ...] = ()
    """The only ones it is for, sorted; (): for all that take API keys."""
    expires_s: int = 0
    """Since 1970; 0: never."""


@dataclass(frozen=True, slots=True)
class Jwt:
    """Tokens that are taken; verified by Envoy."""

    issuer: str
    audiences: tuple[str, ...]
    """One of these has to be among the token's; (): any."""
    jwks: str
    """The issuer's keys, as JSON."""
    claims: tuple[tuple[str, str], ...] = ()
    """What each has to be, or to have among others; sorted."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call: any of these."""

    callers: tuple[str, ...] | None = None
    """Those with API keys; (): all of them, None: none."""
    jwt: Jwt | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What is enforced before any chain of a pipeline runs."""

    rate_limit: RateLimit | None = None
    rate_limit_per_api_key: RateLimit | None = None
    timeout_s: float | None = None
    """Of `Predict` and `Serve`, with all tries."""
    retry: Retry = Retry()
    max_message_bytes: int | None = None
    """Of a `Predict`'s message and a `Serve`'s body; None: the gateway's."""
    access: Access | None = None
    """None: anyone may call."""


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
    policy: StagePolicy = StagePolicy()


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
    policy: Policy = Policy()
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
