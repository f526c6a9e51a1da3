"""What the policies of a pipeline and of its stages say, as values.

`hydro_envoy.mesh` has the pipelines and stages that they belong to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

MAX_STREAMS = 100_000
"""For all limits whose default of 1,024 would hang or refuse long streams."""
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
