from __future__ import annotations

from collections import deque

import pytest
from envoy_client import BY_NAME, EnvoyClient, assert_holds, snapshot_of
from hypothesis import given, settings
from hypothesis import strategies as st

from hydro_envoy.snapshot import Ref, Resource, ResourceType, Snapshot, make_resource
from hydro_envoy.xds.messages import Request, Response
from hydro_envoy.xds.session import XdsSession

CLUSTER, ENDPOINTS, LISTENER, FILTER, SCOPE, ROUTES, _ = ResourceType

BOTH = pytest.mark.parametrize("incremental", [True, False], ids=["delta", "sotw"])


class Wire:
    """A session and a client with requests and responses under way between them."""

    def __init__(self, *, incremental: bool = True) -> None:
        self.session = XdsSession(incremental=incremental)
        self.client = EnvoyClient(incremental=incremental)
        self.requests: deque[Request] = deque()
        self.responses: deque[Response] = deque()

    def start(self, *types: ResourceType) -> None:
        for type_ in types:
            self.requests += self.client.start(type_)

    def publish(self, snapshot: Snapshot) -> None:
        self.session.publish(snapshot)

    def reconnect(self) -> None:
        """A new stream with nothing under way; the server forgets, the client does not."""
        target = self.session._target
        self.session = XdsSession(incremental=self.client.incremental)
        if target:
            self.session.publish(target)
        self.requests.clear()
        self.responses.clear()
        self.client.reconnect()
        self.client.received.clear()

    def to_server(self) -> bool:
        if self.requests:
            self.session.receive(self.requests.popleft())
        self.responses += self.session.poll()
        return bool(self.requests)

    def to_client(self) -> bool:
        if self.responses:
            self.requests += self.client.answer(self.responses.popleft())
        return bool(self.responses)

    def settle(self) -> None:
        for _ in range(10_000):
            self.to_server()
            self.to_client()
            if not self.requests and not self.responses and not self.session.poll():
                return
        raise AssertionError("the session never comes to rest")

    def sent(self, type_: ResourceType) -> list[tuple[str, ...]]:
        received = [r for r in self.client.received if r.type is type_]
        return [tuple(each.name for each in r.resources) for r in received]


def settled(snapshot: Snapshot, *, incremental: bool = True) -> Wire:
    wire = Wire(incremental=incremental)
    wire.publish(snapshot)
    wire.start(*ResourceType)
    wire.settle()
    return wire


@BOTH
def test_a_client_that_starts_ends_with_the_whole_snapshot(incremental: bool) -> None:
    snapshot = snapshot_of({"p": ("a", "b"), "q": ("b",)})
    assert_holds(settled(snapshot, incremental=incremental).client, snapshot)


@BOTH
def test_a_client_waits_until_something_is_published(incremental: bool) -> None:
    session = XdsSession(incremental=incremental)
    session.receive(Request(CLUSTER))
    assert session.poll() == []
    session.publish(snapshot_of({}))
    assert [r.type for r in session.poll()] == [CLUSTER]


@BOTH
def test_a_client_is_answered_even_when_there_is_nothing(incremental: bool) -> None:
    session = XdsSession(incremental=incremental)
    session.publish(Snapshot())
    session.receive(Request(SCOPE))
    assert [(r.type, r.resources) for r in session.poll()] == [(SCOPE, ())]
    assert session.poll() == []


def test_only_what_changed_is_sent() -> None:
    wire = settled(snapshot_of({"p": ("a",), "q": ("a",)}))
    wire.client.received.clear()
    wire.client.received.append(Response(CLUSTER, "0", "v", ()))
    wire.publish(snapshot_of({"p": ("a",), "q": ("a",)}, routes_r_q="new"))
    wire.settle()
    assert [(r.type, [e.name for e in r.resources]) for r in wire.client.received[1:]] == [
        (ROUTES, ["r-q"])
    ]


def test_a_route_waits_for_its_cluster_and_endpoints() -> None:
    wire = settled(snapshot_of({"p": ("a",)}))
    wire.publish(snapshot_of({"p": ("b",)}))
    assert [r.type for r in wire.session.poll()] == [CLUSTER]
    wire.session.receive(Request(CLUSTER, nonce=wire.session._types[CLUSTER].nonce))
    assert wire.session.poll() == [], "endpoints are not asked for yet"
    wire.session.receive(Request(ENDPOINTS, subscribe=("b",)))
    assert [r.type for r in wire.session.poll()] == [ENDPOINTS]
    wire.session.receive(Request(ENDPOINTS, nonce=wire.session._types[ENDPOINTS].nonce))
    assert [r.type for r in wire.session.poll()] == [SCOPE, ROUTES]


