from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import pytest

from hydro.runtime.v1.signature_pb2 import Signature
from hydro_envoy import mesh
from hydro_envoy.address import Address
from hydro_envoy.mesh import MAIN
from hydro_services import errors
from hydro_services.manager.domain import (
    call_plan,
    endpoint_transitions,
    leases,
    mesh_plan,
    readiness,
    resolution,
    transitions,
)
from hydro_services.manager.domain.references import parse_chain
from hydro_services.manager.domain.state import (
    Endpoint,
    EndpointId,
    LoadFailure,
    Model,
    ModelPlacement,
    PendingPipeline,
    ResolvedStage,
    Spec,
    State,
    StoredPipeline,
    Transition,
)

BASE = mesh.Mesh(mesh.Gateway("127.0.0.1", 8083, b"", 1))
A, B, C = (Model(name, "1", "skops", name * 64, Signature()) for name in "abc")
A_2 = Model("a", "1", "skops", "d" * 64, Signature())
SOURCE = Address("127.0.0.1", 9000)
REPOSITORY = Endpoint("repository", "r", SOURCE, SOURCE, (), "1")


def endpoint(instance: str, port: int = 1, incarnation: str = "1") -> Endpoint:
    control, traffic = Address("127.0.0.1", 5000), Address("127.0.0.1", port)
    return Endpoint("s", instance, control, traffic, ("skops",), incarnation)


ONE, TWO = endpoint("one", 1), endpoint("two", 2)


def happen(*happened: Transition, state: State | None = None) -> State:
    return reduce(lambda before, event: event(before), happened, state or State())


def registers(endpoint: Endpoint, expires: float = 100.0) -> Transition:
    return lambda state: endpoint_transitions.register_endpoint(state, endpoint, expires)


def loads(endpoint: Endpoint, *models: Model) -> Transition:
    def event(state: State) -> State:
        for model in models:
            placement = ModelPlacement(endpoint.id, model.key)
            state = endpoint_transitions.finish_load(state, placement, endpoint.incarnation)
        return state

    return event


def fails(endpoint: Endpoint, model: Model, *, final: bool, retry_at: float = 0.0) -> Transition:
    failure = LoadFailure(errors.ModelRefused("it is corrupt"), final, 1, retry_at)
    placement = ModelPlacement(endpoint.id, model.key)
    return lambda state: endpoint_transitions.fail_load(
        state, placement, endpoint.incarnation, failure
    )


def stages(*models: Model) -> tuple[ResolvedStage, ...]:
    return tuple(ResolvedStage(f"s/{model.name}", "s", model) for model in models)


def keeps(name: str, *models: Model) -> Transition:
    spec = Spec(name, "http", {MAIN: parse_chain([stage.name for stage in stages(*models)])})
    pipeline = StoredPipeline(spec, stages(*models))
    return lambda state: replace(state, pipelines={**state.pipelines, name: pipeline})


def tries(name: str, *models: Model) -> Transition:
    spec = Spec(name, "http", {MAIN: parse_chain([stage.name for stage in stages(*models)])})
    return lambda state: transitions.start_pending(state, PendingPipeline(spec, stages(*models)))


def ports(state: State) -> list[int]:
    (backend,) = [b for b in mesh_plan.build_mesh(state, BASE).backends if b.name == "s"]
    return [endpoint.port for endpoint in backend.endpoints]


def asked(state: State, now: float = 0.0) -> list[tuple[str, str]]:
    return [
        (call.placement.endpoint.instance, call.placement.key)
        for call in call_plan.due_calls(state, now)
    ]


# ---- who takes traffic


def test_service_without_pipelines_takes_traffic_at_once_and_is_a_backend() -> None:
    assert ports(happen(registers(ONE))) == [1]


def test_backend_stays_when_its_last_endpoint_goes() -> None:
    state = happen(
        registers(ONE), lambda s: endpoint_transitions.deregister_endpoint(s, ONE.id, "1")
    )
    assert ports(state) == []


def test_repository_is_a_backend_before_it_registers() -> None:
    assert mesh_plan.build_mesh(State(), BASE).backends == (mesh.Backend("repository", ()),)


