"""A mesh in, ADS responses out, over a real server; the fake Envoy checks the protocol itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ads_stream import AdsStream
from envoy_client import EnvoyClient, assert_holds
from meshes import manager_api_listener, mesh_of

from hydro_envoy.address import Address
from hydro_envoy.errors import Nacked, NotApplied
from hydro_envoy.resources.builder import listener_ref, pipeline_ref
from hydro_envoy.snapshot import ResourceType
from hydro_envoy.xds.hub import Hub

BOTH = pytest.mark.parametrize("incremental", [True, False], ids=["delta", "sotw"])


@BOTH
async def test_an_envoy_that_connects_gets_the_mesh(plane: Any, incremental: bool) -> None:
    snapshot = plane.builder.build(
        replace(mesh_of({"p": ("a", "b"), "q": ("b",)}), api_listeners=(manager_api_listener(),))
    )
    plane.hub.publish(snapshot)
    async with AdsStream(plane.port, EnvoyClient(incremental=incremental)) as envoy:
        await plane.hub.wait_applied(timeout_s=30)
        assert_holds(envoy.client, snapshot)


@BOTH
async def test_a_change_reaches_an_envoy_that_is_connected(plane: Any, incremental: bool) -> None:
    plane.hub.publish(plane.builder.build(mesh_of({"p": ("a",)})))
    async with AdsStream(plane.port, EnvoyClient(incremental=incremental)) as envoy:
        await plane.hub.wait_applied(timeout_s=30)
        snapshot = plane.builder.build(mesh_of({"q": ("a",), "r": ("a",)}, port=9001))
        plane.hub.publish(snapshot)
        await plane.hub.wait_applied(timeout_s=30)
        assert_holds(envoy.client, snapshot)


async def test_a_change_to_one_pipeline_sends_one_pipeline(plane: Any) -> None:
    pipelines: dict[str, tuple[str, ...]] = {f"p{i}": ("a",) for i in range(20)}
    plane.hub.publish(plane.builder.build(mesh_of(pipelines)))
    async with AdsStream(plane.port, EnvoyClient()) as envoy:
        await plane.hub.wait_applied(timeout_s=30)
        sent = len(envoy.client.received)
        plane.hub.publish(plane.builder.build(mesh_of(pipelines | {"p7": ("a", "a")})))
        await plane.hub.wait_applied([pipeline_ref("p7")], timeout_s=30)
        changed = [r.name for each in envoy.client.received[sent:] for r in each.resources]
        assert changed == ["pipeline/p7"]


async def test_an_envoy_that_comes_back_gets_nothing_it_has(plane: Any) -> None:
    plane.hub.publish(plane.builder.build(mesh_of({"p": ("a",)})))
    client = EnvoyClient()
    async with AdsStream(plane.port, client):
        await plane.hub.wait_applied(timeout_s=30)
    client.reconnect()
    client.received.clear()
    async with AdsStream(plane.port, client):
        await plane.hub.wait_applied(timeout_s=30)
        assert [r.name for each in client.received for r in each.resources] == []


async def test_a_refusal_is_raised_with_envoys_words(plane: Any) -> None:
    plane.hub.publish(plane.builder.build(mesh_of({"p": ("a",), "bad": ("a",)})))
    async with AdsStream(plane.port, EnvoyClient()) as envoy:
        with pytest.raises(Nacked, match=r"fake refused .* 'bad': refused: bad"):
            await plane.hub.wait_applied([pipeline_ref("bad")], timeout_s=30)
        await plane.hub.wait_applied([pipeline_ref("p")], timeout_s=30)
        assert set(envoy.client.held[ResourceType.SCOPE]) == {"p"}
        (status,) = plane.hub.nodes()
        assert (status.node.id, status.node.role) == ("fake", "gateway")
        assert {r.name for r in status.refused} == {"bad"}


async def test_a_mended_pipeline_is_applied_after_a_refusal(plane: Any) -> None:
    plane.hub.publish(plane.builder.build(mesh_of({"p": ("bad",)})))
    async with AdsStream(plane.port, EnvoyClient()):
        with pytest.raises(Nacked):
            await plane.hub.wait_applied([pipeline_ref("p")], timeout_s=30)
        plane.hub.publish(plane.builder.build(mesh_of({"p": ("good",)})))
        await plane.hub.wait_applied([pipeline_ref("p")], timeout_s=30)
        assert plane.hub.nodes()[0].refused == ()


async def test_a_deleted_pipeline_is_applied_when_it_is_gone(plane: Any) -> None:
    plane.hub.publish(plane.builder.build(mesh_of({"p": ("a",), "q": ("a",)})))
    async with AdsStream(plane.port, EnvoyClient()) as envoy:
        await plane.hub.wait_applied(timeout_s=30)
        plane.hub.publish(plane.builder.build(mesh_of({"q": ("a",)})))
        await plane.hub.wait_applied([pipeline_ref("p")], timeout_s=30)
        assert set(envoy.client.held[ResourceType.SCOPE]) == {"q"}


async def test_all_connected_envoys_must_have_it(plane: Any) -> None:
    plane.hub.publish(plane.builder.build(mesh_of({"p": ("a",)})))
    async with (
        AdsStream(plane.port, EnvoyClient(), node_id="one") as one,
        AdsStream(plane.port, EnvoyClient(incremental=False), node_id="two") as two,
    ):
        await plane.hub.wait_applied([pipeline_ref("p"), listener_ref("gateway")], timeout_s=30)
        await plane.hub.wait_applied(timeout_s=30)
        assert [s.node.id for s in plane.hub.nodes()] == ["one", "two"]
        assert one.client.held.keys() == two.client.held.keys()


async def test_a_cluster_that_is_not_wanted_stays_for_a_while(plane: Any) -> None:
    plane.hub.publish(plane.builder.build(mesh_of({"p": ("a",)})))
    async with AdsStream(plane.port, EnvoyClient()) as envoy:
        await plane.hub.wait_applied(timeout_s=30)
        plane.hub.publish(plane.builder.build(mesh_of({"p": ("b",)})))
        await plane.hub.wait_applied(timeout_s=30)
        names = {n.rpartition("-")[0] or n for n in envoy.client.held[ResourceType.CLUSTER]}
        assert names == {"a", "a@last", "b", "b@last", "chains", "pipes", "shadows"}


async def test_nobody_connected_is_not_applied() -> None:
    with pytest.raises(NotApplied, match="no gateway connected"):
        await Hub().wait_applied(timeout_s=0.01)


async def test_endpoints_alone_change_when_a_process_moves(plane: Any) -> None:
    mesh = mesh_of({"p": ("a",)})
    plane.hub.publish(plane.builder.build(mesh))
    async with AdsStream(plane.port, EnvoyClient()) as envoy:
        await plane.hub.wait_applied(timeout_s=30)
        sent = len(envoy.client.received)
        moved = replace(mesh.backends[0], endpoints=(Address("127.0.0.1", 9999),))
        plane.hub.publish(plane.builder.build(replace(mesh, backends=(moved,))))
        await plane.hub.wait_applied(timeout_s=30)
        assert [r.type for r in envoy.client.received[sent:]] == [ResourceType.ENDPOINTS]
