from __future__ import annotations

import asyncio

import pytest
from envoy_client import EnvoyClient, assert_holds, snapshot_of

from hydro_envoy.errors import Nacked, NotApplied
from hydro_envoy.nodes import Node
from hydro_envoy.snapshot import Ref, Resource, ResourceType, Snapshot, make_resource
from hydro_envoy.xds import draining
from hydro_envoy.xds.hub import Hub
from hydro_envoy.xds.loads import FRESH_S, Loads
from hydro_envoy.xds.messages import Request
from hydro_envoy.xds.stream import XdsStream

CLUSTER, SCOPE, ROUTES = ResourceType.CLUSTER, ResourceType.SCOPE, ResourceType.ROUTES


class Follower:
    """A client that answers all that the hub sends, in a task of its own."""

    def __init__(self, hub: Hub, name: str = "one") -> None:
        self.client = EnvoyClient()
        self.stream: XdsStream = hub.connect(incremental=True)
        self._name = name
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        for type_ in ResourceType:
            self._send(self.client.start(type_))
        async for response in self.stream.responses():
            self._send(self.client.answer(response))

    def _send(self, requests: list[Request]) -> None:
        for request in requests:
            self.stream.receive(request, Node(self._name))

    async def end(self) -> None:
        self.stream.close()
        await self._task


async def test_a_published_snapshot_reaches_the_stream() -> None:
    hub = Hub()
    follower = Follower(hub)
    hub.publish(snapshot_of({"p": ("a",)}))
    await hub.wait_applied(timeout_s=5)
    assert_holds(follower.client, snapshot_of({"p": ("a",)}))
    await follower.end()
    assert hub.nodes() == ()


class Numbered:
    """Makes secrets that are told apart."""

    period_s = 3600.0
    made = 0

    def issue(self, node: Node) -> tuple[Resource, ...]:
        self.made += 1
        return (make_resource(ResourceType.SECRET, "identity", str(self.made).encode()),)


async def test_secrets_are_renewed_at_once_where_that_is_asked_for() -> None:
    hub = Hub(issuer=Numbered())
    follower = Follower(hub)
    hub.publish(snapshot_of({"p": ("a",)}))
    await hub.wait_applied(timeout_s=5)
    hub.renew()
    await hub.wait_applied(timeout_s=5)
    assert follower.client.held[ResourceType.SECRET]["identity"].body == b"2"
    await follower.end()


async def test_a_cluster_goes_when_its_time_to_drain_is_over() -> None:
    hub = Hub({CLUSTER: 0})
    follower = Follower(hub)
    hub.publish(snapshot_of({"p": ("a",)}))
    await hub.wait_applied(timeout_s=5)
    hub.publish(snapshot_of({"p": ("b",)}))
    await hub.wait_applied([Ref(SCOPE, "p"), Ref(CLUSTER, "a")], timeout_s=5)
    assert_holds(follower.client, snapshot_of({"p": ("b",)}))
    await follower.end()


async def test_a_cluster_that_is_wanted_again_does_not_go() -> None:
    hub = Hub({CLUSTER: 60})
    follower = Follower(hub)
    for cluster in "abab":
        hub.publish(snapshot_of({"p": (cluster,)}))
        await hub.wait_applied(timeout_s=5)
    assert set(follower.client.held[CLUSTER]) == {"a", "b"}
    assert list(hub._draining._timers) == [Ref(CLUSTER, "a")]
    await follower.end()
    hub.close()
    assert hub._draining._timers == {}


async def test_a_cluster_stays_for_as_long_as_an_envoy_has_requests_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(draining, "UNUSED_S", 0.0)
    monkeypatch.setattr(draining, "CHECK_AGAIN_S", 0.01)
    hub = Hub({CLUSTER: 600.0})
    followers = [Follower(hub, "one"), Follower(hub, "two")]
    hub.publish(snapshot_of({"p": ("a",)}))
    await hub.wait_applied(timeout_s=5)
    hub.publish(snapshot_of({"p": ("b",)}))
    assert hub.draining_clusters() == {"a"}
    all_reports: list[dict[str, dict[str, int]]] = [
        {"one": {"a": 0}},
        {"two": {}},
        {"two": {"a": 3}},
        {"one": {"a": 1}},
    ]
    for reports in all_reports:
        for node_id, under_way in reports.items():
            hub.report(node_id, under_way)
        await asyncio.sleep(0.05)
        assert hub.draining_clusters() == {"a"}, (
            "one says nothing of it, or has something under way"
        )
    for node_id in ("one", "two"):
        hub.report(node_id, {"a": 0})
    async with asyncio.timeout(5):
        while hub.draining_clusters():
            await hub.wait_changed()
    await hub.wait_applied([Ref(CLUSTER, "a")], timeout_s=5)
    for follower in followers:
        await follower.end()