def test_endpoint_without_a_model_that_serves_takes_no_traffic() -> None:
    state = happen(registers(ONE), registers(TWO), loads(ONE, A), keeps("p", A))
    assert ports(state) == [1]


def test_model_that_is_only_asked_for_keeps_no_endpoint_out() -> None:
    state = happen(registers(ONE), loads(ONE, A), keeps("p", A), tries("q", B))
    assert ports(state) == [1]


def test_model_that_no_endpoint_can_load_keeps_none_out() -> None:
    before = happen(registers(ONE), registers(TWO), loads(ONE, A), keeps("p", A), keeps("q", B))
    assert ports(before) == []
    assert ports(happen(fails(ONE, B, final=False), state=before)) == []
    hopeless = happen(fails(ONE, B, final=True), state=before)
    assert ports(hopeless) == [1]
    assert ports(happen(loads(TWO, A, B), state=hopeless)) == [2]


# ---- what runtimes are told


def test_every_endpoint_is_told_to_load_every_model_of_its_service() -> None:
    state = happen(registers(REPOSITORY), registers(ONE), registers(TWO), keeps("p", A, B))
    assert asked(state) == [("one", A.key), ("one", B.key), ("two", A.key), ("two", B.key)]
    (call, *_) = call_plan.due_calls(state, 0.0)
    assert isinstance(call, call_plan.Load)
    assert str(call.repository) == "127.0.0.1:9000"


def test_nothing_is_loaded_without_a_repository() -> None:
    assert asked(happen(registers(ONE), keeps("p", A))) == []


def test_what_is_under_way_or_loaded_is_not_asked_again() -> None:
    state = happen(registers(REPOSITORY), registers(ONE), loads(ONE, A), keeps("p", A, B))
    assert asked(state) == [("one", B.key)]
    assert (
        asked(endpoint_transitions.start_call(state, ModelPlacement(ONE.id, B.key), unload=False))
        == []
    )


def test_only_so_many_models_are_loaded_at_a_time() -> None:
    many = [Model(f"m{i}", "1", "skops", "0" * 64, Signature()) for i in range(9)]
    state = happen(registers(REPOSITORY), registers(ONE), keeps("p", *many))
    assert len(asked(state)) == call_plan.CALLS_PER_ENDPOINT
    state = endpoint_transitions.start_call(
        state, ModelPlacement(ONE.id, many[0].key), unload=False
    )
    assert len(asked(state)) == call_plan.CALLS_PER_ENDPOINT - 1


def test_failed_load_is_tried_again_when_it_is_time() -> None:
    state = happen(
        registers(REPOSITORY), registers(ONE), keeps("p", A), fails(ONE, A, final=True, retry_at=5)
    )
    assert asked(state, 4.0) == []
    assert call_plan.next_deadline(state) == 5.0
    assert asked(state, 5.0) == [("one", A.key)]


def test_asking_for_a_pipeline_again_tries_its_models_at_once() -> None:
    state = happen(registers(REPOSITORY), registers(ONE), fails(ONE, A, final=True, retry_at=5))
    assert asked(happen(tries("p", A), state=state)) == [("one", A.key)]


def test_unused_model_is_unloaded_late_and_only_after_envoy_has_moved_on() -> None:
    state = happen(registers(ONE), loads(ONE, A, B), keeps("p", A))
    assert call_plan.age_idle_models(state, 1.0).idle == {}
    state = call_plan.age_idle_models(transitions.confirm_publication(state), 2.0)
    assert asked(state, 2.0 + call_plan.LINGER_S - 0.1) == []
    assert call_plan.next_deadline(state) == 2.0 + call_plan.LINGER_S
    assert asked(state, 2.0 + call_plan.LINGER_S) == [("one", B.key)]
    state = endpoint_transitions.start_call(state, ModelPlacement(ONE.id, B.key), unload=True)
    assert state.loaded[ONE.id] == {A.key}