def test_a_cluster_goes_when_no_route_needs_it() -> None:
    wire = settled(snapshot_of({"p": ("a", "b")}))
    wire.publish(snapshot_of({"p": ("b",)}))
    first = wire.session.poll()
    assert [(r.type, r.removed) for r in first] == [(SCOPE, ()), (ROUTES, ())]
    wire.session.receive(Request(SCOPE, nonce=first[0].nonce))
    assert wire.session.poll() == [], "the old route may still be there"
    wire.session.receive(Request(ROUTES, nonce=first[1].nonce))
    assert [(r.type, r.removed) for r in wire.session.poll()] == [(CLUSTER, ("a",))]


def test_a_pipeline_goes_before_its_clusters() -> None:
    wire = settled(snapshot_of({"p": ("a",), "q": ("b",)}))
    wire.publish(snapshot_of({"q": ("b",)}))
    assert [(r.type, r.removed) for r in wire.session.poll()] == [(SCOPE, ("p",))]


def test_new_endpoints_come_before_a_route_that_may_need_them() -> None:
    wire = settled(snapshot_of({"p": ("a",)}))
    wire.publish(snapshot_of({"p": ("a",)}, endpoints_a="moved", routes_r_p="new"))
    assert [r.type for r in wire.session.poll()] == [ENDPOINTS]


def fronted(front: str) -> Snapshot:
    """A pipeline `p` whose routes lead to those of the scope `p@main`."""
    made = snapshot_of({"p": (), "p@main": ("a",)})
    refs = [Ref(SCOPE, "p@main"), Ref(ROUTES, "r-p@main")]
    routes = make_resource(ROUTES, "r-p", front.encode(), refs)
    others = [r for t in made.resources.values() for r in t.values() if r.ref != routes.ref]
    return Snapshot.from_resources([*others, routes])


@BOTH
def test_routes_wait_for_the_routes_they_lead_to(incremental: bool) -> None:
    wire = settled(snapshot_of({"p": ("a",)}), incremental=incremental)
    wire.client.received.clear()
    wire.publish(fronted("a front"))
    wire.settle()
    names = [set(sent) for sent in wire.sent(ROUTES)]
    assert wire.client.held[ROUTES]["r-p"].body == b"a front"
    before = next(r for r in wire.client.received if r.type is ROUTES)
    assert "r-p@main" in names[0]
    assert b"a front" not in {r.body for r in before.resources}


def test_a_chain_goes_after_the_front_that_led_to_it() -> None:
    wire = settled(fronted("a front"))
    wire.client.received.clear()
    wire.publish(snapshot_of({"p": ("a",)}))
    wire.settle()
    order = [r.type for r in wire.client.received if r.type is not SCOPE or r.removed]
    assert order.index(ROUTES) < order.index(SCOPE)
    assert set(wire.client.held[SCOPE]) == {"p"}
    assert set(wire.client.held[ROUTES]) == {"r-p"}


def test_endpoints_are_sent_again_after_their_cluster_changed() -> None:
    wire = settled(snapshot_of({"p": ("a",)}))
    wire.publish(snapshot_of({"p": ("a",)}, cluster_a="changed"))
    sent = [(r.type, [e.name for e in r.resources]) for r in wire.session.poll()]
    assert sent == [(CLUSTER, ["a"]), (ENDPOINTS, ["a"])]


def test_one_response_of_a_type_is_under_way_at_a_time() -> None:
    wire = settled(snapshot_of({"p": ("a",)}))
    wire.publish(snapshot_of({"p": ("a",)}, routes_r_p="one"))
    (first,) = wire.session.poll()
    wire.publish(snapshot_of({"p": ("a",)}, routes_r_p="two"))
    wire.publish(snapshot_of({"p": ("a",)}, routes_r_p="three"))
    assert wire.session.poll() == []
    wire.session.receive(Request(ROUTES, nonce=first.nonce))
    (second,) = wire.session.poll()
    assert b"three" in second.resources[0].body


