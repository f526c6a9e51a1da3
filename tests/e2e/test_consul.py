"""A mesh of parts that find each other by three servers of Consul: each may go, requests go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from chains import CHAINS
from clients import Load, steady_load
from consul_agent import Cluster, cluster, running
from patience import PATIENCE_S
from shared_mesh import SERVICE, SharedMesh, shared
from slow_models import SlowModel
from whole_mesh import WholeMesh, until, until_true

from hydro.manager.v1.pipeline_pb2 import Pipeline
from hydro_envoy.address import Address
from hydro_services.client import ManagerClient, connect_channel

pytestmark = pytest.mark.e2e

GATEWAYS = ("gateway-a", "gateway-b")
JSON = {"content-type": "application/json"}
ONCE_S = 60.0


@pytest.fixture(scope="module")
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    servers = cluster(tmp_path_factory.mktemp("consul"))
    with running(servers):
        yield servers


@pytest.fixture(scope="module")
def mesh(consul: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedMesh]:
    with shared(tmp_path_factory.mktemp("shared"), consul.registry) as started:
        yield started


async def apply(mesh: SharedMesh, name: str, chain: tuple[str, ...]) -> httpx.Response:
    """By the managers' API listener, whichever manager answers."""
    body = {"name": name, "chain": list(chain)}
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        return await client.post(f"{mesh.urls['manager']}/api/v1/pipelines", json=body)


async def is_created(mesh: SharedMesh, name: str) -> bool:
    return (await apply(mesh, name, CHAINS["one"])).status_code == 200


async def ask(mesh: SharedMesh, name: str) -> None:
    """On a connection of its own, so that each gateway gets its share."""
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        url = f"{mesh.urls['gateway']}/api/v1/serve/{name}"
        response = await client.post(url, content=b'[{"text":"a"}]', headers=JSON)
    assert response.status_code == 200, response.text
    assert response.json()[0]["echo"] == "a"


async def names(mesh: SharedMesh) -> list[str]:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        listed = await client.get(f"{mesh.urls['manager']}/api/v1/pipelines")
    return sorted(each["name"] for each in listed.json()["pipelines"])


def has(mesh: SharedMesh, gateway: str, name: str) -> bool:
    """The Envoy routes to the pipeline."""
    scopes = mesh.admin(gateway, "/config_dump?resource=dynamic_scoped_route_configs")
    return f'"{name}"'.encode() in scopes


async def test_managers_and_consul_go_and_come_back_under_load(
    mesh: SharedMesh, consul: Cluster
) -> None:
    response = await apply(mesh, "one", CHAINS["one"])
    assert response.status_code == 200, response.text
    assert [has(mesh, gateway, "one") for gateway in GATEWAYS] == [True, True]

    async with steady_load(partial(ask, mesh, "one"), clients=2) as load:
        await load.more(20)
        await a_manager_dies_and_comes_back(mesh, consul, load)
        await a_server_of_consul_dies(mesh, consul, load)
        await consul_is_away(mesh, consul, load)
    assert load.failures == []


async def a_manager_dies_and_comes_back(mesh: SharedMesh, consul: Cluster, load: Load) -> None:
    mesh.parts["manager-a"].end()
    for gateway in GATEWAYS:
        await until(
            partial(mesh.connected, gateway), PATIENCE_S, f"{gateway} has the other manager"
        )
    response = await apply(mesh, "two", CHAINS["two"])
    assert response.status_code == 200, response.text
    assert [has(mesh, gateway, "two") for gateway in GATEWAYS] == [True, True]
    await load.more(20)
    mesh.parts["manager-a"].start()
    await until(lambda: len(consul.servers[0].passing("manager")) == 2, PATIENCE_S, "it is back")
    mesh.parts["manager-b"].end()
    for gateway in GATEWAYS:
        await until(partial(mesh.connected, gateway), PATIENCE_S, f"{gateway} has the first again")
    assert await names(mesh) == ["one", "two"]
    mesh.parts["manager-b"].start()
    await load.more(20)


async def a_server_of_consul_dies(mesh: SharedMesh, consul: Cluster, load: Load) -> None:
    dead = consul.leader
    dead.stop()
    await until_true(partial(is_created, mesh, "three"), PATIENCE_S, "the others have a leader")
    await load.more(20)
    dead.start()
    await asyncio.to_thread(dead.wait_until_ready)


async def consul_is_away(mesh: SharedMesh, consul: Cluster, load: Load) -> None:
    consul.stop()
    response = await apply(mesh, "four", CHAINS["one"])
    assert response.status_code == 503, response.text
    assert "Consul does not answer" in response.json()["message"]
    await load.more(20)
    await asyncio.to_thread(consul.start)
    await until_true(partial(is_created, mesh, "four"), PATIENCE_S, "changes are possible again")
    assert await names(mesh) == ["four", "one", "three", "two"]
    await load.more(20)


