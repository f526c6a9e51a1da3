"""Names of resources and filters that are made in one place and looked for in others. Pure."""

from __future__ import annotations

_LAST = "@last"
"""No backend's name has an @."""


def cluster_roles(backend: str) -> tuple[str, str]:
    """One cluster for the backend in the middle of chains, and one at their end.

    They must not share a connection: when a stage's stream drains, Envoy opens the window of the
    last one's within the same write, and an HTTP/2 connection that writes within its own write
    ends in a segmentation fault (Envoy 1.40 with nghttp2).
    """
    return backend, f"{backend}{_LAST}"


def backend_of(role: str) -> str:
    """The backend whose cluster plays a role of `cluster_roles`."""
    return role.removesuffix(_LAST)


def routes_name(scope_name: str) -> str:
    """The name of a scope's routes."""
    return f"pipeline/{scope_name}"


def stage_filter_name(index: int) -> str:
    """Of the filter of a stage; its filter state has the same."""
    return f"stage{index}"