@BOTH
def test_a_stale_nonce_is_ignored(incremental: bool) -> None:
    wire = settled(snapshot_of({"p": ("a",)}), incremental=incremental)
    wire.publish(snapshot_of({"p": ("a",)}, listener_pipes="new"))
    (response,) = wire.session.poll()
    wire.session.receive(Request(LISTENER, nonce="1", error="old news"))
    assert wire.session.refusals() == []
    assert not wire.session.has(Ref(LISTENER, "pipes"))
    wire.session.receive(Request(LISTENER, nonce=response.nonce))
    assert wire.session.has(Ref(LISTENER, "pipes"))


@BOTH
def test_a_refusal_is_kept_with_the_words_and_not_sent_again(incremental: bool) -> None:
    wire = settled(snapshot_of({"p": ("a",)}), incremental=incremental)
    good = wire.client.held[ROUTES]["r-p"]
    wire.publish(snapshot_of({"p": ("a",)}, routes_r_p="bad"))
    wire.settle()
    ((ref, refused),) = wire.session.refusals()
    assert (ref, refused.message) == (Ref(ROUTES, "r-p"), "refused: r-p")
    assert wire.client.held[ROUTES]["r-p"] == good
    wire.publish(snapshot_of({"p": ("a",)}, routes_r_p="mended"))
    wire.settle()
    assert wire.session.refusals() == []
    assert wire.session.missing_refs() == []


def test_one_bad_resource_keeps_no_other_from_being_applied() -> None:
    pipelines: dict[str, tuple[str, ...]] = {f"p{i:02}": ("a",) for i in range(40)}
    wire = settled(snapshot_of(pipelines, routes_r_p17="bad", routes_r_p31="bad"))
    assert [ref.name for ref, _ in wire.session.refusals()] == ["r-p17", "r-p31"]
    assert len(wire.client.held[ROUTES]) == 38


def test_a_route_of_a_refused_cluster_is_not_sent_and_the_others_are() -> None:
    wire = settled(snapshot_of({"p": ("a",), "q": ("b",)}, cluster_a="bad"))
    assert set(wire.client.held[SCOPE]) == {"q"}
    assert [ref for ref, _ in wire.session.refusals()] == [Ref(CLUSTER, "a")]
    wire.publish(snapshot_of({"p": ("a",), "q": ("b",)}))
    wire.settle()
    assert_holds(wire.client, snapshot_of({"p": ("a",), "q": ("b",)}))


def test_a_client_that_comes_back_gets_only_what_differs() -> None:
    wire = settled(snapshot_of({"p": ("a",), "q": ("b",)}))
    wire.publish(snapshot_of({"p": ("a",)}, routes_r_p="new"))
    wire.reconnect()
    wire.start(*ResourceType)
    wire.settle()
    assert_holds(wire.client, snapshot_of({"p": ("a",)}, routes_r_p="new"))
    assert [names for names in wire.sent(CLUSTER) if names] == []
    assert wire.sent(ROUTES) == [("r-p",)]


def test_a_name_asked_for_again_is_sent_again() -> None:
    wire = settled(snapshot_of({"p": ("a",)}))
    wire.session.receive(Request(ENDPOINTS, subscribe=("a",)))
    (response,) = wire.session.poll()
    assert [r.name for r in response.resources] == ["a"]


def test_a_name_that_does_not_exist_is_answered_as_removed() -> None:
    wire = settled(snapshot_of({"p": ("a",)}))
    wire.session.receive(Request(ENDPOINTS, subscribe=("nobody",)))
    (response,) = wire.session.poll()
    assert (response.resources, response.removed) == ((), ("nobody",))


def test_what_is_not_subscribed_to_any_more_is_not_sent() -> None:
    wire = settled(snapshot_of({"p": ("a",)}))
    wire.session.receive(Request(ENDPOINTS, unsubscribe=("a",)))
    wire.publish(snapshot_of({"p": ("a",)}, endpoints_a="moved"))
    assert wire.session.poll() == []


def test_state_of_the_world_sends_all_of_a_type() -> None:
    wire = settled(snapshot_of({"p": ("a",), "q": ("a",)}), incremental=False)
    wire.publish(snapshot_of({"p": ("a",), "q": ("a",), "r": ("a",)}))
    (response,) = wire.session.poll()
    assert [r.name for r in response.resources] == ["p", "q", "r"]


