"""What control plane, Envoy's scripts and filters, and runtimes tell each other: the names. Pure.

No other module spells one of them. Scripts in Lua and filters in WebAssembly cannot import this
module: tests/unit/envoy/test_headers.py holds them to it.

Clients have no say: the gateway removes `SCOPE` and every header that begins with `PREFIX`.
"""

from __future__ import annotations

import enum

PREFIX = "x-hydro-"

MODEL = f"{PREFIX}model"
"""To a stage: the key of its model, as `model_key` makes it."""
STAGE = f"{PREFIX}stage"
"""To a stage: its name, as the user wrote it."""
POSITION = f"{PREFIX}position"
"""To a stage: where it stands in its chain, a `Position`."""
PIPELINE = f"{PREFIX}pipeline"
"""To a stage: the name of its pipeline. On an answer: which pipeline gave it.

It does not choose the chain: `SCOPE` does. On a request within Envoy it shows that a policy route
has let the request pass, without which no route of a variant takes it."""
VARIANT = f"{PREFIX}variant"
"""On an answer: which of the pipeline's chains gave it, where traffic is split."""
ANSWER = f"{PREFIX}answer"
"""To `pipes` and the last stage: `whole` where the answer is to leave as a whole, or not at all."""
CLUSTER_BEHIND = f"{PREFIX}behind"
"""Within Envoy: the cluster behind that of a circuit breaker."""
CALLER = f"{PREFIX}caller"
"""Within Envoy: `key/<name>` or `jwt/<sub>`, as callers.lua found out; `admin` by admin.lua."""
BEARER = f"{PREFIX}bearer"
"""Within Envoy: the token that token.lua found in `authorization`, for jwt_authn."""
MESH_TOKEN = f"{PREFIX}token"
"""Between parts on one machine: the mesh's token."""
SERVICE = f"{PREFIX}service"
"""From the manager to its sidecar: the service of the process that a call is for."""
ADDRESS = f"{PREFIX}address"
"""From the manager to its sidecar: ip:port of that process's sidecar."""

ERROR_FACT = f"{PREFIX}error-"
"""Begins the name of a header with a fact about an error, on Envoy's own answers.

errors.lua removes these headers. A fact of a name that is not in `Fact` becomes metadata of the
ErrorInfo under its own name, such as `pipeline`."""


class Fact(enum.StrEnum):
    """Facts about an error that errors.lua does more with than pass them on."""

    REASON = "reason"
    """Of the ErrorInfo."""
    TEXT = "text"
    """What a filter says of its refusal, for Envoy's mapping of replies to take as the message."""
    WAIT_S = "wait_s"
    """Seconds after which to try again: a RetryInfo."""
    STAGE = "stage"
    """The stage that failed: `{stage}` in the message."""
    LIMIT = "limit"
    """What was exceeded: `{limit}` in the message."""
    STAGES = "stages"
    """All stages of the chain, as a JSON list of texts; `CALLS` tells which one failed."""
    LIMITS = "limits"
    """The limit of each of `STAGES`, as a JSON list of texts."""
    CALLS = "calls"
    """The filter state of each stage's call, each followed by a semicolon."""

    @property
    def header(self) -> str:
        """The name of the header with it."""
        return f"{ERROR_FACT}{self}"


FAILED_IN = "failed_in"
"""Begins Envoy's details of an answer by which a stage refused a request; its name follows."""


class CallersContext(enum.StrEnum):
    """What callers.lua finds in the filter context of a policy route."""

    PIPELINE = "pipeline"
    WANTS = "wants"
    """What the pipeline wants to see, for people."""
    CALLERS = "callers"
    """Who may call with an API key; absent where keys do not count."""
    CLAIMS = "claims"
    """The claims that a token has to have; absent where tokens do not count."""


class TokenMetadata(enum.StrEnum):
    """What Envoy's jwt_authn notes about a token, for callers.lua."""

    PAYLOAD = "payload"
    HEADER = "header"
    FAILED = "failed"


SCOPE = "x-pipeline"
"""Within Envoy: the scope that a request goes to, as `scope_name` makes it: `p`, or `p@variant`.

It chooses the chain. The name for stages and clients to read is in `PIPELINE`."""
API_KEY = "x-api-key"
"""From clients: their API key."""
REQUEST_ID = "x-request-id"
"""The id of a request: from clients, within the mesh, and on every answer."""
REQUEST_ID_CHARACTERS, MAX_REQUEST_ID = "[A-Za-z0-9._-]", 128
"""A regular expression of one of them, and how many there may be at most, one at least."""

METADATA = "hydro"
"""The namespace of our metadata, of routes and of requests."""
ROUTE_PIPELINE, ROUTE_STAGES, ROUTE_LIMITS = "pipeline", "stages", "limits"
"""Metadata of a route: its pipeline, its stages' names and their circuit breakers' limits."""
BODY, WHOLE = "body", "whole"
"""Metadata of a request: `BODY` is `WHOLE` when its body has come as a whole; see body.lua."""


class Position(enum.Enum):
    """Where a stage stands in its chain."""

    FIRST = "first"
    MIDDLE = "middle"
    LAST = "last"
    ONLY = "only"

    @classmethod
    def at(cls, index: int, stages: int) -> Position:
        """Of the stage with that index in a chain of so many."""
        if stages == 1:
            return cls.ONLY
        return {0: cls.FIRST, stages - 1: cls.LAST}.get(index, cls.MIDDLE)

    @property
    def begins(self) -> bool:
        """The stage reads what the client sent."""
        return self in (Position.FIRST, Position.ONLY)

    @property
    def ends(self) -> bool:
        """The stage writes what the client gets."""
        return self in (Position.LAST, Position.ONLY)


def scope_name(pipeline: str, variant: str = "") -> str:
    """The scope of a pipeline, or of one of its chains. No user's name has an @."""
    return f"{pipeline}@{variant}" if variant else pipeline


KEY_DIGITS = 12
"""Of a digest, in a key."""


def model_key(name: str, version: str, digest: str) -> str:
    """Under which runtimes hold a version of a model, and stages ask for it."""
    return f"{name}:{version}@{digest[:KEY_DIGITS]}"


def name_and_version(key: str) -> tuple[str, str]:
    """What a key is made of, but for the digest; empty texts where it is none."""
    name, _, version = key.partition("@")[0].rpartition(":")
    return name, version