def test_model_that_is_wanted_again_is_not_unloaded() -> None:
    state = happen(registers(ONE), loads(ONE, A), transitions.confirm_publication)
    state = call_plan.age_idle_models(state, 0.0)
    state = call_plan.age_idle_models(happen(keeps("p", A), state=state), 1.0)
    assert asked(state, 99.0) == []


def test_model_being_unloaded_is_loaded_again_only_afterwards() -> None:
    placement = ModelPlacement(ONE.id, A.key)
    state = happen(registers(REPOSITORY), registers(ONE), loads(ONE, A))
    state = happen(
        keeps("p", A), state=endpoint_transitions.start_call(state, placement, unload=True)
    )
    assert asked(state) == []
    assert asked(endpoint_transitions.finish_unload(state, placement, "1")) == [("one", A.key)]


# ---- switching


def test_pipeline_is_published_once_every_endpoint_with_traffic_has_its_models() -> None:
    state = happen(
        registers(ONE), registers(TWO), tries("p", A), loads(ONE, A), resolution.promote_loaded
    )
    assert mesh_plan.build_mesh(state, BASE).pipelines == ()
    state = happen(loads(TWO, A), resolution.promote_loaded, state=state)
    assert mesh_plan.build_mesh(state, BASE).pipelines == (
        mesh.Pipeline("p", (mesh.Stage("s", A.key, "s/a"),)),
    )


def test_endpoint_that_is_still_loading_does_not_hold_up_a_new_pipeline() -> None:
    state = happen(registers(ONE), loads(ONE, A, B), keeps("p", A), registers(TWO), tries("q", B))
    assert readiness.published_stages(resolution.promote_loaded(state)).keys() == {"p", "q"}


def test_pipeline_of_a_service_without_endpoints_waits() -> None:
    state = happen(tries("p", A), resolution.promote_loaded)
    assert readiness.published_stages(state) == {}
    assert readiness.missing_loads(stages(A), state, readiness.ready_endpoints(state)) == (
        "service 's' has no endpoint that is ready",
    )


def test_newer_content_becomes_the_target_and_serves_once_loaded() -> None:
    state = happen(registers(ONE), loads(ONE, A), keeps("p", A))
    state = resolution.retarget_pipelines(transitions.replace_catalogue(state, (A_2,)), ["p"])
    assert readiness.published_stages(resolution.promote_loaded(state))["p"] == stages(A)
    assert resolution.demanded_models(state)["s"].keys() == {A.key, A_2.key}
    state = happen(loads(ONE, A_2), resolution.promote_loaded, state=state)
    assert readiness.published_stages(state)["p"] == stages(A_2)
    assert resolution.demanded_models(state)["s"].keys() == {A_2.key}


def test_model_that_vanished_leaves_what_serves_and_says_why() -> None:
    state = happen(registers(ONE), keeps("p", A), lambda s: transitions.replace_catalogue(s, (B,)))
    pipeline = resolution.retarget_pipelines(state, ["p"]).pipelines["p"]
    assert pipeline.stages == stages(A)
    assert "no model 'a'" in str(pipeline.error)
    state = transitions.replace_catalogue(resolution.retarget_pipelines(state, ["p"]), (A,))
    assert resolution.retarget_pipelines(state, ["p"]).pipelines["p"].error is None


def test_only_pipelines_of_changed_models_are_looked_at_again() -> None:
    before = happen(
        keeps("p", A), keeps("q", B), lambda s: transitions.replace_catalogue(s, (A, B))
    )
    assert resolution.stale_pipelines(before, before) == []
    assert resolution.stale_pipelines(before, transitions.replace_catalogue(before, (A_2, B))) == [
        "p"
    ]
    assert resolution.stale_pipelines(before, transitions.replace_catalogue(before, (A,))) == ["q"]
    assert resolution.stale_pipelines(before, happen(keeps("q", C), state=before)) == ["q"]
    assert resolution.stale_pipelines(before, happen(registers(ONE), state=before)) == ["p", "q"]
    assert resolution.stale_pipelines(State(), before) == ["p", "q"]