async def get(mesh: SharedMesh, name: str) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        response = await client.get(f"{mesh.urls['manager']}/api/v1/pipelines/{name}")
    found: dict[str, Any] = response.json()
    return found


async def is_in(mesh: SharedMesh, name: str, state: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return (await get(mesh, name)).get("state") == f"PIPELINE_STATE_{state}"
    return False


async def delete(mesh: SharedMesh, name: str) -> None:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        await client.delete(f"{mesh.urls['manager']}/api/v1/pipelines/{name}")


async def test_another_manager_goes_on_when_the_one_that_was_asked_is_killed(
    mesh: SharedMesh, consul: Cluster
) -> None:
    model = SlowModel.create(mesh.folder / "models", "slow", mesh.folder)
    WholeMesh(mesh.folder, mesh.folder / "models").trust(model.folder)
    chain = (f"{SERVICE}/slow",)
    asked = asyncio.create_task(apply(mesh, "slow", chain))
    await until_true(partial(is_in, mesh, "slow", "PENDING"), PATIENCE_S, "it is pending")
    record = consul.servers[0].value("hydro/pipelines/slow")
    owner, _, _ = record["owner"].partition(" ")
    mesh.parts[owner].end()
    assert (await asked).status_code in (503, 504), "whoever asked it hears no more of it"
    for gateway in GATEWAYS:
        await until(partial(mesh.connected, gateway), PATIENCE_S, f"{gateway} has a manager")
    await until_true(partial(is_in, mesh, "slow", "PENDING"), PATIENCE_S, "it is pending still")
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        url = f"{mesh.urls['gateway']}/api/v1/serve/slow"
        response = await client.post(url, content=b'[{"text":"a"}]', headers=JSON)
    assert (response.status_code, response.headers["retry-after"]) == (503, "2"), response.text
    model.open()
    await until_true(partial(is_in, mesh, "slow", "READY"), PATIENCE_S, "another made it ready")
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        response = await client.post(url, content=b'[{"text":"a"}]', headers=JSON)
    assert response.json() == [{"text": "a", "echo": "a!"}]
    mesh.parts[owner].start()
    await until(lambda: len(consul.servers[0].passing("manager")) == 2, PATIENCE_S, "it is back")
    await delete(mesh, "slow")


async def test_an_envoy_that_is_frozen_holds_up_no_change_and_is_named_until_it_is_back(
    mesh: SharedMesh,
) -> None:
    """Managers are asked at their own ports: the one of the gateways may lead to who is frozen."""
    for name in ("manager-a", "manager-b"):  # Consul may list one that was killed a moment ago
        await until(partial(listens, mesh, name), PATIENCE_S, f"{name} is back")
    for name in GATEWAYS:
        await until(partial(mesh.connected, name), PATIENCE_S, f"{name} has a manager")
    (frozen,) = children(mesh.parts["gateway-b"].pid, "envoy")
    async with (
        connect_channel("manager", Address.parse(mesh.address("manager-a"))) as to_a,
        connect_channel("manager", Address.parse(mesh.address("manager-b"))) as to_b,
    ):
        managers = [ManagerClient(to_a), ManagerClient(to_b)]
        os.kill(frozen, signal.SIGSTOP)
        try:
            wanted = Pipeline(name="frozen", chain=CHAINS["one"])
            assert list((await managers[0].apply_pipeline(wanted)).lagging) == ["gateway-b"]
            assert has(mesh, "gateway-a", "frozen")
            start = time.monotonic()
            for i in range(6):
                wanted = Pipeline(name="frozen", chain=CHAINS["two" if i % 2 else "one"])
                applied = await managers[i % 2].apply_pipeline(wanted)
                assert list(applied.lagging) == ["gateway-b"]
            assert time.monotonic() - start < ONCE_S, "it is waited for once, not each time"
        finally:
            os.kill(frozen, signal.SIGCONT)
        await until(partial(has, mesh, "gateway-b", "frozen"), PATIENCE_S, "it catches up")

        async def is_forgotten() -> bool:
            shown = [await manager.get_pipeline("frozen") for manager in managers]
            return not any(pipeline.lagging for pipeline in shown)

        await until_true(is_forgotten, PATIENCE_S, "it is not late any more")
        await managers[1].delete_pipeline("frozen")
        assert [has(mesh, name, "frozen") for name in GATEWAYS] == [False, False]


def listens(mesh: SharedMesh, part: str) -> bool:
    host, _, port = mesh.address(part).rpartition(":")
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host, int(port)), timeout=PATIENCE_S),
    ):
        return True
    return False


def children(pid: int, name: str) -> list[int]:
    """The processes of a name that a process started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in found if Path(f"/proc/{each}/comm").read_text().strip() == name]
