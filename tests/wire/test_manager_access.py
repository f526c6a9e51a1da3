"""A manager with keys: what it publishes of them, and who may change the mesh at its own port."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict
from manager_mesh import CHAIN, Mesh

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro.manager.v1 import pipeline_pb2
from hydro_envoy.snapshot import ResourceType
from hydro_services import client, errors, rpc
from hydro_services.security import keyfile, keys
from hydro_services.security.keys import Key

ADMIN = keys.make_admin_key()


def key(name: str) -> Key:
    return Key(name, keys.hash_key(name), datetime(2030, 1, 1, tzinfo=UTC))


async def test_keys_of_the_file_reach_envoy_and_leave_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keyfile.change_keys(path, lambda _: (key("a"),))
    mesh = Mesh(tmp_path)
    mesh.config = replace(mesh.config, keys=str(path))
    async with mesh.stack:
        await mesh.start()
        await mesh.connect()

        def known() -> set[str]:
            filters = mesh.envoy.resources[ResourceType.FILTER.url]
            return {name for name in "ab" if keys.hash_key(name).encode() in filters["callers"]}

        await mesh.world.until(lambda: mesh.envoy.has(ResourceType.FILTER, "callers"))
        assert known() == {"a"}, "from the first snapshot on"
        keyfile.change_keys(path, lambda present: (*present, key("b")))
        await mesh.world.until(lambda: known() == {"a", "b"})
        keyfile.change_keys(path, lambda present: present[1:])
        await mesh.world.until(lambda: known() == {"b"})


async def test_a_manager_without_its_file_of_keys_does_not_start(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path)
    mesh.config = replace(mesh.config, keys=str(tmp_path / "absent"))
    with pytest.raises(errors.NotFound, match="hydro keys create"):
        await mesh.start()


async def test_a_pipeline_for_keys_that_are_not_is_refused(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path)
    async with mesh.stack:
        await mesh.start()
        await mesh.connect()
        await mesh.join(mesh.scikit, mesh.spark, mesh.repository)
        wanted = {"name": "match", "chain": CHAIN, "policy": {"access": {"apiKeys": {}}}}
        request = pb.CreatePipelineRequest(pipeline=ParseDict(wanted, pipeline_pb2.Pipeline()))
        async with rpc.open_channel(mesh.address) as channel:
            manager = client.ManagerClient(channel)
            for call in (manager.apply_pipeline, manager.plan_pipeline):
                with pytest.raises(Exception, match="this mesh has no API keys"):
                    await call(request.pipeline)


async def test_the_managers_own_port_wants_the_admin_key_and_lets_parts_in(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path)
    mesh.config = replace(mesh.config, admin_key=ADMIN)
    assert ADMIN not in repr(mesh.config)
    async with mesh.stack:
        await mesh.start()
        await mesh.connect()
        await mesh.join(mesh.scikit)
        async with rpc.open_channel(mesh.address) as channel:
            for wrong in ("", keys.make_admin_key()):
                manager = client.ManagerClient(channel, wrong)
                with pytest.raises(Exception, match="want the mesh's admin key") as raised:
                    await manager.list_services()
                assert isinstance(errors.from_rpc(raised.value), errors.Unauthenticated)  # type: ignore[arg-type]
            (service,) = await client.ManagerClient(channel, ADMIN).list_services()
        assert service.name == "serving-scikit"
        watch = mesh.manager.WatchPipelines(pb.WatchPipelinesRequest())
        with pytest.raises(Exception, match="want the mesh's admin key"):
            await anext(aiter(watch))