def test_a_report_counts_for_a_while() -> None:
    loads = Loads()
    assert loads.under_way("one", "a", 0.0) is None
    loads.report("one", {"a": 2}, 100.0)
    assert loads.under_way("one", "a", 100.0 + FRESH_S / 2) == 2
    assert loads.under_way("one", "b", 100.0) is None
    assert loads.under_way("one", "a", 100.0 + FRESH_S) is None
    loads.forget("one")
    assert loads.under_way("one", "a", 100.0) is None


def fronted(name: str) -> Snapshot:
    """A pipeline whose own scope leads to its one chain."""
    chain = f"{name}@main"
    refs = [Ref(SCOPE, chain), Ref(ROUTES, f"r-{chain}")]
    scope = make_resource(SCOPE, name, b"front", [Ref(ROUTES, f"r-{name}")])
    return snapshot_of({chain: ("a",)}).plus(
        [scope, make_resource(ROUTES, f"r-{name}", b"front", refs)]
    )


async def test_a_chain_outlives_its_front_and_a_pipeline_goes_at_once() -> None:
    hub = Hub({CLUSTER: 60, SCOPE: 60})
    follower = Follower(hub)
    q = snapshot_of({"q": ("a",)}).resources
    hub.publish(fronted("p").plus((q[SCOPE]["q"], q[ROUTES]["r-q"])))
    await hub.wait_applied(timeout_s=5)
    hub.publish(snapshot_of({"p": ("a",)}))
    await hub.wait_applied(timeout_s=5)
    assert set(follower.client.held[SCOPE]) == {"p", "p@main"}
    assert set(follower.client.held[ROUTES]) == {"r-p", "r-p@main"}
    await follower.end()
    hub.close()


async def test_a_chain_goes_when_its_time_is_over() -> None:
    hub = Hub({SCOPE: 0})
    follower = Follower(hub)
    hub.publish(fronted("p"))
    await hub.wait_applied(timeout_s=5)
    hub.publish(snapshot_of({"p": ("a",)}))
    await hub.wait_applied([Ref(SCOPE, "p"), Ref(SCOPE, "p@main")], timeout_s=5)
    assert_holds(follower.client, snapshot_of({"p": ("a",)}))
    await follower.end()


async def test_who_waits_hears_of_a_refusal_at_once() -> None:
    hub = Hub()
    follower = Follower(hub)
    hub.publish(snapshot_of({"p": ("a",), "q": ("b",)}, cluster_a="bad"))
    with pytest.raises(Nacked) as raised:
        await hub.wait_applied([Ref(SCOPE, "p")], timeout_s=5)
    (refusal,) = raised.value.refusals
    assert (refusal.node_id, refusal.type, refusal.name) == ("one", "cluster", "a")
    assert refusal.message == "refused: a"
    await hub.wait_applied([Ref(SCOPE, "q")], timeout_s=5)
    await follower.end()


async def test_who_waits_too_long_hears_who_lacks_what() -> None:
    hub = Hub()
    connection = hub.connect(incremental=True)
    connection.receive(Request(SCOPE), Node("slow"))
    hub.publish(snapshot_of({"p": ("a",)}))
    with pytest.raises(NotApplied, match="slow: cluster a, ") as raised:
        await hub.wait_applied([Ref(SCOPE, "p")], timeout_s=0.01)
    assert "slow: scope p" in raised.value.waiting
    (status,) = hub.nodes()
    assert Ref(SCOPE, "p") in status.lacking


async def test_nothing_published_is_nothing_applied() -> None:
    hub = Hub()
    follower = Follower(hub)
    with pytest.raises(NotApplied, match="the first snapshot"):
        await hub.wait_applied(timeout_s=0.01)
    assert hub.snapshot.get(Ref(SCOPE, "p")) is None
    await follower.end()


async def test_closing_the_hub_ends_all_streams() -> None:
    hub = Hub()
    followers = [Follower(hub, "one"), Follower(hub, "two")]
    await asyncio.sleep(0)
    assert [s.node.id for s in hub.nodes()] == ["one", "two"]
    hub.close()
    for follower in followers:
        await follower.end()
    assert hub.nodes() == ()