def test_nothing_is_known_of_a_type_that_was_not_asked_for() -> None:
    session = XdsSession(incremental=True)
    session.publish(snapshot_of({"p": ("a",)}))
    assert not session.has(Ref(CLUSTER, "a"))
    assert session.refusal(Ref(CLUSTER, "a")) is None
    assert Ref(CLUSTER, "a") in session.missing_refs()


def test_a_resource_sent_and_withdrawn_before_the_answer_is_removed() -> None:
    wire = settled(snapshot_of({"p": ("a",)}))
    wire.publish(snapshot_of({"p": ("a",), "q": ("a",)}))
    (added,) = wire.session.poll()
    wire.publish(snapshot_of({"p": ("a",)}))
    assert not wire.session.has(Ref(SCOPE, "q"))
    wire.session.receive(Request(SCOPE, nonce=added.nonce))
    (response,) = wire.session.poll()
    assert response.removed == ("q",)


CLUSTERS = st.sampled_from("abcd")
BODIES = st.dictionaries(
    st.sampled_from(
        ["cluster_a", "endpoints_a", "endpoints_b", "routes_r_p", "scope_q", "listener_pipes"]
    ),
    st.sampled_from(["one", "two", "bad"]),
    max_size=3,
)
PIPELINES = st.dictionaries(
    st.sampled_from("pqrs"), st.lists(CLUSTERS, min_size=1, max_size=3).map(tuple), max_size=4
)
SNAPSHOTS = st.builds(lambda p, b: snapshot_of(p, **b), PIPELINES, BODIES)
STEPS = st.one_of(
    SNAPSHOTS,
    st.sampled_from(list(ResourceType)),
    st.sampled_from(["to_server", "to_client", "to_server", "to_client", "reconnect"]),
)


def _play(wire: Wire, steps: list[Snapshot | ResourceType | str]) -> None:
    for step in steps:
        match step:
            case Snapshot():
                wire.publish(step)
            case ResourceType():
                if step not in wire.client.started:
                    wire.start(step)
            case "reconnect" if wire.client.incremental:
                wire.reconnect()
            case "to_server":
                wire.to_server()
            case "to_client":
                wire.to_client()


@pytest.mark.slow
@BOTH
@settings(max_examples=300)
@given(steps=st.lists(STEPS, max_size=40), last=PIPELINES)
def test_whatever_happens_the_client_ends_with_the_newest_snapshot(
    incremental: bool,
    steps: list[Snapshot | ResourceType | str],
    last: dict[str, tuple[str, ...]],
) -> None:
    """The client itself fails the test when a route comes before its cluster."""
    wire = Wire(incremental=incremental)
    _play(wire, steps)
    wire.publish(snapshot_of(last))
    wire.start(*(set(ResourceType) - wire.client.started))
    wire.settle()
    assert_holds(wire.client, snapshot_of(last))
    assert wire.session.missing_refs() == []
    assert wire.session.refusals() == []


@pytest.mark.slow
@settings(max_examples=300)
@given(steps=st.lists(STEPS, max_size=30), last=PIPELINES, bodies=BODIES)
def test_what_is_refused_is_known_and_all_else_is_applied(
    steps: list[Snapshot | ResourceType | str],
    last: dict[str, tuple[str, ...]],
    bodies: dict[str, str],
) -> None:
    wire = Wire()
    _play(wire, steps)
    snapshot = snapshot_of(last, **bodies)
    wire.publish(snapshot)
    wire.start(*(set(ResourceType) - wire.client.started))
    wire.settle()
    refused = {ref for ref, _ in wire.session.refusals()}
    for ref in wire.session.missing_refs():
        wanted = snapshot.get(ref)
        parents = {r for r in refused if r in snapshot.closure([ref])}
        held_back = any(ref in each.references for each in _scopes_and_clusters(snapshot, refused))
        assert parents or held_back or wanted is None, ref
    assert all(b"bad" in each.body for r in refused if (each := snapshot.get(r)))


def _scopes_and_clusters(snapshot: Snapshot, refused: set[Ref]) -> list[Resource]:
    tables = [snapshot.resources[t] for t in set(BY_NAME.values())]
    return [each for t in tables for each in t.values() if snapshot.closure([each.ref]) & refused]


def test_a_resource_has_the_version_of_its_content() -> None:
    assert make_resource(CLUSTER, "a", b"x").version == make_resource(CLUSTER, "b", b"x").version
    assert make_resource(CLUSTER, "a", b"x").version != make_resource(CLUSTER, "a", b"y").version
