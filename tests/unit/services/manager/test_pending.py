"""What is pending comes to serve by itself, whatever happens, and nothing that serves is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from hydro.manager.v1 import pipeline_pb2 as pb
from hydro.runtime.v1.signature_pb2 import Signature
from hydro_envoy import mesh
from hydro_envoy.address import Address
from hydro_envoy.mesh import MAIN
from hydro_services import errors
from hydro_services.manager.cluster import records
from hydro_services.manager.cluster.changes import next_record
from hydro_services.manager.cluster.records import Record
from hydro_services.manager.domain import (
    call_plan,
    endpoint_transitions,
    mesh_plan,
    pipeline_views,
    readiness,
    resolution,
    transitions,
)
from hydro_services.manager.domain.references import parse_chain
from hydro_services.manager.domain.state import (
    Endpoint,
    LoadFailure,
    Model,
    ModelPlacement,
    PendingPipeline,
    Spec,
    Stages,
    State,
    StoredPipeline,
)
from hydro_services.manager.rollout.executor import _delete_pipeline, _want_pipeline

BASE = mesh.Mesh(mesh.Gateway("127.0.0.1", 8083, b"", 1))
PLACE = Address("127.0.0.1", 1)
ONE, TWO = (Endpoint("s", name, PLACE, PLACE, ("skops",), "1") for name in ("one", "two"))
MODELS = ("a", "b", "c")
PIPELINES = ("p", "q")
READ = errors.Unavailable("it is being read", model="a", version="1", awaits="read")
BROKEN = errors.ModelRefused("it is cut")
NACK = errors.EnvoyRefused("no such filter")


def model(name: str, content: int = 0) -> Model:
    return Model(name, "1", "skops", f"{ord(name)}{content}".ljust(64, "0"), Signature())


def wanted(name: str, models: tuple[str, ...]) -> Spec:
    return Spec(name, "http", {MAIN: parse_chain([f"s/{each}" for each in models])})


def failure(*, final: bool) -> LoadFailure:
    return LoadFailure(BROKEN if final else errors.Unavailable("away"), final, 1, 0.0)


names = st.sampled_from(PIPELINES)
chains = st.lists(st.sampled_from(MODELS), min_size=1, max_size=2).map(tuple)


class Pending(RuleBasedStateMachine):
    """A manager that is alone, as the reconciler runs it, without clocks and wires."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.settled = State()
        self.published: dict[str, Model] = {}
        self.others: dict[tuple[str, str], errors.HydroError] = {}
        self.contents = dict.fromkeys(MODELS, 0)
        self.asked: dict[str, Spec] = {}
        """What users asked for last, and did not take back."""
        self.served: set[str] = set()
        """The pipelines that served once."""
        self.loadable = True
        """Runtimes can load what they are told to."""

    def settle(self, state: State) -> None:
        """As `Reconciler._decide`."""
        state = resolution.retarget_pipelines(
            state, resolution.stale_pipelines(self.settled, state)
        )
        stale = resolution.stale_pending(self.settled, state)
        state = resolution.promote_loaded(resolution.resolve_all_pending(state, stale))
        state = call_plan.age_idle_models(state, 0.0)
        self.settled = self.state = state

    def tell(self) -> None:
        """The repository tells what there is."""
        catalogue = tuple(self.published[name] for name in sorted(self.published))
        self.settle(transitions.replace_catalogue(self.state, catalogue, dict(self.others)))

    @initialize()
    def start(self) -> None:
        self.settle(endpoint_transitions.register_endpoint(self.state, ONE, None))
        self.tell()

    @rule(name=names, models=chains)
    def create(self, name: str, models: tuple[str, ...]) -> None:
        spec = wanted(name, models)
        try:
            resolution.resolve_spec(spec, self.state)
        except errors.Unavailable as error:
            if "stage" not in error.metadata:
                return  # nobody has told of models: refused, and not kept
        except errors.HydroError:
            return
        self.settle(_want_pipeline(self.state, spec, ""))
        self.asked[name] = spec

    @rule(name=names)
    def delete(self, name: str) -> None:
        if name not in self.asked:
            with pytest.raises(errors.NotFound):
                _delete_pipeline(self.state, name)
            return
        self.settle(_delete_pipeline(self.state, name))
        del self.asked[name]
        self.served.discard(name)

    @rule(name=st.sampled_from(MODELS))
    def reads(self, name: str) -> None:
        """A model is new or has changed, and is being read; what was published stays."""
        self.others[name, "1" if name not in self.published else "2"] = READ
        self.tell()

    @rule(name=st.sampled_from(MODELS))
    def refuses(self, name: str) -> None:
        self.others = {key: e for key, e in self.others.items() if key[0] != name}
        self.others[name, "1"] = BROKEN
        self.published.pop(name, None)
        self.tell()

    @rule(name=st.sampled_from(MODELS))
    def publishes(self, name: str) -> None:
        self.others = {key: e for key, e in self.others.items() if key[0] != name}
        self.contents[name] += 1
        self.published[name] = model(name, self.contents[name])
        self.tell()

    @rule(endpoint=st.sampled_from([ONE, TWO]), final=st.booleans())
    def load_fails(self, endpoint: Endpoint, final: bool) -> None:
        for placement in self.missing(endpoint):
            self.settle(
                endpoint_transitions.fail_load(self.state, placement, "1", failure(final=final))
            )

    @rule(endpoint=st.sampled_from([ONE, TWO]))
    def loads(self, endpoint: Endpoint) -> None:
        for placement in self.missing(endpoint)[:1]:
            self.settle(endpoint_transitions.finish_load(self.state, placement, "1"))

    def missing(self, endpoint: Endpoint) -> list[ModelPlacement]:
        if endpoint.id not in self.state.endpoints:
            return []
        keys = (
            resolution.demanded_models(self.state).get("s", {}).keys()
            - self.state.loaded[endpoint.id]
        )
        return [ModelPlacement(endpoint.id, key) for key in sorted(keys)]

    @rule()
    def second_process_comes(self) -> None:
        self.settle(endpoint_transitions.register_endpoint(self.state, TWO, None))

    @rule()
    def second_process_goes(self) -> None:
        self.settle(endpoint_transitions.remove_endpoint(self.state, TWO.id))

    @rule(name=names)
    def envoy_takes(self, name: str) -> None:
        pending = self.state.pending.get(name)
        if pending and pending.published:
            self.settle(transitions.keep_if_served(self.state, pending))

    @rule(name=names)
    def envoy_refuses(self, name: str) -> None:
        pending = self.state.pending.get(name)
        if pending and pending.published:
            self.settle(transitions.deny_pending(self.state, pending, NACK))

    @rule()
    def manager_is_killed_and_restarted(self) -> None:
        """What is on disk is all that is left; the repository has not told of anything yet."""
        kept = [StoredPipeline(p.spec, p.stages) for p in self.state.pipelines.values()]
        endpoints = [(e, self.state.loaded[e.id]) for e in self.state.endpoints.values()]
        specs = [pending.spec for pending in self.state.pending.values()]
        self.settled = State()
        self.settle(transitions.restore_state(kept, endpoints, None, specs))

    @rule()
    def repository_tells(self) -> None:
        self.tell()

    @precondition(lambda self: self.asked)
    @rule()
    def all_becomes_right(self) -> None:
        """Then all that was asked for serves, without anybody doing anything."""
        for name in MODELS:
            self.publishes(name)
        for _ in range(3):  # what is loaded may be another version that is to take over
            for endpoint in list(self.state.endpoints.values()):
                for _ in self.missing(endpoint):
                    self.loads(endpoint)
            for name in PIPELINES:
                self.envoy_takes(name)
        assert not self.state.pending
        assert {n: p.spec for n, p in self.state.pipelines.items()} == self.asked
        for shown in pipeline_views.describe_pipelines(self.state, self.state.names):
            assert (shown.state, shown.error.message) == (pb.PIPELINE_STATE_READY, "")

    @invariant()
    def users_see_what_they_asked_for(self) -> None:
        assert self.state.names == sorted(self.asked)
        for shown in pipeline_views.describe_pipelines(self.state, self.state.names):
            newest = shown.pending if shown.HasField("pending") else shown
            assert newest.etag == self.asked[shown.name].etag
            assert shown.state != pb.PIPELINE_STATE_UNSPECIFIED
            has_reason = bool(newest.error.message)
            assert has_reason or newest.state == pb.PIPELINE_STATE_READY

    @invariant()
    def a_state_says_whether_it_passes_by_itself(self) -> None:
        ready = readiness.ready_endpoints(self.state)
        for name, pending in self.state.pending.items():
            blocker = readiness.describe_blocker(pending, self.state, ready)
            (shown,) = pipeline_views.describe_pipelines(self.state, [name])
            told = shown.pending if shown.HasField("pending") else shown
            is_pending = told.state == pb.PIPELINE_STATE_PENDING
            assert is_pending == isinstance(blocker, errors.Unavailable)
            assert told.error.message == blocker.message

    @invariant()
    def what_served_serves_until_it_is_deleted(self) -> None:
        self.served |= self.state.pipelines.keys()
        assert self.served <= readiness.published_stages(self.state).keys()

    @invariant()
    def envoy_gets_only_what_is_loaded(self) -> None:
        ready, loaded = readiness.ready_endpoints(self.state).get("s", ()), self.state.loaded
        for pending in self.state.pending.values():
            assert not (pending.published and pending.error), "what is refused is taken back"
            if pending.published and ready:
                keys = {stage.model.key for stage in pending.stages}
                assert pending.stages
                assert all(keys <= loaded[endpoint.id] for endpoint in ready)

    @invariant()
    def each_pipeline_has_one_answer_at_the_gateway(self) -> None:
        made = mesh_plan.build_mesh(self.state, BASE)
        serving, waiting = ({each.name for each in of} for of in (made.pipelines, made.pending))
        assert not serving & waiting
        assert serving | waiting == set(self.asked)


