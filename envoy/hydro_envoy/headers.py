"""The headers by which control plane, Envoy's scripts and stages tell each other things. Pure.

Clients have no say in them: the gateway removes whatever begins with `PREFIX`.
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
"""To a stage: the name of its pipeline. On an answer: which pipeline gave it."""
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
ERROR_FACT = f"{PREFIX}error-"
"""On Envoy's own answers: begins the name of a header with a fact. errors.lua removes them."""
MESH_TOKEN = f"{PREFIX}token"
"""Between parts on one machine: the mesh's token."""
SERVICE = f"{PREFIX}service"
"""From the manager to its sidecar: the service of the process that a call is for."""
ADDRESS = f"{PREFIX}address"
"""From the manager to its sidecar: ip:port of that process's sidecar."""


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


KEY_DIGITS = 12
"""Of a digest, in a key."""


def model_key(name: str, version: str, digest: str) -> str:
    """Under which runtimes hold a version of a model, and stages ask for it."""
    return f"{name}:{version}@{digest[:KEY_DIGITS]}"


def name_and_version(key: str) -> tuple[str, str]:
    """What a key is made of, but for the digest; empty texts where it is none."""
    name, _, version = key.partition("@")[0].rpartition(":")
    return name, version
