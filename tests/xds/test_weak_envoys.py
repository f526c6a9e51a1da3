"""Envoys that are frozen, silent or slow hold up nobody, are named, and catch up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
from ads_stream import AdsStream
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from envoy_client import EnvoyClient
from grpc import StatusCode, aio
from meshes import mesh_of
from patience import PATIENCE_S
from weak_envoys import SilentClient, SlowStream, relay
from whole_mesh import until

from hydro_envoy.errors import Nacked, NotApplied
from hydro_envoy.resources.builder import pipeline_ref
from hydro_envoy.snapshot import ResourceType
from hydro_envoy.xds import hub as hubs
from hydro_envoy.xds import server

P, Q = pipeline_ref("p"), pipeline_ref("q")
LAG_S, LONG_S = 0.3, 30.0


@pytest.fixture(autouse=True)
def lag(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets how long an Envoy is waited for: first of all, longer than a test takes."""

    def set_to(limit_s: float) -> None:
        monkeypatch.setattr(hubs, "LAG_S", limit_s)

    set_to(LONG_S)
    return set_to


def publish(plane: Any, pipelines: Mapping[str, tuple[str, ...]]) -> Any:
    snapshot = plane.builder.build(mesh_of(dict(pipelines)))
    plane.hub.publish(snapshot)
    return snapshot


def names(plane: Any) -> list[str]:
    return [status.node.id for status in plane.hub.nodes()]


def laggards(plane: Any) -> list[str]:
    return [status.node.id for status in plane.hub.nodes() if status.is_lagging]


async def send(stream: AdsStream, requests: Any) -> None:
    await stream._send(requests)


@pytest.mark.parametrize("incremental", [True, False], ids=["delta", "sotw"])
async def test_a_silent_envoy_holds_up_a_change_once_is_named_and_catches_up(
    plane: Any, lag: Any, incremental: bool
) -> None:
    publish(plane, {"p": ("a",)})
    silent = SilentClient(incremental=incremental)
    async with (
        AdsStream(plane.port, EnvoyClient(), node_id="live"),
        AdsStream(plane.port, silent, node_id="silent") as stream,
    ):
        await plane.hub.wait_applied(timeout_s=30)
        assert plane.hub.lagging_nodes([P]) == {}
        silent.is_silent = True
        lag(LAG_S)
        publish(plane, {"p": ("a",), "q": ("a",)})
        await plane.hub.wait_applied([Q], timeout_s=30)
        assert plane.hub.lagging_nodes([P, Q]) == {Q: ("silent",)}
        assert laggards(plane) == ["silent"]
        start = time.monotonic()
        for i in range(3):
            snapshot = publish(plane, {"p": ("a",), "q": ("a",), f"r{i}": ("b",)})
            await plane.hub.wait_applied([pipeline_ref(f"r{i}")], timeout_s=30)
            await plane.hub.wait_applied([pipeline_ref(f"r{i - 1}")], timeout_s=30)
        lag(LONG_S)  # from here on it is waited for again, as soon as it speaks
        assert time.monotonic() - start < 20
        await send(stream, silent.speak())
        await until(lambda: not laggards(plane), LONG_S, "it caught up")
        await plane.hub.wait_applied(timeout_s=30)
        held = {n: r.version for n, r in silent.held[ResourceType.SCOPE].items()}
        wanted = snapshot.resources[ResourceType.SCOPE]
        assert held == {n: r.version for n, r in wanted.items()}
        assert plane.hub.lagging_nodes([P, Q]) == {}


async def test_a_slow_envoy_is_waited_for(plane: Any) -> None:
    publish(plane, {"p": ("a",)})
    slow = SlowStream(plane.port, EnvoyClient(), node_id="slow")
    async with AdsStream(plane.port, EnvoyClient(), node_id="live"), slow:
        await plane.hub.wait_applied(timeout_s=30)
        slow.delay_s = 0.2
        snapshot = publish(plane, {"p": ("a",), "q": ("b",)})
        await plane.hub.wait_applied(timeout_s=30)
        assert set(slow.client.held[ResourceType.SCOPE]) == {"p", "q"}
        assert snapshot.get(Q)