Pending.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_what_is_pending_comes_to_serve = pytest.mark.slow(Pending.TestCase)


# ---- managers that share a mesh: the owner's steps

A, A_2 = model("a"), model("a", 1)
SPEC = wanted("p", ("a",))


def stages(of: Model) -> Stages:
    pending = resolution.resolve_pending(PendingPipeline(SPEC), knowing(of))
    return pending.stages


def knowing(*models: Model, **unpublished: errors.HydroError) -> State:
    state = endpoint_transitions.register_endpoint(State(), ONE, None)
    others = {(name, "1"): error for name, error in unpublished.items()}
    return transitions.replace_catalogue(state, models, others)


def step(record: Record, state: State, **told: bool | errors.HydroError | None) -> Record | None:
    facts = {"failure": None, "is_loaded": False, "is_applied": False} | told
    return next_record(record, state, **facts)  # type: ignore[arg-type]


def test_the_owner_goes_from_read_to_loaded_to_published_to_kept() -> None:
    reading = resolution.resolve_pending(PendingPipeline(SPEC), knowing(a=READ))
    record = Record(None, reading, owner="a 1")
    assert step(record, knowing(a=READ), is_loaded=True) is None
    resolved = step(record, knowing(A))
    assert resolved == Record(None, PendingPipeline(SPEC, stages(A)), owner="a 1")
    assert step(resolved, knowing(A), is_applied=True) is None, "not published yet"
    published = step(resolved, knowing(A), is_loaded=True)
    assert published
    assert published.pending == PendingPipeline(SPEC, stages(A), published=True)
    assert step(published, knowing(A)) is None
    assert step(published, knowing(A), is_applied=True) == Record(StoredPipeline(SPEC, stages(A)))


