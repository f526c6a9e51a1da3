"""The leases of endpoints: how long one holds, and what its end means. Pure."""

from __future__ import annotations

from hydro_services.manager.domain.endpoint_transitions import remove_endpoint
from hydro_services.manager.domain.state import State

LEASE_S = 3.0
"""How long an endpoint is known after it has registered, if it does not register again. Registering
answers with it, and processes do so again after a third of it."""


def end_of_restored_lease(now: float, lease_s: float) -> float:
    """When the lease of an endpoint ends that was known before the manager restarted.

    It has twice the time: once for the process to notice the restart, once to register again.
    """
    return now + 2 * lease_s


def expire_leases(state: State, now: float) -> State:
    """Without the endpoints whose lease has ended."""
    for id in [id for id, end in state.leases.items() if end <= now]:
        state = remove_endpoint(state, id)
    return state
