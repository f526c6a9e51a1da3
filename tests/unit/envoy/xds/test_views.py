from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from meshes import HOST, backend, manager_api_listener, mesh_of, repository_api_listener

from hydro_envoy.address import Address
from hydro_envoy.mesh import IngressRoute, Mesh, Sidecar
from hydro_envoy.nodes import Node
from hydro_envoy.resources.builder import Builder
from hydro_envoy.resources.display import to_json
from hydro_envoy.snapshot import Ref, ResourceType, Snapshot
from hydro_envoy.xds.views import snapshot_for

ROUTES = (IngressRoute("/control/", "control", ("manager",)), IngressRoute("/", "traffic"))


def sidecar(service: str, instance: str, port: int) -> Sidecar:
    control, traffic = Address(HOST, port + 1), Address(HOST, port + 2)
    return Sidecar(service, instance, Address("10.0.0.7", port), control, traffic, ROUTES)


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    plain = mesh_of({"p": ("a", "b")})
    return replace(
        plain,
        api_listeners=(manager_api_listener(), repository_api_listener()),
        backends=(*plain.backends, backend("repository", Address("10.0.0.8", 1))),
        sidecars=(sidecar("manager", "m1", 1000), sidecar("a", "one", 2000)),
    )


@pytest.fixture(scope="module")
def snapshot(mesh: Mesh) -> Snapshot:
    return Builder().build(mesh)


def names(snapshot: Snapshot, type_: ResourceType) -> list[str]:
    return list(snapshot.resources[type_])


def shown(snapshot: Snapshot, type_: ResourceType, name: str) -> Any:
    found = snapshot.get(Ref(type_, name))
    assert found
    return json.loads(to_json(found))


def test_without_sidecars_an_envoy_gets_the_very_snapshot() -> None:
    plain = Builder().build(mesh_of({"p": ("a",)}))
    assert snapshot_for(plain, Node("gateway", role="gateway")) is plain


def test_the_gateway_gets_nothing_of_sidecars_and_speaks_tls_with_them(snapshot: Snapshot) -> None:
    mine = snapshot_for(snapshot, Node("gateway", role="gateway"))
    assert names(mine, ResourceType.LISTENER) == [
        *("gateway", "limited", "manager", "pipes", "repository"),
    ]
    assert names(mine, ResourceType.SCOPE) == ["p"]
    assert not [name for type_ in ResourceType for name in names(mine, type_) if "sidecar" in name]
    (last,) = (n for n in names(mine, ResourceType.CLUSTER) if n.startswith("b@last"))
    tls = shown(mine, ResourceType.CLUSTER, last)["transport_socket"]["typed_config"]
    peer = tls["common_tls_context"]["combined_validation_context"]["default_validation_context"]
    (name,) = peer["match_typed_subject_alt_names"]
    assert name["matcher"] == {"prefix": "spiffe://hydro/b/"}


def test_a_sidecar_gets_what_is_for_its_process_alone(snapshot: Snapshot) -> None:
    mine = snapshot_for(snapshot, Node("a/one", role="sidecar"))
    assert names(mine, ResourceType.LISTENER) == ["sidecar/a/one"]
    assert names(mine, ResourceType.ROUTES) == ["sidecar/egress"]
    (repository, *ports) = names(mine, ResourceType.CLUSTER)
    assert repository.startswith("repository-")
    assert ports == ["sidecar/a/one/control", "sidecar/a/one/traffic"]
    assert names(mine, ResourceType.ENDPOINTS) == names(mine, ResourceType.CLUSTER)
    assert names(mine, ResourceType.SCOPE) == []


def test_an_unknown_sidecar_gets_a_way_out_and_none_in(snapshot: Snapshot) -> None:
    mine = snapshot_for(snapshot, Node("a/two", role="sidecar"))
    assert names(mine, ResourceType.LISTENER) == []
    assert names(mine, ResourceType.ROUTES) == ["sidecar/egress"]


def test_the_managers_sidecar_leads_to_single_processes(snapshot: Snapshot) -> None:
    mine = snapshot_for(snapshot, Node("manager/m1", role="sidecar"))
    (host,) = shown(mine, ResourceType.ROUTES, "sidecar/manager-egress")["virtual_hosts"]
    services = [route["match"]["headers"][0]["string_match"]["exact"] for route in host["routes"]]
    assert services == ["a", "b", "repository"]
    cluster = shown(mine, ResourceType.CLUSTER, "sidecar/calls/a")
    assert cluster["original_dst_lb_config"]["http_header_name"] == "x-hydro-address"


def test_a_process_that_moved_changes_endpoints_alone(mesh: Mesh, snapshot: Snapshot) -> None:
    moved = replace(mesh.sidecars[1], traffic=Address(HOST, 9))
    after = Builder().build(replace(mesh, sidecars=(mesh.sidecars[0], moved)))
    for type_ in set(ResourceType) - {ResourceType.ENDPOINTS}:
        assert after.resources[type_] == snapshot.resources[type_]
    assert after.resources[ResourceType.ENDPOINTS] != snapshot.resources[ResourceType.ENDPOINTS]
