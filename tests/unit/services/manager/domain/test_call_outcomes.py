"""What answers of runtimes do to the state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hydro.runtime.v1.signature_pb2 import Signature
from hydro_envoy.address import Address
from hydro_services import errors
from hydro_services.manager.domain import endpoint_transitions
from hydro_services.manager.domain.call_outcomes import MAX_RETRY_S, apply_outcome
from hydro_services.manager.domain.call_plan import Load, Unload
from hydro_services.manager.domain.state import Endpoint, Model, State

HERE = Address("127.0.0.1", 9000)
ENDPOINT = Endpoint("s", "one", HERE, HERE, ("skops",), "first")
CALL = Load(ENDPOINT, Model("m", "1", "skops", "d" * 64, Signature()), HERE)
AWAY = errors.Unavailable("away")


def begun(unload: bool = False) -> State:
    state = endpoint_transitions.register_endpoint(State(), ENDPOINT, None)
    return endpoint_transitions.start_call(state, CALL.placement, unload=unload)


def test_a_load_that_succeeds_is_known_and_its_failures_are_forgotten() -> None:
    failed = apply_outcome(begun(), CALL, AWAY, now=0.0)
    loaded = apply_outcome(failed, CALL, None, now=1.0)
    assert loaded.loaded[ENDPOINT.id] == {CALL.placement.key}
    assert not loaded.failures
    assert not loaded.calls


def test_retries_come_later_each_time_up_to_a_limit() -> None:
    state, delays = begun(), []
    for _ in range(2000):
        state = apply_outcome(state, CALL, AWAY, now=100.0)
        delays.append(state.failures[CALL.placement].retry_at - 100.0)
    assert delays == sorted(delays)
    assert delays[:3] == pytest.approx([0.2, 0.4, 0.8])
    assert delays[-1] == MAX_RETRY_S


@pytest.mark.parametrize(
    ("error", "is_final"),
    [(AWAY, False), (errors.NotFound("no"), True), (errors.FailedPrecondition("no"), True)],
)
def test_what_is_refused_for_good_is_marked(error: errors.HydroError, is_final: bool) -> None:
    state = apply_outcome(begun(), CALL, error, now=0.0)
    assert state.failures[CALL.placement].final == is_final


@pytest.mark.parametrize("error", [None, AWAY])
def test_an_unload_ends_its_call_whatever_the_answer(error: errors.HydroError | None) -> None:
    call = Unload(ENDPOINT, CALL.placement.key)
    state = apply_outcome(begun(unload=True), call, error, now=0.0)
    assert not state.calls
    assert not state.failures


@pytest.mark.parametrize("error", [None, AWAY])
def test_an_answer_of_an_earlier_process_changes_nothing(error: errors.HydroError | None) -> None:
    state = begun()
    earlier = replace(CALL, endpoint=replace(ENDPOINT, incarnation="before"))
    assert apply_outcome(state, earlier, error, now=0.0) is state
