"""Processes that come, move and go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest
from manager_mesh import (
    PREDICT,
    Mesh,
    Runtime,
    key,
)

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import registry_service_pb2 as registry_pb


async def test_endpoint_whose_lease_ends_gets_no_traffic(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path)
    async with mesh.stack:
        mesh.config = replace(mesh.config, lease_s=0.5)
        await mesh.start()
        await mesh.connect()
        await mesh.join(mesh.spark)
        while not mesh.envoy.ports("serving-spark"):
            await mesh.register(mesh.spark.endpoint)
        await mesh.world.until(lambda: not mesh.envoy.ports("serving-spark"))


async def test_restarted_process_replaces_its_address_at_once(mesh: Mesh) -> None:
    await mesh.world.until(lambda: bool(mesh.envoy.ports("serving-spark")))
    old = mesh.envoy.ports("serving-spark")
    again = Runtime(mesh.world, "serving-spark", "spark")
    again.endpoint.incarnation = "second"
    await mesh.join(again)
    port = int(again.endpoint.address.rpartition(":")[2])
    await mesh.world.until(lambda: mesh.envoy.ports("serving-spark") == {port})
    assert port not in old


async def test_late_goodbye_of_a_replaced_process_is_ignored(mesh: Mesh) -> None:
    again = Runtime(mesh.world, "serving-spark", "spark")
    again.endpoint.incarnation = "second"
    await mesh.join(again)
    request = registry_pb.DeregisterEndpointRequest(
        service="serving-spark", instance="one", incarnation="first"
    )
    await mesh.registry.DeregisterEndpoint(request, metadata=mesh.token)
    assert mesh.envoy.ports("serving-spark")
    request.incarnation = "second"
    await mesh.registry.DeregisterEndpoint(request, metadata=mesh.token)
    assert not mesh.envoy.ports("serving-spark")


async def test_new_endpoint_has_the_models_before_it_gets_traffic(mesh: Mesh) -> None:
    await mesh.create()
    second = Runtime(mesh.world, "serving-spark", "spark", "two")
    second.gate.clear()
    await mesh.join(second)
    await mesh.world.seen("asked", "two", key(PREDICT))
    assert len(mesh.envoy.ports("serving-spark")) == 1
    response = await mesh.manager.ListServices(pb.ListServicesRequest())
    found = {service.name: [e.ready for e in service.endpoints] for service in response.services}
    assert found == {"repository": [True], "serving-scikit": [True], "serving-spark": [True, False]}
    second.gate.set()
    await mesh.world.until(lambda: len(mesh.envoy.ports("serving-spark")) == 2)


async def test_malformed_endpoint_is_refused(mesh: Mesh) -> None:
    for address in ("", "nowhere", "localhost:1", "0.0.0.0:5", "127.0.0.1:99999"):
        with pytest.raises(grpc.aio.AioRpcError, match="want the '<IP address>:<port>'"):
            await mesh.register(
                pb.Endpoint(
                    service="s", instance="i", address=address, formats=["f"], incarnation="1"
                )
            )