async def test_an_envoy_that_is_slower_than_that_is_not(plane: Any, lag: Any) -> None:
    publish(plane, {"p": ("a",)})
    slow = SlowStream(plane.port, EnvoyClient(), node_id="slow")
    async with AdsStream(plane.port, EnvoyClient(), node_id="live"), slow:
        await plane.hub.wait_applied(timeout_s=30)
        slow.delay_s = 2 * LAG_S
        lag(LAG_S)
        publish(plane, {"p": ("a",), "q": ("b",)})
        await plane.hub.wait_applied([Q], timeout_s=30)
        assert plane.hub.lagging_nodes([Q]) == {Q: ("slow",)}
        await until(lambda: plane.hub.lagging_nodes([Q]) == {}, LONG_S, "it caught up")


async def test_where_only_the_silent_are_left_nothing_is_in_force(plane: Any, lag: Any) -> None:
    publish(plane, {"p": ("a",)})
    silent = SilentClient()
    async with AdsStream(plane.port, silent, node_id="silent") as stream:
        await plane.hub.wait_applied(timeout_s=30)
        silent.is_silent = True
        lag(LAG_S)
        publish(plane, {"p": ("a",), "q": ("a",)})
        with pytest.raises(NotApplied, match=r"did not take .* silent: scope q"):
            await plane.hub.wait_applied([Q], timeout_s=4 * LAG_S)
        await send(stream, silent.speak())
        await plane.hub.wait_applied([Q], timeout_s=30)


async def test_a_stream_that_does_not_say_whose_it_is_counts_for_nothing(plane: Any) -> None:
    publish(plane, {"p": ("a",)})
    async with (
        AdsStream(plane.port, EnvoyClient(), node_id="live"),
        aio.insecure_channel(f"127.0.0.1:{plane.port}") as channel,
    ):
        stub: Any = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
        call = stub.DeltaAggregatedResources()
        await call.write(discovery_pb2.DeltaDiscoveryRequest(type_url="type.googleapis.com/odd"))
        await until(lambda: len(plane.hub.nodes()) == 2, LONG_S, "it is connected")
        await plane.hub.wait_applied([P], timeout_s=20)
        call.cancel()


async def test_who_refuses_is_named_beside_who_took_it(plane: Any) -> None:
    class Picky(EnvoyClient):
        def answer(self, response: Any) -> Any:
            if any(r.name == "pipeline/q" for r in response.resources):
                self._nonces[response.type] = response.nonce
                return [self._answer(response, "no such filter")]
            return super().answer(response)

    publish(plane, {"p": ("a",)})
    async with (
        AdsStream(plane.port, EnvoyClient(), node_id="new"),
        AdsStream(plane.port, Picky(), node_id="old"),
    ):
        await plane.hub.wait_applied(timeout_s=30)
        publish(plane, {"p": ("a",), "q": ("a",)})
        await until(lambda: any(s.refused for s in plane.hub.nodes()), LONG_S, "refused")
        await until(lambda: not plane.hub.nodes()[0].lacking, LONG_S, "taken")
        with pytest.raises(Nacked, match=r"^old refused .*: no such filter; new took it$"):
            await plane.hub.wait_applied([Q], timeout_s=30)


async def test_a_frozen_envoy_is_gone_within_seconds_and_counts_again_when_it_is_back(
    plane: Any, lag: Any
) -> None:
    publish(plane, {"p": ("a",)})
    client = EnvoyClient()
    async with relay(plane.port) as road, AdsStream(plane.port, EnvoyClient(), node_id="live"):
        async with AdsStream(road.port, client, node_id="frozen"):
            await plane.hub.wait_applied(timeout_s=30)
            road.freeze()
            lag(LAG_S)
            publish(plane, {"p": ("a",), "q": ("a",)})
            await plane.hub.wait_applied([Q], timeout_s=30)
            await until(lambda: names(plane) == ["live"], PATIENCE_S, "it is gone")
            assert plane.hub.lagging_nodes([P, Q]) == {Q: ("frozen",)}, "it may serve what it had"
            road.thaw()
        client.reconnect()
        client.received.clear()
        lag(LONG_S)
        async with AdsStream(road.port, client, node_id="frozen"):
            await until(lambda: len(plane.hub.nodes()) == 2, LONG_S, "it is connected")
            snapshot = publish(plane, {"p": ("a",), "q": ("a", "b")})
            await plane.hub.wait_applied(timeout_s=30)
            assert plane.hub.lagging_nodes([P, Q]) == {}
            assert client.held[ResourceType.SCOPE].keys() == {"p", "q"}
            assert_holds_present(client, snapshot)


