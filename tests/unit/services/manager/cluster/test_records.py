"""What managers that share a mesh write, and what they take from it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro.runtime.v1.signature_pb2 import Signature
from hydro_envoy.address import Address
from hydro_envoy.mesh import MAIN
from hydro_services import errors
from hydro_services.manager.cluster import records
from hydro_services.manager.cluster.records import Record, Report
from hydro_services.manager.domain import call_plan, endpoint_transitions, leases, transitions
from hydro_services.manager.domain.references import parse_chain
from hydro_services.manager.domain.state import (
    Endpoint,
    Model,
    ModelPlacement,
    PendingPipeline,
    ResolvedStage,
    Spec,
    State,
    StoredPipeline,
)

A, B = (Model(name, "1", "", name * 64, Signature()) for name in "ab")
HERE = Address("127.0.0.1", 1)
ONE, TWO = (Endpoint("s", name, HERE, HERE, ("skops",), "1") for name in ("one", "two"))


def pipeline(*models: Model) -> StoredPipeline:
    stages = tuple(ResolvedStage(f"s/{model.name}", "s", model) for model in models)
    return StoredPipeline(
        Spec("p", "http", {MAIN: parse_chain([stage.name for stage in stages])}), stages
    )


def pending(*models: Model, published: bool = False) -> PendingPipeline:
    wanted = pipeline(*models)
    return PendingPipeline(wanted.spec, wanted.stages, published)


RECORDS = [
    pytest.param(Record(pipeline(A)), id="kept"),
    pytest.param(Record(None, pending(A), owner="a 1"), id="tried"),
    pytest.param(Record(pipeline(A), pending(A, B, published=True), owner="a 1"), id="replaced"),
    pytest.param(Record(deleting=True, owner="a 1"), id="deleted"),
]


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert records.from_json(records.to_json(record)) == record
    assert record.is_changing == bool(record.owner)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"pipeline": 1}', b'{"trial": {"chain": [""]}}']
)
def test_what_is_no_record_is_refused(body: bytes) -> None:
    with pytest.raises(errors.FailedPrecondition, match="not a pipeline's record"):
        records.from_json(body)


def test_a_change_goes_from_tried_to_shown_to_kept() -> None:
    tried = Record(pipeline(A), pending(B), owner="a 1")
    shown = records.publish_pending(tried)
    assert shown.pending == pending(B, published=True)
    assert records.promote_pending(shown) == Record(pipeline(B))


def test_a_change_that_ends_leaves_what_was_there() -> None:
    assert records.end_change(Record(pipeline(A), pending(B), owner="a 1")) == Record(pipeline(A))
    assert records.end_change(Record(None, pending(B), owner="a 1")) is None
    assert records.end_change(Record(deleting=True, owner="a 1")) is None


REFUSED = errors.ModelRefused("it is corrupt", model="a")
REPORT = Report("1", {"p": 3}, {"q": 4}, {"r": (5, REFUSED)}, ["g"], True, 9, "abc")


def test_a_report_is_read_as_it_was_written() -> None:
    read = Report.from_json(REPORT.to_json())
    assert read.to_json() == REPORT.to_json()
    (index, error) = read.failed["r"]
    assert (index, type(error), error.message) == (5, errors.ModelRefused, "it is corrupt")


def test_who_has_not_come_along_is_named_and_what_failed_is_told() -> None:
    reached = {"a": {"p": 3}, "b": {"p": 2}, "c": {}}
    assert records.managers_behind(reached, "p", 3) == ["b", "c"]
    error = errors.ModelRefused("it is corrupt")
    reports = {"a": Report("1"), "b": Report("1", failed={"p": (3, error)})}
    assert records.find_failure(reports, "p", 3) is error
    assert records.find_failure(reports, "p", 4) is None, "it was another change"


@pytest.mark.parametrize(
    ("demands", "agreed"), [("x", True), ("xx", True), ("xy", False), (["x", ""], False)]
)
def test_managers_agree_when_all_demand_the_same_and_all_envoys_know(
    demands: list[str], agreed: bool
) -> None:
    assert records.is_agreed(Report("1", demand=demand) for demand in demands) == agreed


# ---- what becomes of the state


def loaded(*models: Model, pipelines: dict[str, StoredPipeline] | None = None) -> State:
    state = endpoint_transitions.register_endpoint(State(pipelines=pipelines or {}), ONE, None)
    for model in models:
        state = endpoint_transitions.finish_load(state, ModelPlacement(ONE.id, model.key), "1")
    return state


def test_what_only_a_pending_pipeline_demands_is_asked_for_again() -> None:
    kept = {"p": pipeline(A)}
    state = loaded(A, B, pipelines=kept)
    state = transitions.apply_records(state, kept, {"p": pending(A, B)})
    assert state.loaded[ONE.id] == {A.key}
    again = endpoint_transitions.finish_load(state, ModelPlacement(ONE.id, B.key), "1")
    shown = transitions.apply_records(again, kept, {"p": pending(A, B, published=True)})
    assert shown.loaded[ONE.id] == {A.key, B.key}, "the pending pipeline is the same"


def test_a_pipeline_that_stays_keeps_what_is_known_of_it() -> None:
    known = StoredPipeline(pipeline(A).spec, pipeline(A).stages, target=pipeline(B).stages)
    state = transitions.apply_records(State(pipelines={"p": known}), {"p": pipeline(A)}, {})
    assert state.pipelines["p"] is known
    assert transitions.apply_records(state, {"p": pipeline(B)}, {}).pipelines["p"].target is None
    assert transitions.apply_records(state, {}, {}).pipelines == {}


def test_nothing_is_unloaded_while_managers_disagree() -> None:
    idle = State(
        idle={ModelPlacement(ONE.id, A.key): 0.0},
        endpoints={ONE.id: ONE},
        loaded={ONE.id: frozenset([A.key])},
    )
    late = call_plan.LINGER_S + 1
    assert [call.placement.key for call in call_plan.due_calls(idle, late)] == [A.key]
    assert call_plan.due_calls(transitions.set_agreement(idle, False), late) == ()
    assert call_plan.next_deadline(transitions.set_agreement(idle, False)) is None, (
        "or it would look without a pause"
    )


def test_endpoints_that_consul_does_not_name_are_gone_now_or_after_a_while() -> None:
    state = endpoint_transitions.apply_discovery(State(), [ONE, TWO], {}, None)
    assert set(endpoint_transitions.apply_discovery(state, [ONE], {}, None).endpoints) == {ONE.id}
    settling = endpoint_transitions.apply_discovery(state, [ONE], {}, 5.0)
    assert set(settling.endpoints) == {ONE.id, TWO.id}
    assert set(leases.expire_leases(settling, 5.0).endpoints) == {ONE.id}
    back = endpoint_transitions.apply_discovery(settling, [ONE, TWO], {}, 6.0)
    assert set(leases.expire_leases(back, 9.0).endpoints) == {ONE.id, TWO.id}


def test_endpoints_that_consul_thinks_ill_stay_a_while_with_their_models() -> None:
    state = replace(
        endpoint_transitions.apply_discovery(State(), [ONE, TWO], {}, None),
        loaded={ONE.id: frozenset(), TWO.id: frozenset([A.key])},
    )
    doubted = endpoint_transitions.apply_discovery(state, [ONE], {TWO.id: 5.0}, None)
    doubted = endpoint_transitions.apply_discovery(doubted, [ONE], {TWO.id: 8.0}, None)
    well = endpoint_transitions.apply_discovery(doubted, [ONE, TWO], {}, None)
    assert leases.expire_leases(well, 9.0).loaded[TWO.id] == {A.key}
    assert set(leases.expire_leases(doubted, 5.0).endpoints) == {ONE.id}, (
        "counted from the first doubt"
    )
    assert set(endpoint_transitions.apply_discovery(doubted, [ONE], {}, None).endpoints) == {
        ONE.id
    }, "deregistered"
    assert not endpoint_transitions.apply_discovery(State(), [], {TWO.id: 5.0}, None).endpoints, (
        "never was well"
    )


def test_a_manager_is_warm_when_all_that_is_demanded_has_been_asked_for() -> None:
    state = loaded(A, pipelines={"p": pipeline(A, B)})
    assert not call_plan.is_all_asked_for(state)
    assert call_plan.is_all_asked_for(
        endpoint_transitions.finish_load(state, ModelPlacement(ONE.id, B.key), "1")
    )


def texts_like(good: bytes) -> st.SearchStrategy[bytes]:
    """JSON of the same shape, where any piece may be another, and what is no JSON at all."""
    odd = st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(), st.just([]), st.just({}), st.just([1])
    )

    def changed(content: Any, draw: st.DrawFn) -> Any:
        if draw(st.integers(0, 9)) == 0:
            return draw(odd)
        if isinstance(content, dict):
            return {k: changed(v, draw) for k, v in content.items() if draw(st.integers(0, 9))}
        if isinstance(content, list):
            return [changed(each, draw) for each in content]
        return content

    @st.composite
    def body(draw: st.DrawFn) -> bytes:
        return json.dumps(changed(json.loads(good), draw)).encode()

    nested = st.just(b'{"pipeline":' * 100_000)
    return body() | st.binary() | nested


RECORD = records.to_json(Record(pipeline(A), pending(A, B, published=True), owner="a 1"))


@given(texts_like(RECORD))
def test_a_record_of_any_content_is_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(errors.FailedPrecondition):
        found = records.from_json(body)
        assert records.from_json(records.to_json(found)) == found
        assert all(each is None or each.spec.name for each in (found.pipeline, found.pending))


@given(texts_like(REPORT.to_json()))
def test_a_report_of_any_content_is_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(errors.FailedPrecondition):
        found = Report.from_json(body)
        assert records.managers_behind({"a": found.loaded}, "p", 1) in ([], ["a"])
        assert records.find_failure({"a": found}, "p", 1) in (
            None,
            *(e for _, e in found.failed.values()),
        )
        assert Report.from_json(found.to_json()).to_json() == found.to_json()


def test_a_report_of_a_newer_manager_is_read_without_what_is_new() -> None:
    newer = json.dumps(json.loads(REPORT.to_json()) | {"mood": "good"}).encode()
    assert Report.from_json(newer).to_json() == REPORT.to_json()


def test_a_record_of_another_pipeline_is_refused() -> None:
    with pytest.raises(errors.FailedPrecondition, match="record of pipeline 'p'"):
        records.check_name(Record(pipeline(A)), "q")


def test_a_record_of_a_form_to_come_is_of_a_newer_version() -> None:
    for newer in (b'{"form": 2}', b'{"form": 2, "pipeline": 5}'):
        with pytest.raises(errors.NewerVersion, match="form 2, want 1"):
            records.from_json(newer)
    for odd in (b'{"form": "2"}', b'{"form": 1}', b'{"form": null}'):
        assert records.from_json(odd) == Record()


def test_a_policy_that_is_not_known_makes_no_record() -> None:
    newer = json.loads(RECORD)
    newer["pipeline"]["mood"] = "good"
    assert records.from_json(json.dumps(newer).encode()) == records.from_json(RECORD)
    newer["pipeline"]["policy"] = {"access": {"moodyCallers": {}}}
    with pytest.raises(errors.FailedPrecondition, match="moodyCallers"):
        records.from_json(json.dumps(newer).encode())
