"""What the answer of a runtime to a load or unload does to the state. Pure."""

from __future__ import annotations

from hydro_services import errors
from hydro_services.manager.domain import endpoint_transitions
from hydro_services.manager.domain.call_plan import RuntimeCommand, Unload
from hydro_services.manager.domain.state import LoadFailure, State

FIRST_RETRY_S = 0.2
MAX_RETRY_S = 3.0
"""So that what has been mended is noticed within 5 s."""
FINAL = (errors.NotFound, errors.InvalidArgument, errors.FailedPrecondition)
"""What a runtime answers to when trying again will hardly help."""


def apply_outcome(
    state: State, call: RuntimeCommand, error: errors.HydroError | None, now: float
) -> State:
    """The state after a call that was answered, with an error or without.

    Args:
        state: the present one.
        call: what was asked for; nothing changes if the process is another incarnation by now.
        error: what the runtime said against it.
        now: seconds of the manager's clock, from which a retry is counted.
    """
    placement, incarnation = call.placement, call.endpoint.incarnation
    if isinstance(call, Unload):
        return endpoint_transitions.finish_unload(state, placement, incarnation)
    if error is None:
        return endpoint_transitions.finish_load(state, placement, incarnation)
    failure = _next_failure(state.failures.get(placement), error, now)
    return endpoint_transitions.fail_load(state, placement, incarnation, failure)


def _next_failure(last: LoadFailure | None, error: errors.HydroError, now: float) -> LoadFailure:
    times = last.times + 1 if last else 1
    # The exponent is bounded for itself: 2**1000 would overflow a float long before `min` helps.
    delay = min(MAX_RETRY_S, FIRST_RETRY_S * 2 ** min(times - 1, 10))
    return LoadFailure(error, isinstance(error, FINAL), times, now + delay)