@pytest.mark.parametrize("frozen", [2, 8])
async def test_however_many_are_frozen_at_once_a_change_waits_as_for_one(
    plane: Any, lag: Any, frozen: int
) -> None:
    publish(plane, {"p": ("a",)})
    ids = sorted(f"frozen-{i}" for i in range(frozen))
    async with relay(plane.port) as road, AsyncExitStack() as stack:
        await stack.enter_async_context(AdsStream(plane.port, EnvoyClient(), node_id="live"))
        for id in ids:
            await stack.enter_async_context(AdsStream(road.port, EnvoyClient(), node_id=id))
        await plane.hub.wait_applied(timeout_s=PATIENCE_S)
        road.freeze()
        lag(LAG_S)
        for i in range(3):
            pipelines = {"p": ("a",), f"q{i}": ("a",)}
            start = time.monotonic()
            publish(plane, pipelines)
            await plane.hub.wait_applied([pipeline_ref(f"q{i}")], timeout_s=PATIENCE_S)
            await plane.hub.wait_applied([pipeline_ref(f"q{i - 1}")], timeout_s=PATIENCE_S)
            assert time.monotonic() - start < LONG_S, "it waited for each of them"
            late = plane.hub.lagging_nodes([pipeline_ref(f"q{i}")])
            assert late == {pipeline_ref(f"q{i}"): tuple(ids)}
        await until(lambda: names(plane) == ["live"], PATIENCE_S, "they are gone")
        road.thaw()


async def ended(call: Any) -> None:
    while await call.read() is not aio.EOF:
        pass


def assert_holds_present(client: EnvoyClient, snapshot: Any) -> None:
    for type_ in (ResourceType.SCOPE, ResourceType.ROUTES):
        wanted = {n: r.version for n, r in snapshot.resources[type_].items()}
        assert {n: r.version for n, r in client.held[type_].items()} == wanted


async def test_who_asks_for_names_without_end_is_sent_away(
    plane: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_NAMES", 1_000)
    publish(plane, {"p": ("a",)})
    async with aio.insecure_channel(f"127.0.0.1:{plane.port}") as channel:
        stub: Any = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
        call = stub.DeltaAggregatedResources()
        for i in range(11):
            request = discovery_pb2.DeltaDiscoveryRequest(
                type_url=ResourceType.ROUTES.url,
                resource_names_subscribe=[f"{i}-{j}" for j in range(100)],
            )
            request.node.id = "greedy"
            await call.write(request)
        with pytest.raises(aio.AioRpcError) as raised:
            await ended(call)
        assert raised.value.code() is StatusCode.RESOURCE_EXHAUSTED
        assert "want at most 1000" in (raised.value.details() or "")


async def test_what_a_client_that_does_not_read_costs_is_bounded(plane: Any, lag: Any) -> None:
    """It is owed at most one response a type, and remembers no name that came and went."""
    publish(plane, {"p": ("a",)})
    async with (
        AdsStream(plane.port, EnvoyClient(), node_id="live"),
        aio.insecure_channel(f"127.0.0.1:{plane.port}") as channel,
    ):
        stub: Any = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
        call = stub.DeltaAggregatedResources()
        for type_ in (ResourceType.CLUSTER, ResourceType.LISTENER, ResourceType.SCOPE):
            request = discovery_pb2.DeltaDiscoveryRequest(type_url=type_.url)
            request.node.id = "unread"
            await call.write(request)
        await until(lambda: "unread" in names(plane), LONG_S, "it has told its name")
        (session,) = (c.session for c in plane.hub._streams if c.node.id == "unread")
        lag(LAG_S)
        for i in range(30):
            publish(plane, {"p": ("a",), f"q{i}": ("a",)})
            await plane.hub.wait_applied([pipeline_ref(f"q{i}")], timeout_s=30)
        owed = {n for state in session._types.values() for n in state.pending}
        assert not {f"q{i}" for i in range(29)} & owed
        assert sum(state.awaiting_ack is not None for state in session._types.values()) <= 3
        call.cancel()