def test_what_fails_to_load_is_told_and_goes_on_when_it_is_loaded_after_all() -> None:
    record = Record(
        StoredPipeline(SPEC, stages(A)), PendingPipeline(SPEC, stages(A_2)), owner="a 1"
    )
    failed = step(record, knowing(A_2), failure=BROKEN)
    assert failed
    assert failed.pending
    assert (failed.pending.error, failed.pipeline) == (BROKEN, record.pipeline)
    assert step(failed, knowing(A_2), failure=BROKEN) is None, "that is known"
    published = step(failed, knowing(A_2), is_loaded=True)
    assert published
    assert published.pending == PendingPipeline(SPEC, stages(A_2), published=True)


def test_what_an_envoy_refuses_waits_for_another_version() -> None:
    record = Record(None, PendingPipeline(SPEC, stages(A), published=True), owner="a 1")
    refused = step(record, knowing(A), failure=NACK)
    assert refused
    assert refused.pending
    assert (refused.pending.published, refused.pending.error) == (False, NACK)
    assert step(refused, knowing(A), is_loaded=True) is None, "or it would be refused for ever"
    again = step(refused, knowing(A_2), is_loaded=True)
    assert again
    assert again.pending == PendingPipeline(SPEC, stages(A_2))


def test_a_manager_that_knows_nothing_yet_changes_nothing() -> None:
    record = Record(None, PendingPipeline(SPEC, stages(A)), owner="a 1")
    assert step(record, State()) is None
    blank = replace(knowing(), services={})
    assert step(record, blank) is None, "the service may be about to register again"


TRIALS = st.builds(
    PendingPipeline,
    spec=st.just(SPEC),
    stages=st.sampled_from([(), stages(A), stages(A_2)]),
    published=st.booleans(),
    error=st.sampled_from([None, READ, BROKEN, NACK]),
    asked=st.booleans(),
).map(lambda t: t if t.stages else replace(t, published=False))


@given(
    TRIALS,
    st.sampled_from([None, StoredPipeline(SPEC, stages(A))]),
    st.sampled_from([knowing(), knowing(A), knowing(A_2), knowing(a=READ), knowing(a=BROKEN)]),
    st.sampled_from([None, BROKEN, NACK]),
    st.booleans(),
    st.booleans(),
)
def test_no_step_loses_what_serves_or_skips_another(
    pending: PendingPipeline,
    kept: StoredPipeline | None,
    state: State,
    failure: errors.HydroError | None,
    is_loaded: bool,
    is_applied: bool,
) -> None:
    before = Record(kept, pending, owner="a 1")
    after = step(before, state, failure=failure, is_loaded=is_loaded, is_applied=is_applied)
    if after is None:
        return
    body = records.to_json(after)
    assert records.to_json(records.from_json(body)) == body
    if after.pending is None:
        assert pending.published
        assert is_applied
        assert after.pipeline == StoredPipeline(pending.spec, pending.stages)
        return
    assert (after.pipeline, after.owner, after.pending.spec) == (kept, "a 1", SPEC)
    if after.pending.published:
        assert is_loaded
        assert pending.stages == after.pending.stages
        assert not after.pending.error