def test_pipeline_of_a_service_not_seen_since_the_start_is_left_alone() -> None:
    state = happen(keeps("p", A), lambda s: transitions.replace_catalogue(s, (A_2,)))
    assert resolution.retarget_pipelines(state, ["p"]).pipelines == state.pipelines


def test_replacement_that_is_withdrawn_leaves_what_served() -> None:
    state = happen(
        registers(ONE), loads(ONE, A, B), keeps("p", A), tries("p", B), resolution.promote_loaded
    )
    assert readiness.published_stages(state)["p"] == stages(B)
    assert resolution.demanded_models(state)["s"].keys() == {A.key, B.key}
    assert readiness.published_stages(transitions.withdraw_pending(state, "p"))["p"] == stages(A)
    assert readiness.published_stages(transitions.keep_pending(state, "p"))["p"] == stages(B)


def test_obstacle_names_the_model_and_the_endpoint() -> None:
    state = happen(registers(ONE), tries("p", A), fails(ONE, A, final=True))
    obstacle = readiness.find_permanent_load_failure(
        stages(A), state, readiness.ready_endpoints(state)
    )
    assert str(obstacle) == f"model {A.key} cannot be loaded on s/one: it is corrupt"


def test_failure_that_may_pass_is_no_obstacle() -> None:
    state = happen(registers(ONE), tries("p", A), fails(ONE, A, final=False))
    ready = readiness.ready_endpoints(state)
    assert readiness.find_permanent_load_failure(stages(A), state, ready) is None
    assert "(it is corrupt)" in readiness.missing_loads(stages(A), state, ready)[0]


# ---- leases and incarnations


def test_endpoint_goes_when_its_lease_ends() -> None:
    state = happen(registers(ONE, 3.0), registers(TWO, 5.0))
    assert call_plan.next_deadline(state) == 3.0
    assert leases.expire_leases(state, 3.0).endpoints == {TWO.id: TWO}


def test_renewal_changes_nothing_but_the_lease() -> None:
    before = happen(registers(ONE, 3.0), loads(ONE, A))
    after = happen(registers(ONE, 6.0), state=before)
    assert after.leases == {ONE.id: 6.0}
    assert replace(after, leases=before.leases) == before


def test_new_incarnation_has_no_models_and_outcomes_for_the_old_one_are_ignored() -> None:
    again = endpoint("one", 3, "2")
    state = happen(registers(ONE), loads(ONE, A), registers(again), loads(ONE, B))
    state = happen(fails(ONE, A, final=True), state=state)
    assert state.loaded == {EndpointId("s", "one"): frozenset()}
    assert not state.failures
    assert ports(state) == [3]


def test_new_address_of_the_same_incarnation_keeps_its_models() -> None:
    state = happen(registers(ONE), loads(ONE, A), registers(endpoint("one", 3)))
    assert state.loaded[ONE.id] == {A.key}
    assert ports(state) == [3]


def test_restart_brings_back_endpoints_with_their_models_and_a_last_lease() -> None:
    pipeline = happen(keeps("p", A)).pipelines["p"]
    state = transitions.restore_state([pipeline], [(ONE, frozenset([A.key]))], 6.0)
    assert ports(state) == [1]
    assert state.leases == {ONE.id: 6.0}
    assert asked(happen(registers(REPOSITORY), state=state)) == []


@pytest.mark.parametrize(
    "other",
    [{"transport_type": "grpc"}, {"chains": {MAIN: parse_chain(["s/b"])}}, {"name": "grpc"}],
    ids=["transport_type", "chain", "name"],
)
def test_etag_changes_with_every_field(other: dict[str, Any]) -> None:
    spec = Spec("p", "http", {MAIN: parse_chain(["s/a"])})
    changed = replace(spec, **other)
    assert spec.etag != changed.etag
    assert spec.etag == replace(spec).etag


def test_imagined_state_has_loaded_and_published_what_is_asked_for() -> None:
    state = happen(
        registers(ONE), loads(ONE, A), keeps("p", A), tries("q", B), resolution.assume_loaded
    )
    assert readiness.published_stages(state).keys() == {"p", "q"}
    assert ports(state) == [1]
