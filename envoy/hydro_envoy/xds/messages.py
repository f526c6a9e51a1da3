"""Requests and responses of discovery, of either variant. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hydro_envoy.snapshot import Resource, ResourceType


@dataclass(frozen=True, slots=True)
class Request:
    """A discovery request of either variant."""

    type: ResourceType
    nonce: str = ""
    """Of the response it answers; empty in the first request for the type."""
    error: str | None = None
    """The client's words when it refuses."""
    names: tuple[str, ...] = ()
    """State of the world: all that is wanted."""
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = field(default_factory=dict)
    """Incremental, first request for the type: what the client has from an earlier stream."""


@dataclass(frozen=True, slots=True)
class Response:
    """A discovery response of either variant."""

    type: ResourceType
    nonce: str
    version: str
    """State of the world: of the whole type."""
    resources: tuple[Resource, ...]
    removed: tuple[str, ...] = ()
    """Incremental: what the client is to drop, or asked for and does not exist."""


@dataclass(frozen=True, slots=True)
class RefusedVersion:
    """A version that the client refused, and its words."""

    version: str
    message: str
